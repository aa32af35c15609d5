"""LogQL's parsers once more, in plain Python, line by line: what the SQL is compared with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import re2

Pairs = list[tuple[str, str]]
_BAD = "\ufffd"


def label_name(name: str, first: bool = True) -> str:
    """A name as a label's; `first`: it may not begin with a digit."""
    name = name.strip(" \t\n\v\f\r")
    led = "_" if first and name[:1] in set("0123456789") else ""
    return led + re.sub(r"[^a-zA-Z0-9_]", "_", name) if name else ""


def extracted(
    pairs: Iterable[tuple[str, str]], taken: frozenset[str], before: dict[str, str] | None = None
) -> dict[str, str]:
    """The labels that pairs make: of many the first counts, and names that are taken get a suffix."""
    labels = dict(before or {})
    for name, value in pairs:
        named = f"{name}_extracted" if name in taken else name
        if name:
            labels.setdefault(named, value)
    return labels


class _Raw(str):
    """A number, as it is written."""


def _no_constant(text: str) -> Any:
    raise ValueError(text)


def json_object(line: str) -> list[tuple[str, Any]] | None:
    """The members of an object, in their order; None for anything else."""
    try:
        found = json.loads(line, object_pairs_hook=list, parse_int=_Raw, parse_float=_Raw, parse_constant=_no_constant)
    except ValueError:
        return None
    return found if isinstance(found, list) and line.lstrip(" \t\r\n").startswith("{") else None


def _scalar(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.replace(_BAD, " ") if isinstance(value, str) else None


def _is_object(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, tuple) for item in value)


def json_fields(line: str) -> Pairs | None:
    """What `| json` finds; None for an error."""
    members = json_object(line)
    if members is None:
        return None
    found: Pairs = []

    def walk(prefix: str, members: list[tuple[str, Any]], top: bool) -> None:
        for key, value in members:
            part = label_name(key, first=top or not prefix)
            name = f"{prefix}_{part}" if prefix and part else prefix or part
            if _is_object(value):
                walk(name, value, False)
            elif (text := _scalar(value)) is not None and name and (part or not top):
                found.append((name, text))

    walk("", members, True)
    return found


def logfmt(line: str, strict: bool = False, keep_empty: bool = False) -> tuple[Pairs, bool]:
    """(what `| logfmt` finds, whether the line is an error), as Loki's decoder scans it."""
    found: Pairs = []
    at, n = 0, len(line)
    while at < n:
        if line[at] <= " ":
            at += 1
            continue
        pair, at = _pair(line, at)
        if pair is None:
            if strict:
                return found, True
            continue
        key, value = label_name(pair[0]), pair[1].replace(_BAD, " ")
        if key and (value or keep_empty):
            found.append((key, value))
    return found, False


def _next_space(line: str, at: int) -> int:
    while at < len(line) and line[at] > " ":
        at += 1
    return at


def _pair(line: str, at: int) -> tuple[tuple[str, str] | None, int]:
    start = at
    while at < len(line) and line[at] > " " and line[at] not in '="':
        at += 1
    key = line[start:at]
    if at < len(line) and (line[at] == '"' or (line[at] == "=" and not key)):
        return None, _next_space(line, at)
    bad = _BAD in key
    if at >= len(line) or line[at] <= " ":
        return (None if bad else (key, "")), at
    at += 1
    if at < len(line) and line[at] == '"':
        end = at + 1
        while end < len(line) and line[end] != '"':
            end += 2 if line[end] == "\\" else 1
        if end >= len(line):
            return None, len(line)
        value = _unquoted(line[at + 1 : end])
        return (None if bad or value is None else (key, value)), end + 1
    start = at
    while at < len(line) and line[at] > " " and line[at] not in '="':
        at += 1
    if at < len(line) and line[at] > " ":
        return None, _next_space(line, at)
    return (None if bad else (key, line[start:at])), at


_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_PAIR_OF_HALVES = re.compile("([\ud800-\udbff])([\udc00-\udfff])")
_HALF = re.compile("[\ud800-\udfff]")
_SIMPLE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "/": "/", "'": "'"}


