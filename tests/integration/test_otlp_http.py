"""OTLP over HTTP: Fluent Bit's recorded bodies, JSON, compressions, and what bad input and a full house get."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import cramjam
import httpx
import orjson
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from app.config import Limits
from app.errors import Overloaded, StoreError, StoreUnavailable
from app.store.client import Pool
from tests.otlp_server import NOW_NS, FailingWriter, logs, otlp_server

DATA = Path(__file__).parents[1] / "data" / "fluent-bit"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json; charset=utf-8"}


@pytest.fixture
async def client(embedded_pool: Pool) -> AsyncIterator[httpx.AsyncClient]:
    """A client of both receivers' HTTP side."""
    limits = Limits.model_validate({"max_body_bytes": "1MiB", "max_decoded_bytes": "2MiB"})
    async with (
        otlp_server(embedded_pool, limits) as server,
        httpx.AsyncClient(base_url=server.http_url) as client,
    ):
        yield client


async def test_fluent_bits_recorded_logs(embedded_pool: Pool) -> None:
    """The 308 lines a real Fluent Bit 5.1.1 sent are kept as they were, Korean and colour codes intact."""
    async with otlp_server(embedded_pool) as server, httpx.AsyncClient(base_url=server.http_url) as client:
        for name in ("v1_logs.1.body", "v1_logs.2.body"):
            answer = await client.post("/v1/logs", content=(DATA / name).read_bytes(), headers=PROTOBUF)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-protobuf")
            assert not ExportLogsServiceResponse.FromString(answer.content).HasField("partial_success")
    bodies = embedded_pool.query("SELECT body FROM logs ORDER BY seq").column("body").to_pylist()
    sent = [
        record.body.string_value
        for name in ("v1_logs.1.body", "v1_logs.2.body")
        for found in ExportLogsServiceRequest.FromString((DATA / name).read_bytes()).resource_logs
        for scope in found.scope_logs
        for record in scope.log_records
    ]
    assert len(bodies) == 308
    assert bodies == sent
    assert any("가" <= character <= "힣" for body in bodies for character in body)
    assert any("\x1b[" in body for body in bodies)


async def test_fluent_bits_recorded_metrics(embedded_pool: Pool) -> None:
    """Counters, gauges and histograms of a real Fluent Bit are all taken; its node metrics keep their names."""
    async with otlp_server(embedded_pool) as server, httpx.AsyncClient(base_url=server.http_url) as client:
        for name in ("v1_metrics.1.body", "v1_metrics.4.body"):
            answer = await client.post("/v1/metrics", content=(DATA / name).read_bytes(), headers=PROTOBUF)
            assert answer.status_code == 200
            assert not ExportMetricsServiceResponse.FromString(answer.content).HasField("partial_success")
    idle = embedded_pool.query(
        "SELECT value FROM metric_samples WHERE metric = 'node_cpu_seconds_total' AND series_id IN "
        "(SELECT series_id FROM metric_series WHERE labels['cpu'] = '0' AND labels['mode'] = 'idle')"
    )
    assert idle.column("value").to_pylist() == [4720.14]
    buckets = embedded_pool.query("SELECT count() AS n FROM metric_samples WHERE endsWith(metric, '_bucket')")
    assert buckets.column("n").to_pylist()[0] > 0


async def test_json_is_answered_in_json(client: httpx.AsyncClient, embedded_pool: Pool) -> None:
    """A JSON request is kept, and answered in JSON."""
    record = {"timeUnixNano": str(NOW_NS), "body": {"stringValue": "json"}, "traceId": "AB" * 16}
    body = orjson.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
    answer = await client.post("/v1/logs", content=body, headers=JSON)
    assert (answer.status_code, answer.headers["content-type"], answer.json()) == (200, "application/json", {})
    assert embedded_pool.query("SELECT body, trace_id FROM logs").to_pylist() == [
        {"body": "json", "trace_id": "ab" * 16}
    ]


