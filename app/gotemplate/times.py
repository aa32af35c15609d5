"""Go's time.Time and time.Duration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import ClassVar

from app.gotemplate.values import DURATION, TIME, GoType

_SECOND = 1_000_000_000
_UNITS = (("h", 3600 * _SECOND), ("m", 60 * _SECOND))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SPAN_US = 146097 * 86_400_000_000
_FIRST_US = (datetime(2, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LAST_US = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip
DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
LAYOUT = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|-07:00:00|-07:00|-070000|-0700|-07|Z07:00:00|Z07:00|Z070000|Z0700|Z07"
    r"|01|02|002|03|04|05|06|__2|_2006|_2|15|PM|pm|[.,]0+(?![0-9])|[.,]9+(?![0-9])|1|2|3|4|5"
)


class Duration(int):
    """Nanoseconds that print as `1h2m3.5s`."""

    __slots__ = ()
    __go_type__: ClassVar[GoType] = DURATION

    @classmethod
    def of(cls, value: timedelta) -> Duration:
        """A Python duration as Go's."""
        return cls((value // timedelta(microseconds=1)) * 1000)

    def text(self) -> str:
        """As Go's String gives it."""
        rest = abs(int(self))
        sign = "-" if self < 0 else ""
        if rest == 0:
            return "0s"
        if rest < _SECOND:
            unit, size = ("ns", 1) if rest < 1000 else ("µs", 1000) if rest < 1_000_000 else ("ms", 1_000_000)
            return f"{sign}{_fraction(rest, size)}{unit}"
        parts = ""
        for unit, size in _UNITS:
            if rest >= size or parts:
                parts += f"{rest // size}{unit}"
                rest %= size
        return f"{sign}{parts}{_fraction(rest, _SECOND)}s"

    def hours(self) -> float:
        """Hours, with a fraction."""
        return self / (3600 * _SECOND)

    def minutes(self) -> float:
        """Minutes, with a fraction."""
        return self / (60 * _SECOND)

    def seconds(self) -> float:
        """Seconds, with a fraction."""
        return self // _SECOND + (self % _SECOND) / 1e9 if self >= 0 else -(Duration(-self).seconds())

    def milliseconds(self) -> int:
        """Whole milliseconds, towards 0."""
        return _towards_zero(self, 1_000_000)

    def microseconds(self) -> int:
        """Whole microseconds, towards 0."""
        return _towards_zero(self, 1000)

    def nanoseconds(self) -> int:
        """Nanoseconds."""
        return int(self)

    def absolute(self) -> Duration:
        """Without its sign."""
        return Duration(abs(int(self)))

    def truncated(self, unit: Duration) -> Duration:
        """The next multiple of a unit towards 0."""
        return Duration(self) if unit <= 0 else Duration(_towards_zero(self, unit) * unit)

    def rounded(self, unit: Duration) -> Duration:
        """The nearest multiple of a unit, half away from 0."""
        if unit <= 0:
            return Duration(self)
        whole, rest = divmod(abs(int(self)), unit)
        rounded = (whole + (rest * 2 >= unit)) * unit
        return Duration(rounded if self >= 0 else -rounded)


class Time:
    """A moment by nanoseconds since 1970, in a time zone."""

    __slots__ = ("_local", "_years", "unix_ns", "zone")
    __go_type__: ClassVar[GoType] = TIME

    def __init__(self, unix_ns: int, zone: tzinfo = UTC) -> None:
        self.unix_ns = unix_ns
        self.zone = zone
        microseconds, self._years = unix_ns // 1000, 0
        if not _FIRST_US <= microseconds < _LAST_US:
            # Python has no years before 1 and after 9999; the calendar repeats itself after 400 years
            spans = (microseconds - _FIRST_US) // _SPAN_US
            microseconds, self._years = microseconds - spans * _SPAN_US, spans * 400
        self._local = (_EPOCH + timedelta(microseconds=microseconds)).astimezone(zone)

    @classmethod
    def of(cls, value: datetime) -> Time:
        """A Python datetime as Go's time; one without zone is in UTC."""
        if value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
        return cls((value - _EPOCH) // timedelta(microseconds=1) * 1000, value.tzinfo or UTC)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Time) and (self.unix_ns, self.zone) == (other.unix_ns, other.zone)

    def __hash__(self) -> int:
        return hash(self.unix_ns)

    def format(self, layout: str) -> str:
        """The time by a layout that shows how Monday, January 2nd 2006, 15:04:05 in MST (-0700) is written."""
        return LAYOUT.sub(lambda match: self._part(match[0]), layout)

    def text(self) -> str:
        """As Go's String gives it."""
        return self.format("2006-01-02 15:04:05.999999999 -0700 MST")

    def in_zone(self, zone: tzinfo) -> Time:
        """The same moment elsewhere."""
        return Time(self.unix_ns, zone)

    def utc(self) -> Time:
        """The same moment in UTC."""
        return Time(self.unix_ns, UTC)

    def unix(self) -> int:
        """Whole seconds since 1970."""
        return self.unix_ns // _SECOND

    def unix_milli(self) -> int:
        """Whole milliseconds since 1970."""
        return self.unix_ns // 1_000_000

    def unix_micro(self) -> int:
        """Whole microseconds since 1970."""
        return self.unix_ns // 1000

    def unix_nano(self) -> int:
        """Nanoseconds since 1970."""
        return self.unix_ns

    def year(self) -> int:
        """The year."""
        return self._local.year + self._years

    def month(self) -> Month:
        """The month, which prints as its name."""
        return Month(self._local.month)

    def day(self) -> int:
        """The day of the month."""
        return self._local.day

    def hour(self) -> int:
        """The hour, 0 to 23."""
        return self._local.hour

    def minute(self) -> int:
        """The minute."""
        return self._local.minute

    def second(self) -> int:
        """The second."""
        return self._local.second

    def nanosecond(self) -> int:
        """The nanoseconds in the second."""
        return self.unix_ns % _SECOND

    def weekday(self) -> Weekday:
        """The day of the week, which prints as its name."""
        return Weekday(self._local.isoweekday() % 7)

    def year_day(self) -> int:
        """The day of the year, from 1."""
        return self._local.timetuple().tm_yday

    def is_zero(self) -> bool:
        """Whether it is January 1st of year 1, Go's time that is none."""
        return self.unix_ns == ZERO_TIME.unix_ns

    def add(self, duration: Duration) -> Time:
        """The time a duration later."""
        return Time(self.unix_ns + duration, self.zone)

    def add_date(self, years: int, months: int, days: int) -> Time:
        """The time years, months and days later; a day that is not there is counted into the next month."""
        month = self._local.month - 1 + months
        first = self._local.replace(day=1, year=self._local.year + years + month // 12, month=month % 12 + 1)
        moved = first + timedelta(days=self._local.day - 1 + days)
        return Time(Time.of(moved).unix_ns + self._years // 400 * _SPAN_US * 1000 + self.unix_ns % 1000, self.zone)

    def sub(self, other: Time) -> Duration:
        """How long after another time."""
        return Duration(max(-(2**63), min(2**63 - 1, self.unix_ns - other.unix_ns)))

    def before(self, other: Time) -> bool:
        """Whether it is earlier."""
        return self.unix_ns < other.unix_ns

    def after(self, other: Time) -> bool:
        """Whether it is later."""
        return self.unix_ns > other.unix_ns

    def equal(self, other: Time) -> bool:
        """Whether it is the same moment."""
        return self.unix_ns == other.unix_ns

    def compare(self, other: Time) -> int:
        """-1, 0 or 1: before, the same, after."""
        return (self.unix_ns > other.unix_ns) - (self.unix_ns < other.unix_ns)

    def truncated(self, unit: Duration) -> Time:
        """Rounded down to a multiple of a unit since the zero time."""
        return self if unit <= 0 else Time(self.unix_ns - (self.unix_ns - ZERO_TIME.unix_ns) % unit, self.zone)

    def rounded(self, unit: Duration) -> Time:
        """Rounded to a multiple of a unit since the zero time, half up."""
        if unit <= 0:
            return self
        rest = (self.unix_ns - ZERO_TIME.unix_ns) % unit
        return Time(self.unix_ns + (unit - rest if rest * 2 >= unit else -rest), self.zone)

    def _part(self, part: str) -> str:
        local = self._local
        hour = local.hour % 12 or 12
        match part:
            case "January":
                return MONTHS[local.month - 1]
            case "Jan":
                return MONTHS[local.month - 1][:3]
            case "Monday":
                return DAYS[local.isoweekday() % 7]
            case "Mon":
                return DAYS[local.isoweekday() % 7][:3]
            case "MST":
                return self._zone_name()
            case "2006":
                return f"{self.year():04d}"
            case "_2006":
                return f"_{self.year():04d}"
            case "PM":
                return "PM" if local.hour >= 12 else "AM"
            case "pm":
                return "pm" if local.hour >= 12 else "am"
        numbers = {
            "01": f"{local.month:02d}", "1": str(local.month), "02": f"{local.day:02d}", "2": str(local.day),
            "_2": f"{local.day:2d}", "002": f"{self.year_day():03d}", "__2": f"{self.year_day():3d}",
            "15": f"{local.hour:02d}", "03": f"{hour:02d}", "3": str(hour), "04": f"{local.minute:02d}",
            "4": str(local.minute), "05": f"{local.second:02d}", "5": str(local.second),
            "06": f"{self.year() % 100:02d}",
        }  # fmt: skip
        if part in numbers:
            return numbers[part]
        if part[0] in ".,":
            return self._part_of_second(part)
        return self._offset(part)

    def _part_of_second(self, part: str) -> str:
        digits = f"{self.unix_ns % _SECOND:09d}"[: len(part) - 1]
        if part[1] == "9":
            digits = digits.rstrip("0")
            return part[0] + digits if digits else ""
        return part[0] + digits

    def _zone_name(self) -> str:
        name = self._local.tzname() or ""
        if name and not name.startswith(("UTC+", "UTC-")):
            return name
        return self._offset("-0700")

    def _seconds_east(self) -> int:
        offset = self._local.utcoffset()
        return 0 if offset is None else int(offset.total_seconds())

    def _offset(self, part: str) -> str:
        seconds = self._seconds_east()
        if part[0] == "Z" and seconds == 0:
            return "Z"
        minutes, second = divmod(abs(seconds), 60)
        hours, minute = divmod(minutes, 60)
        sign = "-" if seconds < 0 else "+"
        form = part[1:]
        colon = ":" if ":" in form else ""
        fields = [hours, minute, second][: len(form.replace(":", "")) // 2]
        return sign + colon.join(f"{field:02d}" for field in fields)


class Month(int):
    """A month that prints as its name."""

    __slots__ = ()
    __go_type__: ClassVar[GoType] = GoType("time.Month", "int")
    __go__: ClassVar[Mapping[str, str]] = {"String": "text"}

    def text(self) -> str:
        """Its English name."""
        return MONTHS[self - 1]


class Weekday(int):
    """A day of the week that prints as its name; Sunday is 0."""

    __slots__ = ()
    __go_type__: ClassVar[GoType] = GoType("time.Weekday", "int")
    __go__: ClassVar[Mapping[str, str]] = {"String": "text"}

    def text(self) -> str:
        """Its English name."""
        return DAYS[self]


DURATION_METHODS: Mapping[str, str] = {
    "String": "text", "Hours": "hours", "Minutes": "minutes", "Seconds": "seconds", "Milliseconds": "milliseconds",
    "Microseconds": "microseconds", "Nanoseconds": "nanoseconds", "Abs": "absolute", "Truncate": "truncated",
    "Round": "rounded",
}  # fmt: skip
TIME_METHODS: Mapping[str, str] = {
    "String": "text", "Format": "format", "UTC": "utc", "Unix": "unix", "UnixMilli": "unix_milli",
    "UnixMicro": "unix_micro", "UnixNano": "unix_nano", "Year": "year", "Month": "month", "Day": "day", "Hour": "hour",
    "Minute": "minute", "Second": "second", "Nanosecond": "nanosecond", "Weekday": "weekday", "YearDay": "year_day",
    "IsZero": "is_zero", "Add": "add", "AddDate": "add_date", "Sub": "sub", "Before": "before", "After": "after",
    "Equal": "equal", "Compare": "compare", "Truncate": "truncated", "Round": "rounded",
}  # fmt: skip


def _fraction(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    return f"{whole}.{str(rest).rjust(len(str(unit)) - 1, '0').rstrip('0')}"


def _towards_zero(value: int, unit: int) -> int:
    whole = abs(int(value)) // int(unit)
    return whole if value >= 0 else -whole


ZERO_TIME = Time(-62135596800 * _SECOND)
