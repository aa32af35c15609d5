"""The protobuf messages of Prometheus remote write 2.0 (prompb/io/prometheus/write/v2/types.proto there).

Only the fields that are read are declared, and symbols are bytes: one that is not UTF-8 is no fault of the others.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2

from ingest.prompb import HISTOGRAM_FIELDS, Fields, build

_F = descriptor_pb2.FieldDescriptorProto
_MESSAGES: dict[str, Fields] = {
    **HISTOGRAM_FIELDS,
    "Sample": [
        (1, "value", _F.TYPE_DOUBLE, False),
        (2, "timestamp", _F.TYPE_INT64, False),
        (3, "start_timestamp", _F.TYPE_INT64, False),
    ],
    "Exemplar": [
        (1, "labels_refs", _F.TYPE_UINT32, True),
        (2, "value", _F.TYPE_DOUBLE, False),
        (3, "timestamp", _F.TYPE_INT64, False),
    ],
    "Metadata": [
        (1, "type", _F.TYPE_INT32, False),
        (3, "help_ref", _F.TYPE_UINT32, False),
        (4, "unit_ref", _F.TYPE_UINT32, False),
    ],
    "TimeSeries": [
        (1, "labels_refs", _F.TYPE_UINT32, True),
        (2, "samples", "Sample", True),
        (3, "histograms", "Histogram", True),
        (4, "exemplars", "Exemplar", True),
        (5, "metadata", "Metadata", False),
    ],
    "Request": [(4, "symbols", _F.TYPE_BYTES, True), (5, "timeseries", "TimeSeries", True)],
}

_classes = build("io.prometheus.write.v2", _MESSAGES)
BucketSpan: Any = _classes["BucketSpan"]
Histogram: Any = _classes["Histogram"]
TimeSeries: Any = _classes["TimeSeries"]
Request: Any = _classes["Request"]
