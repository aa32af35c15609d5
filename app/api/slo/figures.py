"""SLOs as JSON. Ratios are 0 to 1, `objective` and `sla` are in per cent, times are Unix seconds."""

from __future__ import annotations

import math
from typing import Any

from app.durations import format_duration_ms
from slo.period import Calendar, Period
from slo.spec import BudgetCondition, BurnCondition, Occurrences, RatioTimeslices, SloSpec
from slo.status import AlertStatus, ConditionStatus, SloStatus


def number(value: float | None) -> float | None:
    """A figure, null where it is not defined or without bound."""
    return value if value is not None and math.isfinite(value) else None


def seconds(ms: int | None) -> float | None:
    """A time, in Unix seconds."""
    return None if ms is None else ms / 1000


def slo_json(status: SloStatus) -> dict[str, Any]:
    """An SLO with everything that is known of it."""
    spec, budget = status.spec, status.budget
    return {
        **spec_json(spec),
        "sli": number(1 - status.error_ratio),
        "error_ratio": number(status.error_ratio),
        "good": number(status.total - status.bad),
        "total": number(status.total),
        "coverage": number(status.coverage),
        "complete": status.complete,
        "known": seconds(status.known_ms),
        "budget_left": number(budget.left),
        "budget_left_events": number(budget.events),
        "budget_left_minutes": number(budget.minutes),
        "exhausted_in": seconds(budget.exhausted_in_ms),
        "sla_left": number(status.sla_left),
        "components": [
            {
                "name": one.name,
                "objective": one.objective,
                "weight": one.weight,
                "good": number(one.total - one.bad),
                "total": number(one.total),
                "sli": number(1 - one.error_ratio),
            }
            for one in status.components
        ],
        "burn_rates": [
            {
                "window": format_duration_ms(one.window_ms),
                "burn": number(one.burn),
                "error_ratio": number(one.error_ratio),
                "good": number(one.total - one.bad),
                "total": number(one.total),
                "coverage": number(one.coverage),
            }
            for one in status.windows
        ],
        "alerts": [item for one in status.alerts for item in _alert_json(one)],
        "last_interval": seconds(status.to_ms),
        "error": status.error,
    }


def spec_json(spec: SloSpec) -> dict[str, Any]:
    """What a spec says."""
    return {
        "name": spec.name,
        "service": spec.service,
        "id": spec.id,
        "display_name": spec.display_name,
        "description": spec.description,
        "labels": dict(spec.labels),
        "group": dict(spec.group),
        "objective": spec.objective,
        "sla": spec.sla,
        "period": period_text(spec.period),
        "budgeting": _budgeting(spec),
        "unit": "events" if isinstance(spec.budgeting, Occurrences) else "slices",
        "format": spec.format,
    }


def period_text(period: Period) -> str:
    """`30d`, or `1M from 2026-01-01 00:00:00 Europe/Berlin` for one of the calendar."""
    if isinstance(period, Calendar):
        return f"{period.count}{period.unit} from {period.start:%Y-%m-%d %H:%M:%S} {period.zone}"
    return format_duration_ms(period.length_ms)


def _budgeting(spec: SloSpec) -> str:
    if isinstance(spec.budgeting, Occurrences):
        return "occurrences"
    kind = "ratio time slices" if isinstance(spec.budgeting, RatioTimeslices) else "time slices"
    return f"{kind} of {format_duration_ms(spec.budgeting.slice_ms)}"


def _alert_json(one: AlertStatus) -> list[dict[str, Any]]:
    """An entry for each condition of an alert; `firing` are those it fires for, all of them while it is held."""
    alert = one.alert
    common = {
        "name": alert.name,
        "key": alert.key,
        "severity": alert.severity,
        "for": format_duration_ms(alert.for_ms),
        "pending": one.pending,
        "since": seconds(one.since_ms),
    }
    entries = [
        {
            **common,
            **_condition_json(item),
            "firing": one.firing and (item.firing or not one.fires),
            "held": item.held or None,
        }
        for item in one.conditions
    ]
    if alert.when_no_data:
        firing = one.firing and one.fires and one.condition < 0
        entries.append({**common, **_NO_BURN, "kind": "no data", "firing": firing, "held": None})
    return entries


_NO_BURN = dict.fromkeys(("long_window", "short_window", "threshold", "long_burn", "short_burn", "consumed"))


def _condition_json(item: ConditionStatus) -> dict[str, Any]:
    condition = item.condition
    if isinstance(condition, BurnCondition):
        return {
            "kind": "burn rate",
            "long_window": format_duration_ms(condition.long_ms),
            "short_window": format_duration_ms(condition.short_ms),
            "threshold": float(condition.factor),
            "long_burn": number(item.burns[0]),
            "short_burn": number(item.burns[-1]),
            "consumed": None,
        }
    if isinstance(condition, BudgetCondition):
        return {**_NO_BURN, "kind": "budget", "consumed": float(condition.consumed)}
    return {**_NO_BURN, "kind": "no data", "long_window": format_duration_ms(condition.window_ms)}
