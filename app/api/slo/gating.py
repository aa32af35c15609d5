"""The deploy gate: `POST /api/v1/slos/{name}/gate`, and `POST /api/v1/slos/gate` for several at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from app.api.slo.asking import json_body, reply, slos_of_spec
from app.api.slo.figures import number, seconds
from app.config import Limits
from app.durations import DurationMs, format_duration_ms
from app.errors import BadQuery, NotFound
from app.yamlfile import StrictModel
from slo.engine import SloEngine
from slo.gate import Demands, Gate, all_go, gate
from slo.spec import SloSpec

_MOST = 1_000


class _Asked(StrictModel):
    min_budget_left: float = Field(0.0, ge=0, le=1)
    max_burn: float | None = Field(None, ge=0)
    window: DurationMs | None = None
    ignore_alerts: bool = False
    coverage_floor: float | None = Field(None, ge=0, le=1)

    def demands(self, floor: float) -> Demands:
        """As the gate takes them, with a coverage floor where none was given."""
        least = floor if self.coverage_floor is None else self.coverage_floor
        return Demands(self.min_budget_left, self.max_burn, self.window, self.ignore_alerts, least)


class _AskedOfSeveral(_Asked):
    names: tuple[str, ...] = ()
    service: str = ""


def add_gate(router: APIRouter, engine: SloEngine, limits: Limits) -> None:
    """The routes. They change nothing, and a no-go is an answer like any other: status 200."""

    @router.post("/gate")
    async def gate_of_several(request: Request) -> Response:
        """Go when all of `names` and all SLOs of `service` say go."""
        asked = await json_body(request, _AskedOfSeveral, limits.max_body_bytes)
        return await _answer(engine, _several(engine, asked), asked)

    @router.post("/{name:path}/gate")
    async def gate_of_one(name: str, request: Request) -> Response:
        """Go or no-go for one SLO, or for all groups of a spec."""
        asked = await json_body(request, _Asked, limits.max_body_bytes)
        return await _answer(engine, slos_of_spec(engine, name), asked)


def _several(engine: SloEngine, asked: _AskedOfSeveral) -> list[SloSpec]:
    if not asked.names and not asked.service:
        raise BadQuery('give "names" or a "service"')
    found = {spec.id: spec for name in asked.names for spec in slos_of_spec(engine, name)}
    if asked.service:
        of_service = [spec for spec in engine.specs() if spec.service == asked.service]
        if not of_service:
            raise NotFound(f"there is no SLO of the service {asked.service!r}")
        found |= {spec.id: spec for spec in of_service}
    return list(found.values())


async def _answer(engine: SloEngine, specs: Sequence[SloSpec], asked: _Asked) -> Response:
    if len(specs) > _MOST:
        raise BadQuery(f"{len(specs)} SLOs are asked for, a gate takes {_MOST} at most")
    demands, now_ms = asked.demands(engine.policy.coverage_floor), engine.now_ms()
    gates = [gate(status, demands, now_ms, engine.interval_ms) for status in await engine.statuses(specs)]
    reasons = [reason for one in gates for reason in (_named(one) if len(gates) > 1 else one.reasons)]
    whole = {"go": all_go(gates), "reasons": reasons, "slos": [_json(one) for one in gates]}
    data = {**_json(gates[0]), **whole} if len(gates) == 1 else whole
    return reply(data)


def _named(one: Gate) -> list[str]:
    return [f"{one.slo}: {reason}" for reason in one.reasons]


def _json(one: Gate) -> dict[str, Any]:
    return {
        "id": one.slo,
        "go": one.go,
        "reasons": list(one.reasons),
        "budget_left": number(one.budget_left),
        "budget_left_events": number(one.budget_left_events),
        "budget_left_minutes": number(one.budget_left_minutes),
        "window": None if one.window_ms is None else format_duration_ms(one.window_ms),
        "burn": number(one.burn),
        "coverage": number(one.coverage),
        "firing": list(one.firing),
        "last_interval": seconds(one.at_ms),
    }
