"""Alertmanager's API v2: a Prometheus sends its alerts here, and amtool, karma and Grafana read them.

Paths, parameters, bodies, status codes and the forms of errors are those of its OpenAPI description (0.34).
"""

from __future__ import annotations

import platform
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from alerting.manager.manager import AlertManager
from app.api.alertmanager.alerts import add_alerts
from app.api.alertmanager.silences import add_silences
from app.api.alertmanager.wire import PREFIX, AlertmanagerRoute, Refused, coded, json_answer, matchers, time_text
from app.telemetry import ALERTMANAGER_BUILD_INFO

MAX_BODY_BYTES = 16 * 2**20
VERSION = "0.34.0"
"""The Alertmanager whose API this is; amtool and karma ask."""
_METHODS = {
    "status": ("GET",),
    "receivers": ("GET",),
    "silences": ("GET", "POST"),
    "silence/{id}": ("DELETE", "GET"),
    "alerts": ("GET", "POST"),
    "alerts/groups": ("GET",),
}


def alertmanager_router(manager: AlertManager, *, max_body_bytes: int = MAX_BODY_BYTES) -> APIRouter:
    """The routes under /api/v2."""
    ALERTMANAGER_BUILD_INFO.labels(VERSION).set(1)
    router = APIRouter(prefix=PREFIX, tags=["alertmanager"], route_class=AlertmanagerRoute)

    @router.get("/status")
    async def status() -> Response:
        return json_answer(_status(manager))

    @router.get("/receivers")
    async def receivers(request: Request) -> Response:
        wanted = matchers(request, "receiver_matchers", "failed to parse receiver_matchers param: ")
        found: list[dict[str, Any]] = [{"name": r.name, "labels": dict(r.labels)} for r in manager.config.receivers]
        return json_answer([r for r in found if all(m.matches_labels(r["labels"]) for m in wanted)])

    add_alerts(router, manager, max_body_bytes)
    add_silences(router, manager, max_body_bytes)

    @router.api_route(
        "/{rest:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False
    )
    async def unknown(rest: str, request: Request) -> Response:
        name = "silence/{id}" if rest.startswith("silence/") and rest.count("/") == 1 else rest
        if name not in _METHODS:
            raise coded(404, 404, f"path {PREFIX}/{rest} was not found")
        allowed = ",".join(_METHODS[name])
        raise coded(405, 405, f"method {request.method} is not allowed, but [{allowed}] are", {"Allow": allowed})

    return router


def _status(manager: AlertManager) -> dict[str, Any]:
    peers = manager.peers
    cluster: dict[str, Any] = {"status": peers.status, "peers": []}
    if peers.shared:
        cluster["name"] = peers.id
        cluster["peers"] = [{"name": name, "address": name} for name in sorted([peers.id, *peers.others()])]
    return {
        "cluster": cluster,
        "versionInfo": {
            "branch": "watchhouse",
            "buildDate": "",
            "buildUser": "",
            "goVersion": f"python{platform.python_version()}",
            "revision": "",
            "version": VERSION,
        },
        "config": {"original": manager.config.redacted_yaml()},
        "uptime": time_text(manager.started_at),
    }


__all__ = ["MAX_BODY_BYTES", "VERSION", "Refused", "alertmanager_router"]
