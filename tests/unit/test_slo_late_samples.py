"""Which times of late samples are kept: every one of them, and little else."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slo.ranges import Range, fewest, merged, within
from slo.watermark import LATE_APART_MS, LATE_RANGES, LateSamples

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 1_760_000_000_000
RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 10)).map(lambda r: (r[0], r[0] + r[1])), max_size=12)


def listening(*metrics: str, final_ms: int = NOW) -> LateSamples:
    """One that looks at some metrics, and to whom samples up to a time are late."""
    late = LateSamples()
    late.watch(frozenset(metrics))
    late.take(final_ms)
    return late


def write(late: LateSamples, *samples: tuple[str, int]) -> None:
    """An insert of (metric, time)."""
    names = sorted({name for name, _ in samples})
    codes = np.array([names.index(name) for name, _ in samples], np.int32)
    late.written(names, codes, np.array([at_ms for _, at_ms in samples], np.int64))


def covered(ranges: list[Range]) -> set[int]:
    """The units of [from, to) ranges."""
    return {unit for begin, end in ranges for unit in range(begin, end)}


def test_a_sample_of_a_week_ago_and_one_of_a_minute_ago_are_two_ranges() -> None:
    """In one insert or two; what is not watched, and what is not late, is not there."""
    late = listening("requests", "errors")
    week, minute = NOW - 7 * DAY, NOW - MINUTE
    write(late, ("requests", minute), ("other", week), ("requests", NOW + 1), ("requests", week))
    write(late, ("requests", week - MINUTE), ("errors", NOW))
    assert late.take(NOW + MINUTE) == {"requests": [(week - MINUTE, week), (minute, minute)], "errors": [(NOW, NOW)]}
    assert late.take(NOW + MINUTE) == {}
    write(late, ("requests", NOW + 1))
    assert late.take(NOW + 2 * MINUTE) == {"requests": [(NOW + 1, NOW + 1)]}


def test_where_nothing_is_known_the_last_hour_is_late() -> None:
    """Beside what is known to be."""
    late = listening("requests")
    write(late, ("requests", NOW - DAY))
    late.anything_written()
    assert late.take(NOW) == {"requests": [(NOW - DAY, NOW - DAY), (NOW - HOUR, NOW)]}


@given(inserts=st.lists(st.lists(st.integers(-60, 3), min_size=1, max_size=40), max_size=8))
def test_every_late_sample_is_in_a_range_that_begins_and_ends_with_one(inserts: list[list[int]]) -> None:
    """Of many inserts in any order there are few ranges, an hour apart or more, and none says more than it must."""
    late = listening("requests")
    step = 17 * MINUTE
    for times in inserts:
        write(late, *(("requests", NOW + n * step) for n in times))
    found = late.take(NOW).get("requests", [])
    want = sorted({NOW + n * step for times in inserts for n in times if n <= 0})
    assert len(found) <= LATE_RANGES
    assert all(any(begin <= at <= end for begin, end in found) for at in want)
    assert all(begin in want and end in want for begin, end in found)
    assert all(b[0] - a[1] > LATE_APART_MS for a, b in itertools.pairwise(found))
    if len(merged(((at, at) for at in want), LATE_APART_MS)) <= LATE_RANGES:
        assert found == merged(((at, at) for at in want), LATE_APART_MS)


def test_more_ranges_than_are_kept_apart_close_the_smallest_gaps() -> None:
    """Forty single samples, some near each other: sixteen ranges, and the wide gaps are still between them."""
    late = listening("requests")
    times = [NOW - (n // 4 * 40 + n % 4 * 2) * HOUR for n in range(40)]
    for at_ms in times:
        write(late, ("requests", at_ms))
    found = late.take(NOW)["requests"]
    assert len(found) == LATE_RANGES
    assert max(end - begin for begin, end in found) == 6 * HOUR


@given(RANGES, st.integers(0, 5))
def test_merged_ranges_are_the_same_time(ranges: list[Range], apart: int) -> None:
    """In order, farther apart than asked, with nothing lost; without a distance, with nothing added."""
    found = merged(ranges, apart)
    assert all(b[0] - a[1] > apart for a, b in itertools.pairwise(found))
    assert covered(ranges) <= covered(found)
    assert covered(merged(ranges)) == covered(ranges)
    edges = {edge for one in ranges for edge in one}
    assert all(edge in edges for one in found for edge in one)


@given(RANGES, st.integers(1, 6))
def test_fewest_closes_gaps_and_loses_nothing(ranges: list[Range], most: int) -> None:
    """The gaps that stay are the widest."""
    before = merged(ranges)
    found = fewest(before, most)
    assert len(found) == min(most, len(before))
    assert covered(before) <= covered(found)
    gaps = sorted((b[0] - a[1] for a, b in itertools.pairwise(before)), reverse=True)
    left = sorted((b[0] - a[1] for a, b in itertools.pairwise(found)), reverse=True)
    assert left == gaps[: len(left)]


@given(RANGES, st.integers(0, 70), st.integers(0, 70))
def test_within_cuts(ranges: list[Range], begin: int, end: int) -> None:
    """Exactly what is in both."""
    assert covered(within(ranges, begin, end)) == covered(ranges) & set(range(begin, end))
