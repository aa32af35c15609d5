"""Alertmanager's API v2: a Prometheus sends its alerts here, and amtool, karma and Grafana read them."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
import re2
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from alerting.manager.manager import AlertManager
from alerting.manager.table import KnownAlert
from alerting.matchers import parse_matcher
from app.alert import Alert
from app.api.body import TooLarge, read_body
from app.errors import Overloaded, StoreError
from app.labels import Matcher, labels_from

MAX_BODY_BYTES = 16 * 2**20
VERSION = "0.28.0"
"""The Alertmanager whose API this is; amtool asks."""
_FAR = datetime(9999, 12, 31, tzinfo=UTC)


class _BadRequest(Exception):
    """Answered with 400 and the text as a JSON string, as Alertmanager does."""


def alertmanager_router(manager: AlertManager, *, max_body_bytes: int = MAX_BODY_BYTES) -> APIRouter:
    """The routes under /api/v2. Errors have Alertmanager's shape: the message as a JSON string."""
    router = APIRouter(prefix="/api/v2", tags=["alertmanager"])

    @router.get("/status")
    async def status() -> Response:
        return _json(_status(manager))

    @router.get("/receivers")
    async def receivers() -> Response:
        return _json([{"name": receiver.name} for receiver in manager.config.receivers])

    @router.get("/silences")
    async def silences() -> Response:
        return _json([])

    @router.get("/alerts")
    async def alerts(
        filter: Annotated[Sequence[str], Query()] = (),
        receiver: str = "",
        active: bool = True,
        silenced: bool = True,
        inhibited: bool = True,
        unprocessed: bool = True,
    ) -> Response:
        try:
            wanted = _Wanted(manager, filter, receiver, active=active, inhibited=inhibited)
        except _BadRequest as error:
            return _json(str(error), 400)
        shown = [wanted.shown(known) for known in manager.alerts()]
        found = [alert for alert in shown if alert is not None]
        return _json(sorted(found, key=lambda alert: str(alert["fingerprint"])))

    @router.post("/alerts")
    async def post_alerts(request: Request) -> Response:
        try:
            body = await _body(request, max_body_bytes)
            now = manager.clock.now()
            resolve_timeout = timedelta(milliseconds=manager.config.global_.resolve_timeout)
            posted, wrong = _read_alerts(body, now, resolve_timeout)
        except _BadRequest as error:
            return _json(str(error), 400)
        try:
            await manager.put_alerts(posted)
        except Overloaded as error:
            return _json(str(error), 429, {"Retry-After": f"{error.retry_after_s:.0f}"})
        except StoreError as error:
            return _json(str(error), 503, {"Retry-After": "5"})
        # the good ones are taken all the same, as Alertmanager does
        return _json("; ".join(wrong), 400) if wrong else Response(status_code=200)

    @router.get("/alerts/groups")
    async def groups(
        filter: Annotated[Sequence[str], Query()] = (),
        receiver: str = "",
        active: bool = True,
        silenced: bool = True,
        inhibited: bool = True,
        muted: bool = True,
    ) -> Response:
        try:
            wanted = _Wanted(manager, filter, receiver, active=active, inhibited=inhibited)
        except _BadRequest as error:
            return _json(str(error), 400)
        return _json(_groups(manager, wanted))

    return router


class _Wanted:
    """The filter of a request, and an alert as the API shows it."""

    def __init__(
        self, manager: AlertManager, filters: Sequence[str], receiver: str, *, active: bool, inhibited: bool
    ) -> None:
        self._manager = manager
        self._now = manager.clock.now()
        self._matchers = _matchers(filters)
        self._receiver = _receiver_pattern(receiver)
        self._active, self._inhibited = active, inhibited

    def receiver(self, names: Sequence[str]) -> bool:
        """Whether one of these receivers is asked for."""
        return self._receiver is None or any(self._receiver.fullmatch(name) for name in names)

    def shown(self, known: KnownAlert) -> dict[str, Any] | None:
        """The alert as JSON, None when it is not asked for or is resolved."""
        alert = known.alert
        receivers = self._manager.receivers_of(alert)
        mapping = dict(alert.labels)
        if alert.resolved_at(self._now) or not self.receiver(receivers):
            return None
        if not all(m.matches_labels(mapping) for m in self._matchers):
            return None
        by = self._manager.inhibited_by(alert)
        if not (self._inhibited if by else self._active):
            return None
        return {
            "annotations": dict(alert.annotations),
            "endsAt": _time(alert.ends_at or _FAR),
            "fingerprint": alert.fingerprint,
            "receivers": [{"name": name} for name in receivers],
            "startsAt": _time(alert.starts_at),
            "status": {
                "inhibitedBy": by,
                "mutedBy": [],
                "silencedBy": [],
                "state": "suppressed" if by else "active",
            },
            "updatedAt": _time(known.updated_at),
            "generatorURL": alert.generator_url,
            "labels": mapping,
        }


