"""A gate for deploys: go or no-go by what is left of an error budget, how fast it burns and what fires."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.durations import format_duration_ms
from app.errors import BadQuery
from slo.status import SloStatus, WindowStatus

PAGES = ("page", "critical")
"""The severities that wake somebody: Sloth's and Pyrra's words."""
_USUAL_WINDOW_MS = 3_600_000
_OLD_INTERVALS, _OLD_MS = 3, 300_000
_DECIMALS = 9
"""1 - 0.9 is a little less than the tenth that somebody asks for."""


@dataclass(frozen=True, slots=True)
class Demands:
    """What an SLO must fulfil for a go."""

    min_budget_left: float = 0.0
    """The share of the budget (1 is all of it) that must be left. With 0 it must not be used up."""
    max_burn: float | None = None
    """The highest burn rate over the window; None asks for none."""
    window_ms: int | None = None
    """The window looked at, one that is measured; an hour, or the shortest there is, when None."""
    ignore_alerts: bool = False
    """Whether alerts that fire are no reason against."""
    coverage_floor: float = 0.5
    """The share of the window that must be known."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The answer for one SLO, with its numbers. What is not defined (no traffic) is NaN."""

    slo: str
    reasons: tuple[str, ...]
    """Why not, each with its number and what is asked for; empty for a go."""
    budget_left: float
    budget_left_events: float
    budget_left_minutes: float
    window_ms: int | None
    burn: float
    coverage: float
    """Of the window."""
    firing: tuple[str, ...]
    """The names of the alerts that fire, be they reasons or not."""
    at_ms: int | None
    """The end of the newest interval that is counted."""

    @property
    def go(self) -> bool:
        """Whether nothing is against it."""
        return not self.reasons


def gate(status: SloStatus, demands: Demands, now_ms: int, interval_ms: int) -> Gate:
    """Go or no-go. What is not known is a reason against. Raises BadQuery for a window that is not measured."""
    window = _window(status, demands.window_ms)
    reasons = [
        *_unknown(status, window, demands, now_ms, interval_ms),
        *_budget(status, demands),
        *_burn(window, demands),
        *([] if demands.ignore_alerts else _alerts(status)),
    ]
    budget = status.budget
    return Gate(
        status.spec.id,
        tuple(reasons),
        budget.left,
        budget.events,
        budget.minutes,
        window.window_ms if window else None,
        window.burn if window else math.nan,
        window.coverage if window else math.nan,
        tuple(one.alert.name for one in status.alerts if one.firing),
        status.to_ms,
    )


def _window(status: SloStatus, asked_ms: int | None) -> WindowStatus | None:
    found = {one.window_ms: one for one in status.windows}
    if asked_ms is not None and found and asked_ms not in found:
        known = ", ".join(format_duration_ms(window) for window in found)
        raise BadQuery(
            f"{status.spec.id} is not measured over {format_duration_ms(asked_ms)}; its windows are: {known}"
        )
    if asked_ms is not None:
        return found.get(asked_ms)
    return found.get(_USUAL_WINDOW_MS) or next(iter(found.values()), None)


def _unknown(
    status: SloStatus, window: WindowStatus | None, demands: Demands, now_ms: int, interval_ms: int
) -> list[str]:
    if status.error is not None:
        return [f"it cannot be counted: {status.error}"]
    if status.to_ms is None:
        return ["nothing was counted yet"]
    reasons = []
    age_ms = now_ms - status.to_ms
    old_ms = max(_OLD_MS, _OLD_INTERVALS * interval_ms)
    if age_ms > old_ms:
        reasons.append(f"its newest count is {_span(age_ms)} old, more than {_span(old_ms)}")
    if not status.complete:
        known = _span(status.known_ms)
        reasons.append(f"its history is still being read: {known} of the period are known")
    elif math.isnan(status.budget.left):
        reasons.append("there was no traffic in its period: what is left of the budget is not known")
    if window is not None and window.coverage < demands.coverage_floor:
        over, floor = format_duration_ms(window.window_ms), demands.coverage_floor
        reasons.append(
            f"data is missing: {_percent(window.coverage)} of the last {over} are known, less than {_percent(floor)}"
        )
    return reasons


def _budget(status: SloStatus, demands: Demands) -> list[str]:
    left, least = round(status.budget.left, _DECIMALS), demands.min_budget_left
    if left < least:
        return [f"{_percent(left)} of the budget is left, less than {_percent(least)}"]
    if left <= 0:
        return [f"the budget is used up: {_percent(left)} is left, and some must be"]
    return []


def _burn(window: WindowStatus | None, demands: Demands) -> list[str]:
    if demands.max_burn is None or window is None or not round(window.burn, _DECIMALS) > demands.max_burn:
        return []
    over = format_duration_ms(window.window_ms)
    return [f"the budget burns {window.burn:.6g}× over {over}, faster than {demands.max_burn:.6g}×"]


def _alerts(status: SloStatus) -> list[str]:
    return [
        f"the alert {one.alert.name} ({one.alert.severity}) fires"
        for one in status.alerts
        if one.firing and one.alert.severity.lower() in PAGES
    ]


def _percent(share: float) -> str:
    return f"{share * 100:.4g} %"


def _span(ms: int) -> str:
    """A time in words, to the minute."""
    return format_duration_ms(max(60_000, ms // 60_000 * 60_000))


def all_go(gates: Sequence[Gate]) -> bool:
    """Whether there are any, and all say go."""
    return bool(gates) and all(one.go for one in gates)
