"""Health, readiness, the service's own metrics, and what runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import APIRouter, Response
from prometheus_client import generate_latest

from app.telemetry import REGISTRY

Status = Literal["green", "yellow", "red"]


@dataclass(frozen=True, slots=True)
class Health:
    """One component's state: green works, yellow works in part, red does not; `detail` says why."""

    component: str
    status: Status
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Probes:
    """What the health endpoints ask. `check` may block; `ready` may not."""

    ready: Callable[[], bool]
    check: Callable[[], list[Health]]
    config_yaml: Callable[[], str]
    reload: Callable[[], Awaitable[None]]


def health_router(probes: Probes) -> APIRouter:
    """`/-/healthy`, `/-/ready`, `/ready`, `/metrics`, `/api/v1/status/health`, `…/config`."""
    router = APIRouter(tags=["health"])

    @router.api_route("/-/healthy", methods=["GET", "HEAD"])
    async def healthy() -> Response:
        return Response("Watchhouse is Healthy.\n", media_type="text/plain")

    @router.api_route("/-/ready", methods=["GET", "HEAD"])
    @router.api_route("/ready", methods=["GET", "HEAD"])
    async def ready() -> Response:
        if probes.ready():
            return Response("Watchhouse is Ready.\n", media_type="text/plain")
        return Response("Watchhouse is not ready.\n", 503, media_type="text/plain")

    @router.api_route("/-/reload", methods=["POST", "PUT"])
    async def reload() -> Response:
        await probes.reload()
        return Response()

    @router.get("/metrics")
    async def metrics() -> Response:
        body = await asyncio.to_thread(generate_latest, REGISTRY)
        return Response(body, media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/api/v1/status/health")
    async def health() -> dict[str, Any]:
        found = await asyncio.to_thread(probes.check)
        order: list[Status] = ["green", "yellow", "red"]
        worst = max((h.status for h in found), key=order.index, default="green")
        return {
            "status": worst,
            "components": {h.component: {"status": h.status, "detail": h.detail} for h in found},
        }

    @router.get("/api/v1/status/config")
    async def config() -> dict[str, Any]:
        return {"status": "success", "data": {"yaml": probes.config_yaml()}}

    return router
