"""The numbers an SLO alert brings, read with care: they come back from the store, or from another version."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from app.alert import Alert


@dataclass(frozen=True, slots=True)
class SloFacts:
    """What `Alert.facts` says of a burning SLO. A number that is missing or not finite is None."""

    slo: str
    service: str
    severity: str
    description: str
    objective: float | None
    """In per cent."""
    long_window_ms: float | None
    short_window_ms: float | None
    threshold: float | None
    """The burn rate above which it alerts."""
    long_burn: float | None
    short_burn: float | None
    budget_left: float | None
    """A ratio of the whole budget; negative when it is overspent."""
    exhausted_in_ms: float | None
    cause: str
    """What it fires for: `burn`, `budget` (so much of it is used) or `no data`."""
    condition: str
    """The same in full: `90 % of the budget is used`."""
    held: str
    """Why it holds its state, though what it fires for cannot be told now; else empty."""
    budget_left_events: float | None
    budget_left_minutes: float | None


def slo_facts(alert: Alert) -> SloFacts | None:
    """The facts of an SLO alert; None for any other alert."""
    facts = alert.facts
    slo = facts.get("slo")
    if not isinstance(slo, str) or not slo:
        return None
    names = ("objective", "long_window_ms", "short_window_ms", "threshold", "long_burn", "short_burn")
    budget = ("budget_left", "budget_left_events", "budget_left_minutes", "exhausted_in_ms")
    numbers = {name: _number(facts.get(name)) for name in (*names, *budget)}
    return SloFacts(
        slo=slo,
        service=_text(facts.get("service")),
        severity=_text(facts.get("severity")),
        description=_text(facts.get("description")),
        cause=_text(facts.get("cause")) or "burn",
        condition=_text(facts.get("condition")),
        held=_text(facts.get("held")),
        **numbers,
    )


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
