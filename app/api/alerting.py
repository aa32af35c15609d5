"""What Alertmanager's API has no place for: explanations, recurring silences, acknowledgements, the audit."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, BeforeValidator, Field

from alerting.manager.audit import MOST_SHOWN
from alerting.manager.explain import explain
from alerting.manager.manager import AlertManager
from alerting.manager.recurring import MOST_TIMES_SHOWN, NoSuchRecurring, RecurringSilence, shown
from alerting.manager.silences import BadSilence
from alerting.matchers import parse_matchers
from app.api.alertmanager.wire import who
from app.api.prometheus_params import read
from app.api.slo.asking import json_body, reply
from app.durations import DurationMs
from app.errors import BadQuery, NotFound
from app.labels import Matcher
from app.yamlfile import StrictModel

MAX_BODY_BYTES = 2**20
_NO_DATE = datetime(1970, 1, 1, tzinfo=UTC)
_LOCAL = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?")


def _local(value: object) -> datetime:
    if not isinstance(value, str) or not _LOCAL.fullmatch(value):
        raise ValueError("a date and time without a zone is wanted, as 2026-03-01T22:00 (timezone says whose clock)")
    return datetime.fromisoformat(value)


def _matchers(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        parse_matchers(text)
    return texts


class _Recurring(StrictModel):
    rrule: str = Field(min_length=1, max_length=1000)
    dtstart: Annotated[datetime, BeforeValidator(_local)]
    duration: DurationMs
    timezone: str = "UTC"
    matchers: Annotated[tuple[str, ...], AfterValidator(_matchers)]
    comment: str = Field("", max_length=4000)
    created_by: str = Field("", max_length=200)


class _Acknowledgement(StrictModel):
    group_key: str | None = None
    fingerprints: tuple[str, ...] = ()
    by: str = Field("", max_length=200)


def alerting_router(manager: AlertManager) -> APIRouter:
    """The routes. Those that change something need the role admin (app.web.role_for)."""
    router = APIRouter(prefix="/api/v1", tags=["alerting"])

    @router.get("/alerts/explain")
    async def explained(request: Request) -> Response:
        """Why somebody was told of the alert `fingerprint`, or was not, as of `at` (RFC 3339 or Unix seconds)."""
        p = await read(request)
        fingerprint = p.get("fingerprint")
        if not fingerprint:
            raise BadQuery('fingerprint: is wanted, as "/api/v2/alerts" has it')
        at_ms = p.bound_ms("at")
        at = datetime.fromtimestamp(at_ms / 1000, UTC) if at_ms is not None else None
        return reply(explain(manager, fingerprint, at))

    @router.get("/alerts/acknowledgements")
    async def acknowledged() -> Response:
        """Who looks after which alert, the newest first."""
        return reply([{"fingerprint": a.fingerprint, "by": a.by, "at": a.at} for a in manager.acknowledgements.all()])

    @router.post("/alerts/acknowledge")
    async def acknowledge(request: Request) -> Response:
        """Notes that `by` looks after the firing alerts of `group_key`, or those of `fingerprints`."""
        wanted = await json_body(request, _Acknowledgement, MAX_BODY_BYTES)
        if not wanted.fingerprints and wanted.group_key is None:
            raise BadQuery("fingerprints or group_key: one is wanted")
        new = await manager.acknowledge(
            group_key=wanted.group_key,
            fingerprints=wanted.fingerprints,
            by=wanted.by or who(request),
            who=who(request),
        )
        return reply([{"fingerprint": a.fingerprint, "by": a.by, "at": a.at} for a in new])

    _add_recurring(router, manager)

    @router.get("/silences/audit")
    async def audit(request: Request) -> Response:
        """Who changed what, the newest first; `limit`, and `about`, an id of a silence or an alert's fingerprint."""
        p = await read(request)
        return reply(await manager.audit.read(min(p.limit() or 1000, MOST_SHOWN), p.get("about")))

    return router


def _add_recurring(router: APIRouter, manager: AlertManager) -> None:
    @router.get("/silences/recurring")
    async def every() -> Response:
        """Every recurring silence, with its next times."""
        return reply([_json(manager, one, 3) for one in manager.recurring.all()])

    @router.get("/silences/recurring/{recurring_id}")
    async def one(recurring_id: str) -> Response:
        """One, with more of its next times."""
        for found in manager.recurring.all():
            if found.id == recurring_id:
                return reply(_json(manager, found, MOST_TIMES_SHOWN))
        raise NotFound(f"there is no recurring silence {recurring_id!r}")

    @router.post("/silences/recurring")
    async def create(request: Request) -> Response:
        """Takes a rule; its times are silences from then on."""
        wanted = await json_body(request, _Recurring, MAX_BODY_BYTES)
        matchers: list[Matcher] = [m for text in wanted.matchers for m in parse_matchers(text)]
        silence = RecurringSilence(
            id="",
            rule=wanted.rrule,
            dtstart=wanted.dtstart,
            duration_s=wanted.duration // 1000,
            timezone=wanted.timezone,
            matchers=tuple(matchers),
            created_by=wanted.created_by or who(request),
            comment=wanted.comment,
            created_at=_NO_DATE,
        )
        try:
            taken = await manager.recurring.add(silence, who(request))
        except BadSilence as error:
            raise BadQuery(str(error)) from None
        return reply(_json(manager, taken, 3))

    @router.delete("/silences/recurring/{recurring_id}")
    async def delete(recurring_id: str, request: Request) -> Response:
        """Ends it, and the silence of the time that is now."""
        try:
            await manager.recurring.delete(recurring_id, who(request))
        except NoSuchRecurring as error:
            raise NotFound(str(error)) from None
        return reply(None)


def _json(manager: AlertManager, one: RecurringSilence, times: int) -> dict[str, Any]:
    coming = manager.recurring.coming(one, times)
    return {**shown(one), "next": [{"starts_at": begins, "ends_at": ends} for begins, ends in coming]}
