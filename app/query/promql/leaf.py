"""What is read from the store at once: a selector's samples in windows, and what is made of each window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from app.query.grid import Grid
from app.query.promql.ast import Grouping, Selector
from app.query.promql.context import Context
from app.query.promql.kernels import BASELINE_MS
from app.query.result import Samples
from app.query.vector import Vector

INSTANT = "instant"
"""The leaf that is a selector alone: the last sample of the look-back, unless it is a stale marker."""
INSTANT_TIME = "instant time"
"""As INSTANT, but the sample's time in seconds instead of its value."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """Samples of `selector` in windows (t - window, t] for each t of `grid`, through a range function or INSTANT."""

    function: str
    selector: Selector
    window_ms: int
    grid: Grid

    @property
    def read_ms(self) -> int:
        """How far before a step samples are read."""
        return self.window_ms + reach_ms(self.function)


def reach_ms(function: str) -> int:
    """How far before its windows a range function looks."""
    return BASELINE_MS if function == "increase_exact" else 0


class Leaves(Protocol):
    """Where a query's samples come from. Methods may block; safe to use from many threads unless said otherwise."""

    def puts_on_grid(self, function: str) -> bool:
        """Whether leaves of a range function can be worked out without arrays of all their samples."""

    def doubtful(self, function: str, vector: Vector) -> bool:
        """Whether a leaf may have been spoiled on its way, so that it must be worked out on arrays."""

    def may_have_histograms(self, selector: Selector, context: Context) -> bool:
        """Whether there may be native histograms among the samples of a selector."""

    def vector(self, leaf: Leaf, context: Context) -> Vector:
        """A row for each selected series; metric names are kept."""

    def aggregated(self, leaf: Leaf, op: str, grouping: Grouping, context: Context) -> Vector | None:
        """An aggregation over a leaf, a row for each group; None where it must be worked out on arrays."""

    def samples(
        self, selector: Selector, after_ms: int, until_ms: int, context: Context, hints: bool = False
    ) -> Samples:
        """The raw samples in (after_ms, until_ms], without stale markers, one at each time."""
