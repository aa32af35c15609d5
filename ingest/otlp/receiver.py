"""OTLP requests → the store, whatever brought them: HTTP, gRPC or Kafka."""

from __future__ import annotations

import asyncio

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from app.compression import decompress
from app.config import Limits
from app.telemetry import DROPPED, RECEIVED
from ingest.batch import LogBatch
from ingest.otlp.cache import PointCache
from ingest.otlp.logs import decode_logs
from ingest.otlp.metrics import DecodedMetrics, decode_metrics
from ingest.otlp.outcome import Outcome, Rejections, Signal
from ingest.otlp.wire import Encoding, parse
from ingest.writer import Writer

_THREAD_FROM_BYTES = 2048
"""A smaller body is decoded sooner than a thread is found for it; a larger one would hold up the event loop."""

REJECTION_REASONS = ("bad_name", "bad_point", "bad_record", "delta_temporality")
for _reason in (*REJECTION_REASONS, "undecodable", "too_large"):
    DROPPED.labels("otlp", _reason)
RECEIVED.labels("otlp")


class OtlpIngest:
    """Decodes OTLP bodies and writes what is good in them. One for all transports of a process."""

    def __init__(self, writer: Writer, limits: Limits) -> None:
        self._writer = writer
        self._limits = limits
        self._points = PointCache(writer.series)

    async def take(self, signal: Signal, body: bytes, encoding: Encoding, compression: str = "") -> Outcome:
        """Returns when all that is good in the body is kept.

        Raises DecodeError (TooLarge among them) when it cannot be read at all, and as `Writer.write_metrics` does.
        """
        args = (body, encoding, compression)
        inline = len(body) < _THREAD_FROM_BYTES and not compression
        if signal == "metrics":
            metrics = self._decode_metrics(*args) if inline else await asyncio.to_thread(self._decode_metrics, *args)
            await self._writer.write_metrics(metrics.batch)
            return _outcome(metrics.points, metrics.rejected)
        batch, rejected = self._decode_logs(*args) if inline else await asyncio.to_thread(self._decode_logs, *args)
        await self._writer.write_logs(batch)
        return _outcome(len(batch), rejected)

    def _decode_metrics(self, body: bytes, encoding: Encoding, compression: str) -> DecodedMetrics:
        request = parse(ExportMetricsServiceRequest, self._plain(body, compression), encoding)
        return decode_metrics(request, self._points.current(), self._limits)

    def _decode_logs(self, body: bytes, encoding: Encoding, compression: str) -> tuple[LogBatch, Rejections]:
        request = parse(ExportLogsServiceRequest, self._plain(body, compression), encoding)
        batch = LogBatch(self._writer.streams.current)
        return batch, decode_logs(request, batch, self._limits)

    def _plain(self, body: bytes, compression: str) -> bytes:
        return decompress(body, compression, self._limits.max_decoded_bytes) if compression else body


def response_to(signal: Signal, outcome: Outcome) -> ExportMetricsServiceResponse | ExportLogsServiceResponse:
    """The answer to a request of which something was kept; `partial_success` is set when there is something to tell."""
    if signal == "metrics":
        metrics = ExportMetricsServiceResponse()
        if outcome.message:
            metrics.partial_success.rejected_data_points = outcome.rejected
            metrics.partial_success.error_message = outcome.message
        return metrics
    logs = ExportLogsServiceResponse()
    if outcome.message:
        logs.partial_success.rejected_log_records = outcome.rejected
        logs.partial_success.error_message = outcome.message
    return logs


def _outcome(kept: int, rejected: Rejections) -> Outcome:
    RECEIVED.labels("otlp").inc(kept)
    for reason, count in rejected.counts.items():
        if count:
            DROPPED.labels("otlp", reason).inc(count)
    return Outcome(kept, rejected.total, rejected.message())
