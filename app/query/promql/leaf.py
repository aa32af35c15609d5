"""What is read from the store at once: a selector's samples in windows, and what is made of each window."""

from __future__ import annotations

from dataclasses import dataclass

from app.query.grid import Grid
from app.query.promql.ast import Selector
from app.query.promql.kernels import BASELINE_MS

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
