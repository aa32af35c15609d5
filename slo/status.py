"""What is known of SLOs after a cycle: budgets, burn rates and alerts, for the API and for what alerts say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from slo.burn import (
    budget_of,
    budget_used,
    burn_rate,
    error_ratio,
    exhausted_in_ms,
    of_period,
    overall_ratio,
    parts_of,
    window_of_today,
)
from slo.held import why_held
from slo.judge import Decision, Policy, Verdict, decide, verdict_of
from slo.measure import Floats, Measured, Sums
from slo.period import Calendar, spans
from slo.spec import AlertSpec, BurnCondition, Condition, SloSpec
from slo.state import INACTIVE, AlertState

_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class WindowStatus:
    """One window. Ratio and burn are NaN without traffic; `bad` and `total` are NaN for a composite of occurrences."""

    window_ms: int
    bad: float
    total: float
    error_ratio: float
    burn: float
    coverage: float
    """The share of it that is known; NaN where maintenance takes out all of it."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The period's error budget. What is left is negative when it is overspent; NaN without traffic."""

    left: float
    """As a share of it."""
    events: float
    """How many more may be bad, of the events (or slices) so far; NaN for a composite of occurrences."""
    minutes: float
    """As so many minutes in which everything is bad, at the period's own error ratio: (B - ratio) * period."""
    exhausted_in_ms: int | None
    """Until it is used up at today's burn; None where that does not come, or not in this period of the calendar."""


@dataclass(frozen=True, slots=True)
class ComponentStatus:
    """What one component of a composite of occurrences has over the period."""

    name: str
    objective: float
    weight: float
    bad: float
    total: float
    error_ratio: float


@dataclass(frozen=True, slots=True)
class ConditionStatus:
    """One condition now, with the burn rates of its windows, longest first (empty for other conditions)."""

    condition: Condition
    burns: tuple[float, ...]
    firing: bool
    held: str
    """Why it cannot be decided; else ""."""


@dataclass(frozen=True, slots=True)
class AlertStatus:
    """An alert: its conditions now, and how far it is."""

    alert: AlertSpec
    conditions: tuple[ConditionStatus, ...]
    fires: bool
    """Whether a condition holds now, be it not yet for `for_ms`."""
    condition: int
    """Which one; -1 for none, or that nothing is known (`when_no_data`)."""
    held: str
    """Why it holds its state; else ""."""
    state: AlertState = INACTIVE

    @property
    def firing(self) -> bool:
        """Whether the alert fires."""
        return self.state.firing_ms is not None

    @property
    def pending(self) -> bool:
        """Whether it waits for its `for_ms`."""
        return self.state.active and not self.firing

    @property
    def since_ms(self) -> int | None:
        """Since when it fires."""
        return self.state.firing_ms


@dataclass(frozen=True, slots=True)
class SloStatus:
    """An SLO at the end of the newest counted interval; everything is empty before the first.

    Of `bad`, `total` and `error_ratio` over the period the first two are NaN for a composite of occurrences, the third
    is what its burn rate comes to under its own objective.
    """

    spec: SloSpec
    to_ms: int | None = None
    known_ms: int = 0
    """How far back everything that is there was counted."""
    complete: bool = False
    """Whether the period is known from its beginning."""
    bad: float = math.nan
    total: float = math.nan
    error_ratio: float = math.nan
    coverage: float = 0.0
    """The share of the period that is known, of the component that is known least."""
    budget: Budget = Budget(math.nan, math.nan, math.nan, None)
    sla_left: float | None = None
    """The share of the `sla`'s budget that is left; None without an `sla`."""
    components: tuple[ComponentStatus, ...] = ()
    windows: tuple[WindowStatus, ...] = ()
    """Every window that was measured, shortest first."""
    alerts: tuple[AlertStatus, ...] = ()
    error: str | None = None
    """Why it could not be counted last time; the figures are then those of the time before."""

    def failed(self, error: str) -> SloStatus:
        """The same figures, with an error."""
        return replace(self, error=error)

    def alert(self, key: str) -> AlertStatus | None:
        """The alert of this key."""
        return next((one for one in self.alerts if one.alert.key == key), None)


class States(Protocol):
    """Who knows how far alerts are."""

    def state(self, slo: str, alert: str) -> AlertState:
        """That of an alert of an SLO."""


def unknown(spec: SloSpec) -> SloStatus:
    """An SLO nothing was counted of."""
    return SloStatus(spec)


