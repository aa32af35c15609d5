"""The OpenTelemetry Python SDK's own exporters, over gRPC and HTTP: what they send is in the tables, exactly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from app.config import Limits
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool
from tests.otlp_server import OtlpServer, otlp_server

RESOURCE = Resource(
    {"service.name": "cart", "service.namespace": "shop", "service.instance.id": "cart-1", "cloud.region": "eu"}
)


@pytest.fixture
async def server(embedded_pool: Pool) -> AsyncIterator[OtlpServer]:
    """Both receivers."""
    async with otlp_server(embedded_pool) as server:
        yield server


def metric_exporter(server: OtlpServer, transport: str) -> MetricExporter:
    """The SDK's metric exporter for a transport."""
    if transport == "grpc":
        return GrpcMetrics(endpoint=f"127.0.0.1:{server.grpc_port}", insecure=True, compression=grpc.Compression.Gzip)
    compression = Compression.Gzip if transport == "http+gzip" else Compression.NoCompression
    return HttpMetrics(endpoint=f"{server.http_url}/v1/metrics", compression=compression)


def log_exporter(server: OtlpServer, transport: str) -> LogRecordExporter:
    """The SDK's log exporter for a transport."""
    if transport == "grpc":
        return GrpcLogs(endpoint=f"127.0.0.1:{server.grpc_port}", insecure=True)
    compression = Compression.Gzip if transport == "http+gzip" else Compression.NoCompression
    return HttpLogs(endpoint=f"{server.http_url}/v1/logs", compression=compression)


def export_metrics(exporter: MetricExporter) -> None:
    """A counter of 7 and a histogram of four values, exported once."""
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, 3_600_000)], RESOURCE)
    meter = provider.get_meter("test")
    counter = meter.create_counter("orders", unit="{order}", description="Orders placed.")
    counter.add(5, {"http.method": "POST"})
    counter.add(2, {"http.method": "POST"})
    histogram = meter.create_histogram(
        "request.duration", unit="s", explicit_bucket_boundaries_advisory=[0.005, 0.5, 1, 10]
    )
    for value in (0.001, 0.25, 0.5, 20.0):
        histogram.record(value, {"http.method": "POST"})
    provider.shutdown()


@pytest.mark.parametrize("transport", ["grpc", "http", "http+gzip"])
async def test_a_counter_and_a_histogram_arrive_exactly(
    transport: str, server: OtlpServer, embedded_pool: Pool
) -> None:
    """A counter and a histogram of the SDK become the series Prometheus would make of them, with their values."""
    await asyncio.to_thread(export_metrics, metric_exporter(server, transport))
    rows = embedded_pool.query(
        "SELECT s.metric AS metric, labels, value FROM metric_samples AS s "
        "JOIN (SELECT series_id, any(labels) AS labels FROM metric_series GROUP BY series_id) AS l "
        "ON s.series_id = l.series_id"
    ).to_pylist()
    found = {(r["metric"], dict(r["labels"]).get("le", "")): r["value"] for r in rows}
    assert found == {
        ("orders_total", ""): 7.0,
        ("request_duration_seconds_count", ""): 4.0,
        ("request_duration_seconds_sum", ""): 20.751,
        ("request_duration_seconds_bucket", "0.005"): 1.0,
        ("request_duration_seconds_bucket", "0.5"): 3.0,
        ("request_duration_seconds_bucket", "1"): 3.0,
        ("request_duration_seconds_bucket", "10"): 3.0,
        ("request_duration_seconds_bucket", "+Inf"): 4.0,
        ("target_info", ""): 1.0,
    }
    for row in rows:
        labels = dict(row["labels"])
        assert labels["job"] == "shop/cart"
        assert labels["instance"] == "cart-1"
        wanted = ("cloud_region", "eu") if row["metric"] == "target_info" else ("http_method", "POST")
        assert wanted in labels.items()
    metadata = embedded_pool.query("SELECT family, type, unit, help FROM metric_metadata FINAL ORDER BY family")
    assert metadata.to_pylist()[0] == {
        "family": "orders_total",
        "type": "counter",
        "unit": "{order}",
        "help": "Orders placed.",
    }


