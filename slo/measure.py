"""Sums of windows: what ledgers give and judging takes.

Everything here is about n points. A point is a moment of one SLO (a backtest has thousands of them) or one of several
SLOs of the same shape at one moment (a live cycle), so both are judged by the same code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Index = slice | npt.NDArray[np.intp] | Bools


@dataclass(frozen=True, slots=True)
class Sums:
    """Events of one window at n points, arrays of shape (n,).

    `counted` of the `expected` intervals (or slices) in the window are known; what maintenance takes out of the budget
    is neither.
    """

    bad: Floats
    total: Floats
    counted: Ints
    expected: Ints

    @property
    def coverage(self) -> Floats:
        """The share of each window that is known, 0 to 1; NaN where nothing is expected."""
        unknown = np.full(len(self.bad), np.nan)
        return np.asarray(np.divide(self.counted, self.expected, out=unknown, where=self.expected > 0))

    def at(self, points: Index) -> Sums:
        """Those of some of the points."""
        return Sums(self.bad[points], self.total[points], self.counted[points], self.expected[points])


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known at n points. In `windows` and `period` there is one `Sums` a component of a composite that budgets
    occurrences, and exactly one otherwise (time slices of several SLIs are one slice, good or bad, already).
    """

    at_ms: Ints
    """The moment of each point: the end of the newest interval that is counted, (n,)."""
    known_ms: Ints
    """How far back from `at_ms` everything that is there was counted, (n,). Beyond, history is still being read."""
    windows: Mapping[int, tuple[Sums, ...]]
    """By length in milliseconds: every window of the alerts."""
    period: tuple[Sums, ...]
    """The budget's period so far: from its beginning to `at_ms`."""
    period_length: Ints
    """How many intervals (or slices) the whole period has, without those taken out by maintenance, (n,).

    Of a rolling period what is expected in it; of one of the calendar its future counts too.
    """

    def at(self, points: Index) -> Measured:
        """What is known at some of the points."""
        return Measured(
            self.at_ms[points],
            self.known_ms[points],
            {window: tuple(one.at(points) for one in sums) for window, sums in self.windows.items()},
            tuple(one.at(points) for one in self.period),
            self.period_length[points],
        )
