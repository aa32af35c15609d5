"""Go's time.Parse: a time by a layout that shows how January 2nd 2006, 15:04:05 is written."""

from __future__ import annotations

import re
from calendar import isleap, monthrange
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from app.gotemplate.quoting import quoted
from app.gotemplate.times import DAYS, LAYOUT, MONTHS, Time

_SECOND = 1_000_000_000
_ONE_OR_TWO = re.compile(r"[0-9]{1,2}", re.ASCII)
_TWO = re.compile(r"[0-9]{2}", re.ASCII)
_THREE = re.compile(r"[0-9]{3}", re.ASCII)
_FOUR = re.compile(r"[0-9]{4}", re.ASCII)
_FRACTION = re.compile(r"[.,][0-9]+", re.ASCII)
_ZONE = re.compile(
    r"ChST|MeST|GMT[+-][0-9]{1,2}|[+-][0-9]{2}(?![0-9])|[A-Z]{3}T|WITA|[A-Z]{5}|[A-Z]{3}(?![A-Z])", re.ASCII
)
_OFFSETS = {
    "07": r"([+-])([0-9]{2})()()",
    "0700": r"([+-])([0-9]{2})([0-9]{2})()",
    "07:00": r"([+-])([0-9]{2}):([0-9]{2})()",
    "070000": r"([+-])([0-9]{2})([0-9]{2})([0-9]{2})",
    "07:00:00": r"([+-])([0-9]{2}):([0-9]{2}):([0-9]{2})",
}
_RANGES = {"01": ("month", 1, 12), "1": ("month", 1, 12), "15": ("hour", 0, 23), "03": ("hour", 0, 12),
           "3": ("hour", 0, 12), "04": ("minute", 0, 59), "4": ("minute", 0, 59), "05": ("second", 0, 59),
           "5": ("second", 0, 59), "02": ("day", 0, 99), "2": ("day", 0, 99), "_2": ("day", 0, 99)}  # fmt: skip


@dataclass(slots=True)
class _Found:
    year: int = 0
    month: int = 1
    day: int = 1
    year_day: int | None = None
    hour: int = 0
    minute: int = 0
    second: int = 0
    nanosecond: int = 0
    afternoon: bool | None = None
    zone: tzinfo = field(default=UTC)
    zone_is_a_name: bool = False


class _Mismatch(Exception):
    """A part of the text is not what the layout wants there."""


class _OutOfRange(Exception):
    """A number is no month, hour …"""


def parse_time(layout: str, text: str) -> Time:
    """The time a text gives; what the layout does not have is that of January 1st of year 0 in UTC.

    Raises ValueError in Go's words.
    """
    found, rest, at = _Found(), text, 0
    for match in LAYOUT.finditer(layout):
        part = match[0]
        rest = _skipped(layout, text, rest, layout[at : match.start()])
        at = match.end()
        try:
            rest = _part(found, part, rest, layout[at:])
        except _Mismatch:
            raise ValueError(_mismatch(layout, text, rest, part)) from None
        except _OutOfRange as problem:
            raise ValueError(f"parsing time {quoted(text)}: {problem} out of range") from None
    rest = _skipped(layout, text, rest, layout[at:])
    if rest:
        raise ValueError(f"parsing time {quoted(text)}: extra text: {quoted(rest)}")
    return _time(found, text)


def _mismatch(layout: str, text: str, rest: str, part: str) -> str:
    return f"parsing time {quoted(text)} as {quoted(layout)}: cannot parse {quoted(rest)} as {quoted(part)}"


def _skipped(layout: str, text: str, rest: str, prefix: str) -> str:
    """What is left behind the layout's own text, in which a space stands for any number of them."""
    left, wanted = rest, prefix
    while wanted:
        if wanted[0] == " ":
            if left and left[0] != " ":
                raise ValueError(_mismatch(layout, text, left, prefix))
            wanted, left = wanted.lstrip(" "), left.lstrip(" ")
        elif not left or left[0] != wanted[0]:
            raise ValueError(_mismatch(layout, text, left, prefix))
        else:
            wanted, left = wanted[1:], left[1:]
    return left


