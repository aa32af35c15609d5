"""OTLP over gRPC: what a raw client is told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from app.config import Address, Limits
from app.errors import Overloaded, StoreUnavailable
from app.store.client import Pool
from ingest.otlp.grpc_server import GrpcCannotListen, OtlpGrpcReceiver
from ingest.writer import Writer
from tests.otlp_server import FailingWriter, logs, otlp_server


@pytest.fixture
async def channel(embedded_pool: Pool) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a receiver with small limits."""
    limits = Limits(max_body_bytes=1000)
    async with (
        otlp_server(embedded_pool, limits) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        yield channel


async def test_gzip_and_partial_success(channel: grpc.aio.Channel, embedded_pool: Pool) -> None:
    """A compressed request is kept but for its bad part, which is counted and told."""
    stub = LogsServiceStub(channel)
    answer = await stub.Export(logs("good", "bad"), compression=grpc.Compression.Gzip)
    assert answer.partial_success.rejected_log_records == 1
    assert (
        answer.partial_success.error_message
        == f"a log record with the time {2**64 - 1} ns, more than 10 minutes ahead (1 not taken)"
    )
    assert embedded_pool.query("SELECT body FROM logs").column("body").to_pylist() == ["good"]


async def test_nothing_good_is_an_invalid_argument(channel: grpc.aio.Channel) -> None:
    """A request of bad points alone, and bytes that are no request."""
    metrics = ExportMetricsServiceRequest()
    metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge.data_points.add()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await MetricsServiceStub(channel).Export(metrics)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "m: a data point without a value" in str(error.value.details())
    raw = channel.unary_unary("/opentelemetry.proto.collector.logs.v1.LogsService/Export")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await raw(b"\xff")
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_message_over_the_limit_and_a_service_that_is_not_there(channel: grpc.aio.Channel) -> None:
    """RESOURCE_EXHAUSTED, as gRPC has it, and UNIMPLEMENTED for traces."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await LogsServiceStub(channel).Export(logs("x" * 1001))
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await TraceServiceStub(channel).Export(ExportTraceServiceRequest())
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("error", "code", "retry_ms"),
    [
        (Overloaded("full", 1.5), grpc.StatusCode.RESOURCE_EXHAUSTED, 1500),
        (StoreUnavailable("gone"), grpc.StatusCode.UNAVAILABLE, 5000),
    ],
    ids=["overloaded", "unavailable"],
)
async def test_a_sender_is_told_to_come_back(
    error: Exception, code: grpc.StatusCode, retry_ms: int, embedded_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status carries a RetryInfo with the time to wait."""
    monkeypatch.setattr(FailingWriter, "error", error)
    async with (
        otlp_server(embedded_pool, writer_type=FailingWriter) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await LogsServiceStub(channel).Export(logs("x"))
    assert caught.value.code() is code
    details = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
    retry = RetryInfo()
    assert Status.FromString(details).details[0].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == retry_ms


async def test_a_token_is_asked_for_where_one_is_wanted(embedded_pool: Pool) -> None:
    """Without the right authorization a request is UNAUTHENTICATED, and nothing of it is kept."""
    writer = Writer(embedded_pool, Limits())
    await writer.start()
    listen = Address(host="127.0.0.1", port=0)
    receiver = OtlpGrpcReceiver(writer, listen, Limits(), authorize=lambda header: header == "Bearer secret")
    await receiver.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{receiver.port}") as channel:
        stub = LogsServiceStub(channel)
        for metadata in ((), (("authorization", "Bearer wrong"),)):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await stub.Export(logs("no"), metadata=metadata)
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        await stub.Export(logs("yes"), metadata=(("authorization", "Bearer secret"),))
    await receiver.stop()
    await receiver.stop()
    await writer.stop()
    assert embedded_pool.query("SELECT body FROM logs").column("body").to_pylist() == ["yes"]


async def test_a_port_that_is_taken_names_the_setting(embedded_pool: Pool) -> None:
    """A second receiver on a port does not start, and says what to change."""
    async with otlp_server(embedded_pool) as server:
        taken = Address(host="127.0.0.1", port=server.grpc_port)
        receiver = OtlpGrpcReceiver(Writer(embedded_pool, Limits()), taken, Limits())
        with pytest.raises(GrpcCannotListen, match=r"taken by another process.*change receivers\.otlp\.grpc_listen"):
            await receiver.start()
        await receiver.stop()
