"""The numbers an SLO alert brings, read with care: they come back from the store, or from another version."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from app.alert import Alert
from app.durations import format_duration_ms


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


def times(burn: float | None) -> str:
    """A burn rate: `14.4×`."""
    return "unknown" if burn is None else f"{_digits(burn)}×"


def percent(ratio: float | None) -> str:
    """A ratio in per cent: `63.1 %`."""
    return "unknown" if ratio is None else f"{_digits(100 * ratio)} %"


def span(ms: float | None) -> str:
    """A length of time in at most two units: `3d4h`, `1h30m`, `5m`, `12s`."""
    if ms is None:
        return "unknown"
    whole = round(ms)
    for coarse, fine in ((86_400_000, 3_600_000), (3_600_000, 60_000), (60_000, 1000), (1000, 1000)):
        if abs(whole) >= coarse:
            days, rest = divmod(abs(whole) // fine * fine, 86_400_000)
            text = (f"{days}d" if days else "") + (format_duration_ms(rest) if rest else "")
            return f"-{text}" if whole < 0 else text
    return format_duration_ms(whole)


def _digits(value: float) -> str:
    """About three digits that matter; never an exponent."""
    size = abs(value)
    text = f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 4}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


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
