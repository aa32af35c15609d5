"""The language of Prometheus's PromQL test scripts, read into commands (promql/promqltest/README.md over there)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import promql_parser

from app.durations import parse_duration_ms
from app.labels import METRIC_NAME, Labels, labels_from
from app.store.metrics import STALE_NAN_BITS
from tests.conformance.promqltest_histograms import HistogramPoint, histogram_sequence
from tests.conformance.scripts import Clear

_STALE = float(np.array([STALE_NAN_BITS], np.uint64).view(np.float64)[0])
_LOAD = re.compile(r"^load(?:_(with_nhcb))?\s+(.+?)$")
_INSTANT = re.compile(r"^eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)$")
_RANGE = re.compile(r"^eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)$")
_EXPECT = re.compile(r"^expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?$")
_VECTOR = re.compile(r"^expect range vector\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+)$")
_STRING = re.compile(r"^expect string\s+(.+)$")
_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|0x[0-9a-fA-F]+|[iI]nf|[nN]a[nN])"
_POINT = re.compile(rf"^({_NUMBER})(?:([-+])({_NUMBER.removeprefix('[-+]?')}))?(?:x(\d+))?$")
_MISSING = re.compile(r"^(_|stale)(?:x(\d+))?$")


Point = float | None | HistogramPoint


@dataclass(slots=True)
class Series:
    """One line of a load, or one expected series; `labels` is None for a bare number."""

    labels: Labels | None
    points: list[Point]


@dataclass(slots=True)
class Load:
    """A load command."""

    step_ms: int
    series: list[Series]
    with_nhcb: bool


@dataclass(slots=True)
class Eval:
    """An eval command; instant when `step_ms` is 0."""

    line: int
    query: str
    start_ms: int
    end_ms: int
    step_ms: int
    expects: list[tuple[str, str, str]] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    text: str | None = None
    vector_times: tuple[int, int, int] | None = None


Command = Load | Eval | Clear


def read_script(text: str) -> list[Command]:
    """The commands of a script, in order."""
    commands: list[Command] = []
    current: Load | Eval | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line == "clear":
            commands.append(Clear())
            current = None
        elif match := _LOAD.match(line):
            current = Load(_duration(match[2]), [], match[1] is not None)
            commands.append(current)
        elif line.startswith("eval"):
            current = _eval(line, number)
            commands.append(current)
        elif isinstance(current, Load):
            current.series.append(_series(line))
        elif current is not None:
            _detail(current, line)
    return commands


def _duration(text: str) -> int:
    negative, text = text.startswith("-"), text.strip().removeprefix("-")
    ms = round(float(text) * 1000) if re.fullmatch(r"[\d.]+", text) else parse_duration_ms(text)
    return -ms if negative else ms


def _eval(line: str, number: int) -> Eval:
    if match := _RANGE.match(line):
        found = Eval(number, match[5], _duration(match[2]), _duration(match[3]), _duration(match[4]))
    else:
        match = _INSTANT.match(line)
        if match is None:
            raise ValueError(f"line {number}: {line}")
        time_ms = _duration(match[2] or "0")
        found = Eval(number, match[3], time_ms, time_ms, 0)
    if match[1]:
        found.expects.append((match[1], "", ""))
    return found


def _detail(command: Eval, line: str) -> None:
    if match := _EXPECT.match(line):
        command.expects.append((match[1], match[2] or "", (match[3] or "").strip()))
    elif match := _VECTOR.match(line):
        command.vector_times = (_duration(match[1]), _duration(match[2]), _duration(match[3]))
    elif match := _STRING.match(line):
        literal = promql_parser.parse(match[1])
        assert isinstance(literal, promql_parser.StringLiteral), line
        command.text = literal.val
    elif line.startswith("expected_fail_"):
        kind, _, rest = line.removeprefix("expected_fail_").partition(" ")
        command.expects.append(("fail", "msg" if kind == "message" else "regex", rest.strip()))
    else:
        command.series.append(_series(line))


def _series(line: str) -> Series:
    metric, rest = _split(line)
    if metric is None:
        return Series(None, _points(rest))
    return Series(_labels(metric), _points(rest))


def _split(line: str) -> tuple[str | None, str]:
    quote, depth = "", 0
    for i, character in enumerate(line):
        if quote:
            quote = "" if character == quote and line[i - 1] != "\\" else quote
        elif character in "\"'`":
            quote = character
        elif character in "{}":
            depth += 1 if character == "{" else -1
        elif character.isspace() and depth == 0:
            return line[:i], line[i:]
    return None, line


def _labels(metric: str) -> Labels:
    if metric == "{}":
        return ()
    selector = promql_parser.parse(metric)
    assert isinstance(selector, promql_parser.VectorSelector), metric
    pairs = [(m.name, m.value) for m in selector.matchers.matchers]
    return labels_from([*pairs, *([(METRIC_NAME, selector.name)] if selector.name else [])])


def _points(text: str) -> list[Point]:
    points: list[Point] = []
    for item in re.findall(r"\{\{.*?\}\}(?:[-+]\{\{.*?\}\})?(?:x\d+)?|\S+", text):
        if item.startswith("{{"):
            points += histogram_sequence(item)
        elif match := _MISSING.match(item):
            point = _STALE if match[1] == "stale" else None
            points += [point] * int(match[2] or 1)
        elif match := _POINT.match(item):
            start, by = _float(match[1]), _float(match[3]) if match[3] else 0.0
            by = -by if match[2] == "-" else by
            value = start
            for _ in range(int(match[4] or 0) + 1):
                points.append(value)
                value += by
        else:
            raise ValueError(f"not a point: {item}")
    return points


def _float(text: str) -> float:
    return float(int(text, 16)) if "0x" in text else float(text)
