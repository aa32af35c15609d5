"""Silences in Alertmanager's API v2: listed, created, changed, expired."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from alerting.manager.manager import AlertManager
from alerting.manager.silences import BadSilence, NoSuchSilence, Silence, SilenceState
from app.api.alertmanager.wire import (
    REQUIRED,
    TOO_FEW,
    TYPE,
    Refused,
    body_of,
    coded,
    flag,
    json_answer,
    matchers,
    plain,
    text_of,
    texts,
    time_of,
    time_text,
    unreadable,
    who,
)
from app.labels import Matcher, MatchOp

_BODY = "silence"
_NEVER = datetime(1, 1, 1, tzinfo=UTC)


def add_silences(router: APIRouter, manager: AlertManager, most_bytes: int) -> None:
    """`/silences` and `/silence/{id}`. Changes need the role admin (app.web.role_for)."""
    silences = manager.silences

    @router.get("/silences")
    async def every(request: Request) -> Response:
        wanted = matchers(request, "filter")
        states = {state for state in ("active", "pending", "expired") if flag(request, state)}
        now = manager.clock.now()
        found = [s for s in silences.all() if s.state(now) in states and all(m in s.matchers for m in wanted)]
        return json_answer([_json(silence, now) for silence in found])

    @router.post("/silences")
    async def post(request: Request) -> Response:
        wanted = _read(await body_of(request, _BODY, most_bytes))
        if wanted.starts_at >= wanted.ends_at:
            raise plain("Failed to create silence: start time must be before end time")
        if wanted.ends_at < manager.clock.now():
            raise plain("Failed to create silence: end time can't be in the past")
        try:
            return json_answer({"silenceID": await silences.set(wanted, who(request))})
        except NoSuchSilence as error:
            raise plain(str(error), 404) from None
        except BadSilence as error:
            raise plain(str(error)) from None

    @router.get("/silence/{silence_id}")
    async def one(silence_id: str) -> Response:
        try:
            return json_answer(_json(silences.get(_uuid(silence_id)), manager.clock.now()))
        except NoSuchSilence:
            raise Refused(404, None) from None

    @router.delete("/silence/{silence_id}")
    async def expire(silence_id: str, request: Request) -> Response:
        try:
            await silences.expire(_uuid(silence_id), who(request))
        except NoSuchSilence:
            raise Refused(404, None) from None
        return Response(status_code=200)


def _json(silence: Silence, now: datetime) -> dict[str, Any]:
    state: SilenceState = silence.state(now)
    return {
        "id": silence.id,
        "status": {"state": state},
        "updatedAt": time_text(silence.updated_at),
        "annotations": dict(silence.annotations),
        "comment": silence.comment,
        "createdBy": silence.created_by,
        "endsAt": time_text(silence.ends_at),
        "matchers": [
            {
                "isEqual": m.op in (MatchOp.EQUAL, MatchOp.REGEX),
                "isRegex": m.op in (MatchOp.REGEX, MatchOp.NOT_REGEX),
                "name": m.name,
                "value": m.value,
            }
            for m in silence.matchers
        ],
        "startsAt": time_text(silence.starts_at),
    }


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise coded(422, TYPE, f'silenceID in path must be of type uuid: "{text}"') from None


def _read(item: Any) -> Silence:
    if not isinstance(item, dict):
        raise unreadable(_BODY, "a silence is an object")
    read = {key: text_of(item, key, _BODY) for key in ("id", "comment", "createdBy")}
    starts_at, ends_at = time_of(item, "startsAt", _BODY), time_of(item, "endsAt", _BODY)
    found = item.get("matchers")
    if found is not None and not isinstance(found, list):
        raise unreadable(_BODY, "matchers is no list")
    # in the order of the names, as the first that is missing is told
    for key in ("comment", "createdBy", "endsAt", "matchers", "startsAt"):
        if item.get(key) is None:
            raise coded(422, REQUIRED, f"{key} in body is required")
        if key == "matchers" and not found:
            raise coded(422, TOO_FEW, "matchers in body should have at least 1 items")
    return Silence(
        id=read["id"],
        matchers=tuple(_matcher(i, matcher) for i, matcher in enumerate(found or ())),
        starts_at=starts_at or _NEVER,
        ends_at=ends_at or _NEVER,
        updated_at=_NEVER,
        created_by=read["createdBy"],
        comment=read["comment"],
        annotations=texts(item, "annotations", _BODY),
    )


def _matcher(i: int, item: Mapping[str, Any]) -> Matcher:
    if not isinstance(item, dict):
        raise unreadable(_BODY, f"matchers.{i} is no object")
    name, value = text_of(item, "name", _BODY), text_of(item, "value", _BODY)
    for key in ("isRegex", "isEqual"):
        if item.get(key) is not None and not isinstance(item[key], bool):
            raise unreadable(_BODY, f"matchers.{i}.{key} is no boolean")
    for key in ("isRegex", "name", "value"):
        if item.get(key) is None:
            raise coded(422, REQUIRED, f"matchers.{i}.{key} in body is required")
    equal = item.get("isEqual") is not False
    if item["isRegex"]:
        return Matcher(name, MatchOp.REGEX if equal else MatchOp.NOT_REGEX, value)
    return Matcher(name, MatchOp.EQUAL if equal else MatchOp.NOT_EQUAL, value)
