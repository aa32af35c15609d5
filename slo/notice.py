"""What an SLO alert says: its labels, its annotations, and its numbers for a richer message."""

from __future__ import annotations

from app.durations import format_duration_ms
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
        "exhausted_in_ms": budget.exhausted_in_ms,
        "description": spec.description,
        "tell_resolved": one.alert.tell_resolved,
    }
    if isinstance(condition, BurnCondition):
        burns = one.conditions[one.condition].burns
        facts |= {
            "long_window_ms": condition.long_ms,
            "short_window_ms": condition.short_ms,
            "threshold": float(condition.factor),
            "long_burn": burns[0],
            "short_burn": burns[-1],
            # a page asks how long there is at the rate that it is about, not at that of the day
            "exhausted_in_ms": exhausted_in_ms(budget.left, burns[0], spec.period.length_ms),
        }
    return facts


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
