"""Which alerts fire: their conditions over sums of windows, for n points at once.

A condition over a window of which too little is known, or whose history is still being read, is undecided. An alert
fires where any of its conditions does; it holds its state where none does and one is undecided.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from slo.burn import Part, compare, of_period, parts_of
from slo.guard import may_be_chance
from slo.measure import Bools, Ints, Measured, Sums
from slo.period import spans
from slo.spec import (
    AlertSpec,
    BudgetCondition,
    BurnCondition,
    Condition,
    EventsSli,
    NoDataCondition,
    Occurrences,
    SloSpec,
)

HELD = (
    "",
    "less of a window is known than the coverage floor",
    "nothing is expected of a window: maintenance takes out all of it, or its period has just begun",
    "the history of a window is still being read",
)
"""Why a condition is undecided, by number; the higher one is told where several apply, with figures by `slo.held`."""
_DECIDED, COVERAGE, _NOTHING, _HISTORY = range(4)


@dataclass(frozen=True, slots=True)
class Policy:
    """How much has to be known, and how surely (docs/slo.md)."""

    coverage_floor: float = 0.5
    """The share of a window that must be known for an alert to change by it, 0 to 1."""
    false_alarms: float = 0.01
    """The probability of an alert by chance in a whole period while there is little traffic; 0 for no such guard."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A condition at n points: whether it fires, and else why it is undecided (a number of `HELD`). Arrays of (n,)."""

    fires: Bools
    why: Ints


@dataclass(frozen=True, slots=True)
class Verdict:
    """An alert at n points, arrays of (n,). Where it neither fires nor is held, it is over."""

    firing: Bools
    held: Bools
    condition: Ints
    """Which condition fires, of several the one of the highest factor; -1 for none, or that nothing is known."""
    why: Ints
    """Why it is held, a number of `HELD`."""


def shape_of(spec: SloSpec) -> Hashable:
    """What judging asks of an SLO: those of the same shape are judged together."""
    components = tuple((c.objective, c.weight, isinstance(c.sli, EventsSli)) for c in spec.components)
    alerts = tuple((alert.key, alert.conditions, alert.when_no_data) for alert in spec.alerts)
    return spec.objective, spec.sla, components, spec.budgeting, spec.period, alerts


def judge(spec: SloSpec, measured: Measured, policy: Policy) -> dict[str, Verdict]:
    """Every alert at n points, by its key. `spec` is any SLO of their shape."""
    return {alert.key: verdict_of(alert, decide(spec, alert, measured, policy), measured) for alert in spec.alerts}


def decide(spec: SloSpec, alert: AlertSpec, measured: Measured, policy: Policy) -> list[Decision]:
    """The conditions of an alert at n points, in its order."""
    return [_decide(spec, condition, measured, policy) for condition in alert.conditions]


def verdict_of(alert: AlertSpec, decisions: Sequence[Decision], measured: Measured) -> Verdict:
    """An alert by its conditions."""
    condition = np.full(len(measured.at_ms), -1)
    why = np.zeros(len(measured.at_ms), np.int64)
    for i in sorted(range(len(decisions)), key=lambda i: _factor(alert.conditions[i])):
        condition[decisions[i].fires] = i
        why = np.maximum(why, decisions[i].why)
    firing = condition >= 0
    if alert.when_no_data and _burn_conditions(alert):
        firing |= _silent(measured, _shortest_ms(alert))
    why[firing] = _DECIDED
    return Verdict(firing, why != _DECIDED, condition, why)


def condition_of(alert: AlertSpec, index: int) -> Condition:
    """The condition that a firing verdict names; -1 is that nothing is known of the shortest window."""
    return alert.conditions[index] if index >= 0 else NoDataCondition(_shortest_ms(alert))


def _decide(spec: SloSpec, condition: Condition, measured: Measured, policy: Policy) -> Decision:
    if isinstance(condition, BurnCondition):
        return _burns(spec, condition, measured, policy)
    if isinstance(condition, BudgetCondition):
        begin_ms, _ = spans(spec.period, measured.at_ms)
        why = _undecided(measured.period, measured.known_ms < measured.at_ms - begin_ms, policy.coverage_floor)
        fires = compare(parts_of(spec), of_period(spec, measured), condition.consumed, "gte")
        return Decision(fires & (why == _DECIDED), why)
    # nothing known is what it asks for, so no share of it is too little
    why = _undecided(measured.windows[condition.window_ms], measured.known_ms < condition.window_ms, 0.0)
    return Decision(_silent(measured, condition.window_ms), why)


def _burns(spec: SloSpec, condition: BurnCondition, measured: Measured, policy: Policy) -> Decision:
    parts = parts_of(spec)
    fires = np.ones(len(measured.at_ms), bool)
    why = np.zeros(len(measured.at_ms), np.int64)
    for window in condition.windows_ms:
        sums = measured.windows[window]
        fires &= compare(parts, sums, condition.factor, condition.op)
        why = np.maximum(why, _undecided(sums, measured.known_ms < window, policy.coverage_floor))
    fires &= why == _DECIDED
    if policy.false_alarms > 0 and condition.op in ("gt", "gte") and isinstance(spec.budgeting, Occurrences):
        at = np.flatnonzero(fires)
        level = policy.false_alarms * condition.long_ms / spec.period.length_ms
        long = [sums.at(at) for sums in measured.windows[condition.long_ms]]
        fires[at] = compare(parts, _surely(spec, parts, long, condition.factor, level), condition.factor, condition.op)
    return Decision(fires, why)


def _surely(
    spec: SloSpec, parts: Sequence[Part], long: Sequence[Sums], factor: Fraction, level: float
) -> tuple[Sums, ...]:
    """Sums without the failures that may be chance. A ratio or a value that was measured is no draw from a urn."""
    return tuple(
        replace(sums, bad=np.where(may_be_chance(sums, float(factor), float(part.budget), level), 0.0, sums.bad))
        if isinstance(component.sli, EventsSli)
        else sums
        for component, part, sums in zip(spec.components, parts, long, strict=True)
    )


def _undecided(sums: Sequence[Sums], unread: Bools, floor: float) -> Ints:
    why = np.zeros(len(unread), np.int64)
    for one in sums:
        why[one.counted < floor * one.expected] = COVERAGE
    for one in sums:
        why[one.expected == 0] = _NOTHING
    why[unread] = _HISTORY
    return why


def _silent(measured: Measured, window_ms: int) -> Bools:
    """Where nothing at all is known of a window, though it was read and something is expected."""
    sums = measured.windows[window_ms]
    nothing = np.all([(one.counted == 0) & (one.expected > 0) for one in sums], axis=0)
    return np.asarray(nothing & (measured.known_ms >= window_ms))


def _shortest_ms(alert: AlertSpec) -> int:
    return min(condition.short_ms for condition in _burn_conditions(alert))


def _burn_conditions(alert: AlertSpec) -> list[BurnCondition]:
    return [condition for condition in alert.conditions if isinstance(condition, BurnCondition)]


def _factor(condition: Condition) -> Fraction:
    return condition.factor if isinstance(condition, BurnCondition) else Fraction(0)
