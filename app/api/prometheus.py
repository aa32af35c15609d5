"""Prometheus's HTTP API for queries: what Grafana, and everything else that speaks PromQL, asks.

Errors are raised as the service's own; the application answers them in Prometheus's shape.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from app import running
from app.api.gate import QueryGate
from app.api.prometheus_answers import Encoding, accepted, answer, success
from app.api.prometheus_json import encode, exemplars_json
from app.api.prometheus_params import Parameters, now_ms, read, unescape_label_name
from app.config import Limits
from app.errors import BadQuery
from app.query.promql.ast import Selector
from app.query.promql.browse import SeriesBrowser, Span
from app.query.promql.describe import describe
from app.query.promql.engine import DEFAULT_LOOKBACK_MS, PromQLEngine
from app.query.promql.exemplars import ExemplarReader
from app.query.promql.parse import parse_selector
from app.query.promql.pretty import pretty
from app.query.result import QueryResult
from app.running import RunningQuery
from app.store.client import Pool

PROMETHEUS_VERSION = "3.5.0"
"""The Prometheus whose query API this is: Grafana chooses its calls by it."""
_TRUNCATED = "results truncated due to limit"


def prometheus_router(engine: PromQLEngine, pool: Pool, limits: Limits, gate: QueryGate | None = None) -> APIRouter:
    """The query routes under /api/v1. `gate` is shared when other APIs run queries too."""
    router = APIRouter(prefix="/api/v1", tags=["prometheus"])
    queries = gate or QueryGate(limits, pool.end_statements)
    _add_queries(router, engine, queries, limits.query_max_answer)
    _add_exemplars(router, ExemplarReader(pool, limits), limits, queries)
    _add_browsing(router, SeriesBrowser(pool, limits), queries)
    _add_texts(router)
    _add_active(router, queries)
    _add_constants(router)
    return router


def _add_queries(router: APIRouter, engine: PromQLEngine, gate: QueryGate, max_bytes: int) -> None:
    @router.api_route("/query", methods=["GET", "POST"])
    async def query(request: Request) -> Response:
        """An instant query."""
        p = await read(request)
        instant = functools.partial(engine.instant, p.get("query"), p.time_ms("time", now_ms()), **_options(p))
        return await gate.run(_answering(instant, request, p, max_bytes), request, p.get("query"))

    @router.api_route("/query_range", methods=["GET", "POST"])
    async def query_range(request: Request) -> Response:
        """A range query."""
        p = await read(request)
        step_ms = p.duration_ms("step")
        if step_ms is None:
            raise BadQuery('invalid parameter "step": cannot parse "" to a valid duration')
        times = (p.time_ms("start"), p.time_ms("end"), step_ms)
        # as VictoriaMetrics names it
        reuse = p.get("nocache") not in ("1", "true")
        ranged = functools.partial(engine.range, p.get("query"), *times, reuse=reuse, **_options(p))
        return await gate.run(_answering(ranged, request, p, max_bytes), request, p.get("query"))


def _add_exemplars(router: APIRouter, reader: ExemplarReader, limits: Limits, gate: QueryGate) -> None:
    @router.api_route("/query_exemplars", methods=["GET", "POST"])
    async def query_exemplars(request: Request) -> Response:
        """Exemplars of the series a query selects."""
        p = await read(request)
        query, start_ms, end_ms = p.get("query"), p.bound_ms("start"), p.bound_ms("end")
        if start_ms is not None and end_ms is not None and end_ms < start_ms:
            raise BadQuery("end timestamp must not be before start timestamp")

        def work() -> Response:
            found = reader.select(query, start_ms, end_ms)
            most = f"only the newest {limits.query_max_exemplars} exemplars are given (limits.query_max_exemplars)"
            return success(exemplars_json(found), [most] if found.cut else (), accepted(request))

        return await gate.run(work, request, f"exemplars of {query}")


def _add_browsing(router: APIRouter, browser: SeriesBrowser, gate: QueryGate) -> None:
    @router.api_route("/series", methods=["GET", "POST"])
    async def series(request: Request) -> Response:
        """Label sets of series."""
        p = await read(request)
        if not p.all("match[]"):
            raise BadQuery("no match[] parameter provided")
        limit = p.limit()
        return await gate.run(
            lambda: _listed(
                [dict(s) for s in browser.series(_selectors(p), _span(p), _one_more(limit))], limit, accepted(request)
            )
        )

    @router.api_route("/labels", methods=["GET", "POST"])
    async def labels(request: Request) -> Response:
        """Names of labels."""
        p = await read(request)
        limit = p.limit()
        return await gate.run(
            lambda: _listed(browser.label_names(_selectors(p), _span(p), _one_more(limit)), limit, accepted(request))
        )

    @router.get("/label/{name:path}/values")
    async def label_values(request: Request, name: str) -> Response:
        """Values of a label."""
        p = await read(request)
        plain, limit = unescape_label_name(name), p.limit()
        if not plain:
            raise BadQuery(f'invalid label name: "{name}"')
        return await gate.run(
            lambda: _listed(
                browser.label_values(plain, _selectors(p), _span(p), _one_more(limit)), limit, accepted(request)
            )
        )

    @router.get("/metadata")
    async def metadata(request: Request) -> Response:
        """Type, unit and help of metric families."""
        p = await read(request)
        found = await gate.run(lambda: browser.metadata(p.get("metric") or None, p.limit()))
        return success({m.family: [{"type": m.type, "help": m.help, "unit": m.unit}] for m in found})


def _add_texts(router: APIRouter) -> None:
    @router.api_route("/format_query", methods=["GET", "POST"])
    async def format_query(request: Request) -> Response:
        """A query written as Prometheus writes it."""
        text = (await read(request)).get("query")
        return success(await asyncio.to_thread(lambda: pretty(describe(text))))

    @router.api_route("/parse_query", methods=["GET", "POST"])
    async def parse_query(request: Request) -> Response:
        """The tree of a query."""
        return success(await asyncio.to_thread(describe, (await read(request)).get("query")))


def _add_active(router: APIRouter, gate: QueryGate) -> None:
    @router.get("/status/active_queries")
    async def active_queries() -> Response:
        """What runs and waits now."""
        return success({"activeQueries": [_active(query) for query in gate.active()]})

    @router.delete("/status/active_queries/{query_id}")
    async def end_query(query_id: str) -> Response:
        """Ends a query: its asker is answered `canceled`."""
        if gate.cancel(query_id):
            return success({"id": query_id})
        message = f"no query of id {query_id} runs"
        return JSONResponse({"status": "error", "errorType": "not_found", "error": message}, 404)


def _active(query: RunningQuery) -> dict[str, Any]:
    return {
        "id": query.id,
        "query": query.text,
        "state": "running" if query.runs else "waiting",
        "start": query.started,
        "elapsedSeconds": time.time() - query.started,
        "client": query.client,
        "samplesRead": query.samples,
    }


def _add_constants(router: APIRouter) -> None:
    @router.get("/status/buildinfo")
    async def buildinfo() -> Response:
        """Which Prometheus to take this for. Without `features`: those would say it is a Mimir."""
        return success(
            {
                "version": PROMETHEUS_VERSION,
                "revision": "",
                "branch": "",
                "buildUser": "",
                "buildDate": "",
                "goVersion": "",
            }
        )


def _options(p: Parameters) -> dict[str, Any]:
    timeout_ms, lookback_ms = p.duration_ms("timeout"), p.duration_ms("lookback_delta")
    if lookback_ms is not None and lookback_ms <= 0:
        raise BadQuery('invalid parameter "lookback_delta": it must be positive')
    return {
        "timeout_s": None if timeout_ms is None else timeout_ms / 1000,
        "lookback_ms": DEFAULT_LOOKBACK_MS if lookback_ms is None else lookback_ms,
    }


def _selectors(p: Parameters) -> list[Selector]:
    return [parse_selector(text) for text in p.all("match[]")]


def _span(p: Parameters) -> Span:
    span = Span(p.bound_ms("start"), p.bound_ms("end"))
    if span.start_ms is not None and span.end_ms is not None and span.end_ms < span.start_ms:
        raise BadQuery('invalid parameter "end": end timestamp must not be before start timestamp')
    return span


def _one_more(limit: int) -> int:
    # one more than asked for says whether something was left out
    return limit + 1 if limit else 0


def _answering(
    ask: Callable[[], QueryResult], request: Request, p: Parameters, max_bytes: int
) -> Callable[[], Response]:
    """The work of a query, from asking to the bytes of the answer."""
    limit, wish, encoding = p.limit(), p.get("stats"), accepted(request)
    warnings = []
    if wish not in ("", "true", "all"):
        warnings.append(
            f'value "{wish}" for parameter "stats" is deprecated and will be rejected in the next major release,'
            ' use "true" or "all"'
        )

    def work() -> Response:
        began, at = time.perf_counter(), time.time()
        result = ask()
        stats = _stats(time.perf_counter() - began, at) if wish else None
        short = _limited(result, limit)
        notes = warnings if short is result else [*warnings, _TRUNCATED]
        return answer(encode(short, notes, stats, max_bytes), encoding)

    return work


def _stats(took_s: float, began: float) -> dict[str, Any]:
    """Prometheus's statistics of a query. What it samples was read once for all steps, and held until the end."""
    query = running.current()
    samples = query.samples if query else 0
    return {
        "timings": {
            "evalTotalTime": took_s,
            "resultSortTime": 0,
            "queryPreparationTime": 0,
            "innerEvalTime": took_s,
            "execQueueTime": max(0.0, began - query.started) if query else 0,
            "execTotalTime": took_s,
        },
        "samples": {"totalQueryableSamples": samples, "samplesRead": samples, "peakSamples": samples},
    }


def _limited(result: QueryResult, limit: int) -> QueryResult:
    """The first `limit` series; all of them where it is 0, or the answer has none."""
    if not limit or len(result.labels) <= limit or result.kind not in ("vector", "matrix"):
        return result
    raw = None
    if result.raw is not None:
        raw = replace(result.raw, labels=result.raw.labels[:limit], offsets=result.raw.offsets[: limit + 1])
    return replace(
        result,
        labels=result.labels[:limit],
        values=result.values[:limit],
        present=result.present[:limit],
        raw=raw,
    )


def _listed(found: Sequence[Any], limit: int, encoding: Encoding) -> Response:
    if limit and len(found) > limit:
        return success(found[:limit], [_TRUNCATED], encoding)
    return success(found, (), encoding)
