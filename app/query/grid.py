"""The times a query is evaluated at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Grid:
    """`n` times from `start_ms`, `step_ms` apart. An instant query has one."""

    start_ms: int
    step_ms: int
    n: int

    @classmethod
    def between(cls, start_ms: int, end_ms: int, step_ms: int) -> Grid:
        """Every time of a range query, the end included where the steps meet it."""
        return cls(start_ms, step_ms, (end_ms - start_ms) // step_ms + 1 if end_ms >= start_ms else 0)

    @classmethod
    def at(cls, time_ms: int) -> Grid:
        """One time."""
        return cls(time_ms, 1, 1)

    @property
    def end_ms(self) -> int:
        """The last time."""
        return self.start_ms + (self.n - 1) * self.step_ms

    @property
    def times(self) -> npt.NDArray[np.int64]:
        """All times, in milliseconds."""
        return self.start_ms + np.arange(self.n, dtype=np.int64) * self.step_ms

    def shifted(self, by_ms: int) -> Grid:
        """The same times, earlier by `by_ms`."""
        return Grid(self.start_ms - by_ms, self.step_ms, self.n)

    def part(self, first: int, last: int) -> Grid:
        """The times number `first` up to, not including, `last`."""
        return Grid(self.start_ms + first * self.step_ms, self.step_ms, max(0, last - first))
