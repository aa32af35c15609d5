"""The period an error budget is for: rolling, or of the calendar in a time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from dateutil.relativedelta import relativedelta

DAY_MS = 86_400_000
CalendarUnit = Literal["m", "h", "d", "w", "M", "Q", "Y"]
"""Minute, hour, day, week, month, quarter, year: OpenSLO's duration shorthand."""
_STEPS: dict[CalendarUnit, relativedelta] = {
    "d": relativedelta(days=1),
    "w": relativedelta(weeks=1),
    "M": relativedelta(months=1),
    "Q": relativedelta(months=3),
    "Y": relativedelta(years=1),
}
_NOMINAL_MS: dict[CalendarUnit, int] = {
    "m": 60_000,
    "h": 3_600_000,
    "d": DAY_MS,
    "w": 7 * DAY_MS,
    "M": 30 * DAY_MS,
    "Q": 90 * DAY_MS,
    "Y": 365 * DAY_MS,
}


@dataclass(frozen=True, slots=True)
class Rolling:
    """The newest so many milliseconds."""

    length_ms: int

    def bounds(self, at_ms: int) -> tuple[int, int]:
        """(from, to) of the period that ends at a time."""
        return at_ms - self.length_ms, at_ms


@dataclass(frozen=True, slots=True)
class Calendar:
    """Periods of `count` units, one after the other, counted from `start`, a time on the clock of `zone`.

    A day is one of that clock: 23 or 25 hours long when it is changed. A month that begins on the 31st begins on the
    last day of shorter ones. A time that the clock skips is taken as the same moment by the clock before it.
    """

    start: datetime
    zone: str
    unit: CalendarUnit
    count: int = 1

    @property
    def length_ms(self) -> int:
        """The nominal length: a month has 30 days, a quarter 90, a year 365."""
        return _NOMINAL_MS[self.unit] * self.count

    def bounds(self, at_ms: int) -> tuple[int, int]:
        """(from, to) of the period that a time lies in, from <= time < to; also for times before `start`."""
        return _bounds(self, at_ms)


Period = Rolling | Calendar


def nominal_length_ms(unit: CalendarUnit, count: int) -> int:
    """The length of an OpenSLO duration where no calendar says more exactly: a month has 30 days, a year 365."""
    return _NOMINAL_MS[unit] * count


def spans(period: Period, at_ms: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(from, to) of the period of each of n moments, ends of intervals: the one the last interval before each is in."""
    if isinstance(period, Rolling) or not len(at_ms):
        return at_ms - period.length_ms, at_ms
    edges = [*period.bounds(int(at_ms.min()) - 1)]
    while edges[-1] < at_ms.max():
        edges.append(period.bounds(edges[-1])[1])
    found = np.array(edges, np.int64)
    after = np.searchsorted(found, at_ms)
    return found[after - 1], found[after]


@lru_cache(maxsize=4096)
def _bounds(period: Calendar, at_ms: int) -> tuple[int, int]:
    zone = ZoneInfo(period.zone)
    local = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone).replace(tzinfo=None)
    n = _guess(period, local)
    # the guess is off by one where months differ in length and around changes of the clock
    while _begin_ms(period, n, zone) > at_ms:
        n -= 1
    while _begin_ms(period, n + 1, zone) <= at_ms:
        n += 1
    return _begin_ms(period, n, zone), _begin_ms(period, n + 1, zone)


def _guess(period: Calendar, local: datetime) -> int:
    passed = (local - period.start) / timedelta(milliseconds=1)
    return int(passed // period.length_ms)


def _begin_ms(period: Calendar, n: int, zone: ZoneInfo) -> int:
    if period.unit in ("m", "h"):
        # of fixed length: they go on evenly when the clock is changed
        begin = period.start.replace(tzinfo=zone).timestamp() * 1000
        return round(begin) + n * period.length_ms
    begin_local = period.start + _STEPS[period.unit] * (n * period.count)
    return round(begin_local.replace(tzinfo=zone).timestamp() * 1000)
