"""`/api/v1/rules` and `/api/v1/alerts`, as Grafana's alert list reads them: SLO alerts are what there is."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from app.alert import Alert
from slo.engine import SloEngine


def rules_router(engine: SloEngine) -> APIRouter:
    """Prometheus's shapes: no rule groups, and the firing alerts of the SLOs."""
    router = APIRouter(prefix="/api/v1", tags=["prometheus"])

    @router.get("/rules")
    async def rules() -> dict[str, Any]:
        return {"status": "success", "data": {"groups": []}}

    @router.get("/alerts")
    async def alerts() -> dict[str, Any]:
        firing = [_json(alert) for alert in engine.alerts() if alert.ends_at is None]
        return {"status": "success", "data": {"alerts": firing}}

    return router


def _json(alert: Alert) -> dict[str, Any]:
    burn = alert.facts.get("long_burn")
    return {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "state": "firing",
        "activeAt": alert.starts_at.isoformat(),
        "value": str(burn) if burn is not None else "",
    }
