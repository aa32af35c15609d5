"""Alerts and their groups in Alertmanager's API v2."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import re2
from fastapi import APIRouter, Request
from fastapi.responses import Response

from alerting.manager.manager import AlertManager
from alerting.manager.table import KnownAlert
from app.alert import Alert
from app.api.alertmanager.wire import (
    REQUIRED,
    TYPE,
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
)
from app.errors import Overloaded
from app.labels import Matcher, MatchOp, labels_from

_BODY = "alerts"
_FAR = datetime(9999, 12, 31, tzinfo=UTC)


def add_alerts(router: APIRouter, manager: AlertManager, most_bytes: int) -> None:
    """`/alerts` and `/alerts/groups`."""

    @router.get("/alerts")
    async def alerts(request: Request) -> Response:
        wanted = _Wanted(manager, request)
        shown = [
            wanted.shown(known, receivers)
            for known in manager.alerts()
            if wanted.alert(known.alert) and wanted.receiver(receivers := manager.receivers_of(known.alert))
        ]
        found = [alert for alert in shown if alert is not None]
        return json_answer(sorted(found, key=lambda alert: str(alert["fingerprint"])))

    @router.post("/alerts")
    async def post(request: Request) -> Response:
        body = await body_of(request, _BODY, most_bytes)
        resolve_timeout = timedelta(milliseconds=manager.config.global_.resolve_timeout)
        posted, wrong = _read_alerts(body, manager.clock.now(), resolve_timeout)
        try:
            await manager.put_alerts(posted)
        except Overloaded as error:
            return json_answer(str(error), 429, {"Retry-After": f"{error.retry_after_s:.0f}"})
        if wrong:
            # the good ones are taken all the same, as Alertmanager does
            raise plain("; ".join(wrong))
        return Response(status_code=200)

    @router.get("/alerts/groups")
    async def groups(request: Request) -> Response:
        return json_answer(_groups(manager, _Wanted(manager, request), muted=flag(request, "muted")))


class _Wanted:
    """The filter of a request, and an alert as the API shows it."""

    def __init__(self, manager: AlertManager, request: Request) -> None:
        self._manager = manager
        self._now = manager.clock.now()
        self._matchers = matchers(request, "filter")
        self._pattern = _receiver_pattern(request.query_params.get("receiver", ""))
        self._receiver_matchers = matchers(request, "receiver_matchers", "failed to parse receiver_matchers param: ")
        self._labels = {r.name: dict(r.labels) for r in manager.config.receivers}
        self._active = flag(request, "active")
        self._silenced = flag(request, "silenced")
        self._inhibited = flag(request, "inhibited")

    def receiver(self, names: Sequence[str]) -> bool:
        """Whether one of these receivers is asked for."""
        if self._pattern is not None and not any(self._pattern.fullmatch(name) for name in names):
            return False
        labels = (self._labels.get(name, {}) for name in names)
        return not self._receiver_matchers or any(_fits(self._receiver_matchers, found) for found in labels)

    def alert(self, alert: Alert) -> bool:
        """Whether an alert fires and its labels are asked for."""
        return not alert.resolved_at(self._now) and _fits(self._matchers, dict(alert.labels))

    def shown(self, known: KnownAlert, receivers: Sequence[str], muted_by: Sequence[str] = ()) -> dict[str, Any] | None:
        """The alert as JSON, None when it is not asked for in this state."""
        alert = known.alert
        status = self._manager.status_of(alert)
        if (
            (not self._active and not status.suppressed)
            or (not self._silenced and status.silenced_by)
            or (not self._inhibited and status.inhibited_by)
        ):
            return None
        return {
            "annotations": dict(alert.annotations),
            "endsAt": time_text(alert.ends_at or _FAR),
            "fingerprint": alert.fingerprint,
            "receivers": [{"name": name} for name in receivers],
            "startsAt": time_text(alert.starts_at),
            "status": {
                "inhibitedBy": list(status.inhibited_by),
                "mutedBy": list(muted_by),
                "silencedBy": list(status.silenced_by),
                "state": "suppressed" if status.suppressed or muted_by else "active",
            },
            "updatedAt": time_text(known.updated_at),
            "generatorURL": alert.generator_url,
            "labels": dict(alert.labels),
        }


def _groups(manager: AlertManager, wanted: _Wanted, *, muted: bool) -> list[dict[str, Any]]:
    views = [group for group in manager.groups() if wanted.receiver([group.receiver])]
    receivers: dict[str, list[str]] = {}
    for group in views:
        for known in group.alerts:
            receivers.setdefault(known.alert.fingerprint, []).append(group.receiver)
    found = []
    for group in views:
        if group.muted_by and not muted:
            continue
        shown = [
            wanted.shown(known, sorted(receivers[known.alert.fingerprint]), group.muted_by)
            for known in group.alerts
            if wanted.alert(known.alert)
        ]
        alerts = [alert for alert in shown if alert is not None]
        if alerts:
            found.append(
                {
                    "alerts": alerts,
                    "labels": dict(group.labels),
                    "routeLabels": dict(group.route_labels),
                    "receiver": {"name": group.receiver},
                }
            )
    return found


def _fits(wanted: Sequence[Matcher], labels: dict[str, str]) -> bool:
    """Alertmanager's filters: `a=""` wants the label to be missing, `a!=""` to be there."""
    return all(_fits_one(matcher, labels) for matcher in wanted)


