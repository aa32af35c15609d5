"""Loki's query API, as Grafana's Loki data source and logcli call it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.api.body import TooLarge
from app.api.gate import QueryGate
from app.api.loki_params import Params, loki_params
from app.api.loki_results import CATEGORIZE, log_data, metric_data, stats
from app.config import Limits
from app.errors import BadQuery, Overloaded, QueryCanceled, QueryError, QueryTimeout, StoreError
from app.labels import Labels
from app.query.logql.engine import DEFAULT_LIMIT, LogQLEngine
from app.query.logql.parse import parse
from app.query.logql.result import LogResult

_HOUR_NS = 3600 * 10**9
_LABELS_WINDOW_NS = 6 * _HOUR_NS
_FORM_BYTES = 1024 * 1024
# clients choose their calls by the version
_BUILD = {"version": "3.0.0", "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": ""}
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (QueryTimeout, 504),
    (QueryCanceled, 499),
    (QueryError, 400),
    (Overloaded, 429),
    (TooLarge, 413),
    (StoreError, 503),
)

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]


def loki_router(engine: LogQLEngine, limits: Limits, gate: QueryGate | None = None) -> APIRouter:
    """Queries, labels and series. Errors are plain text, as Loki's."""
    router = APIRouter()
    api = _Loki(engine, limits, gate or QueryGate(limits))
    for path, endpoint in (
        ("query_range", api.query_range),
        ("query", api.query),
        ("labels", api.labels),
        ("label", api.labels),
        ("label/{name}/values", api.label_values),
        ("series", api.series),
        ("format_query", api.format_query),
    ):
        router.add_api_route(
            f"/loki/api/v1/{path}",
            _answered(endpoint),
            methods=["GET", "POST"],
            tags=["loki"],
            name=f"loki {path}",
            response_class=Response,
        )
    router.add_api_route("/loki/api/v1/status/buildinfo", _buildinfo, methods=["GET"], tags=["loki"])
    return router


class _Loki:
    """The endpoints. Queries run through the gate."""

    def __init__(self, engine: LogQLEngine, limits: Limits, gate: QueryGate) -> None:
        self._engine = engine
        self._limits = limits
        self._gate = gate

    async def query_range(self, request: Request) -> Response:
        params = await loki_params(request, _FORM_BYTES)
        params.refuse_interval()
        start_ns, end_ns = params.interval_ns(_HOUR_NS)
        step_ms, direction = params.step_ms(start_ns, end_ns), params.direction()
        limit = params.limit(min(DEFAULT_LIMIT, self._limits.log_query_max_lines))
        categorized = CATEGORIZE in request.headers.get("x-loki-response-encoding-flags", "").split(",")

        def answer() -> bytes:
            began = time.perf_counter()
            result = self._engine.range(
                params.query(), start_ns, end_ns, step_ms=step_ms, limit=limit, direction=direction
            )
            if isinstance(result, LogResult):
                data, lines, size = log_data(result, categorized), len(result), result.size_bytes
            else:
                data, lines, size = metric_data(result), 0, 0
            return _success({**data, "stats": stats(time.perf_counter() - began, lines, size)})

        return _json(await self._gate.run(answer, request, params.query()))

    async def query(self, request: Request) -> Response:
        params = await loki_params(request, _FORM_BYTES)
        time_ns = params.time_ns("time", params.now_ns)

        def answer() -> bytes:
            began = time.perf_counter()
            data = metric_data(self._engine.instant(params.query(), time_ns))
            return _success({**data, "stats": stats(time.perf_counter() - began, 0, 0)})

        return _json(await self._gate.run(answer, request, params.query()))

    async def labels(self, request: Request) -> Response:
        params = await loki_params(request, _FORM_BYTES)
        streams = await self._streams(params, params.all("query"))
        return _json(_success(sorted({name for labels in streams for name, _ in labels})))

    async def label_values(self, request: Request) -> Response:
        params = await loki_params(request, _FORM_BYTES)
        wanted = request.path_params["name"]
        streams = await self._streams(params, params.all("query"))
        return _json(_success(sorted({value for labels in streams for name, value in labels if name == wanted})))

    async def series(self, request: Request) -> Response:
        params = await loki_params(request, _FORM_BYTES)
        selectors = params.all("match[]", "match")
        if not selectors:
            raise BadQuery("at least one match[] parameter is wanted")
        streams = await self._streams(params, [] if selectors == ["{}"] else selectors)
        return _json(_success([dict(labels) for labels in streams]))

    async def format_query(self, request: Request) -> Response:
        params = await loki_params(request, _FORM_BYTES)
        return _json(_success(str(parse(params.query()))))

    async def _streams(self, params: Params, selectors: list[str]) -> list[Labels]:
        start_ns, end_ns = params.interval_ns(_LABELS_WINDOW_NS)
        return await self._gate.run(lambda: self._engine.streams(selectors, start_ns, end_ns))


def _answered(endpoint: Endpoint) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except tuple(kind for kind, _ in _STATUS) as error:
            status = next(code for kind, code in _STATUS if isinstance(error, kind))
            headers = {"Retry-After": "1"} if status in (429, 503) else {}
            return PlainTextResponse(f"{error}\n", status, headers)

    return answer


async def _buildinfo() -> dict[str, str]:
    return _BUILD


def _success(data: Any) -> bytes:
    return orjson.dumps({"status": "success", "data": data})


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
