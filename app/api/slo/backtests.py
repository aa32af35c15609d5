"""`/api/v1/slos/backtest`: what the alerts of a spec would have done over a range of the past."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from app.api.gate import QueryGate
from app.api.prometheus_params import Parameters, read_query
from app.api.slo.asking import body_text, reply
from app.api.slo.figures import number, seconds, spec_json
from app.api.slo.history import check_reach
from app.config import Limits
from app.durations import format_duration_ms
from app.errors import BadQuery
from app.yamlfile import read_documents
from slo.backtest import Backtest, PastAlert, backtest
from slo.budgeting import unit_of
from slo.engine import SloEngine
from slo.files import read_slos
from slo.judge import Policy
from slo.notice import condition_text
from slo.past import first_needed_ms
from slo.spec import BurnCondition, SloSpec
from slo.windows import Windows, load_windows

_LEAST_INTERVAL_MS = 1_000


@dataclass(frozen=True, slots=True)
class _Asked:
    specs: Sequence[SloSpec]
    from_ms: int
    to_ms: int
    interval_ms: int
    policy: Policy


def add_backtest(
    router: APIRouter,
    engine: SloEngine,
    gate: QueryGate,
    limits: Limits,
    windows: Callable[[], Windows] | None = None,
) -> None:
    """The route. Counting runs among the queries, within their limits."""

    @router.post("/backtest")
    async def run(request: Request) -> Response:
        """Evaluates the specs in the body (`start`, `end`; `interval`, `coverage_floor`, `false_alarms`)."""
        p = read_query(request)
        text = await body_text(request, limits.max_body_bytes)
        asked = _asked(p, text, windows() if windows else load_windows(), engine, limits)
        return await gate.run(lambda: _answer(engine, asked, limits), request, "SLO backtest")


def _asked(p: Parameters, text: bytes, windows: Windows, engine: SloEngine, limits: Limits) -> _Asked:
    now = engine.now_ms()
    start_ms, end_ms = p.time_ms("start"), min(p.time_ms("end", now), now)
    if start_ms >= end_ms:
        raise BadQuery('"start" must be before "end", and both not in the future')
    given_ms = p.duration_ms("interval")
    interval_ms = engine.interval_ms if given_ms is None else given_ms
    if interval_ms < _LEAST_INTERVAL_MS:
        raise BadQuery('invalid parameter "interval": it must be a second or more')
    policy = Policy(
        _share(p, "coverage_floor", engine.policy.coverage_floor), _share(p, "false_alarms", engine.policy.false_alarms)
    )
    asked = _Asked(_specs(text, windows), start_ms, end_ms, interval_ms, policy)
    check_reach(end_ms - start_ms, interval_ms, limits, "the range")
    for spec in asked.specs:
        if unit_of(spec, interval_ms) % interval_ms:
            raise BadQuery(f"the time slices of {spec.id} must be a multiple of the interval")
        needed_ms = first_needed_ms(spec, start_ms, interval_ms)
        check_reach(end_ms - needed_ms, interval_ms, limits, f"the range and what {spec.id} looks back on before it")
    return asked


def _specs(text: bytes, windows: Windows) -> list[SloSpec]:
    if not text.strip():
        raise BadQuery("the body has no SLO: send a spec as YAML or JSON")
    try:
        documents = read_documents("body", text.decode())
    except UnicodeDecodeError:
        raise BadQuery("the spec is not UTF-8") from None
    specs = read_slos(documents, windows).specs
    if not specs:
        raise BadQuery("the body has no SLO: send a spec as YAML or JSON")
    return list(specs)


def _share(p: Parameters, name: str, default: float) -> float:
    text = p.get(name)
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise BadQuery(f'invalid parameter "{name}": a number from 0 to 1 is wanted, not "{text}"')
    return value


def _answer(engine: SloEngine, asked: _Asked, limits: Limits) -> Response:
    found: list[Backtest] = []
    for spec in asked.specs:
        needed_ms = first_needed_ms(spec, asked.from_ms, asked.interval_ms)
        # whole intervals: the one that the range ends in is not over
        counted_ms = asked.to_ms // asked.interval_ms * asked.interval_ms
        groups = engine.count(spec, needed_ms, counted_ms, asked.interval_ms)
        if len(found) + len(groups) > limits.slo_groups:
            raise BadQuery(f"the specs make more than limits.slo_groups = {limits.slo_groups} SLOs")
        for group, rows in groups.items():
            one = spec.of_group(group) if spec.grouping else spec
            maintenance = engine.removed(one)
            try:
                found.append(
                    backtest(
                        one, rows, maintenance, asked.from_ms, asked.to_ms, asked.interval_ms, asked.policy, needed_ms
                    )
                )
            except ValueError as error:
                raise BadQuery(str(error)) from None
    return reply(_json(found))


def _json(found: Sequence[Backtest]) -> dict[str, Any]:
    every = [(one, _backtest_json(one)) for one in found]
    if len(every) == 1:
        return every[0][1]
    alerts = [{**alert, "slo": one.spec.id} for one, data in every for alert in data["alerts"]]
    return {
        "alerts": sorted(alerts, key=lambda alert: alert["starts_at"]),
        "sli": None,
        "budget": None,
        "slos": [data for _, data in every],
    }


def _backtest_json(one: Backtest) -> dict[str, Any]:
    budget = one.status.budget
    return {
        **spec_json(one.spec),
        "start": seconds(one.from_ms),
        "end": seconds(one.to_ms),
        "alerts": [_alert_json(alert) for alert in one.alerts],
        "sli": number(1 - one.error_ratio),
        "good": number(one.total - one.bad),
        "total": number(one.total),
        "budget": {
            "left": number(budget.left),
            "left_events": number(budget.events),
            "left_minutes": number(budget.minutes),
            "period_sli": number(1 - one.status.error_ratio),
            "coverage": number(one.status.coverage),
        },
        "series": [
            {"time": seconds(int(at)), "budget_left": number(float(left)), "error_ratio": number(float(ratio))}
            for at, left, ratio in zip(one.series.at_ms, one.series.budget_left, one.series.error_ratio, strict=True)
        ],
    }


def _alert_json(one: PastAlert) -> dict[str, Any]:
    condition = one.condition
    burn = condition if isinstance(condition, BurnCondition) else None
    return {
        "name": one.alert.name,
        "key": one.alert.key,
        "severity": one.alert.severity,
        "condition": condition_text(condition),
        "long_window": format_duration_ms(burn.long_ms) if burn else None,
        "short_window": format_duration_ms(burn.short_ms) if burn else None,
        "burn_rate": float(burn.factor) if burn else None,
        "peak_burn": number(one.peak_burn),
        "starts_at": seconds(one.starts_ms),
        "ends_at": seconds(one.ends_ms),
        "budget_left": number(one.budget_left),
    }
