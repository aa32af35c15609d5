"""Alerts on the budget that is used, whichever format asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

from app.labels import labels_from
from slo.spec import AlertSpec, BudgetCondition

NAME = "ErrorBudgetConsumed"
CONSUMED_LABEL = "budget_consumed"
"""Tells the alerts of one SLO apart: the per cent, as it is written."""
_NOTHING: Mapping[str, str] = MappingProxyType({})


def budget_alert(
    percent: Decimal,
    severity: str = "ticket",
    labels: Mapping[str, str] = _NOTHING,
    annotations: Mapping[str, str] = _NOTHING,
) -> AlertSpec:
    """Fires once so many per cent of the period's budget are used. Its key is `budget-<per cent>`."""
    written = f"{percent.normalize():f}"
    return AlertSpec(
        key=f"budget-{written}",
        name=NAME,
        severity=severity,
        conditions=(BudgetCondition(Fraction(percent) / 100),),
        labels=labels_from({"severity": severity, CONSUMED_LABEL: written, **labels}),
        annotations=labels_from(annotations),
    )
