"""Time intervals hold when Alertmanager's do."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from dateutil import tz
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from alerting.intervals import MONTHS, WEEKDAYS, TimeIntervalSpec, holding, muted_by

OFFICE = {
    "weekdays": ["monday:friday"],
    "times": [{"start_time": "09:00", "end_time": "17:00"}],
}
# what Alertmanager's own table holds to: a moment, an interval, and whether it holds
TABLE: list[tuple[str, dict[str, Any], bool]] = [
    ("2026-07-06T09:00", {}, True),
    ("2026-07-06T09:00", OFFICE, True),
    ("2026-07-06T08:59", OFFICE, False),
    ("2026-07-06T16:59", OFFICE, True),
    ("2026-07-06T17:00", OFFICE, False),
    ("2026-07-05T10:00", OFFICE, False),
    ("2026-07-05T23:59", {"times": [{"start_time": "23:00", "end_time": "24:00"}]}, True),
    ("2026-07-05T00:00", {"times": [{"start_time": "23:00", "end_time": "24:00"}]}, False),
    ("2026-07-05T00:00", {"times": []}, False),
    ("2026-07-05T00:00", {"weekdays": ["Sunday"]}, True),
    ("2026-02-28T12:00", {"days_of_month": ["-1"]}, True),
    ("2028-02-28T12:00", {"days_of_month": ["-1"]}, False),
    ("2028-02-29T12:00", {"days_of_month": ["-1"]}, True),
    ("2026-02-01T12:00", {"days_of_month": ["-31:-1"]}, True),
    ("2026-02-28T12:00", {"days_of_month": ["31"]}, False),
    ("2026-04-30T12:00", {"days_of_month": ["30:31"]}, True),
    ("2026-04-30T12:00", {"days_of_month": ["1:-1"]}, True),
    ("2026-04-30T12:00", {"days_of_month": ["1:-2"]}, False),
    ("2026-12-25T00:00", {"months": ["december"], "days_of_month": ["24:26"]}, True),
    ("2026-11-25T00:00", {"months": ["december"], "days_of_month": ["24:26"]}, False),
    ("2026-03-25T00:00", {"months": ["1:march"], "years": ["2020:2026"]}, True),
    ("2027-03-25T00:00", {"months": ["1:march"], "years": ["2020:2026"]}, False),
    ("2026-03-01T23:30", {"months": ["april:june", "March"], "location": "America/New_York"}, True),
    ("2026-03-01T04:30", {"months": ["march"], "location": "America/New_York"}, False),
    ("2026-07-06T07:00", {**OFFICE, "location": "Europe/Berlin"}, True),
    ("2026-01-05T07:59", {**OFFICE, "location": "Europe/Berlin"}, False),
    ("2026-01-05T08:00", {**OFFICE, "location": "Europe/Berlin"}, True),
    # the last day of a month in which the clock is put back
    ("2026-10-31T22:59", {"days_of_month": ["-1"], "location": "Europe/Berlin"}, True),
    ("2026-10-31T23:00", {"days_of_month": ["-1"], "location": "Europe/Berlin"}, False),
]
WRONG: list[dict[str, Any]] = [
    {"weekdays": ["friday:monday"]},
    {"weekdays": ["caturday"]},
    {"weekdays": ["1:5"]},
    {"weekdays": ["monday:tuesday:friday"]},
    {"days_of_month": ["0"]},
    {"days_of_month": ["32"]},
    {"days_of_month": ["-32:-1"]},
    {"days_of_month": ["-3:3"]},
    {"days_of_month": ["-1:-3"]},
    {"days_of_month": ["5:2"]},
    {"days_of_month": ["28:-2"]},
    {"days_of_month": ["first"]},
    {"months": ["may:april"]},
    {"months": ["smarch"]},
    {"years": ["2026:2025"]},
    {"years": ["now"]},
    {"times": [{"start_time": "9:00", "end_time": "17:00"}]},
    {"times": [{"start_time": "17:00", "end_time": "17:00"}]},
    {"times": [{"start_time": "17:00"}]},
    {"times": [{"start_time": "00:00", "end_time": "24:01"}]},
    {"location": "Europe/Atlantis"},
    {"days": ["monday"]},
]


@pytest.mark.parametrize(("moment", "interval", "holds"), TABLE)
def test_an_interval_holds(moment: str, interval: dict[str, Any], holds: bool) -> None:
    """Moments in UTC, judged by the clock of the interval's place."""
    spec = TimeIntervalSpec.model_validate(interval)
    assert spec.contains(datetime.fromisoformat(moment).replace(tzinfo=UTC)) is holds


@pytest.mark.parametrize("interval", WRONG, ids=str)
def test_what_is_wrong_is_refused(interval: dict[str, Any]) -> None:
    """What Alertmanager does not take is not taken."""
    with pytest.raises(ValidationError):
        TimeIntervalSpec.model_validate(interval)


def _ranges(lowest: int, highest: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(lowest, highest), st.integers(lowest, highest)).map(
        lambda pair: (min(pair), max(pair))
    )