def _status(manager: AlertManager) -> dict[str, Any]:
    return {
        "cluster": {"status": "disabled", "peers": []},
        "versionInfo": {
            "branch": "watchhouse",
            "buildDate": "",
            "buildUser": "",
            "goVersion": f"python{platform.python_version()}",
            "revision": "",
            "version": VERSION,
        },
        "config": {"original": manager.config.redacted_yaml()},
        "uptime": _time(manager.started_at),
    }


def _groups(manager: AlertManager, wanted: _Wanted) -> list[dict[str, Any]]:
    found = []
    for group in manager.groups():
        if not wanted.receiver([group.receiver]):
            continue
        alerts = [shown for known in group.alerts if (shown := wanted.shown(known))]
        if alerts:
            alerts.sort(key=lambda alert: alert["fingerprint"])
            receiver = {"name": group.receiver}
            found.append({"alerts": alerts, "labels": dict(group.labels), "receiver": receiver})
    return found


def _matchers(filters: Sequence[str]) -> list[Matcher]:
    try:
        return [parse_matcher(text) for text in filters]
    except ValueError as error:
        raise _BadRequest(str(error)) from None


def _receiver_pattern(receiver: str) -> Any:
    if not receiver:
        return None
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(receiver, options)
    except re2.error:
        raise _BadRequest(f"failed to parse receiver param: {receiver!r} is not a regular expression") from None


async def _body(request: Request, limit: int) -> Any:
    try:
        return orjson.loads(await read_body(request, limit))
    except TooLarge:
        raise _BadRequest(f"the body is larger than {limit} bytes") from None
    except orjson.JSONDecodeError as error:
        raise _BadRequest(f"parsing alerts body failed: {error}") from None


def _read_alerts(body: Any, now: datetime, resolve_timeout: timedelta) -> tuple[list[Alert], list[str]]:
    if not isinstance(body, list):
        raise _BadRequest("parsing alerts body failed: a list of alerts is wanted")
    posted, wrong = [], []
    for i, item in enumerate(body):
        try:
            posted.append(_read_alert(item, now, resolve_timeout))
        except ValueError as error:
            wrong.append(f"alert {i}: {error}")
    return posted, wrong


def _read_alert(item: Any, now: datetime, resolve_timeout: timedelta) -> Alert:
    if not isinstance(item, dict):
        raise ValueError("is no object")
    labels = labels_from(_texts(item, "labels"))
    if not labels:
        raise ValueError("at least one label pair required")
    starts_at, ends_at = _read_time(item, "startsAt"), _read_time(item, "endsAt")
    if starts_at is None:
        starts_at = now if ends_at is None else min(now, ends_at)
    if ends_at is None:
        # nobody says when it ends: it does when its sender falls silent
        ends_at = now + resolve_timeout
    if ends_at < starts_at:
        raise ValueError("start time must be before end time")
    url = item.get("generatorURL") or ""
    if not isinstance(url, str):
        raise ValueError("generatorURL is no text")
    return Alert(labels, starts_at, ends_at, labels_from(_texts(item, "annotations")), url)


def _texts(item: dict[str, Any], key: str) -> dict[str, str]:
    value = item.get(key) or {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError(f"{key} is no object of texts")
    return value


def _read_time(item: dict[str, Any], key: str) -> datetime | None:
    value = item.get(key)
    if value is None or value == "":
        return None
    try:
        at = datetime.fromisoformat(value)
        at.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{key} is no time: {str(value)[:40]!r}") from None
    if at.tzinfo is None:
        raise ValueError(f"{key} has no time zone: {value!r}")
    # the year 1 is how Go writes a time that is not set
    return None if at.year == 1 else at.astimezone(UTC)


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, "application/json")
