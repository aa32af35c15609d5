"""OTLP logs → lines."""

from __future__ import annotations

import time

import orjson
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from app.config import Limits
from ingest.batch import LogBatch
from ingest.otlp.logs import decode_logs, severity_of
from ingest.otlp.outcome import Rejections
from ingest.series import SeriesRegistry

NOW_NS = 1_795_238_981_123_456_789


def text(value: str) -> AnyValue:
    """A text value."""
    return AnyValue(string_value=value)


def request(*records: LogRecord, **resource: str) -> ExportLogsServiceRequest:
    """A request with one resource; `__` stands for a dot."""
    message = ExportLogsServiceRequest()
    found = message.resource_logs.add()
    for key, value in resource.items():
        found.resource.attributes.add(key=key.replace("__", "."), value=text(value))
    found.scope_logs.add().log_records.extend(records)
    return message


def decode(message: ExportLogsServiceRequest, limits: Limits | None = None) -> tuple[LogBatch, Rejections]:
    """The lines, and what was not taken."""
    batch = LogBatch(SeriesRegistry().current)
    return batch, decode_logs(message, batch, limits or Limits())


def test_lokis_default_labels_are_stream_labels_and_the_rest_attributes() -> None:
    """Resource attributes on Loki's list are labels; others, the scope's and the record's own are attributes."""
    record = LogRecord(time_unix_nano=NOW_NS, body=text("hi"), trace_id=b"\xab" * 16, span_id=b"\xcd" * 8)
    record.attributes.add(key="http.route", value=text("/x"))
    record.attributes.add(key="2xx", value=AnyValue(int_value=7))
    message = request(
        record,
        service__name="cart",
        service__namespace="shop",
        deployment__environment__name="prod",
        k8s__namespace__name="default",
        k8s__pod__name="cart-1",
        host__name="node-1",
    )
    scope = message.resource_logs[0].scope_logs[0].scope
    scope.name, scope.version = "lib", "1.0"
    batch, rejected = decode(message)
    assert dict(batch.index.labels[batch.refs[0]]) == {
        "service_name": "cart",
        "service_namespace": "shop",
        "deployment_environment_name": "prod",
        "k8s_namespace_name": "default",
        "k8s_pod_name": "cart-1",
    }
    assert batch.attributes[0] == {
        "host_name": "node-1",
        "scope_name": "lib",
        "scope_version": "1.0",
        "http_route": "/x",
        "key_2xx": "7",
    }
    assert (batch.ts_ns, batch.bodies) == ([NOW_NS], ["hi"])
    assert (batch.trace_ids, batch.span_ids) == (["ab" * 16], ["cd" * 8])
    assert rejected.total == 0


@pytest.mark.parametrize(
    ("resource", "service"),
    [({}, "unknown_service"), ({"container__name": "web"}, "web"), ({"k8s__container__name": "api"}, "api")],
)
def test_every_stream_has_a_service_name(resource: dict[str, str], service: str) -> None:
    """Without service.name it is the container's, or unknown_service: no stream is without a label."""
    batch, _ = decode(request(LogRecord(time_unix_nano=NOW_NS), **resource))
    assert dict(batch.index.labels[batch.refs[0]])["service_name"] == service


def test_the_time_is_the_records_own_or_when_it_was_seen_or_now() -> None:
    """In this order."""
    before = time.time_ns()
    batch, _ = decode(
        request(
            LogRecord(time_unix_nano=5, observed_time_unix_nano=6), LogRecord(observed_time_unix_nano=6), LogRecord()
        )
    )
    assert batch.ts_ns[:2] == [5, 6]
    assert before <= batch.ts_ns[2] <= time.time_ns()


def test_bodies_of_every_kind() -> None:
    """Text as it is; numbers, lists and maps as JSON; bytes as base64; nothing as an empty line."""
    members = [KeyValue(key="n", value=AnyValue(double_value=1.5)), KeyValue(key="e", value=AnyValue())]
    nested = AnyValue(kvlist_value=KeyValueList(values=members))
    array = AnyValue(array_value=ArrayValue(values=[text("한"), AnyValue(bool_value=True), nested]))
    bodies = [
        text("\x1b[31m한국어"),
        AnyValue(int_value=-(2**63)),
        AnyValue(double_value=0.1),
        AnyValue(double_value=3.0),
        AnyValue(bool_value=False),
        AnyValue(bytes_value=b"\x00\xff"),
        AnyValue(),
        array,
    ]
    batch, _ = decode(request(*(LogRecord(time_unix_nano=NOW_NS, body=body) for body in bodies)))
    assert batch.bodies[:7] == ["\x1b[31m한국어", str(-(2**63)), "0.1", "3", "false", "AP8=", ""]
    assert orjson.loads(batch.bodies[7]) == ["한", True, {"n": 1.5, "e": None}]


def test_maps_among_attributes_are_flattened() -> None:
    """A member of a map is an attribute of its own; a name that cannot be one costs only itself."""
    record = LogRecord(time_unix_nano=NOW_NS)
    inner = KeyValue(key="b.c", value=AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="d", value=text("1"))])))
    record.attributes.add(key="a", value=AnyValue(kvlist_value=KeyValueList(values=[inner])))
    record.attributes.add(key="...", value=text("lost"))
    batch, _ = decode(request(record))
    assert batch.attributes[0] == {"a_b_c_d": "1"}


@pytest.mark.parametrize(
    ("number", "words", "wanted"),
    [
        (1, "", "trace"),
        (8, "", "debug"),
        (9, "ERROR", "info"),
        (16, "", "warn"),
        (17, "", "error"),
        (24, "", "fatal"),
        (0, "Warning", "warn"),
        (0, "CRITICAL", "fatal"),
        (0, "loud", ""),
        (99, "error", "error"),
    ],
)
def test_severities(number: int, words: str, wanted: str) -> None:
    """The number decides, else the text."""
    assert severity_of(LogRecord(severity_number=number, severity_text=words)) == wanted  # type: ignore[arg-type]


def test_a_line_over_the_limit_is_cut_and_marked() -> None:
    """It loses what is over the limit and no half of a character; the sender is told, and nothing was rejected."""
    limits = Limits(max_log_line_bytes=5)
    records = [LogRecord(time_unix_nano=NOW_NS, body=text(body)) for body in ("short", "한국", "longer")]
    batch, rejected = decode(request(*records), limits)
    assert batch.bodies == ["short", "한", "longe"]
    assert [a.get("truncated_bytes") for a in batch.attributes] == [None, "1", "1"]
    assert (rejected.total, rejected.message()) == (0, "log lines were cut to limits.max_log_line_bytes = 5")


def test_sequence_numbers_count_what_was_not_taken() -> None:
    """A line read again has the number it had before, whatever its neighbours were."""
    records = [LogRecord(time_unix_nano=ts_ns, body=text("x")) for ts_ns in (1, 2**64 - 1, 3)]
    batch = LogBatch(SeriesRegistry().current, "kafka:t/0")
    rejected = decode_logs(request(*records), batch, Limits(), 1, first_seq=1000)
    assert batch.seqs == [1000, 1002]
    assert rejected.message() == f"a log record with the time {2**64 - 1} ns, more than 10 minutes ahead (1 not taken)"


def test_an_id_of_the_wrong_length_is_none() -> None:
    """It is left out, and the line kept."""
    batch, _ = decode(request(LogRecord(time_unix_nano=NOW_NS, trace_id=b"\x01", span_id=b"\x02" * 9)))
    assert (batch.trace_ids, batch.span_ids) == ([""], [""])
