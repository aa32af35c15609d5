"""Fetched Kafka records → batches, by the format of their topic."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack
import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from app.config import KafkaTopic, Limits
from app.errors import DecodeError
from ingest.batch import LogBatch, MetricBatch
from ingest.fluentbit.records import StreamCache, add_record
from ingest.kafka.lines import keep_lines
from ingest.otlp.cache import PointCache
from ingest.otlp.logs import decode_logs
from ingest.otlp.metrics import decode_metrics
from ingest.otlp.outcome import Rejections
from ingest.otlp.wire import Encoding, parse
from ingest.remote_write import WriteCache, decode_write_request
from ingest.times import AHEAD_MS, take_time
from ingest.write_request import decompress
from ingest.writer import Writer

log = logging.getLogger(__name__)

LINES_OF_A_RECORD_BITS = 20
"""A line's number is its record's offset shifted by this much, plus the line's place in the record."""

REASONS = ("undecodable", "bad_part", "no_value", "error")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A fetched record that was not taken, or not whole. `reason` is one of REASONS, `message` says more."""

    record: Any
    reason: str
    message: str


@dataclass(slots=True)
class Fetched:
    """What became of the records of one fetch."""

    logs: list[LogBatch] = field(default_factory=list)
    metrics: list[MetricBatch] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)


def source_of(topic: str, partition: int) -> str:
    """The name a partition's lines carry in the store."""
    return f"kafka:{topic}/{partition}"


class Decoder:
    """Decodes the records of the configured topics. Used from one thread at a time."""

    def __init__(self, writer: Writer, topics: Sequence[KafkaTopic], limits: Limits) -> None:
        self._topics = {topic.name: topic for topic in topics}
        self._limits = limits
        self._points = PointCache(writer.series)
        self._streams = StreamCache(writer.streams, limits)
        self._series = WriteCache(writer.series, limits.cached_series)

    def decode(self, records: Mapping[Any, Sequence[Any]]) -> Fetched:
        """The batches of fetched records by partition. Blocks; a record that cannot be read is a dead letter."""
        fetched = Fetched()
        for partition, members in records.items():
            topic = self._topics[partition.topic]
            batch = self._streams.new_batch(source_of(partition.topic, partition.partition))
            for record in members:
                self._record(record, topic, batch, fetched)
            if len(batch):
                fetched.logs.append(batch)
        fetched.metrics = _merged(fetched.metrics)
        return fetched

    def _record(self, record: Any, topic: KafkaTopic, batch: LogBatch, fetched: Fetched) -> None:
        if record.value is None:
            fetched.dead.append(DeadLetter(record, "no_value", "the record has no value"))
            return
        before = len(batch)
        try:
            problem = self._take(record, topic, batch, fetched)
        except DecodeError as error:
            keep_lines(batch, range(before))
            fetched.dead.append(DeadLetter(record, "undecodable", str(error)))
        except Exception as error:  # one record must not hold up its partition for ever
            log.exception("record %d of %s/%d breaks the decoder", record.offset, record.topic, record.partition)
            keep_lines(batch, range(before))
            fetched.dead.append(DeadLetter(record, "error", f"{type(error).__name__}: {error}"))
        else:
            if problem:
                fetched.dead.append(DeadLetter(record, "bad_part", problem))

    def _take(self, record: Any, topic: KafkaTopic, batch: LogBatch, fetched: Fetched) -> str:
        """Takes what is good in a record; gives what is wrong with the rest, "" when nothing is."""
        if topic.format in ("fluentbit_json", "fluentbit_msgpack"):
            documents = _json(record.value) if topic.format == "fluentbit_json" else _msgpack(record.value)
            self._add_documents(record, documents, topic, batch)
            return ""
        if topic.format == "prometheus_remote_write":
            request = decode_write_request(self._unpacked(record.value), self._series, self._limits)
            kept = request.batch.within(0, int(time.time() * 1000) + AHEAD_MS)
            fetched.metrics.append(kept)
            outside = len(request.batch) - len(kept)
            if outside:
                return f"{outside} samples before 1970 or over 10 minutes ahead"
            return f"{request.rejected.series} series: {request.rejected.first}" if request.rejected.series else ""
        encoding: Encoding = "json" if topic.format == "otlp_json" else "proto"
        rejected = (
            self._otlp_metrics(record, encoding, fetched)
            if topic.signal == "metrics"
            else self._otlp_logs(record, encoding, batch)
        )
        return rejected.message() if rejected.total else ""

    def _add_documents(self, record: Any, documents: list[Any], topic: KafkaTopic, batch: LogBatch) -> None:
        first = record.offset << LINES_OF_A_RECORD_BITS
        if len(documents) >= 1 << LINES_OF_A_RECORD_BITS:
            raise DecodeError(f"{len(documents)} lines in one record")
        for i, document in enumerate(documents):
            if not isinstance(document, dict):
                raise DecodeError(f"a log record must be an object, not {type(document).__name__}")
            ts_ns = take_time(document)
            if ts_ns is None:
                # of all clocks this one gives the same time when the record is read again
                ts_ns = record.timestamp * 1_000_000
            add_record(batch, self._streams, topic.name, ts_ns, document, None, first + i)

    def _otlp_metrics(self, record: Any, encoding: Encoding, fetched: Fetched) -> Rejections:
        request = parse(ExportMetricsServiceRequest, record.value, encoding)
        decoded = decode_metrics(request, self._points.current(), self._limits, record.timestamp * 1_000_000)
        fetched.metrics.append(decoded.batch)
        return decoded.rejected

    def _otlp_logs(self, record: Any, encoding: Encoding, batch: LogBatch) -> Rejections:
        request = parse(ExportLogsServiceRequest, record.value, encoding)
        first = record.offset << LINES_OF_A_RECORD_BITS
        return decode_logs(request, batch, self._limits, record.timestamp * 1_000_000, first)

    def _unpacked(self, body: bytes) -> bytes:
        """A remote write body as it is, or out of the snappy block that remote write has it in over HTTP."""
        try:
            return decompress(body, self._limits)
        except DecodeError:
            return body


def _merged(batches: Sequence[MetricBatch]) -> list[MetricBatch]:
    """The same samples in one batch an index: a fetch may hold thousands of small records."""
    return [MetricBatch.joined(list(group)) for _, group in itertools.groupby(batches, key=lambda batch: batch.index)]


def _json(value: bytes) -> list[Any]:
    """The records of a value: one object, an array of them, or one a line."""
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        lines = value.splitlines()
        if len(lines) < 2:
            raise DecodeError(f"not JSON: {error}") from None
        try:
            return [orjson.loads(line) for line in lines if line.strip()]
        except orjson.JSONDecodeError as second:
            raise DecodeError(f"not JSON: {second}") from None
    return document if isinstance(document, list) else [document]


def _msgpack(value: bytes) -> list[Any]:
    """The records of a value: maps one after the other, or an array of them."""
    unpacker = msgpack.Unpacker(raw=False, timestamp=1, unicode_errors="replace", strict_map_key=False)
    unpacker.feed(value)
    found, end = [], 0
    try:
        while end < len(value):
            found.append(unpacker.unpack())
            end = unpacker.tell()
    except msgpack.OutOfData:
        raise DecodeError("not msgpack: it ends too early") from None
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        # a TypeError is a map that has a map for a key
        raise DecodeError(f"not msgpack: {error}") from None
    if not found:
        raise DecodeError("not msgpack: it is empty")
    return found[0] if len(found) == 1 and isinstance(found[0], list) else found
