"""The protobuf messages of Prometheus remote write 1.0 and remote read (prompb/remote.proto and types.proto there).

Only the fields that are read are declared; others are skipped by the protobuf library as the format has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_F = descriptor_pb2.FieldDescriptorProto
Fields = list[tuple[int, str, Any, bool]]
"""The fields of a message: number, name, type (a protobuf type, or a message's name), whether repeated."""

HISTOGRAM_FIELDS: dict[str, Fields] = {
    "BucketSpan": [(1, "offset", _F.TYPE_SINT32, False), (2, "length", _F.TYPE_UINT32, False)],
    "Histogram": [
        (1, "count_int", _F.TYPE_UINT64, False),
        (2, "count_float", _F.TYPE_DOUBLE, False),
        (3, "sum", _F.TYPE_DOUBLE, False),
        (4, "schema", _F.TYPE_SINT32, False),
        (5, "zero_threshold", _F.TYPE_DOUBLE, False),
        (6, "zero_count_int", _F.TYPE_UINT64, False),
        (7, "zero_count_float", _F.TYPE_DOUBLE, False),
        (8, "negative_spans", "BucketSpan", True),
        (9, "negative_deltas", _F.TYPE_SINT64, True),
        (10, "negative_counts", _F.TYPE_DOUBLE, True),
        (11, "positive_spans", "BucketSpan", True),
        (12, "positive_deltas", _F.TYPE_SINT64, True),
        (13, "positive_counts", _F.TYPE_DOUBLE, True),
        (14, "reset_hint", _F.TYPE_INT32, False),
        (15, "timestamp", _F.TYPE_INT64, False),
        (16, "custom_values", _F.TYPE_DOUBLE, True),
    ],
}
"""Native histograms, the same in both versions of remote write."""

_MESSAGES: dict[str, Fields] = {
    **HISTOGRAM_FIELDS,
    "Label": [(1, "name", _F.TYPE_BYTES, False), (2, "value", _F.TYPE_BYTES, False)],
    "Sample": [(1, "value", _F.TYPE_DOUBLE, False), (2, "timestamp", _F.TYPE_INT64, False)],
    "Exemplar": [
        (1, "labels", "Label", True),
        (2, "value", _F.TYPE_DOUBLE, False),
        (3, "timestamp", _F.TYPE_INT64, False),
    ],
    "TimeSeries": [
        (1, "labels", "Label", True),
        (2, "samples", "Sample", True),
        (3, "exemplars", "Exemplar", True),
        (4, "histograms", "Histogram", True),
    ],
    "MetricMetadata": [
        (1, "type", _F.TYPE_INT32, False),
        (2, "metric_family_name", _F.TYPE_STRING, False),
        (4, "help", _F.TYPE_STRING, False),
        (5, "unit", _F.TYPE_STRING, False),
    ],
    "WriteRequest": [(1, "timeseries", "TimeSeries", True), (3, "metadata", "MetricMetadata", True)],
    "LabelMatcher": [
        (1, "type", _F.TYPE_INT32, False),
        (2, "name", _F.TYPE_STRING, False),
        (3, "value", _F.TYPE_STRING, False),
    ],
    "Query": [
        (1, "start_timestamp_ms", _F.TYPE_INT64, False),
        (2, "end_timestamp_ms", _F.TYPE_INT64, False),
        (3, "matchers", "LabelMatcher", True),
    ],
    "ReadRequest": [(1, "queries", "Query", True), (2, "accepted_response_types", _F.TYPE_INT32, True)],
    "QueryResult": [(1, "timeseries", "TimeSeries", True)],
    "ReadResponse": [(1, "results", "QueryResult", True)],
    "Chunk": [
        (1, "min_time_ms", _F.TYPE_INT64, False),
        (2, "max_time_ms", _F.TYPE_INT64, False),
        (3, "type", _F.TYPE_INT32, False),
        (4, "data", _F.TYPE_BYTES, False),
    ],
    "ChunkedSeries": [(1, "labels", "Label", True), (2, "chunks", "Chunk", True)],
    "ChunkedReadResponse": [(1, "chunked_series", "ChunkedSeries", True), (2, "query_index", _F.TYPE_INT64, False)],
}
_ONE_OF = {"Histogram": {"count": ("count_int", "count_float"), "zero_count": ("zero_count_int", "zero_count_float")}}
"""Fields of which a message has one."""

METADATA_TYPES = (
    "unknown",
    "counter",
    "gauge",
    "histogram",
    "gaugehistogram",
    "summary",
    "info",
    "stateset",
)
"""Metric types by their number in MetricMetadata."""


def build(package: str, messages: Mapping[str, Fields]) -> dict[str, Any]:
    """The classes of a package's messages, by name."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for number, field, kind, repeated in fields:
            entry = message.field.add(
                name=field, number=number, label=_F.LABEL_REPEATED if repeated else _F.LABEL_OPTIONAL
            )
            if isinstance(kind, str):
                entry.type, entry.type_name = _F.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                entry.type = kind
        for number, (group, members) in enumerate(_ONE_OF.get(name, {}).items()):
            message.oneof_decl.add(name=group)
            for entry in message.field:
                if entry.name in members:
                    entry.oneof_index = number
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


_classes = build("watchhouse.remote", _MESSAGES)
BucketSpan: Any = _classes["BucketSpan"]
Histogram: Any = _classes["Histogram"]
Exemplar: Any = _classes["Exemplar"]
TimeSeries: Any = _classes["TimeSeries"]
MetricMetadata: Any = _classes["MetricMetadata"]
WriteRequest: Any = _classes["WriteRequest"]
ReadRequest: Any = _classes["ReadRequest"]
ReadResponse: Any = _classes["ReadResponse"]
ChunkedReadResponse: Any = _classes["ChunkedReadResponse"]
