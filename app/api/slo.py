"""SLOs over HTTP: how much was good, how fast the budget burns, what fires."""

from __future__ import annotations

import math
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from app.durations import format_duration_ms
from slo.engine import SloEngine
from slo.status import PairStatus, SloStatus


def slo_router(engine: SloEngine) -> APIRouter:
    """`/api/v1/slos` and `/api/v1/slos/{name}`. A figure that is not defined (no traffic) is null, never NaN."""
    router = APIRouter(tags=["slo"])

    @router.get("/api/v1/slos")
    async def slos() -> dict[str, Any]:
        """Every SLO, in the order of the files."""
        return {"status": "success", "data": [slo_json(status) for status in engine.statuses()]}

    @router.get("/api/v1/slos/{name}", response_model=None)
    async def slo(name: str) -> dict[str, Any] | JSONResponse:
        """One SLO by its id, or by its name where no two services use it."""
        found = engine.find(name)
        if len(found) == 1:
            return {"status": "success", "data": slo_json(found[0])}
        ids = ", ".join(status.spec.id for status in found)
        message = f"several services have an SLO {name!r}, give one of: {ids}" if found else f"there is no SLO {name!r}"
        return JSONResponse({"status": "error", "errorType": "not_found", "error": message}, 404)

    return router


def slo_json(status: SloStatus) -> dict[str, Any]:
    """An SLO as the API shows it. Ratios are 0 to 1, `objective` is in per cent, times are Unix seconds."""
    spec, period = status.spec, status.period
    ratio = status.error_ratio
    return {
        "name": spec.name,
        "service": spec.service,
        "id": spec.id,
        "description": spec.description,
        "labels": dict(spec.labels),
        "objective": spec.objective,
        "period": format_duration_ms(spec.period_ms),
        "sli": _number(1 - ratio),
        "error_ratio": _number(ratio),
        "budget_left": _number(status.budget_left),
        "burn_rates": [
            {"window": format_duration_ms(window), "burn": _number(burn)} for window, burn in status.burn_rates
        ],
        "alerts": [_pair_json(item) for item in status.pairs if spec.alert(item.burn.pair.severity)],
        "good": _number(period.total - period.bad),
        "total": _number(period.total),
        "coverage": _number(period.coverage),
        "last_interval": _seconds(status.to_ms),
        "error": status.error,
    }


def _pair_json(item: PairStatus) -> dict[str, Any]:
    burn = item.burn
    return {
        "severity": burn.pair.severity,
        "long_window": format_duration_ms(burn.pair.long_ms),
        "short_window": format_duration_ms(burn.pair.short_ms),
        "threshold": float(burn.pair.factor),
        "long_burn": _number(burn.long_burn),
        "short_burn": _number(burn.short_burn),
        "firing": burn.firing,
        "since": _seconds(item.since_ms),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000