@pytest.mark.parametrize("transport", ["grpc", "http"])
async def test_exponential_histograms_arrive_as_native_ones(
    transport: str, server: OtlpServer, embedded_pool: Pool
) -> None:
    """What the SDK's exponential aggregation counted can be asked for, zeros too."""

    def export() -> None:
        view = View(instrument_name="*", aggregation=ExponentialBucketHistogramAggregation())
        reader = PeriodicExportingMetricReader(metric_exporter(server, transport), 3_600_000)
        provider = MeterProvider([reader], RESOURCE, views=[view])
        recorded = provider.get_meter("test").create_histogram("latency", unit="s")
        for value in (0.0, 0.0, *(1.1**n for n in range(100))):
            recorded.record(value)
        provider.shutdown()

    await asyncio.to_thread(export)
    engine = PromQLEngine(embedded_pool, Limits())
    now = time.time_ns() // 1_000_000

    def ask(query: str) -> float:
        return float(engine.instant(query, now).values[0, 0])

    assert ask("histogram_count(latency_seconds)") == 102
    assert ask("histogram_sum(latency_seconds)") == pytest.approx(sum(1.1**n for n in range(100)))
    # the rank of 0.5 is 51: two zeros, and 1.1^48 is the 49th above them
    assert ask("histogram_quantile(0.5, latency_seconds)") == pytest.approx(1.1**48, rel=0.1)
    assert ask("histogram_fraction(-0.001, 0.001, latency_seconds)") == pytest.approx(2 / 102)


@pytest.mark.parametrize("transport", ["grpc", "http"])
async def test_what_a_sampled_span_measured_has_its_trace(
    transport: str, server: OtlpServer, embedded_pool: Pool
) -> None:
    """Of measurements within a sampled span the SDK sends exemplars: they are of the counter, the bucket each value
    fell into and the native histogram, and lead to the trace."""

    def export() -> tuple[str, str]:
        view = View(instrument_name="native", aggregation=ExponentialBucketHistogramAggregation())
        reader = PeriodicExportingMetricReader(metric_exporter(server, transport), 3_600_000)
        provider = MeterProvider([reader], RESOURCE, views=[view])
        meter = provider.get_meter("test")
        counter, native = meter.create_counter("orders"), meter.create_histogram("native")
        histogram = meter.create_histogram("latency", unit="s", explicit_bucket_boundaries_advisory=[0.5, 1])
        histogram.record(0.1)  # no span, no exemplar
        with TracerProvider().get_tracer("test").start_as_current_span("checkout") as span:
            counter.add(7, {"http.method": "POST"})
            histogram.record(0.75)
            native.record(3)
        provider.shutdown()
        context = span.get_span_context()
        return f"{context.trace_id:032x}", f"{context.span_id:016x}"

    began_ms = time.time_ns() // 1_000_000
    trace_id, span_id = await asyncio.to_thread(export)
    rows = embedded_pool.query(
        "SELECT toString(e.metric) AS metric, toUnixTimestamp64Milli(ts) AS ms, value, e.labels AS own,"
        " s.labels['le'] AS le FROM metric_exemplars AS e"
        " JOIN (SELECT series_id, any(labels) AS labels FROM metric_series GROUP BY series_id) AS s USING series_id"
        " ORDER BY metric"
    ).to_pylist()
    assert [(row["metric"], row["le"], row["value"]) for row in rows] == [
        ("latency_seconds_bucket", "1", 0.75),
        ("native", "", 3.0),
        ("orders_total", "", 7.0),
    ]
    for row in rows:
        assert dict(row["own"]) == {"trace_id": trace_id, "span_id": span_id}
        assert began_ms <= row["ms"] <= time.time_ns() // 1_000_000


def export_logs(exporter: LogRecordExporter) -> tuple[str, str]:
    """Fifty records within one span; gives the span's trace id and span id."""
    provider = LoggerProvider(RESOURCE)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("otlp-test")
    with TracerProvider().get_tracer("test").start_as_current_span("checkout") as span:
        for i in range(50):
            logger.emit(
                timestamp=time.time_ns(),
                severity_number=SeverityNumber.ERROR,
                severity_text="ERROR",
                body=f"주문 {i} failed",
                attributes={"order.id": i},
            )
        context = span.get_span_context()
    provider.shutdown()
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


@pytest.mark.parametrize("transport", ["grpc", "http", "http+gzip"])
async def test_fifty_log_records_arrive_exactly(transport: str, server: OtlpServer, embedded_pool: Pool) -> None:
    """Fifty records of the SDK are fifty lines in their order, with labels, attributes, severity and trace."""
    trace_id, span_id = await asyncio.to_thread(export_logs, log_exporter(server, transport))
    rows = embedded_pool.query("SELECT * FROM logs ORDER BY ts, seq").to_pylist()
    assert [r["body"] for r in rows] == [f"주문 {i} failed" for i in range(50)]
    assert [dict(r["attributes"])["order_id"] for r in rows] == [str(i) for i in range(50)]
    assert {(r["severity"], r["trace_id"], r["span_id"], r["service"]) for r in rows} == {
        ("error", trace_id, span_id, "cart")
    }
    assert dict(rows[0]["attributes"])["severity_text"] == "ERROR"
    streams = embedded_pool.query("SELECT labels FROM log_streams FINAL").to_pylist()
    assert [dict(s["labels"]) for s in streams] == [
        {
            "cloud_region": "eu",
            "service_instance_id": "cart-1",
            "service_name": "cart",
            "service_namespace": "shop",
        }
    ]
