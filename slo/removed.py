"""What maintenance takes out of the budget, as intervals and slices."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from slo.measure import Bools, Ints
from slo.ranges import merged


class Removed:
    """The intervals (or slices) of `unit_ms` that are taken out: whole ones, in ranges that do not touch."""

    def __init__(self, ranges: Iterable[tuple[int, int]], unit_ms: int) -> None:
        """`ranges` are [from, to) in milliseconds, at multiples of `unit_ms`, in any order and overlapping at will."""
        self._unit_ms = unit_ms
        whole = merged(ranges)
        self._from = np.array([begin for begin, _ in whole], np.int64)
        self._to = np.array([end for _, end in whole], np.int64)
        # how much was taken out before each range
        self._before = np.concatenate([[0], np.cumsum(self._to - self._from)]).astype(np.int64)

    def __bool__(self) -> bool:
        return len(self._from) > 0

    def ranges(self) -> list[tuple[int, int]]:
        """[from, to) of each, in order."""
        return list(zip(self._from.tolist(), self._to.tolist(), strict=True))

    def count(self, from_ms: Ints, to_ms: Ints) -> Ints:
        """How many start in [from_ms, to_ms), multiples of the unit, (n,)."""
        return np.asarray((self._until(to_ms) - self._until(from_ms)) // self._unit_ms)

    def contains(self, starts_ms: Ints) -> Bools:
        """Which of the intervals that start at these times are taken out, (n,)."""
        if not self:
            return np.zeros(len(starts_ms), bool)
        last = np.searchsorted(self._from, starts_ms, side="right") - 1
        return np.asarray((last >= 0) & (starts_ms < self._to[last]))

    def _until(self, at_ms: Ints) -> Ints:
        if not self:
            return np.zeros(len(at_ms), np.int64)
        passed = np.searchsorted(self._from, at_ms)
        last = np.maximum(passed - 1, 0)
        open_ms = np.where(passed > 0, np.maximum(self._to[last] - at_ms, 0), 0)
        return np.asarray(self._before[passed] - open_ms)


def removed_intervals(ranges: Iterable[tuple[int, int]], interval_ms: int) -> Removed:
    """The intervals that overlap a maintenance range at all: none of them was all service."""
    outward = ((b // interval_ms * interval_ms, -(-e // interval_ms) * interval_ms) for b, e in ranges if b < e)
    return Removed(outward, interval_ms)


def removed_slices(ranges: Iterable[tuple[int, int]], interval_ms: int, slice_ms: int) -> Removed:
    """The slices all of whose intervals are taken out. The others are judged by what is left of them."""
    intervals = removed_intervals(ranges, interval_ms)
    inward = ((-(-b // slice_ms) * slice_ms, e // slice_ms * slice_ms) for b, e in intervals.ranges())
    return Removed(((b, e) for b, e in inward if b < e), slice_ms)
