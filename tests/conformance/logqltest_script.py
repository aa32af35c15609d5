"""The language of Loki's LogQL test scripts, read into commands (pkg/logql/internal/logqltest/README.md over there)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from app.durations import parse_duration_ms
from app.labels import Labels, labels_from
from app.query.logql.parse import parse_matchers
from tests.conformance.scripts import Clear

EPOCH_MS = 1_767_225_600_000
"""2026 begins: what times of a script count from."""
_LINE = re.compile(
    r"""(?P<stream>\{[^}]*\})\s*(?:"(?P<text>[^"]*)"|`(?P<raw>[^`]*)`)\s*@\s*(?P<at>\S+)"""
    r"""(?:\s*\[repeat\ every\s+(?P<step>\S+)\s+for\s+(?P<count>\d+)\])?(?:\s*\[metadata\s+(?P<metadata>.*?)\])?""",
    re.VERBOSE,
)
_PAIR = re.compile(r'(?:"([^"]*)"|([^\s"=]+))="([^"]*)"')
_INSTANT = re.compile(r"eval instant at\s+(\S+)\s+(.+)")
_RANGE = re.compile(r"eval range from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\s+(.+)")
_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|[iI]nf|NaN)"
_POINT = re.compile(rf"(?P<base>_|{_NUMBER})(?:(?P<by>[-+]\d+\.?\d*))?(?:x(?P<times>\d+))?")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a stream; nanoseconds since the epoch."""

    stream: Labels
    ts_ns: int
    text: str
    metadata: Labels


@dataclass(slots=True)
class Load:
    """A load command."""

    entries: list[Entry]


@dataclass(slots=True)
class Eval:
    """An eval command; instant when `step_ms` is 0. `fails` is None, or what the error must contain or match."""

    line: int
    query: str
    start_ms: int
    end_ms: int
    step_ms: int
    fails: tuple[str, str] | None = None
    ordered: bool = False
    scalar: float | None = None
    series: list[tuple[Labels, list[float | None]]] = field(default_factory=list)


Command = Load | Eval | Clear


def read_script(text: str) -> list[Command]:
    """The commands of a script, in order. Raises ValueError."""
    commands: list[Command] = []
    current: Load | Eval | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = _uncommented(raw).strip()
        if not line:
            continue
        if line == "clear":
            commands.append(Clear())
        elif line == "load":
            current = Load([])
            commands.append(current)
        elif line.startswith("eval"):
            current = _eval(line, number)
            commands.append(current)
        elif isinstance(current, Load):
            current.entries += _entries(line)
        elif current is not None:
            _expect(current, line)
    return commands


def _uncommented(line: str) -> str:
    quote = ""
    for i, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in '"`':
            quote = character
        elif character == "#":
            return line[:i]
    return line


def _ms(text: str) -> int:
    return 0 if text == "0" else parse_duration_ms(text)


def _entries(line: str) -> Iterator[Entry]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"not a line to load: {line}")
    stream = labels_from(_labels(match["stream"]))
    metadata = tuple(sorted((m[0] or m[1], m[2]) for m in _PAIR.findall(match["metadata"] or "")))
    text = match["text"] if match["raw"] is None else match["raw"]
    for i in range(int(match["count"] or 1)):
        at = EPOCH_MS + _ms(match["at"]) + i * _ms(match["step"] or "0")
        yield Entry(stream, at * 1_000_000, text.replace("{{.i}}", str(i)), metadata)


def _labels(text: str) -> Labels:
    if text == "{}":
        return ()
    # a matcher more, since a selector of empty values alone is none
    matchers = parse_matchers(text[:-1] + ', always="there"}')
    return tuple(sorted((m.name, m.value) for m in matchers if m.name != "always"))


def _eval(line: str, number: int) -> Eval:
    if match := _RANGE.fullmatch(line):
        start, end, step = (_ms(match[i]) for i in (1, 2, 3))
        return Eval(number, match[4], EPOCH_MS + start, EPOCH_MS + end, step)
    instant = _INSTANT.fullmatch(line)
    if instant is None:
        raise ValueError(f"line {number}: {line}")
    at = EPOCH_MS + _ms(instant[1])
    return Eval(number, instant[2], at, at, 0)


def _expect(command: Eval, line: str) -> None:
    if line.startswith("expect fail"):
        how, _, text = line.removeprefix("expect fail").strip().partition(":")
        command.fails = how, text.strip()
    elif line == "expect ordered":
        command.ordered = True
    elif line.startswith("{"):
        head, _, points = line.partition("}")
        command.series.append((_labels(head + "}"), _points(points)))
    elif line != "expect empty" and not line.startswith("skip "):
        command.scalar = float(line)


def _points(text: str) -> list[float | None]:
    points: list[float | None] = []
    for item in text.split():
        match = _POINT.fullmatch(item)
        if match is None:
            raise ValueError(f"not a point: {item}")
        base = None if match["base"] == "_" else float(match["base"])
        for i in range(int(match["times"] or 0) + 1):
            points.append(base if base is None else base + i * float(match["by"] or 0))
    return points
