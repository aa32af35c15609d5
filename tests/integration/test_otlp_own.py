"""The service's own telemetry, sent by OTLP to a receiver of our own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.responses import PlainTextResponse

from app.errors import ConfigError
from app.otel import OwnTelemetry, configure_telemetry
from app.store.client import Pool
from app.telemetry import RECEIVED, REQUEST_SECONDS
from tests.otlp_server import OtlpServer, otlp_server, serving


@pytest.fixture
async def server(embedded_pool: Pool) -> AsyncIterator[OtlpServer]:
    """Both receivers."""
    async with otlp_server(embedded_pool) as server:
        yield server


def point_at(monkeypatch: pytest.MonkeyPatch, endpoint: str, protocol: str) -> OwnTelemetry:
    """The service's telemetry, sent to an endpoint."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "watchhouse-a")
    return configure_telemetry("1.2.3")


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
async def test_own_metrics_arrive_under_the_names_of_the_metrics_page(
    protocol: str, server: OtlpServer, embedded_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counters, gauges and histograms of app.telemetry are kept with their values, as a scrape would have them."""
    RECEIVED.labels(f"own-{protocol}").inc(41)
    REQUEST_SECONDS.labels(f"/own-{protocol}", "200").observe(0.3)
    endpoint = f"http://127.0.0.1:{server.grpc_port}" if protocol == "grpc" else server.http_url
    telemetry = point_at(monkeypatch, endpoint, protocol)
    await asyncio.to_thread(telemetry.stop)
    rows = embedded_pool.query(
        "SELECT s.metric AS metric, labels, value FROM metric_samples AS s "
        "JOIN (SELECT series_id, any(labels) AS labels FROM metric_series GROUP BY series_id) AS l "
        "ON s.series_id = l.series_id"
    ).to_pylist()
    found = {(r["metric"], dict(r["labels"]).get("receiver")): r for r in rows}
    received = found["watchhouse_received_rows_total", f"own-{protocol}"]
    assert received["value"] == 41.0
    assert dict(received["labels"])["job"] == "watchhouse-a"
    buckets = {
        dict(r["labels"])["le"]: r["value"]
        for r in rows
        if r["metric"] == "watchhouse_http_request_seconds_bucket" and dict(r["labels"])["route"] == f"/own-{protocol}"
    }
    assert (buckets["0.25"], buckets["0.5"], buckets["+Inf"]) == (0.0, 1.0, 1.0)
    assert ("process_uptime_seconds", None) in found
    assert ("target_info", None) in found


async def test_each_request_is_a_span_in_its_callers_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request's span has its route and status, and belongs to the trace its caller tells of; probes have none."""
    received: list[ExportTraceServiceRequest] = []
    collector = FastAPI()

    @collector.post("/v1/traces")
    async def traces(request: Request) -> Response:
        received.append(ExportTraceServiceRequest.FromString(await request.body()))
        return Response(b"", media_type="application/x-protobuf")

    app = FastAPI()

    @app.get("/items/{item}")
    async def item(item: str) -> Response:
        return PlainTextResponse("no", 503)

    app.add_api_route("/-/healthy", item)
    async with serving(collector) as port:
        telemetry = point_at(monkeypatch, f"http://127.0.0.1:{port}", "http/protobuf")
        transport = httpx.ASGITransport(telemetry.traced(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            parent = f"00-{'ab' * 16}-{'cd' * 8}-01"
            await client.get("/items/7", headers={"traceparent": parent})
            await client.get("/-/healthy")
        await asyncio.to_thread(telemetry.stop)
        await asyncio.to_thread(telemetry.stop)
    spans = [s for r in received for rs in r.resource_spans for ss in rs.scope_spans for s in ss.spans]
    assert [span.name for span in spans] == ["GET /items/{item}"]
    assert (spans[0].trace_id.hex(), spans[0].parent_span_id.hex()) == ("ab" * 16, "cd" * 8)
    attributes = {a.key: a.value for a in spans[0].attributes}
    assert attributes["http.response.status_code"].int_value == 503
    assert spans[0].status.code == 2


def test_without_an_endpoint_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread is started and the application is left as it is."""
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    before = threading.active_count()
    telemetry = configure_telemetry("1.2.3")
    app = FastAPI()
    assert telemetry.traced(app) is app
    telemetry.stop()
    assert threading.active_count() == before


def test_an_unknown_protocol_is_a_mistake_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable and what it may be are told."""
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' is not taken"):
        point_at(monkeypatch, "http://127.0.0.1:1", "http/json")