def _unquoted(text: str) -> str | None:
    if "\\" not in text:
        return text
    bad = False

    def escaped(match: re.Match[str]) -> str:
        nonlocal bad
        code = match[1]
        if code[0] == "u" and len(code) == 5:
            return chr(int(code[1:], 16))
        bad = bad or code not in _SIMPLE
        return _SIMPLE.get(code, "")

    made = _ESCAPE.sub(escaped, text)
    made = _PAIR_OF_HALVES.sub(lambda m: (m[1] + m[2]).encode("utf-16", "surrogatepass").decode("utf-16"), made)
    return None if bad or _HALF.search(made) else made


def pattern(line: str, parts: list[str | tuple[str] | None]) -> Pairs:
    """What `| pattern` finds: parts are literals, None for `<_>`, or a tuple of a name."""
    found: Pairs = []
    if not line:
        return found
    rest, parts = line, list(parts)
    if isinstance(parts[0], str):
        if not line.startswith(parts[0]):
            return found
        rest = line[len(parts[0]) :]
        parts = parts[1:]
    while parts:
        capture = parts.pop(0)
        literal = parts.pop(0) if parts else None
        at = rest.find(literal) if isinstance(literal, str) else -1
        if isinstance(capture, tuple):
            found.append((capture[0], rest if at < 0 else rest[:at]))
        if at < 0:
            break
        assert isinstance(literal, str)
        rest = rest[at + len(literal) :]
    return found


def fits(line: str, parts: list[str | None]) -> bool:
    """Whether a line fits a pattern of a filter: literals, and None for `<_>`."""
    if not line or not parts:
        return not line and not parts
    at = 0
    for i, part in enumerate(parts):
        if part is None:
            continue
        found = line.find(part, at)
        if found < 0 or (i and found == at):
            return False
        at = found + len(part)
    return (at < len(line)) == (parts[-1] is None)


def regexp(line: str, expression: str) -> Pairs:
    """What `| regexp` finds."""
    compiled = re2.compile(expression)
    match = compiled.search(line)
    if match is None:
        return []
    return [(name, match[number] or "") for name, number in sorted(compiled.groupindex.items(), key=lambda i: i[1])]


_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATION = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")


def number(text: str) -> float | None:
    """A text as strconv.ParseFloat reads it, None where it does not."""
    special = re.fullmatch(r"([+-]?)inf(?:inity)?", text, re.IGNORECASE)
    if special:
        return float(special[1] + "inf")
    if text.lower() == "nan":
        return float("nan")
    value = float(text) if _FLOAT.fullmatch(text) else None
    return None if value is None or value in (float("inf"), float("-inf")) else value


def duration_ns(text: str) -> float | None:
    """A text as time.ParseDuration reads it, None where it does not."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if digits == "0":
        return 0.0
    parts = _DURATION.findall(digits)
    if not parts or "".join(n + unit for n, unit in parts) != digits:
        return None
    total = sum(round(float(n) * _NS[unit]) for n, unit in parts)
    return float(-total if text.startswith("-") else total)


def size(text: str) -> float | None:
    """A text as go-humanize's ParseBytes reads it, None where it does not."""
    match = re.match(r"[0-9.,]*", text)
    assert match is not None
    digits, unit = match[0].replace(",", ""), text[match.end() :].strip(" \t\n\r\f").lower()
    factors = {"": 1, "b": 1}
    for power, letter in enumerate("kmgtpe", 1):
        for end in ("", "b"):
            factors[letter + end], factors[f"{letter}i{end}"] = 1000**power, 1024**power
    if not re.fullmatch(r"[0-9]+\.?[0-9]*|\.[0-9]+", digits) or unit not in factors:
        return None
    value = float(digits) * factors[unit]
    return float(int(value)) if value < 2**64 else None


def unpack(line: str) -> tuple[str, Pairs] | None:
    """(the line, the labels) that `| unpack` makes; None for an error."""
    if not line:
        return line, []
    members = json_object(line) if line[0] == "{" else None
    if members is None:
        return None
    strings = [(k, v) for k, v in members if isinstance(v, str) and not isinstance(v, _Raw)]
    entries = [v.replace(_BAD, " ") for k, v in strings if k == "_entry"]
    if not entries:
        return line, []
    return entries[-1], [(label_name(k), v.replace(_BAD, " ")) for k, v in strings if k != "_entry"]
