"""Time slices, composites of them, and what maintenance takes out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.store.slo_events import SloEvents
from slo.budgeting import units_of
from slo.removed import Removed, removed_intervals, removed_slices
from slo.spec import Budgeting, Component, RatioTimeslices, Timeslices
from tests.slo_judging import EVENTS, M, S, slo

LENGTH = 3 * M


def rows(*columns: tuple[int, float, float]) -> SloEvents:
    """Rows of (minute, bad, total)."""
    starts, bad, total = (np.array(column, float) for column in zip(*columns, strict=True))
    return SloEvents((starts * M).astype(np.int64), total - bad, total)


def sliced(budgeting: Budgeting, *components: tuple[Component, SloEvents]) -> list[tuple[int, float, float]]:
    """(minute, bad, total) of each slice."""
    spec = slo(components=tuple(component for component, _ in components), budgeting=budgeting)
    (units,), unit_ms = units_of(spec, [own for _, own in components], M)
    assert unit_ms == LENGTH
    return list(zip((units.starts_ms // M).tolist(), units.bad.tolist(), units.total.tolist(), strict=True))


def test_a_slice_is_good_at_its_target_exactly() -> None:
    """Events of a slice's intervals are added; 90 of 100 meet 0.9, 89 do not; no traffic is neither, but known."""
    own = rows((0, 4, 30), (2, 6, 70), (3, 11, 100), (6, 0, 0), (13, 1, 1))
    found = sliced(Timeslices(LENGTH, 0.9), (Component(EVENTS, 99.0), own))
    assert found == [(0, 0, 1), (3, 1, 1), (6, 0, 0), (12, 1, 1)]


def test_a_slice_is_as_bad_as_its_ratio() -> None:
    """In RatioTimeslices each slice weighs the same, whatever its traffic."""
    own = rows((0, 1, 2), (1, 0, 2), (3, 5, 1000))
    found = sliced(RatioTimeslices(LENGTH), (Component(EVENTS, 99.0), own))
    assert found == [(0, 0.25, 1), (3, 0.005, 1)]


def test_a_composite_slice_is_bad_for_any_component() -> None:
    """One bad component is enough; one without traffic says nothing; its own target goes before that of the SLO."""
    strict, loose = Component(EVENTS, 99.0), Component(EVENTS, 99.0, timeslice_target=0.5)
    first = rows((0, 0, 10), (3, 2, 10), (6, 0, 10), (12, 0, 0))
    second = rows((0, 5, 10), (3, 0, 10), (6, 6, 10), (9, 0, 0))
    found = sliced(Timeslices(LENGTH, 0.9), (strict, first), (loose, second))
    assert found == [(0, 0, 1), (3, 1, 1), (6, 1, 1), (9, 0, 0), (12, 0, 0)]


def test_missing_shares_of_a_composite_add_up() -> None:
    """95 % and 95 % are 90 %, a weight multiplies what is missing, and more than everything cannot be."""
    full, half = Component(EVENTS, 99.0), Component(EVENTS, 99.0, weight=0.5)
    first = rows((0, 5, 100), (3, 80, 100))
    second = rows((0, 5, 100), (3, 80, 100))
    both = [one[1] for one in sliced(RatioTimeslices(LENGTH), (full, first), (full, second))]
    assert both == pytest.approx([0.1, 1.0])
    weighed = [one[1] for one in sliced(RatioTimeslices(LENGTH), (full, first), (half, second))]
    assert weighed == pytest.approx([0.075, 1.0])


def test_no_rows_are_no_slices() -> None:
    """An SLO nothing is known of has no slice either."""
    nothing = SloEvents(np.empty(0, np.int64), np.empty(0), np.empty(0))
    assert sliced(Timeslices(LENGTH, 0.9), (Component(EVENTS, 99.0), nothing)) == []


def test_intervals_and_slices_in_maintenance() -> None:
    """An interval is out if a range touches it, a slice if all its intervals are; an empty range takes out nothing."""
    ranges = [(M + 1, 5 * M + 1), (20 * M, 20 * M)]
    assert removed_intervals(ranges, M).ranges() == [(M, 6 * M)]
    assert removed_slices(ranges, M, LENGTH).ranges() == [(3 * M, 6 * M)]
    assert removed_slices([(M, 5 * M)], M, LENGTH).ranges() == []


RANGES = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 80)).map(lambda r: (r[0], r[0] + r[1])), max_size=6)


@given(RANGES, st.integers(0, 40), st.integers(0, 40))
def test_what_is_out_is_counted_as_it_is(ranges: list[tuple[int, int]], first: int, more: int) -> None:
    """Ranges in any order, overlapping at will: counts and membership are those of one interval after the other."""
    unit = 10
    out = [any(b < e and b < s + unit and s < e for b, e in ranges) for s in range(0, 1000, unit)]
    removed = removed_intervals(ranges, unit)
    assert removed.contains(np.arange(0, 1000, unit)).tolist() == out
    bounds = np.array([first * unit]), np.array([(first + more) * unit])
    assert removed.count(*bounds)[0] == sum(out[first : first + more])
    assert bool(removed) == any(out)


def test_nothing_is_out_without_ranges() -> None:
    """No maintenance takes out nothing."""
    assert Removed([], S).count(np.array([0, 5 * S]), np.array([S, 9 * S])).tolist() == [0, 0]