async def test_compressed_bodies(client: httpx.AsyncClient, embedded_pool: Pool) -> None:
    """gzip, deflate, zstd and identity."""
    plain = logs("x").SerializeToString()
    bodies = {
        "gzip": gzip.compress(plain),
        "deflate": zlib.compress(plain),
        "zstd": bytes(cramjam.zstd.compress(plain)),
        "identity": plain,
    }
    for name, body in bodies.items():
        answer = await client.post("/v1/logs", content=body, headers={**PROTOBUF, "Content-Encoding": name})
        assert answer.status_code == 200, answer.text
    assert embedded_pool.command("SELECT count() FROM logs") == len(bodies)


async def test_a_part_that_is_bad_is_told_and_the_rest_kept(client: httpx.AsyncClient, embedded_pool: Pool) -> None:
    """200 with a partial success: how many were not taken, and why."""
    body = logs("good", "bad", "good too").SerializeToString()
    answer = await client.post("/v1/logs", content=body, headers=PROTOBUF)
    assert answer.status_code == 200
    partial = ExportLogsServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_log_records == 1
    assert (
        partial.error_message == f"a log record with the time {2**64 - 1} ns, more than 10 minutes ahead (1 not taken)"
    )
    assert embedded_pool.query("SELECT body FROM logs ORDER BY seq").column("body").to_pylist() == ["good", "good too"]


async def test_all_bad_is_400(client: httpx.AsyncClient) -> None:
    """A request of which nothing can be kept is an error that says why, in the request's encoding."""
    metrics = ExportMetricsServiceRequest()
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    metric.sum.aggregation_temporality = 1  # type: ignore[assignment]
    metric.sum.data_points.add(time_unix_nano=NOW_NS, as_int=1)
    answer = await client.post("/v1/metrics", content=metrics.SerializeToString(), headers=PROTOBUF)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/x-protobuf")
    status = Status.FromString(answer.content)
    assert status.code == 3
    assert "delta temporality is not taken" in status.message
    answer = await client.post("/v1/metrics", content=b"{", headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
    answer = await client.post("/v1/logs", content=b"\xff", headers=PROTOBUF)
    assert answer.status_code == 400


async def test_an_empty_request_is_fine(client: httpx.AsyncClient) -> None:
    """Nothing in, nothing wrong."""
    for path in ("/v1/logs", "/v1/metrics"):
        answer = await client.post(path, content=b"", headers=PROTOBUF)
        assert (answer.status_code, answer.content) == (200, b"")


async def test_what_is_too_large_or_of_another_kind(client: httpx.AsyncClient) -> None:
    """413 names the limit that was met; 415 names what is taken; traces are honestly not."""
    answer = await client.post("/v1/logs", content=b"x" * (2**20 + 1), headers=PROTOBUF)
    assert answer.status_code == 413
    assert "limits.max_body_bytes = 1048576" in Status.FromString(answer.content).message
    bomb = gzip.compress(bytes(2**21 + 1))
    answer = await client.post("/v1/logs", content=bomb, headers={**JSON, "Content-Encoding": "gzip"})
    assert answer.status_code == 413
    assert "limits.max_decoded_bytes" in answer.json()["message"]
    answer = await client.post("/v1/logs", content=b"x", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
    answer = await client.post("/v1/logs", content=b"x", headers={**PROTOBUF, "Content-Encoding": "br"})
    assert answer.status_code == 415
    answer = await client.post("/v1/traces", content=b"{}", headers=JSON)
    assert answer.status_code == 404
    assert "traces are not kept" in answer.json()["message"]


@pytest.mark.parametrize(
    ("error", "status", "retry_after", "code"),
    [
        (Overloaded("full", 1.5), 429, "2", 8),
        (StoreUnavailable("gone"), 503, "5", 14),
        (StoreError("refused", 241), 503, "5", 14),
    ],
    ids=["overloaded", "unavailable", "refused"],
)
async def test_a_sender_is_told_to_come_back(
    error: Exception,
    status: int,
    retry_after: str,
    code: int,
    embedded_pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """429 when there is too much, 503 when the store is away: both say when to try again."""
    monkeypatch.setattr(FailingWriter, "error", error)
    async with (
        otlp_server(embedded_pool, writer_type=FailingWriter) as server,
        httpx.AsyncClient(base_url=server.http_url) as client,
    ):
        answer = await client.post("/v1/logs", content=logs("x").SerializeToString(), headers=PROTOBUF)
    assert (answer.status_code, answer.headers["retry-after"]) == (status, retry_after)
    assert Status.FromString(answer.content).code == code
