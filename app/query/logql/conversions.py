"""Texts as numbers, in SQL: as Go's strconv.ParseFloat and time.ParseDuration and go-humanize's ParseBytes read them.

Each function takes the name of a column of strings, and gives SQL of a Nullable(Float64), NULL for what is no number,
or of the text that says why not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.query.logql.rows import literal
from app.query.logql.text import SIZES

_DIGITS = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_FLOAT = literal(rf"^[+-]?{_DIGITS}(?:[eE][+-]?[0-9]+)?$")
_UNITS = {"ns": 1.0, "us": 1e3, "µs": 1e3, "μs": 1e3, "ms": 1e6, "s": 1e9, "m": 6e10, "h": 3.6e12}
_UNIT = "(?:" + "|".join(_UNITS) + ")"
_DURATION = literal(rf"^[+-]?(?:0|(?:{_DIGITS}{_UNIT})+)$")
_DURATION_PARTS = literal(rf"({_DIGITS})({_UNIT})")
_UNKNOWN_UNIT = literal(rf"^[+-]?(?:{_DIGITS}{_UNIT})*{_DIGITS}([^0-9.]+)")
_NO_UNIT = literal(rf"^[+-]?(?:{_DIGITS}{_UNIT})*{_DIGITS}$")
_PLAIN = literal(rf"^{_DIGITS}$")
_SIZE_UNIT = literal(r"(?s)^[0-9.,]*\s*(.*?)\s*$")


def _array(items: list[str]) -> str:
    return "[" + ", ".join(items) + "]"


_UNIT_NAMES = _array([literal(unit) for unit in _UNITS])
_UNIT_SIZES = _array([repr(size) for size in _UNITS.values()])
_SIZE_NAMES = _array([literal(unit) for unit in SIZES])
_SIZE_FACTORS = _array([repr(float(size)) for size in SIZES.values()])


def _shown(v: str) -> str:
    return f"concat('\"', {v}, '\"')"


def _number(v: str) -> str:
    plain = f"toFloat64OrNull({v})"
    # what overflows is an error, and not an infinity
    return (
        f"multiIf(match({v}, {_FLOAT}), if(isInfinite({plain}), NULL, {plain}),"
        f" match({v}, '(?i)^[+]?inf(?:inity)?$'), inf, match({v}, '(?i)^-inf(?:inity)?$'), -inf,"
        f" lower({v}) = 'nan', nan, NULL)"
    )


def _why_no_number(v: str) -> str:
    return f"concat('strconv.ParseFloat: parsing ', {_shown(v)}, ': invalid syntax')"


def _duration_ns(v: str) -> str:
    parts = f"extractAllGroupsVertical({v}, {_DURATION_PARTS})"
    each = f"round(toFloat64OrZero(p[1]) * transform(p[2], {_UNIT_NAMES}, {_UNIT_SIZES}, 0.))"
    total = f"arraySum(p -> {each}, {parts})"
    return f"if(match({v}, {_DURATION}), if(startsWith({v}, '-'), -1, 1) * {total}, NULL)"


def _duration_s(v: str) -> str:
    return f"{_duration_ns(v)} / 1e9"


def _why_no_duration(v: str) -> str:
    unit = f"extract({v}, {_UNKNOWN_UNIT})"
    shown = _shown(v)
    return (
        f"multiIf(match({v}, {_NO_UNIT}),"
        f" concat('time: missing unit in duration ', {shown}),"
        f" {unit} != '', concat('time: unknown unit ', {_shown(unit)}, ' in duration ', {shown}),"
        f" concat('time: invalid duration ', {shown}))"
    )


def _size_digits(v: str) -> str:
    return f"replaceAll(extract({v}, '^[0-9.,]*'), ',', '')"


def _size_unit(v: str) -> str:
    return f"lower(extract({v}, {_SIZE_UNIT}))"


def _size(v: str) -> str:
    digits = _size_digits(v)
    # the unit of -1 is one there is not
    factor = f"transform({_size_unit(v)}, {_SIZE_NAMES}, {_SIZE_FACTORS}, -1.)"
    value = f"trunc(toFloat64OrZero({digits}) * {factor})"
    return f"if(match({digits}, {_PLAIN}) AND {factor} > 0 AND {value} < 18446744073709551616., {value}, NULL)"


def _why_no_size(v: str) -> str:
    digits = _size_digits(v)
    return (
        f"if(match({digits}, {_PLAIN}), concat('unhandled size name: ', {_size_unit(v)}),"
        f" concat('strconv.ParseFloat: parsing ', {_shown(digits)}, ': invalid syntax'))"
    )


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a text is read: SQL of the number, and of what is wrong where it is none."""

    value: Callable[[str], str]
    problem: Callable[[str], str]


NUMBER = Conversion(_number, _why_no_number)
DURATION_NS = Conversion(_duration_ns, _why_no_duration)
DURATION_S = Conversion(_duration_s, _why_no_duration)
SIZE = Conversion(_size, _why_no_size)
UNWRAPPED: Mapping[str, Conversion] = {
    "": NUMBER,
    "bytes": SIZE,
    "duration": DURATION_S,
    "duration_seconds": DURATION_S,
}
"""What `unwrap f(label)` reads a label with."""
