"""`/api/v1/slos/maintenance`: times that are taken out of budgets, and `/api/v1/slos/audit`: who did so."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from app.api.prometheus_params import read
from app.api.slo.asking import Time, json_body, reply, time_ms
from app.api.slo.figures import seconds
from app.config import Limits
from app.errors import BadQuery, NotFound
from app.yamlfile import StrictModel
from slo.engine import SloEngine
from slo.maintenance import AuditEntry, Maintenance

_USUAL, _MOST = 1_000, 10_000


class _Wanted(StrictModel):
    start: Time
    end: Time
    slos: tuple[str, ...] = ()
    service: str = ""
    reason: str = ""
    by: str = ""


class _Change(StrictModel):
    start: Time | None = None
    end: Time | None = None
    slos: tuple[str, ...] | None = None
    service: str | None = None
    reason: str | None = None
    by: str = ""


class _Removal(StrictModel):
    reason: str = ""
    by: str = ""


def add_maintenance(router: APIRouter, engine: SloEngine, limits: Limits) -> None:
    """The routes. Those that change something need the role admin (app.web.role_for)."""
    most = limits.max_body_bytes

    @router.get("/maintenance")
    async def every() -> Response:
        """Every maintenance, past and planned, by its beginning."""
        return reply([_json(one) for one in engine.maintenances()])

    @router.post("/maintenance")
    async def create(request: Request) -> Response:
        """Takes [start, end) out of the budgets of `slos`, of all of a `service`, or of all."""
        wanted = await json_body(request, _Wanted, most)
        _check_names(engine, wanted.slos, wanted.service)
        one = await engine.add_maintenance(
            time_ms(wanted.start, "start"),
            time_ms(wanted.end, "end"),
            slos=wanted.slos,
            service=wanted.service,
            reason=wanted.reason,
            by=_who(request, wanted.by),
        )
        return reply(_json(one))

    @router.patch("/maintenance/{name}")
    async def change(name: str, request: Request) -> Response:
        """Gives a maintenance another `start`, `end`, `slos`, `service` or `reason`."""
        wanted = await json_body(request, _Change, most)
        _check_names(engine, wanted.slos or (), wanted.service or "")
        given = wanted.model_dump(exclude_none=True, exclude={"start", "end", "by"})
        for key, value in (("start", wanted.start), ("end", wanted.end)):
            if value is not None:
                given["from_ms" if key == "start" else "to_ms"] = time_ms(value, key)
        try:
            return reply(_json(await engine.change_maintenance(name, by=_who(request, wanted.by), **given)))
        except KeyError:
            raise NotFound(f"there is no maintenance {name!r}") from None

    @router.delete("/maintenance/{name}")
    async def remove(name: str, request: Request) -> Response:
        """Gives the time back to the budgets."""
        wanted = await json_body(request, _Removal, most)
        try:
            await engine.remove_maintenance(name, by=_who(request, wanted.by), reason=wanted.reason)
        except KeyError:
            raise NotFound(f"there is no maintenance {name!r}") from None
        return reply(None)

    @router.get("/audit")
    async def audit(request: Request) -> Response:
        """What was done to maintenances, the newest first; `limit` and `offset`."""
        p = await read(request)
        limit = p.limit() or _USUAL
        if limit > _MOST:
            raise BadQuery(f'invalid parameter "limit": at most {_MOST} entries are given in one answer')
        return reply([_audit_json(entry) for entry in await engine.audit(limit, p.limit("offset"))])


def _check_names(engine: SloEngine, slos: tuple[str, ...], service: str) -> None:
    """A name that is mistyped would take nothing out, and nobody would notice."""
    specs = engine.specs() if slos or service else []
    known = {spec.id for spec in specs} | {f"{spec.service}-{spec.name}" for spec in specs}
    for name in slos:
        if name not in known:
            raise NotFound(f"there is no SLO of the id {name!r}")
    if service and service not in {spec.service for spec in specs}:
        raise NotFound(f"there is no SLO of the service {service!r}")


def _who(request: Request, said: str) -> str:
    """Who asks: the name of the token, which cannot be made up, with what the request says of itself."""
    token = str(getattr(request.state, "token", ""))
    return f"{said} ({token})" if said and token else said or token


def _json(one: Maintenance) -> dict[str, Any]:
    return {
        "id": one.id,
        "start": seconds(one.from_ms),
        "end": seconds(one.to_ms),
        "slos": list(one.slos),
        "service": one.service,
        "reason": one.reason,
        "created_by": one.created_by,
        "created_at": seconds(one.created_ms),
    }


def _audit_json(entry: AuditEntry) -> dict[str, Any]:
    return {
        "at": seconds(entry.at_ms),
        "action": entry.action,
        "maintenance": entry.maintenance,
        "by": entry.by,
        "reason": entry.reason,
        "before": None if entry.before is None else _json(Maintenance(**entry.before)),
        "after": None if entry.after is None else _json(Maintenance(**entry.after)),
    }
