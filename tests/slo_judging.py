"""SLOs, counts and a slow judge in fractions, for the tests of judging."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from app.store.slo_events import SloEvents
from slo.burn import Part, budget_of
from slo.measure import Measured, Sums
from slo.period import DAY_MS, Rolling
from slo.spec import AlertSpec, BurnCondition, Component, Condition, EventsSli, Query, Sli, SloSpec

S, M, H, D = 1000, 60_000, 3_600_000, DAY_MS
EVENTS = EventsSli(Query("bad"), Query("total"))
PAGE_FAST = BurnCondition((H, 5 * M), Fraction("14.4"))
PAGE_SLOW = BurnCondition((6 * H, 30 * M), Fraction(6))
TICKET_FAST = BurnCondition((D, 2 * H), Fraction(3))
TICKET_SLOW = BurnCondition((3 * D, 6 * H), Fraction(1))
WORKBOOK = (PAGE_FAST, PAGE_SLOW, TICKET_FAST, TICKET_SLOW)


def alert(*conditions: Condition, key: str = "page", **more: object) -> AlertSpec:
    """An alert of some conditions."""
    return AlertSpec(key, "Burning", key, conditions, **more)  # type: ignore[arg-type]


def slo(*alerts: AlertSpec, objective: float = 99.9, sli: Sli = EVENTS, **more: object) -> SloSpec:
    """An SLO of one SLI over 30 days."""
    fields: dict[str, object] = {"components": (Component(sli, objective),), "period": Rolling(30 * D), **more}
    return SloSpec("availability", "shop", objective, alerts=alerts, **fields)  # type: ignore[arg-type]


def part(objective: float = 99.9) -> tuple[Part]:
    """What the sums of an SLO count for."""
    return (Part(Fraction(1), budget_of(objective)),)


def sums(bad: Sequence[float], total: Sequence[float], counted: int = 1, expected: int = 1) -> Sums:
    """Sums at some points."""
    n = len(bad)
    return Sums(np.array(bad, float), np.array(total, float), np.full(n, counted), np.full(n, expected))


def measured(windows: dict[int, Sums], period: Sums | None = None, known_ms: int = 400 * D, at_ms: int = 0) -> Measured:
    """What is known at some points of an SLO of one SLI."""
    some = next(iter(windows.values())) if windows else period
    assert some is not None
    n = len(some.bad)
    whole = some if period is None else period
    by_window = {window: (one,) for window, one in windows.items()}
    return Measured(np.full(n, at_ms), np.full(n, known_ms), by_window, (whole,), whole.expected)


def counts(
    bad: npt.NDArray[np.float64], total: npt.NDArray[np.float64], interval_ms: int, from_ms: int = 0
) -> SloEvents:
    """Rows of consecutive intervals."""
    starts = from_ms + np.arange(len(total), dtype=np.int64) * interval_ms
    return SloEvents(starts, total - bad, total)
