"""What an SLO alert says: its labels, its annotations, and its numbers for a richer message."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from app.durations import format_duration_ms
from app.figures import percent, span, times
from app.labels import Labels, labels_from
from slo.burn import exhausted_in_ms
from slo.spec import AlertSpec, BudgetCondition, BurnCondition, Condition, Op, SloSpec
from slo.status import AlertStatus, SloStatus

_BURNS = ("SLO error budget burn rate is too fast.", "SLO error budget burn rate is over expected.")
"""What Sloth has in its titles and its summaries."""
_NO_DATA = "SLO has no data."
_THAN: dict[Op, str] = {
    "gt": "faster than",
    "gte": "at least as fast as",
    "lt": "slower than",
    "lte": "at most as fast as",
}


def alert_labels(spec: SloSpec, alert: AlertSpec) -> Labels:
    """As Sloth's generated rules would give them: the series' labels, then the alert's own over them."""
    return labels_from(
        {
            **dict(spec.labels),
            **dict(spec.group),
            "sloth_id": spec.id,
            "sloth_service": spec.service,
            "sloth_slo": spec.name,
            "sloth_severity": alert.severity,
            **dict(alert.labels),
            "alertname": alert.name,
        }
    )


def alert_annotations(spec: SloSpec, alert: AlertSpec, condition: Condition) -> Labels:
    """Sloth's title and summary, and the spec's own annotations over them."""
    what, (title, summary) = f"{spec.service} {spec.name}", _said(condition)
    own = dict(alert.annotations)
    return labels_from({"title": f"({alert.severity}) {what} {title}", "summary": f"{what} {summary}", **own})


def condition_text(condition: Condition) -> str:
    """A condition in words: `burns faster than 14.4x over 1h and 5m`."""
    if isinstance(condition, BurnCondition):
        windows = " and ".join(format_duration_ms(window) for window in condition.windows_ms)
        return f"burns {_THAN[condition.op]} {float(condition.factor):.6g}× over {windows}"
    if isinstance(condition, BudgetCondition):
        return f"{float(condition.consumed * 100):.6g} % of the budget is used"
    return f"no data for {format_duration_ms(condition.window_ms)}"


def alert_facts(status: SloStatus, one: AlertStatus, condition: Condition) -> dict[str, object]:
    """The numbers of an alert that fires for a condition. What is not defined (NaN) is there as such."""
    spec, budget = status.spec, status.budget
    gone_in_ms = budget.exhausted_in_ms
    facts: dict[str, object] = {
        "slo": spec.name,
        "service": spec.service,
        "objective": spec.objective,
        "severity": one.alert.severity,
        "condition": condition_text(condition),
        "cause": _cause(condition),
        "budget_left": budget.left,
        "budget_left_events": budget.events,
        "budget_left_minutes": budget.minutes,
        "description": dict(one.alert.annotations).get("description") or spec.description,
        "tell_resolved": one.alert.tell_resolved,
    }
    if isinstance(condition, BurnCondition):
        burns = one.conditions[one.condition].burns
        # a page asks how long there is at the rate that it is about, not at that of the day
        gone_in_ms = exhausted_in_ms(budget.left, burns[0], spec.period.length_ms)
        facts |= {
            "long_window_ms": condition.long_ms,
            "short_window_ms": condition.short_ms,
            "threshold": float(condition.factor),
            "long_burn": burns[0],
            "short_burn": burns[-1],
        }
    gone_at_ms = None if not gone_in_ms or status.to_ms is None else status.to_ms + gone_in_ms
    return {**facts, "exhausted_in_ms": gone_in_ms, "exhausted_at_ms": gone_at_ms}


def alert_description(own: str, facts: Mapping[str, object], since_ms: int, ended_ms: int | None) -> str:
    """What an alert says in two sentences: the spec's own text, then its numbers as its facts have them."""
    if ended_ms is not None:
        told = f"Fired from {_clock(since_ms)} until {_clock(ended_ms)}. {_budget(facts)} at its end."
    else:
        lasts = f", {gone}" if (gone := _gone(facts)) else ""
        told = f"{_why(facts)}, since {_clock(since_ms)}. {_budget(facts)}{lasts}."
        told += f" Held: {held}." if (held := facts.get("held")) else ""
    return f"{own}\n{told}" if own else told


def _said(condition: Condition) -> tuple[str, str]:
    """In the title, and in the summary."""
    if isinstance(condition, BurnCondition):
        return _BURNS
    if isinstance(condition, BudgetCondition):
        used = f"SLO has used {float(condition.consumed * 100):.6g} % of its error budget."
        return used, used
    return _NO_DATA, _NO_DATA


def _cause(condition: Condition) -> str:
    if isinstance(condition, BurnCondition):
        return "burn"
    return "budget" if isinstance(condition, BudgetCondition) else "no data"


def _why(facts: Mapping[str, object]) -> str:
    """What it fires for, with the burn rate of each window beside its threshold."""
    if facts.get("cause") != "burn":
        condition = str(facts.get("condition") or "unknown")
        return condition[:1].upper() + condition[1:]
    windows = {_number(facts, f"{name}_window_ms"): _number(facts, f"{name}_burn") for name in ("long", "short")}
    beside = f"(threshold {times(_number(facts, 'threshold'))})"
    burns = " and ".join(f"{times(burn)} over {span(window)} {beside}" for window, burn in windows.items())
    return f"Burn rate {burns}"


def _budget(facts: Mapping[str, object]) -> str:
    left = _number(facts, "budget_left")
    if left is None:
        return "Error budget left unknown"
    events, minutes = _number(facts, "budget_left_events"), _number(facts, "budget_left_minutes")
    amounts = [f"{events:,.0f} events"] if events is not None else []
    amounts += [f"{minutes:,.1f} minutes"] if minutes is not None else []
    more = f" ({', '.join(amounts)})" if amounts else ""
    return f"Error budget {'all spent: ' if left <= 0 else ''}{percent(left)} left{more}"


def _gone(facts: Mapping[str, object]) -> str:
    at_ms, in_ms = _number(facts, "exhausted_at_ms"), _number(facts, "exhausted_in_ms")
    if at_ms is None or in_ms is None:
        return ""
    rate = "at this rate" if facts.get("cause") == "burn" else "at today's rate"
    return f"gone in {span(in_ms)} {rate}{_at(at_ms)}"


def _at(at_ms: float) -> str:
    """The minute, "" where the calendar has none so far away."""
    try:
        return f" ({datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC)"
    except (OverflowError, ValueError, OSError):
        return ""


def _clock(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _number(facts: Mapping[str, object], name: str) -> float | None:
    """A number of facts, which may come back from the store; None where it is missing or not finite."""
    value = facts.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
