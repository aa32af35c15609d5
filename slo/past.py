"""An SLO's counted past in cumulative sums: what was known at any of its moments, thousands of them at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.store.slo_events import SloEvents
from slo.budgeting import Units, unit_of, units_of, windows_of
from slo.measure import Bools, Ints, Measured, Sums
from slo.period import Rolling, spans
from slo.removed import removed_intervals, removed_slices
from slo.spec import Occurrences, SloSpec

Ranges = Sequence[tuple[int, int]]


def first_needed_ms(spec: SloSpec, from_ms: int, interval_ms: int) -> int:
    """Where counts must begin so that all windows and the period are known from `from_ms` on: the start of a unit."""
    unit_ms = unit_of(spec, interval_ms)
    begin_ms = int(spans(spec.period, np.array([from_ms]))[0][0])
    longest_ms = max(windows_of(spec, interval_ms), default=0)
    return min(begin_ms, from_ms - longest_ms) // unit_ms * unit_ms - unit_ms


class Past:
    """Counts of one SLO from `known_from_ms` on, as they are now.

    `rows` are intervals by component of the spec, in order of start; `maintenance` are [from, to) in milliseconds.
    """

    def __init__(
        self, spec: SloSpec, rows: Sequence[SloEvents], maintenance: Ranges, interval_ms: int, known_from_ms: int
    ) -> None:
        self.spec = spec
        self._windows = windows_of(spec, interval_ms)
        self.known_from_ms = known_from_ms
        out = removed_intervals(maintenance, interval_ms)
        kept = [_rows(one, (one.starts_ms >= known_from_ms) & ~out.contains(one.starts_ms)) for one in rows]
        units, self.unit_ms = units_of(spec, kept, interval_ms)
        self._removed = (
            out
            if isinstance(spec.budgeting, Occurrences)
            else removed_slices(maintenance, interval_ms, spec.budgeting.slice_ms)
        )
        self._sums = [_Cumulative(one) for one in units]

    def measured(self, at_ms: Ints) -> Measured:
        """What was known at n moments, ends of intervals, (n,)."""
        end_ms = at_ms // self.unit_ms * self.unit_ms
        begin_ms, over_ms = spans(self.spec.period, at_ms)
        if isinstance(self.spec.period, Rolling):
            begin_ms, over_ms = self._back(end_ms, self.spec.period.length_ms), end_ms
        begin_ms, over_ms = self._up(begin_ms), self._up(over_ms)
        return Measured(
            at_ms,
            at_ms - self.known_from_ms,
            {window: self.sums(self._back(end_ms, window), end_ms) for window in self._windows},
            self.sums(begin_ms, np.maximum(begin_ms, end_ms)),
            self._expected(begin_ms, over_ms),
        )

    def sums(self, from_ms: Ints, to_ms: Ints) -> tuple[Sums, ...]:
        """The sums of the units that start in [from_ms, to_ms), multiples of a unit, (n,)."""
        expected = self._expected(from_ms, to_ms)
        return tuple(one.between(from_ms, to_ms, expected) for one in self._sums)

    def _back(self, end_ms: Ints, length_ms: int) -> Ints:
        return end_ms - -(-length_ms // self.unit_ms) * self.unit_ms

    def _up(self, at_ms: Ints) -> Ints:
        return -(-at_ms // self.unit_ms) * self.unit_ms

    def _expected(self, from_ms: Ints, to_ms: Ints) -> Ints:
        return (to_ms - from_ms) // self.unit_ms - self._removed.count(from_ms, to_ms)


class _Cumulative:
    def __init__(self, units: Units) -> None:
        self._starts = units.starts_ms
        # counts are whole numbers far below 2^53, so running sums and their differences are exact
        self._bad = np.concatenate([[0.0], np.cumsum(units.bad)])
        self._total = np.concatenate([[0.0], np.cumsum(units.total)])

    def between(self, from_ms: Ints, to_ms: Ints, expected: Ints) -> Sums:
        first, last = np.searchsorted(self._starts, from_ms), np.searchsorted(self._starts, to_ms)
        return Sums(self._bad[last] - self._bad[first], self._total[last] - self._total[first], last - first, expected)


def _rows(rows: SloEvents, kept: Bools) -> SloEvents:
    return SloEvents(rows.starts_ms[kept], rows.good[kept], rows.total[kept])