def _fits_one(matcher: Matcher, labels: dict[str, str]) -> bool:
    if matcher.value == "" and matcher.op in (MatchOp.NOT_REGEX, MatchOp.NOT_EQUAL):
        return matcher.name in labels
    if matcher.value == "" and matcher.name not in labels:
        return True
    return matcher.matches_labels(labels)


def _receiver_pattern(receiver: str) -> Any:
    if not receiver:
        return None
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(receiver, options)
    except re2.error:
        raise plain(f"failed to parse receiver param: {receiver!r} is not a regular expression") from None


def _read_alerts(body: Any, now: datetime, resolve_timeout: timedelta) -> tuple[list[Alert], list[str]]:
    if body is None:
        return [], []
    if not isinstance(body, list):
        raise unreadable(_BODY, "a list of alerts is wanted")
    # what cannot be read at all is no alert of the list: nothing is taken then
    for i, item in enumerate(body):
        _check_form(i, item)
    posted, wrong = [], []
    for i, item in enumerate(body):
        try:
            posted.append(_read_alert(item, now, resolve_timeout))
        except ValueError as error:
            wrong.append(f"alert {i}: {error}")
    return posted, wrong


def _check_form(i: int, item: Any) -> None:
    if not isinstance(item, dict):
        raise unreadable(_BODY, f"alert {i} is no object")
    for key in ("labels", "annotations"):
        texts(item, key, _BODY)
    for key in ("startsAt", "endsAt"):
        time_of(item, key, _BODY)
    url = text_of(item, "generatorURL", _BODY)
    if item.get("labels") is None:
        raise coded(422, REQUIRED, f"{i}.labels in body is required")
    if url and not _is_uri(url):
        raise coded(422, TYPE, f'{i}.generatorURL in body must be of type uri: "{url[:200]}"')


def _is_uri(text: str) -> bool:
    try:
        return bool(urlsplit(text).scheme) or text.startswith("/")
    except ValueError:
        return False


def _read_alert(item: dict[str, Any], now: datetime, resolve_timeout: timedelta) -> Alert:
    labels = labels_from(item["labels"])
    if not labels:
        raise ValueError("at least one label pair required")
    if any(not name for name, _ in labels):
        raise ValueError('invalid label set: invalid name ""')
    starts_at, ends_at = time_of(item, "startsAt", _BODY), time_of(item, "endsAt", _BODY)
    if starts_at is None:
        starts_at = now if ends_at is None else ends_at
    if ends_at is not None and ends_at < starts_at:
        raise ValueError("start time must be before end time")
    return Alert(
        labels,
        starts_at,
        # nobody says when it ends: it does when its sender falls silent
        ends_at or max(starts_at, now + resolve_timeout),
        labels_from(item.get("annotations") or {}),
        text_of(item, "generatorURL", _BODY),
        ends_by_timeout=ends_at is None,
    )
