"""`/api/v1/slos` and `/api/v1/slos/{name}`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from app.api.prometheus_params import Parameters, read
from app.api.slo.asking import one_slo, reply
from app.api.slo.figures import slo_json
from app.errors import BadQuery
from slo.engine import SloEngine
from slo.spec import SloSpec

MOST = 10_000
"""SLOs in one answer."""
_USUAL = 1_000
_YES_NO = {"": None, "true": True, "false": False, "1": True, "0": False}


def add_views(router: APIRouter, engine: SloEngine) -> None:
    """The list and one of it. Last of all routes: an SLO's id is the rest of the path."""

    @router.get("")
    async def slos(request: Request) -> Response:
        """SLOs in the order of the files: `service=`, `label=name=value`, `firing=true`; `limit` and `offset`."""
        p = await read(request)
        limit, offset = _page(p)
        found = _wanted(engine, p)
        statuses = await engine.statuses(found[offset : offset + limit])
        beside = {"total": len(found), "limit": limit, "offset": offset}
        return await asyncio.to_thread(lambda: reply([slo_json(status) for status in statuses], **beside))

    @router.get("/{name:path}")
    async def slo(name: str) -> Response:
        """One SLO by its id, or by its name where no other SLO has it."""
        statuses = await engine.statuses([one_slo(engine, name)])
        return reply(slo_json(statuses[0]))


def _page(p: Parameters) -> tuple[int, int]:
    limit = p.limit() or _USUAL
    if limit > MOST:
        raise BadQuery(f'invalid parameter "limit": at most {MOST} SLOs are given in one answer')
    return limit, p.limit("offset")


def _wanted(engine: SloEngine, p: Parameters) -> Sequence[SloSpec]:
    services, labels = p.all("service"), [_label(text) for text in p.all("label")]
    firing = p.get("firing")
    if firing not in _YES_NO:
        raise BadQuery(f'invalid parameter "firing": true or false is wanted, not "{firing}"')
    fires, wanted = engine.firing(), _YES_NO[firing]
    return [
        spec
        for spec in engine.specs()
        if (not services or spec.service in services)
        and set(labels) <= {*spec.labels, *spec.group}
        and (wanted is None or (spec.id in fires) is wanted)
    ]


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise BadQuery(f'invalid parameter "label": write it as name=value, not "{text}"')
    return name, value
