"""`/api/v1/slos/{name}/history`: what was counted, step by step, and what it left of the budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from app.api.gate import QueryGate
from app.api.prometheus_params import Parameters, read
from app.api.slo.asking import one_slo, reply
from app.api.slo.figures import number, seconds, spec_json
from app.config import Limits
from app.durations import format_duration_ms
from app.errors import BadQuery
from slo.budgeting import unit_of
from slo.burn import budget_of, budget_used, of_period, overall_ratio
from slo.engine import SloEngine
from slo.measure import Ints
from slo.past import Past, first_needed_ms
from slo.period import spans
from slo.spec import SloSpec

_USUAL_POINTS = 120


@dataclass(frozen=True, slots=True)
class Steps:
    """Stretches of one length, one after the other; the last may be shorter. Times are multiples of the SLO's unit."""

    from_ms: int
    to_ms: int
    step_ms: int

    def __len__(self) -> int:
        return -(-(self.to_ms - self.from_ms) // self.step_ms)

    def edges(self) -> tuple[Ints, Ints]:
        """(from, to) of each."""
        begins = np.arange(self.from_ms, self.to_ms, self.step_ms, dtype=np.int64)
        return begins, np.minimum(begins + self.step_ms, self.to_ms)


def add_history(router: APIRouter, engine: SloEngine, gate: QueryGate, limits: Limits) -> None:
    """The route."""

    @router.get("/{name:path}/history")
    async def history(name: str, request: Request) -> Response:
        """Counts of each step of a range (`start`, `end`, `step`), and the budget left at its end."""
        p = await read(request)
        spec = one_slo(engine, name)
        steps = _steps(p, spec, engine, limits)
        check_reach(steps.to_ms - steps.from_ms, engine.interval_ms, limits, "the range")
        needed_ms = first_needed_ms(spec, steps.from_ms, engine.interval_ms)
        check_reach(steps.to_ms - needed_ms, engine.interval_ms, limits, "the range and the period before it")
        rows = await engine.rows(spec, needed_ms, steps.to_ms)
        removed, known_ms = engine.removed(spec), engine.known_from_ms(spec)

        def answer() -> Response:
            past = Past(spec, rows, removed, engine.interval_ms, needed_ms)
            maintenance = [
                {"start": seconds(start), "end": seconds(end)}
                for start, end in removed
                if start < steps.to_ms and end > steps.from_ms
            ]
            return reply(
                {
                    **spec_json(spec),
                    "start": seconds(steps.from_ms),
                    "end": seconds(steps.to_ms),
                    "step": format_duration_ms(steps.step_ms),
                    "known_from": seconds(known_ms),
                    "maintenance": maintenance,
                    "points": _points(spec, past, steps, known_ms),
                }
            )

        return await gate.run(answer)


def check_reach(reach_ms: int, interval_ms: int, limits: Limits, what: str) -> None:
    """Raises BadQuery where too many intervals would have to be read."""
    if reach_ms > limits.slo_max_intervals * interval_ms:
        raise BadQuery(
            f"{what} are {-(-reach_ms // interval_ms)} intervals of {format_duration_ms(interval_ms)},"
            f" more than limits.slo_max_intervals = {limits.slo_max_intervals}:"
            " ask for a shorter range or a longer interval"
        )


def _steps(p: Parameters, spec: SloSpec, engine: SloEngine, limits: Limits) -> Steps:
    unit_ms, now = unit_of(spec, engine.interval_ms), engine.now_ms()
    end_ms = min(p.time_ms("end", now), now) // unit_ms * unit_ms
    start_ms = p.time_ms("start", end_ms - spec.period.length_ms) // unit_ms * unit_ms
    if start_ms >= end_ms:
        raise BadQuery('"start" must be before "end", and both not in the future')
    step_ms = p.duration_ms("step") or -(-(end_ms - start_ms) // _USUAL_POINTS)
    if step_ms < 0:
        raise BadQuery('invalid parameter "step": it must be positive')
    steps = Steps(start_ms, end_ms, -(-min(step_ms, end_ms - start_ms) // unit_ms) * unit_ms)
    if len(steps) > limits.query_max_points:
        raise BadQuery(
            f"{len(steps)} points are asked for, more than limits.query_max_points = {limits.query_max_points}:"
            ' use a longer "step"'
        )
    return steps


def _points(spec: SloSpec, past: Past, steps: Steps, known_ms: int | None) -> list[dict[str, Any]]:
    begins, ends = steps.edges()
    sums, at = past.sums(begins, ends), past.measured(ends)
    single = len(sums) == 1
    ratio, used, whole = overall_ratio(spec, sums), budget_used(spec, at), of_period(spec, at)
    coverage = np.min([one.coverage for one in sums], axis=0)
    period_coverage = np.min([one.coverage for one in at.period], axis=0)
    period_begins, _ = spans(spec.period, ends)
    allowed = float(budget_of(spec.objective))
    return [
        {
            "start": seconds(int(begins[n])),
            "end": seconds(int(ends[n])),
            "good": number(float(sums[0].total[n] - sums[0].bad[n])) if single else None,
            "total": number(float(sums[0].total[n])) if single else None,
            "coverage": number(float(coverage[n])),
            "sli": number(float(1 - ratio[n])),
            "budget_left": number(float(1 - used[n])),
            "budget_left_events": number(float(allowed * whole[0].total[n] - whole[0].bad[n])) if single else None,
            "period_coverage": number(float(period_coverage[n])),
            "complete": known_ms is not None and known_ms <= int(period_begins[n]),
        }
        for n in range(len(begins))
    ]
