"""String literals, durations and sizes of LogQL."""

from __future__ import annotations

import json
import re

from app.durations import format_duration_ms
from app.errors import BadQuery
from app.gotemplate.quoting import unquoted as unquote

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h|d|w|y)")
_NS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86_400 * 10**9,
    "w": 7 * 86_400 * 10**9,
    "y": 365 * 86_400 * 10**9,
}
SIZES = {
    "": 1,
    "b": 1,
    **{f"{letter}{end}": 1000**power for power, letter in enumerate("kmgtpe", 1) for end in ("", "b")},
    **{f"{letter}i{end}": 1024**power for power, letter in enumerate("kmgtpe", 1) for end in ("", "b")},
}
"""Bytes in a unit, as go-humanize's ParseBytes has them; units are read without regard to case."""
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-zA-Z]*)")


def quoted(text: str) -> str:
    """A string literal that `unquoted` reads as the text."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\x7f")


def unquoted(literal: str, position: int) -> str:
    """The text of a "string" with Go's escapes, or of a `raw string`. Raises BadQuery."""
    try:
        text = unquote(literal)
        # \xff and \377 are bytes in Go, and only all of them together are UTF-8
        text.encode()
    except ValueError:
        raise BadQuery(f"invalid escape sequence in the string at position {position}: {literal}", position) from None
    return text


def duration_ms(text: str, position: int) -> int:
    """Milliseconds of `1h30m` or `1.5s`. Raises BadQuery for anything else and for less than a millisecond."""
    total = duration_ns(text, position)
    if total < 10**6:
        raise BadQuery(f"a duration from 1ms on is wanted at position {position}: {text!r}", position)
    return round(total / 10**6)


def duration_ns(text: str, position: int) -> int:
    """Nanoseconds of `1h30m`, `1.5s` or `-5ns`. Raises BadQuery."""
    digits = text.removeprefix("-")
    parts = _PART.findall(digits)
    if not parts or "".join(n + unit for n, unit in parts) != digits:
        raise BadQuery(f"not a duration at position {position}: {text!r}", position)
    total = round(sum(float(n) * _NS[unit] for n, unit in parts))
    if total >= 2**62:
        raise BadQuery(f"a duration of at most a century is wanted at position {position}: {text!r}", position)
    return total if digits == text else -total


def format_duration_ns(ns: int) -> str:
    """A duration that `duration_ns` reads as the same."""
    return f"{ns}ns" if ns % 10**6 else format_duration_ms(ns // 10**6)


def size_bytes(text: str, position: int) -> int:
    """Bytes of `20MB` or `1.5KiB`. Raises BadQuery."""
    match = _SIZE.fullmatch(text)
    unit = SIZES.get(match[2].lower()) if match else None
    if match is None or unit is None or float(match[1]) * unit >= 2**64:
        raise BadQuery(f"not a size at position {position}: {text!r}", position)
    return int(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit
