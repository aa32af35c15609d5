"""Numbers and durations: how far they reach in a text, and what they mean, as for Go and Prometheus."""

from __future__ import annotations

import math
import re

from app.query.promql.quote import quoted

_DECIMAL, _HEXADECIMAL = frozenset("0123456789"), frozenset("0123456789abcdefABCDEF")
_WORD = re.compile(r"[0-9A-Za-z_]")
_DURATION_REST = re.compile(r"[smhdwy]s?(?:[0-9]+[smhdw]s?)*")
_DIGITS = re.compile(r"[0-9]*")
_PAIR = re.compile(r"([0-9]+)([^0-9]*)")
_HEX_INTEGER = re.compile(r"0[xX]_?[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*")
_OCTAL_INTEGER = re.compile(r"0(?:_?[0-7])+")
_UNITS_NS = {
    "y": 31_536_000_000_000_000,
    "w": 604_800_000_000_000,
    "d": 86_400_000_000_000,
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
}
_ORDER = list(_UNITS_NS)
_MOST_NS = 2**63
_LONGEST_NUMBER = 20
LONGEST_DURATION_S = _MOST_NS / 1e9


def literal_end(text: str, at: int) -> tuple[str, int]:
    """(NUMBER, DURATION or "" for neither, where it ends) of the literal that begins at a place."""
    end, good = _number_end(text, at)
    if good:
        return "NUMBER", end
    rest = _DURATION_REST.match(text, end)
    if rest is None:
        return "", end
    digits = _DIGITS.match(text, rest.end())
    if digits is not None and digits[0]:
        return "", digits.end()
    return ("", rest.end() + 1) if _WORD.match(text, rest.end()) else ("DURATION", rest.end())


def _number_end(text: str, at: int) -> tuple[int, bool]:
    # as Prometheus reads: one dot, one exponent, and an underscore only before a digit
    digits = _DECIMAL
    end = at + (text[at] == "0")
    if text[at : at + 2].lower() == "0x":
        digits = _HEXADECIMAL
        end += 2 if text[at + 2 : at + 3] == "_" else 1
    end += text[end : end + 1] == "."
    end += text[end : end + 1] in digits
    seen: set[str] = set()
    while (character := text[end : end + 1]) and (character in "._eE" or character in digits):
        kind = character.lower() if character in "._eE" else "digits"
        if kind in seen and kind in ".e":
            return end + 1, False
        seen.add(kind)
        end += 1
        if kind == "digits":
            while text[end : end + 1] in digits:
                end += 1
            continue
        if kind == "e" and text[end : end + 1] in ("+", "-"):
            end += 1
        following = text[end : end + 1]
        if following in ("_", ".") or (kind != "." and following in ("e", "E")):
            return end + 1, False
        if (kind == "." and digits is _HEXADECIMAL) or (kind != "." and not following):
            return end, False
    return end, end > at and not _WORD.match(text, end)


def number_value(text: str) -> float:
    """What a number means. Raises ValueError with Go's reason."""
    if text.lower() in ("inf", "nan"):
        return float(text)
    base = 16 if _HEX_INTEGER.fullmatch(text) else 8 if _OCTAL_INTEGER.fullmatch(text) else 0
    if base and (whole := int(text.replace("_", ""), base)) < _MOST_NS:
        return float(whole)
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"error parsing number: strconv.ParseFloat: parsing {quoted(text)}: invalid syntax") from None
    if math.isinf(value):
        raise ValueError(f"error parsing number: strconv.ParseFloat: parsing {quoted(text)}: value out of range")
    return value


def duration_seconds(text: str) -> float:
    """What a duration means, in seconds. Raises ValueError with the reason of Prometheus."""
    total, last = 0, -1
    if not text[0].isdecimal():
        raise ValueError(f"not a valid duration string: {quoted(text)}")
    for digits, unit in _PAIR.findall(text):
        significant = digits.lstrip("0") or "0"
        if not unit or len(significant) > _LONGEST_NUMBER or (number := int(significant)) >= 2**64:
            raise ValueError(f"not a valid duration string: {quoted(text)}")
        if unit not in _UNITS_NS:
            raise ValueError(f"unknown unit {quoted(unit)} in duration {quoted(text)}")
        if _ORDER.index(unit) <= last:
            raise ValueError(f"not a valid duration string: {quoted(text)}")
        last = _ORDER.index(unit)
        total += number * _UNITS_NS[unit]
        if total >= _MOST_NS:
            raise ValueError("duration out of range")
    return total / 1e9
