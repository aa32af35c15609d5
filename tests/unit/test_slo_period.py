"""Rolling and calendar periods: days of 23 and 25 hours, ends of months, leap years, times and days zones skip."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo.period import DAY_MS, Calendar, CalendarUnit, Period, Rolling, nominal_length_ms, spans

HOUR = 3_600_000
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # midnight was skipped
    "Asia/Kathmandu",  # 5:45
    "Australia/Lord_Howe",  # changes by half an hour
    "Africa/Casablanca",  # winter time in Ramadan
    "Pacific/Apia",  # 30 December 2011 was not
)
YEAR_MS = 365 * DAY_MS
moments = st.integers(0, 70 * YEAR_MS)
starts = st.datetimes(datetime(1998, 1, 1), datetime(2045, 1, 1)).map(lambda at: at.replace(microsecond=0))
calendars = st.builds(
    Calendar, starts, st.sampled_from(ZONES), st.sampled_from(["h", "d", "w", "M", "Q", "Y"]), st.integers(1, 5)
)


def at(text: str, zone: str = "UTC", *, fold: int = 0) -> int:
    """Milliseconds since the epoch of a time on a clock."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def clock(at_ms: int, zone: str) -> datetime:
    """What the clock of a zone shows, without its zone."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def skipped(local: datetime, zone: str) -> bool:
    """Whether a clock never shows a time."""
    return clock(round(local.replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000), zone) != local


@pytest.mark.parametrize(
    ("unit", "start", "zone", "moment", "begin", "end"),
    [
        # days of 23 and 25 hours
        ("d", "2025-01-01", "Europe/Berlin", "2025-03-30T12:00", "2025-03-30", "2025-03-31"),
        ("d", "2025-01-01", "Europe/Berlin", "2025-10-26T12:00", "2025-10-26", "2025-10-27"),
        ("d", "2025-01-01T02:30", "America/New_York", "2025-11-02T05:00", "2025-11-02T02:30", "2025-11-03T02:30"),
        ("w", "2024-12-30", "Europe/Berlin", "2025-03-30T23:59:59", "2025-03-24", "2025-03-31"),
        # ends of months: the 31st is the last day of shorter ones, and the 31st again after them
        ("M", "2025-01-31", "UTC", "2025-02-27T23:59:59", "2025-01-31", "2025-02-28"),
        ("M", "2025-01-31", "UTC", "2025-02-28", "2025-02-28", "2025-03-31"),
        ("M", "2024-01-31", "UTC", "2024-02-29", "2024-02-29", "2024-03-31"),
        ("M", "2025-01-31", "UTC", "2024-04-15", "2024-03-31", "2024-04-30"),
        ("Q", "2025-01-01", "Asia/Kathmandu", "2025-12-31T23:59:59", "2025-10-01", "2026-01-01"),
        ("Q", "2025-11-30", "UTC", "2026-02-28", "2026-02-28", "2026-05-30"),
        # leap years
        ("Y", "2024-02-29", "UTC", "2027-02-28", "2027-02-28", "2028-02-29"),
        ("Y", "2024-01-01", "UTC", "2024-12-31T23:59:59", "2024-01-01", "2025-01-01"),
        # before the start, periods go back as they go on
        ("d", "2025-01-01", "Europe/Berlin", "2024-10-27T12:00", "2024-10-27", "2024-10-28"),
        ("Y", "2025-07-01", "UTC", "2025-06-30", "2024-07-01", "2025-07-01"),
    ],
)
def test_periods_of_the_calendar(unit: CalendarUnit, start: str, zone: str, moment: str, begin: str, end: str) -> None:
    """They begin and end where a calendar on the wall of that zone says."""
    period = Calendar(datetime.fromisoformat(start), zone, unit)
    assert period.bounds(at(moment, zone)) == (at(begin, zone), at(end, zone))


def test_days_on_which_the_clock_is_changed_have_their_own_length() -> None:
    """23 hours in spring, 25 in autumn, 24.5 on Lord Howe; hours of the calendar are hours."""
    day = Calendar(datetime(2025, 1, 1), "Europe/Berlin", "d")
    lengths = [b - a for a, b in (day.bounds(at(f"2025-{text}T12:00", "Europe/Berlin")) for text in ("03-30", "10-26"))]
    assert lengths == [23 * HOUR, 25 * HOUR]
    begin, end = Calendar(datetime(2025, 1, 1), "Australia/Lord_Howe", "d").bounds(
        at("2025-04-06T12:00", "Australia/Lord_Howe")
    )
    assert end - begin == 24.5 * HOUR
    hours = Calendar(datetime(2025, 1, 1), "Europe/Berlin", "h", 6)
    ends = spans(hours, np.arange(at("2025-03-29"), at("2025-04-01"), HOUR, dtype=np.int64))[1]
    assert set(np.diff(np.unique(ends)).tolist()) == {6 * HOUR}


def test_a_time_the_clock_skips_or_shows_twice() -> None:
    """02:30 is skipped in spring: the same moment by the clock before, 03:30 by that after. In autumn the first one."""
    day = Calendar(datetime(2025, 1, 1, 2, 30), "Europe/Berlin", "d")
    assert day.bounds(at("2025-03-30T12:00", "Europe/Berlin"))[0] == at("2025-03-30T01:30")
    assert day.bounds(at("2025-10-26T12:00", "Europe/Berlin"))[0] == at("2025-10-26T02:30", "Europe/Berlin", fold=0)
    # between the two 02:30 of autumn the new day has begun
    assert day.bounds(at("2025-10-26T02:29", "Europe/Berlin", fold=1))[0] == at("2025-10-26T00:30")
    midnight = Calendar(datetime(2018, 1, 1), "America/Sao_Paulo", "d")
    begin, end = midnight.bounds(at("2018-11-04T12:00", "America/Sao_Paulo"))
    assert (clock(begin, "America/Sao_Paulo"), end - begin) == (datetime(2018, 11, 4, 1), 23 * HOUR)


def test_a_day_that_never_was_is_no_period() -> None:
    """Samoa went from 29 to 31 December 2011: one ends where the other begins."""
    day = Calendar(datetime(2011, 1, 1), "Pacific/Apia", "d")
    before = day.bounds(at("2011-12-29T12:00", "Pacific/Apia"))
    after = day.bounds(at("2011-12-31T12:00", "Pacific/Apia"))
    assert before[1] == after[0]
    assert [b - a for a, b in (before, after)] == [DAY_MS, DAY_MS]
    found = spans(day, np.array([before[1], before[1] + HOUR], np.int64))
    assert [part.tolist() for part in found] == [[before[0], after[0]], [before[1], after[1]]]


@given(calendars, moments)
def test_every_moment_is_in_one_period_and_they_follow_each_other(period: Calendar, moment: int) -> None:
    """from <= time < to; every moment of it has the same; the next begins where it ends."""
    begin, end = period.bounds(moment)
    assert begin <= moment < end
    assert period.bounds(begin) == period.bounds((begin + end) // 2) == period.bounds(end - 1) == (begin, end)
    assert period.bounds(end)[0] == end
    assert period.bounds(begin - 1)[1] == begin


@given(calendars, moments)
def test_periods_begin_when_the_clock_shows_the_time_of_their_start(period: Calendar, moment: int) -> None:
    """The day and time of the start, on whole steps of the unit: by the clock's own arithmetic."""
    if period.unit == "h":
        begin, end = period.bounds(moment)
        assert end - begin == period.count * HOUR
        return
    begin, _ = period.bounds(moment)
    local, start = clock(begin, period.zone), period.start
    never = local.date() == date(2011, 12, 31) and period.zone == "Pacific/Apia"
    if never or skipped(local.replace(hour=start.hour, minute=start.minute, second=start.second), period.zone):
        return
    assert local.time() == start.time()
    if period.unit in ("d", "w"):
        days = period.count * (7 if period.unit == "w" else 1)
        assert (local.date() - start.date()).days % days == 0
        return
    months = period.count * {"M": 1, "Q": 3, "Y": 12}[period.unit]
    assert ((local.year - start.year) * 12 + local.month - start.month) % months == 0
    assert local.day == min(start.day, calendar.monthrange(local.year, local.month)[1])


