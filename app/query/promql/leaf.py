"""What is read from the store at once: a selector's samples in windows, and what is made of each window."""

from __future__ import annotations

from dataclasses import dataclass

from app.query.grid import Grid
from app.query.promql.ast import Selector

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