def _lists(ranges: st.SearchStrategy[tuple[int, int]]) -> st.SearchStrategy[list[tuple[int, int]] | None]:
    return st.none() | st.lists(ranges, min_size=1, max_size=2)


Parts = dict[str, list[tuple[int, int]] | None]
PARTS = st.fixed_dictionaries(
    {
        "times": _lists(_ranges(0, 1440).filter(lambda pair: pair[0] < pair[1])),
        "weekdays": _lists(_ranges(0, 6)),
        "days_of_month": _lists(_ranges(1, 31) | _ranges(-31, -1) | st.tuples(st.just(1), st.integers(-27, -1))),
        "months": _lists(_ranges(1, 12)),
        "years": _lists(_ranges(2025, 2028)),
    }
)
PLACES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
EVERYTHING: Parts = {
    "times": [(0, 1440)],
    "weekdays": None,
    "days_of_month": [(-31, -1)],
    "months": None,
    "years": None,
}


@given(PARTS, PLACES, st.datetimes(datetime(2025, 1, 1), datetime(2028, 12, 31)))
@example(EVERYTHING, "Europe/Berlin", datetime(2026, 3, 29))
@example(EVERYTHING, "Australia/Lord_Howe", datetime(2026, 4, 4, 12))
@settings(max_examples=60, deadline=None)
def test_minute_by_minute(parts: Parts, place: str, begin: datetime) -> None:
    """A day of minutes, each compared with lists of the dates and minutes that the interval names."""
    spec = TimeIntervalSpec.model_validate({**_written(parts), "location": place})
    dates: dict[date, bool] = {}
    minutes = None if parts["times"] is None else {m for first, end in parts["times"] for m in range(first, end)}
    local_zone = tz.gettz(place)
    for n in range(0, 1440, 7):
        moment = begin.replace(tzinfo=UTC) + timedelta(minutes=n)
        local = moment.astimezone(local_zone)
        if local.date() not in dates:
            dates[local.date()] = _named(parts, local.date())
        wanted = dates[local.date()] and (minutes is None or local.hour * 60 + local.minute in minutes)
        assert spec.contains(moment) is wanted, local


def _named(parts: Parts, day: date) -> bool:
    """Whether a date stands in the lists of an interval, by counting days and never by comparing numbers."""
    month = [d for n in range(31) if (d := day.replace(day=1) + timedelta(days=n)).month == day.month]
    by_number = {n + 1: d for n, d in enumerate(month)} | {n - len(month): d for n, d in enumerate(month)}
    days = parts["days_of_month"]
    if days is not None and not any(day in _between(month, by_number, begin, end) for begin, end in days):
        return False
    named = [
        (parts["months"], f"{day:%m}".lstrip("0")),
        (parts["weekdays"], f"{day:%w}"),
        (parts["years"], f"{day:%Y}"),
    ]
    return all(spans is None or any(text in map(str, range(b, e + 1)) for b, e in spans) for spans, text in named)


def _between(month: list[date], by_number: dict[int, date], begin: int, end: int) -> list[date]:
    if begin > len(month) or (end < 0 and -end > len(month)):
        return []
    first = by_number.get(begin, month[0])
    last = by_number.get(end, month[-1])
    return [d for d in month if first <= d <= last]


def _written(parts: Parts) -> dict[str, Any]:
    names = {"weekdays": WEEKDAYS, "months": ("", *MONTHS)}
    written: dict[str, Any] = {}
    for key, spans in parts.items():
        if spans is None:
            continue
        if key == "times":
            written[key] = [{"start_time": _clock(b), "end_time": _clock(e)} for b, e in spans]
        else:
            text = names.get(key)
            written[key] = [":".join(text[n] if text else str(n) for n in span) for span in spans]
    return written


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def test_written_again_as_alertmanager_does() -> None:
    """What a status page shows can be read again and means the same."""
    text = {
        "times": [{"start_time": "00:00", "end_time": "24:00"}],
        "weekdays": ["monday:friday", "sunday"],
        "days_of_month": ["1:5", "-1"],
        "months": ["1:3"],
        "years": ["2026"],
        "location": "Europe/Berlin",
    }
    assert TimeIntervalSpec.model_validate(text).model_dump(mode="json") == text


def test_muted_and_active() -> None:
    """A route is muted while a mute interval holds, and while none of its active intervals does."""
    named = {
        name: [TimeIntervalSpec.model_validate(interval)]
        for name, interval in {"office": OFFICE, "summer": {"months": ["june:august"]}}.items()
    }
    monday = datetime(2026, 7, 6, 10, tzinfo=UTC)
    night = monday + timedelta(hours=12)
    assert holding(["summer", "office"], named, monday) == ("summer", "office")
    assert muted_by(["office"], [], named, monday) == ("office",)
    assert muted_by(["office"], [], named, night) is None
    assert muted_by([], ["office"], named, monday) is None
    assert muted_by([], ["office"], named, night) == ("office",)
    assert muted_by(["summer"], ["office"], named, monday) == ("summer",)
