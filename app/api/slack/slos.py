"""What messages show of an SLO beyond its alerts: its budget over time, and what stands out among the bad events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from alerting.slack.desk import SloView
from alerting.slack.extras import BurnDown, Offender
from alerting.slack.state import PAGES
from app.api.gate import QueryGate
from app.config import Limits
from app.errors import BadQuery
from app.query.logql.engine import LogQLEngine
from app.query.promql.engine import PromQLEngine
from slo.budgeting import unit_of
from slo.burn import budget_used, exhausted_in_ms
from slo.engine import SloEngine
from slo.offenders import Counts, offenders
from slo.past import Past, first_needed_ms
from slo.spec import BurnCondition, Query, SloSpec
from slo.status import AlertStatus, SloStatus

_POINTS = 180
QUERY_S = 2.5
"""A query for what stands out ends after so long, before the message goes without it."""
_MS = 1_000_000


class SlackSlos:
    """An `alerting.slack.extras.SloSource`."""

    def __init__(
        self, engine: Callable[[], SloEngine], promql: PromQLEngine, logql: LogQLEngine, gate: QueryGate, limits: Limits
    ) -> None:
        self._engine = engine
        self._promql = promql
        self._logql = logql
        self._gate = gate
        self._limits = limits

    async def offenders(self, slo: str, window_ms: int) -> list[Offender]:
        """As `SloSource.offenders`; counts to the last interval that is over."""
        engine, spec = self._engine(), self._found(slo)
        if spec is None:
            return []
        end_ms = engine.now_ms() // engine.interval_ms * engine.interval_ms

        def ask(query: Query) -> Counts:
            if query.language == "logql":
                answer = self._logql.instant(query.text, end_ms * _MS, timeout_s=QUERY_S)
            else:
                answer = self._promql.instant(query.text, end_ms, timeout_s=QUERY_S)
            return [
                (labels, float(answer.values[i][0])) for i, labels in enumerate(answer.labels) if answer.present[i][0]
            ]

        found = await self._gate.run(lambda: offenders(spec, window_ms, ask))
        return [Offender(one.label, one.value, one.bad, one.share, one.usual) for one in found]

    async def burn_down(self, slo: str, length_ms: int) -> BurnDown | None:
        """As `SloSource.burn_down`, in 180 steps at most."""
        engine, spec = self._engine(), self._found(slo)
        if spec is None:
            return None
        unit_ms = unit_of(spec, engine.interval_ms)
        end_ms = engine.now_ms() // unit_ms * unit_ms
        start_ms = max(end_ms - length_ms, engine.known_from_ms(spec) or 0) // unit_ms * unit_ms
        if start_ms >= end_ms:
            return None
        needed_ms = first_needed_ms(spec, start_ms, engine.interval_ms)
        if end_ms - needed_ms > self._limits.slo_max_intervals * engine.interval_ms:
            raise BadQuery("the period has more intervals than limits.slo_max_intervals")
        rows, removed = await engine.rows(spec, needed_ms, end_ms), engine.removed(spec)
        status = (await engine.statuses([spec]))[0]

        def read() -> tuple[Sequence[datetime], Sequence[float]]:
            past = Past(spec, rows, removed, engine.interval_ms, needed_ms)
            step_ms = -(-(end_ms - start_ms) // _POINTS // unit_ms) * unit_ms or unit_ms
            ends = np.arange(end_ms, start_ms, -step_ms, dtype=np.int64)[::-1]
            left = 1 - budget_used(spec, past.measured(ends))
            return [_at(int(ms)) for ms in ends], [float(one) for one in left]

        at, left = await self._gate.run(read)
        gone_in_ms = _gone_in_ms(status)
        gone_at = at[-1] + timedelta(milliseconds=gone_in_ms) if gone_in_ms is not None else None
        return BurnDown(spec.display_name or spec.name, spec.objective, at, left, gone_at, _began_at(status))

    async def views(self) -> list[SloView]:
        """Every SLO as it is told."""
        return [_view(status) for status in await self._engine().statuses()]

    def _found(self, slo: str) -> SloSpec | None:
        found = self._engine().find(slo)
        return found[0] if len(found) == 1 else None


def _view(status: SloStatus) -> SloView:
    firing = [one for one in status.alerts if one.firing]
    first = next((one for one in firing if one.alert.severity.lower() in PAGES), firing[0] if firing else None)
    return SloView(
        status.spec.id,
        status.spec.name,
        status.spec.service,
        status.spec.objective,
        _finite(status.budget.left),
        status.budget.exhausted_in_ms,
        tuple((one.window_ms, _finite(one.burn)) for one in status.windows),
        (first.alert.severity or "firing") if first else "",
        status.error or "",
        _firing_burns(first) if first else (),
    )


def _firing_burns(one: AlertStatus) -> tuple[tuple[int, float | None], ...]:
    """The windows of the condition an alert fires for, longest first; none where that is no burn rate, or held."""
    if not one.fires or one.condition < 0:
        return ()
    found = one.conditions[one.condition]
    if not isinstance(found.condition, BurnCondition):
        return ()
    burns = zip(found.condition.windows_ms, found.burns, strict=True)
    return tuple((window_ms, _finite(burn)) for window_ms, burn in burns)


def _gone_in_ms(status: SloStatus) -> int | None:
    """Until the budget is used up at the rate of the alert that fires; None while none does."""
    left = _finite(status.budget.left)
    burns = [
        one.conditions[one.condition].burns for one in status.alerts if one.firing and one.fires and one.condition >= 0
    ]
    fastest = max((burn[0] for burn in burns if burn), default=0.0)
    # of a budget that is spent nothing is to come
    return None if left is None or left <= 0 else exhausted_in_ms(left, fastest, status.spec.period.length_ms)


def _began_at(status: SloStatus) -> datetime | None:
    since = [one.since_ms for one in status.alerts if one.firing and one.since_ms is not None]
    return _at(min(since)) if since else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
