"""OTLP bodies: compression, protobuf, JSON."""

from __future__ import annotations

import gzip
import zlib

import cramjam
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from app.compression import COMPRESSIONS, TooLarge, decompress
from app.config import Limits
from app.errors import DecodeError
from ingest.batch import LogBatch
from ingest.otlp.cache import PointCache
from ingest.otlp.logs import decode_logs
from ingest.otlp.metrics import decode_metrics
from ingest.otlp.wire import parse
from ingest.series import SeriesRegistry

PLAIN = b"0123456789" * 1000
COMPRESSED = {
    "gzip": gzip.compress(PLAIN),
    "deflate": zlib.compress(PLAIN),
    "zstd": bytes(cramjam.zstd.compress(PLAIN)),
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_each_compression_is_undone(compression: str) -> None:
    """What was compressed comes back, up to the limit and not beyond it."""
    body = COMPRESSED[compression]
    assert decompress(body, compression, len(PLAIN)) == PLAIN
    with pytest.raises(TooLarge, match=r"limits\.max_decoded_bytes = 9999"):
        decompress(body, compression, len(PLAIN) - 1)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("spoil", [lambda b: b"junk" + b, lambda b: b[: len(b) // 2]], ids=["junk", "cut"])
def test_what_is_not_so_compressed_is_an_error(compression: str, spoil: object) -> None:
    """Junk and half a body are decode errors that name the compression."""
    with pytest.raises(DecodeError, match=f"body is not {compression}"):
        decompress(spoil(COMPRESSED[compression]), compression, 10**6)  # type: ignore[operator]


def test_a_gzip_body_may_have_several_members() -> None:
    """They are one body."""
    assert decompress(gzip.compress(b"a") + gzip.compress(b"b"), "gzip", 10) == b"ab"


def test_json_ids_are_hex() -> None:
    """trace and span ids of OTLP's JSON are hex, in any case, where protobuf's JSON has base64; unknown keys pass."""
    record = {
        "timeUnixNano": "1795238981000000000",
        "severityNumber": 9,
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "eee19b7ec3c1b174",
        "body": {"stringValue": "x"},
        "attributes": [{"key": "traceId", "value": {"stringValue": "not hex"}}],
        "newField": {"a": 1},
    }
    body = orjson.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
    message = parse(ExportLogsServiceRequest, body, "json")
    found = message.resource_logs[0].scope_logs[0].log_records[0]
    assert found.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert found.span_id.hex() == "eee19b7ec3c1b174"
    assert found.time_unix_nano == 1795238981000000000
    assert found.attributes[0].value.string_value == "not hex"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b'{"resourceLogs": 3}',
        b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"traceId": "xyz"}]}]}]}',
        b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "soon"}]}]}]}',
        b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": -1}]}]}]}',
        b'{"resourceLogs": ' + b'[{"a":' * 5000 + b"1" + b"}]" * 5000 + b"}",
    ],
    ids=range(9),
)
def test_bad_json_is_a_decode_error(body: bytes) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(DecodeError, match="JSON"):
        parse(ExportLogsServiceRequest, body, "json")


def test_bad_protobuf_is_a_decode_error() -> None:
    """A message that ends too early, and nesting without end."""
    with pytest.raises(DecodeError, match="protobuf"):
        parse(ExportLogsServiceRequest, b"\x0a\xff", "proto")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
KEYS = st.sampled_from(
    [
        "resourceLogs",
        "scopeLogs",
        "logRecords",
        "traceId",
        "body",
        "attributes",
        "key",
        "value",
        "kvlistValue",
        "flags",
        "resourceMetrics",
        "scopeMetrics",
        "metrics",
        "gauge",
        "sum",
        "histogram",
        "dataPoints",
        "asDouble",
        "scope",
    ]
)
otlp_like = st.recursive(
    json_values,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, otlp_like, max_size=4))
def test_any_json_is_taken_or_refused(document: dict[str, object]) -> None:
    """Nothing but a DecodeError comes out of a JSON body, and what parses can be decoded."""
    try:
        body = orjson.dumps(document)
    except TypeError:
        return
    refusal = "none"
    try:
        decode_logs(parse(ExportLogsServiceRequest, body, "json"), LogBatch(SeriesRegistry().current), Limits())
        cache = PointCache(SeriesRegistry())
        decode_metrics(parse(ExportMetricsServiceRequest, body, "json"), cache.current(), Limits())
    except DecodeError as error:
        refusal = str(error)
    assert refusal, "a refusal says why"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused(body: bytes) -> None:
    """Nothing but a DecodeError comes out of a protobuf body."""
    for compression in COMPRESSIONS:
        with pytest.raises(DecodeError):
            decompress(b"\xff" + body, compression, 1000)
    try:
        decode_logs(parse(ExportLogsServiceRequest, body, "proto"), LogBatch(SeriesRegistry().current), Limits())
        cache = PointCache(SeriesRegistry())
        decode_metrics(parse(ExportMetricsServiceRequest, body, "proto"), cache.current(), Limits())
    except DecodeError:
        pass