def assess(specs: Sequence[SloSpec], measured: Measured, policy: Policy) -> list[SloStatus]:
    """SLOs of one shape, one a point."""
    if not specs:
        return []
    shape = specs[0]
    begin_ms, _ = spans(shape.period, measured.at_ms)
    complete = measured.known_ms >= measured.at_ms - begin_ms
    period = _columns(shape, measured.period)
    windows = {window: _columns(shape, measured.windows[window]) for window in sorted(measured.windows)}
    budgets, slas = _budgets(shape, measured, windows), _sla_left(shape, measured)
    alerts = [_judged(shape, alert, measured, policy) for alert in shape.alerts]
    return [
        SloStatus(
            spec,
            int(measured.at_ms[n]),
            int(measured.known_ms[n]),
            bool(complete[n]),
            bad=float(period.bad[n]),
            total=float(period.total[n]),
            error_ratio=float(period.error_ratio[n]),
            coverage=float(period.coverage[n]),
            budget=budgets[n],
            sla_left=None if slas is None else float(slas[n]),
            components=_components(spec, measured, n),
            windows=tuple(columns.window(window, n) for window, columns in windows.items()),
            alerts=tuple(
                _alert(alert, judged, windows, (measured, n, policy.coverage_floor))
                for alert, judged in zip(spec.alerts, alerts, strict=True)
            ),
        )
        for n, spec in enumerate(specs)
    ]


def with_alerts(status: SloStatus, states: States) -> SloStatus:
    """The status with how far each alert is."""
    alerts = (replace(one, state=states.state(status.spec.id, one.alert.key)) for one in status.alerts)
    return replace(status, alerts=tuple(alerts))


@dataclass(frozen=True, slots=True)
class _Columns:
    """A `WindowStatus` at n points, arrays of (n,)."""

    bad: Floats
    total: Floats
    error_ratio: Floats
    burn: Floats
    coverage: Floats

    def window(self, window_ms: int, n: int) -> WindowStatus:
        columns = (self.bad, self.total, self.error_ratio, self.burn, self.coverage)
        return WindowStatus(window_ms, *(float(column[n]) for column in columns))


def _columns(spec: SloSpec, sums: Sequence[Sums]) -> _Columns:
    none = np.full(len(sums[0].bad), np.nan)
    bad, total = (sums[0].bad, sums[0].total) if len(sums) == 1 else (none, none)
    coverage = np.min([one.coverage for one in sums], axis=0)
    return _Columns(bad, total, overall_ratio(spec, sums), burn_rate(parts_of(spec), sums), coverage)


_Judged = tuple[Verdict, list[Decision]]


def _judged(spec: SloSpec, alert: AlertSpec, measured: Measured, policy: Policy) -> _Judged:
    decisions = decide(spec, alert, measured, policy)
    return verdict_of(alert, decisions, measured), decisions


def _alert(
    alert: AlertSpec, judged: _Judged, windows: Mapping[int, _Columns], at: tuple[Measured, int, float]
) -> AlertStatus:
    """At a point of what was measured, with the coverage floor."""
    (verdict, decisions), (_, n, _) = judged, at
    conditions = tuple(
        ConditionStatus(
            condition,
            _burns(condition, windows, n),
            bool(decision.fires[n]),
            why_held(int(decision.why[n]), [condition], *at),
        )
        for condition, decision in zip(alert.conditions, decisions, strict=True)
    )
    held = why_held(int(verdict.why[n]), alert.conditions, *at)
    return AlertStatus(alert, conditions, bool(verdict.firing[n]), int(verdict.condition[n]), held)


def _burns(condition: Condition, windows: Mapping[int, _Columns], n: int) -> tuple[float, ...]:
    if not isinstance(condition, BurnCondition):
        return ()
    return tuple(float(windows[window].burn[n]) for window in condition.windows_ms)


def _budgets(spec: SloSpec, measured: Measured, windows: Mapping[int, _Columns]) -> list[Budget]:
    begin_ms, end_ms = spans(spec.period, measured.at_ms)
    whole, allowed = of_period(spec, measured), float(budget_of(spec.objective))
    left = 1 - budget_used(spec, measured)
    events = np.full(len(left), np.nan)
    if len(whole) == 1:
        events = np.where(whole[0].total > 0, np.round(allowed * whole[0].total - whole[0].bad, 9), np.nan)
    minutes = (allowed - overall_ratio(spec, whole)) * (end_ms - begin_ms) / _MINUTE_MS
    today = window_of_today(sorted(measured.windows))
    budgets = []
    for n in range(len(left)):
        burn = math.nan if today is None else float(windows[today].burn[n])
        lasts_ms = exhausted_in_ms(float(left[n]), burn, int(end_ms[n] - begin_ms[n]))
        # a period of the calendar that is over begins anew
        if lasts_ms is not None and isinstance(spec.period, Calendar) and lasts_ms > end_ms[n] - measured.at_ms[n]:
            lasts_ms = None
        budgets.append(Budget(float(left[n]), float(events[n]), float(minutes[n]), lasts_ms))
    return budgets


def _sla_left(spec: SloSpec, measured: Measured) -> Floats | None:
    if spec.sla is None:
        return None
    ratio, allowed = overall_ratio(spec, of_period(spec, measured)), float(budget_of(spec.sla))
    return 1 - ratio / allowed if allowed else np.where(ratio > 0, -np.inf, 1 - ratio)


def _components(spec: SloSpec, measured: Measured, n: int) -> tuple[ComponentStatus, ...]:
    if len(measured.period) == 1:
        return ()
    return tuple(
        ComponentStatus(
            one.name, one.objective, one.weight, float(sums.bad[n]), float(sums.total[n]), float(error_ratio(sums)[n])
        )
        for one, sums in zip(spec.components, measured.period, strict=True)
    )
