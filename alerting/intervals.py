"""Time intervals, as Alertmanager's `time_intervals` have them: when routes are muted, and when they are active.

An interval holds at a moment when each of its parts that is given does, judged by the clock of its `location` (UTC
when there is none). Minutes are what it is judged by: `end_time` is the first minute that is outside. The rules are
those of Alertmanager's `timeinterval` package.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, GetPydanticSchema, PlainSerializer
from pydantic_core import core_schema

from app.yamlfile import GoModel

WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
SHORTEST_MONTH = 28
_MACHINE_ZONE = Path("/etc/localtime")
_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00")
_NUMBER = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Span:
    """Numbers from `begin` to `end`, both among them: weekdays (Sunday is 0), days of a month, months, years."""

    begin: int
    end: int

    def __contains__(self, number: int) -> bool:
        return self.begin <= number <= self.end

    def __str__(self) -> str:
        return str(self.begin) if self.begin == self.end else f"{self.begin}:{self.end}"


def _span(text: str, member: Callable[[str], int]) -> Span:
    parts = text.lower().split(":")
    if len(parts) > 2:
        raise ValueError(f"not a range: {text!r} (write it like begin:end)")
    return Span(member(parts[0]), member(parts[-1]))


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"not a number: {text!r}")
    return int(text)


def weekday_span(text: str) -> Span:
    """`monday:friday`, `sunday`. Raises ValueError."""
    span = _span(text, _weekday)
    if span.begin > span.end:
        raise ValueError("start day cannot be before end day (weeks start on sunday)")
    return span


def _weekday(text: str) -> int:
    if text not in WEEKDAYS:
        raise ValueError(f"{text} is not a valid weekday")
    return WEEKDAYS.index(text)


def day_of_month_span(text: str) -> Span:
    """`1:5`, `-3:-1`; -1 is the last day of the month. Raises ValueError."""
    span = _span(text, _number)
    for day in (span.begin, span.end):
        if day == 0 or abs(day) > 31:
            raise ValueError(f"{day} is not a valid day of the month: out of range")
    if span.begin < 0 < span.end:
        raise ValueError("end day must be negative if start day is negative")
    begin, end = (SHORTEST_MONTH + day if day < 0 else day for day in (span.begin, span.end))
    if begin > end:
        raise ValueError(f"end day {span.end} is always before start day {span.begin}")
    return span


def month_span(text: str) -> Span:
    """`january:march`, `1:3`. Raises ValueError."""
    span = _span(text, _month)
    if span.begin > span.end:
        raise ValueError("end month is before start month")
    return span


def _month(text: str) -> int:
    if text in MONTHS:
        return MONTHS.index(text) + 1
    try:
        return _number(text)
    except ValueError:
        raise ValueError(f"{text} is not a valid month") from None


def year_span(text: str) -> Span:
    """`2024:2026`. Raises ValueError."""
    span = _span(text, _number)
    if span.begin > span.end:
        raise ValueError(f"end year {span.end} is before start year {span.begin}")
    return span


def minute_of_day(text: str) -> int:
    """`HH:MM`, up to 24:00, in minutes. Raises ValueError."""
    if not _TIME.fullmatch(text):
        raise ValueError(f"couldn't parse timestamp {text}, invalid format (HH:MM is wanted)")
    hours, minutes = text.split(":")
    return 60 * int(hours) + int(minutes)


def zone(text: str) -> ZoneInfo:
    """The time zone of a name in the IANA database; "" is UTC, `Local` the machine's own. Raises ValueError."""
    try:
        if text == "Local" and _MACHINE_ZONE.exists():
            with _MACHINE_ZONE.open("rb") as file:
                return ZoneInfo.from_file(file, key=text)
        return ZoneInfo("UTC" if text in ("", "Local") else text)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"unknown time zone {text}") from None


def _weekday_text(span: Span) -> str:
    names = [WEEKDAYS[span.begin], WEEKDAYS[span.end]]
    return names[0] if span.begin == span.end else ":".join(names)


def _field(read: Callable[[str], object], write: Callable[..., str] = str) -> tuple[object, ...]:
    def validated(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError("a text is wanted here")
        return read(str(value))

    return (
        GetPydanticSchema(lambda _, __: core_schema.any_schema()),
        BeforeValidator(validated),
        PlainSerializer(write, when_used="json"),
    )


WeekdaySpan = Annotated[Span, *_field(weekday_span, _weekday_text)]
DayOfMonthSpan = Annotated[Span, *_field(day_of_month_span)]
MonthSpan = Annotated[Span, *_field(month_span)]
YearSpan = Annotated[Span, *_field(year_span)]
MinuteOfDay = Annotated[int, *_field(minute_of_day, lambda minute: f"{minute // 60:02}:{minute % 60:02}")]
Zone = Annotated[ZoneInfo, *_field(zone)]


class TimeRange(GoModel):
    """Minutes of a day: from `start_time` until before `end_time`."""

    start_time: MinuteOfDay | None = None
    end_time: MinuteOfDay | None = None

    def model_post_init(self, context: object) -> None:
        """Both are wanted, in order."""
        if self.start_time is None or self.end_time is None:
            raise ValueError("both start and end times must be provided")
        if self.start_time >= self.end_time:
            raise ValueError("start time cannot be equal or greater than end time")

    def __contains__(self, minute: int) -> bool:
        assert self.start_time is not None
        assert self.end_time is not None
        return self.start_time <= minute < self.end_time


class TimeIntervalSpec(GoModel):
    """One element of a named time interval. What is None holds always; an empty list never holds."""

    times: tuple[TimeRange, ...] | None = None
    weekdays: tuple[WeekdaySpan, ...] | None = None
    days_of_month: tuple[DayOfMonthSpan, ...] | None = None
    months: tuple[MonthSpan, ...] | None = None
    years: tuple[YearSpan, ...] | None = None
    location: Zone | None = None

    def contains(self, moment: datetime) -> bool:
        """Whether it holds at a moment (an aware datetime)."""
        local = moment.astimezone(self.location or UTC)
        minute, weekday = 60 * local.hour + local.minute, local.isoweekday() % 7
        return (
            (self.times is None or any(minute in times for times in self.times))
            and (self.days_of_month is None or any(_has_day(span, local) for span in self.days_of_month))
            and (self.months is None or any(local.month in span for span in self.months))
            and (self.weekdays is None or any(weekday in span for span in self.weekdays))
            and (self.years is None or any(local.year in span for span in self.years))
        )


def _has_day(span: Span, local: datetime) -> bool:
    length = calendar.monthrange(local.year, local.month)[1]
    begin, end = (length + day + 1 if day < 0 else day for day in (span.begin, span.end))
    return begin <= local.day <= end


Intervals = Mapping[str, Sequence[TimeIntervalSpec]]
"""The elements of every named interval of a configuration."""


def holding(names: Sequence[str], intervals: Intervals, now: datetime) -> tuple[str, ...]:
    """Which of the named intervals hold now, in the order of `names`."""
    return tuple(name for name in names if any(spec.contains(now) for spec in intervals.get(name, ())))


def muted_by(mute: Sequence[str], active: Sequence[str], intervals: Intervals, now: datetime) -> tuple[str, ...] | None:
    """Why a route is muted now, None when it is not.

    `mute` and `active` are its `mute_time_intervals` and `active_time_intervals`. The answer is the mute intervals
    that hold, or, when none of the active ones does, the active ones that would have to.
    """
    found = holding(mute, intervals, now)
    if found:
        return found
    return tuple(active) if active and not holding(active, intervals, now) else None