@given(
    st.one_of(calendars.filter(lambda one: one.unit != "h"), st.builds(Rolling, st.integers(1, 400 * DAY_MS))),
    moments,
    st.lists(st.integers(0, 500 * DAY_MS), min_size=1, max_size=20),
)
def test_spans_are_the_bounds_of_the_last_interval_before_each(period: Period, first: int, more: list[int]) -> None:
    """In any order: an interval that ends with a period belongs to it."""
    ends = np.array([first + one for one in more], np.int64)
    begin, over = spans(period, ends)
    for end, a, b in zip(ends.tolist(), begin.tolist(), over.tolist(), strict=True):
        assert (a, b) == (period.bounds(end) if isinstance(period, Rolling) else period.bounds(end - 1))
        assert a < end <= b


def test_no_moments_have_no_spans() -> None:
    """Neither kind."""
    nothing = np.empty(0, np.int64)
    for period in (Rolling(DAY_MS), Calendar(datetime(2025, 1, 1), "UTC", "M")):
        assert [len(part) for part in spans(period, nothing)] == [0, 0]


def test_nominal_lengths() -> None:
    """A month is 30 days, a quarter 90, a year 365, whatever the calendar says."""
    lengths: dict[CalendarUnit, timedelta] = {
        "m": timedelta(minutes=3),
        "h": timedelta(hours=3),
        "d": timedelta(days=3),
        "w": timedelta(weeks=3),
        "M": timedelta(days=90),
        "Q": timedelta(days=270),
        "Y": timedelta(days=3 * 365),
    }
    for unit, length in lengths.items():
        assert nominal_length_ms(unit, 3) == length / timedelta(milliseconds=1)
        assert Calendar(datetime(2025, 1, 1), "UTC", unit, 3).length_ms == nominal_length_ms(unit, 3)