def _part(found: _Found, part: str, rest: str, layout: str) -> str:
    if part in _RANGES:
        return _number(found, part, rest, layout)
    match part:
        case "2006":
            found.year, rest = _digits(_FOUR, rest)
        case "06":
            year, rest = _digits(_TWO, rest)
            found.year = year + (1900 if year >= 69 else 2000)
        case "_2006":
            if not rest.startswith("_"):
                raise _Mismatch
            found.year, rest = _digits(_FOUR, rest[1:])
        case "January" | "Jan":
            at, rest = _name(MONTHS, part == "Jan", rest)
            found.month = at + 1
        case "Monday" | "Mon":
            _, rest = _name(DAYS, part == "Mon", rest)
        case "PM" | "pm":
            if rest[:2] not in (part, "A" + part[1] if part == "PM" else "am"):
                raise _Mismatch
            found.afternoon, rest = rest[0] in "Pp", rest[2:]
        case "002" | "__2":
            found.year_day, rest = _digits(_THREE, rest.lstrip(" ").rjust(3, "0") if part == "__2" else rest)
        case "MST":
            rest = _zone_name(found, rest)
        case _:
            return _fraction(found, part, rest) if part[0] in ".," else _offset(found, part, rest)
    return rest


def _number(found: _Found, part: str, rest: str, layout: str) -> str:
    name, least, most = _RANGES[part]
    if part == "_2":
        rest = rest.removeprefix(" ")
    value, rest = _digits(_TWO if part[0] == "0" else _ONE_OR_TWO, rest)
    if not least <= value <= most:
        raise _OutOfRange(name)
    setattr(found, name, value)
    if name == "second" and (match := _FRACTION.match(rest)):
        following = LAYOUT.search(layout)
        if following is None or following[0][0] not in ".,":
            found.nanosecond, rest = _nanoseconds(match[0]), rest[match.end() :]
    return rest


def _digits(form: re.Pattern[str], rest: str) -> tuple[int, str]:
    match = form.match(rest)
    if match is None:
        raise _Mismatch
    return int(match[0]), rest[match.end() :]


def _name(names: tuple[str, ...], short: bool, rest: str) -> tuple[int, str]:
    for at, name in enumerate(names):
        wanted = name[:3] if short else name
        if rest[: len(wanted)].lower() == wanted.lower():
            return at, rest[len(wanted) :]
    raise _Mismatch


def _nanoseconds(fraction: str) -> int:
    return int(fraction[1:10].ljust(9, "0"))


def _fraction(found: _Found, part: str, rest: str) -> str:
    match = _FRACTION.match(rest)
    if part[1] == "9":
        if match is None:
            return rest
        digits = match[0][:10]
    else:
        digits = rest[: len(part)]
        if match is None or len(match[0]) < len(part):
            raise _Mismatch
    found.nanosecond = _nanoseconds(digits)
    return rest[len(digits) :]


def _offset(found: _Found, part: str, rest: str) -> str:
    if part[0] == "Z" and rest.startswith("Z"):
        found.zone = UTC
        return rest[1:]
    match = re.match(_OFFSETS[part[1:]], rest, re.ASCII)
    if match is None:
        raise _Mismatch
    hours, minutes, seconds = (int(group or 0) for group in match.groups()[1:])
    if hours > 24:
        raise _OutOfRange("time zone offset hour")
    if minutes > 60:
        raise _OutOfRange("time zone offset minute")
    if seconds > 60:
        raise _OutOfRange("time zone offset second")
    east = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    found.zone = UTC if not east else timezone(-east if match[1] == "-" else east)
    return rest[match.end() :]


def _zone_name(found: _Found, rest: str) -> str:
    if rest.startswith("UTC"):
        found.zone = UTC
        return rest[3:]
    match = _ZONE.match(rest)
    if match is None:
        raise _Mismatch
    name = match[0]
    hours = int(name[3:]) if name.startswith("GMT") and len(name) > 3 else 0
    found.zone, found.zone_is_a_name = timezone(timedelta(hours=hours), name), True
    return rest[match.end() :]


def _time(found: _Found, text: str) -> Time:
    hour = found.hour
    if found.afternoon and hour < 12:
        hour += 12
    elif found.afternoon is False and hour == 12:
        hour = 0
    # year 0 is a leap year like 400, which Python has
    shift = 400 if found.year == 0 else 0
    year = found.year + shift
    if found.year_day is not None:
        if not 1 <= found.year_day <= 365 + isleap(year):
            raise ValueError(f"parsing time {quoted(text)}: day-of-year out of range")
        day = datetime(year, 1, 1) + timedelta(days=found.year_day - 1)
    elif not 1 <= found.day <= monthrange(year, found.month)[1]:
        raise ValueError(f"parsing time {quoted(text)}: day out of range")
    else:
        day = datetime(year, found.month, found.day)
    # of a zone that has but a name Go does not know how far it is: the clock is then that of UTC
    clock = UTC if found.zone_is_a_name else found.zone
    local = day.replace(hour=hour, minute=found.minute, second=found.second, tzinfo=clock)
    unshifted = Time.of(local).unix_ns - shift // 400 * 146097 * 86400 * _SECOND
    return Time(unshifted + found.nanosecond, found.zone)
