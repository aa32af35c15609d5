"""String literals and durations of LogQL."""

from __future__ import annotations

import re

from app.errors import BadQuery

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}
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


def unquoted(literal: str, position: int) -> str:
    """The text of a "string" with Go's escapes, or of a `raw string`. Raises BadQuery."""
    if literal[0] == "`":
        return literal[1:-1].replace("\r", "")
    if "\\" not in literal:
        return literal[1:-1]
    try:
        # bytes at first: \xff and \377 are bytes in Go, and only all of them together are UTF-8
        return _ESCAPE.sub(_unescaped, literal[1:-1]).encode("utf-8", "surrogateescape").decode()
    except (ValueError, UnicodeError):
        raise BadQuery(f"invalid escape sequence in the string at position {position}: {literal}", position) from None


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if code in _SIMPLE:
        return _SIMPLE[code]
    if code[0] in "uU" and len(code) > 1:
        character = chr(int(code[1:], 16))
        if "\ud800" <= character <= "\udfff":
            raise ValueError(code)
        return character
    value = int(code[1:], 16) if code[0] == "x" and len(code) == 3 else int(code, 8) if len(code) == 3 else 256
    return bytes([value]).decode("ascii", "surrogateescape")


def duration_ms(text: str, position: int) -> int:
    """Milliseconds of `1h30m` or `1.5s`. Raises BadQuery for anything else and for less than a millisecond."""
    parts = _PART.findall(text)
    if not parts or "".join(n + unit for n, unit in parts) != text:
        raise BadQuery(f"not a duration at position {position}: {text!r}", position)
    total = sum(float(n) * _NS[unit] for n, unit in parts)
    if not 10**6 <= total < 2**62:
        raise BadQuery(f"a duration from 1ms on is wanted at position {position}: {text!r}", position)
    return round(total / 10**6)
