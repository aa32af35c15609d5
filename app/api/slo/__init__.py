"""SLOs over HTTP: how much was good, how fast the budget burns, what fires, what was and what would have been."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from app.api.gate import QueryGate
from app.api.slo.backtests import add_backtest
from app.api.slo.gating import add_gate
from app.api.slo.history import add_history
from app.api.slo.maintenances import add_maintenance
from app.api.slo.views import add_views
from app.config import Limits
from slo.engine import SloEngine
from slo.windows import Windows


def slo_router(
    engine: SloEngine, gate: QueryGate, limits: Limits, windows: Callable[[], Windows] | None = None
) -> APIRouter:
    """The routes under `/api/v1/slos`. A figure that is not defined (no traffic) is null, never NaN.

    `windows` gives the alert windows in force, which a backtest's specs are read with.
    """
    router = APIRouter(prefix="/api/v1/slos", tags=["slo"])
    # ids hold slashes, so what has a name of its own comes before the SLOs
    add_maintenance(router, engine, limits)
    add_backtest(router, engine, gate, limits, windows)
    add_gate(router, engine, limits)
    add_history(router, engine, gate, limits)
    add_views(router, engine)
    return router
