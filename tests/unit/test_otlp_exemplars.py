"""OTLP exemplars: of which series they are, with which labels."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from app.config import Limits
from app.telemetry import DROPPED_EXEMPLARS
from ingest.otlp.cache import PointCache
from ingest.otlp.metrics import decode_metrics
from ingest.otlp.wire import parse
from ingest.series import SeriesRegistry

NOW_NS = 1_795_238_981_123_456_789
NOW_MS = 1_795_238_981_123
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def exemplar(value: float, **fields: Any) -> dict[str, Any]:
    """An exemplar with the ids of a trace, as OTLP/JSON has it."""
    return {"timeUnixNano": str(NOW_NS - 10**9), "asDouble": value, "traceId": TRACE, "spanId": SPAN, **fields}


def point(*exemplars: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A data point."""
    return {"timeUnixNano": str(NOW_NS), "exemplars": list(exemplars), **fields}


def found(kind: str, *points: dict[str, Any], cache: PointCache | None = None) -> list[tuple[str, int, float, Any]]:
    """(series, milliseconds, value, labels) of the exemplars of a metric's points."""
    data = {"dataPoints": list(points), "aggregationTemporality": 2, **({"isMonotonic": True} if kind == "sum" else {})}
    metric = {"name": "orders", kind: data if kind != "gauge" else {"dataPoints": list(points)}}
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}
    request = parse(ExportMetricsServiceRequest, json.dumps(body).encode(), "json")
    decoded = decode_metrics(request, (cache or PointCache(SeriesRegistry())).current(), Limits())
    assert (decoded.points, decoded.rejected.total) == (len(points), 0)
    batch, rows = decoded.batch, decoded.batch.exemplars
    series = [dict(batch.index.labels[ref]) for ref in rows.refs.tolist()]
    names = [labels["__name__"] + (f"[{labels['le']}]" if "le" in labels else "") for labels in series]
    return list(zip(names, rows.ts_ms.tolist(), rows.values.tolist(), map(dict, rows.labels), strict=True))


def dropped(reason: str) -> float:
    """How many exemplars this process has dropped for a reason."""
    return DROPPED_EXEMPLARS.labels(reason)._value.get()  # type: ignore[no-any-return]


@pytest.mark.parametrize(("kind", "name"), [("sum", "orders_total"), ("gauge", "orders")])
def test_exemplars_of_numbers_are_of_their_series(kind: str, name: str) -> None:
    """A counter's exemplars are of its `_total` series, met before or not; an integer is a value as any other."""
    cache = PointCache(SeriesRegistry())
    ids = {"trace_id": TRACE, "span_id": SPAN}
    for _ in range(2):
        with_two = point(exemplar(1.5), {"timeUnixNano": str(NOW_NS), "asInt": "3"}, asInt="7")
        assert found(kind, with_two, point(asInt="8"), cache=cache) == [
            (name, NOW_MS - 1000, 1.5, ids),
            (name, NOW_MS, 3.0, {}),
        ]


def test_exemplars_of_histograms_are_of_their_bucket() -> None:
    """An exemplar is of the first bucket whose bound it does not pass, at the bound too; NaN is of none."""
    before = dropped("malformed")
    values = (0.1, 0.5, 0.50001, 2.0, math.inf, -math.inf)
    many = [exemplar(0, asDouble=str(v).replace("inf", "Infinity")) for v in (*values, math.nan)]
    many[-1]["asDouble"] = "NaN"
    histogram = point(*many, count="6", sum=1.0, bucketCounts=["2", "1", "3"], explicitBounds=[0.5, 1.0])
    assert [(name, value) for name, _, value, _ in found("histogram", histogram)] == [
        ("orders_bucket[0.5]", 0.1),
        ("orders_bucket[0.5]", 0.5),
        ("orders_bucket[1]", 0.50001),
        ("orders_bucket[+Inf]", 2.0),
        ("orders_bucket[+Inf]", math.inf),
        ("orders_bucket[0.5]", -math.inf),
    ]
    assert dropped("malformed") == before + 1
    assert [name for name, *_ in found("histogram", point(exemplar(3), count="1"))] == ["orders_bucket[+Inf]"]


def test_exemplars_of_exponential_histograms_are_of_the_series_itself() -> None:
    """A native histogram has its exemplars under its own name."""
    native = point(
        exemplar(1), exemplar(9), count="2", scale=0, positive={"offset": 0, "bucketCounts": ["1", "0", "0", "1"]}
    )
    assert [(name, value) for name, _, value, _ in found("exponentialHistogram", native)] == [
        ("orders", 1),
        ("orders", 9),
    ]


def test_filtered_attributes_are_labels_where_all_fit() -> None:
    """Attributes keep their own names; those that would make the labels too long are left out, the ids never."""
    attributes = [{"key": "http.route", "value": {"stringValue": "/cart"}}, {"key": "n", "value": {"intValue": "3"}}]
    long = [{"key": "user", "value": {"stringValue": "u" * 90}}]
    no_ids = {"traceId": "0" * 32, "spanId": ""}
    points = point(
        exemplar(1, filteredAttributes=attributes),
        exemplar(2, filteredAttributes=long),
        exemplar(3, filteredAttributes=attributes, **no_ids),
        asInt="7",
    )
    ids = {"trace_id": TRACE, "span_id": SPAN}
    assert [labels for *_, labels in found("sum", points)] == [
        {"http.route": "/cart", "n": "3", **ids},
        ids,
        {"http.route": "/cart", "n": "3"},
    ]


def test_exemplars_without_a_time_or_a_value() -> None:
    """One that tells no time is of its point's; one without a value or of no time we know is dropped and counted."""
    malformed, outside = dropped("malformed"), dropped("out_of_bounds")
    points = point(
        exemplar(1, timeUnixNano="0"),
        {"timeUnixNano": str(NOW_NS), "traceId": TRACE},
        exemplar(2, timeUnixNano=str(2**64 - 1)),
        asInt="7",
    )
    assert [(ts_ms, value) for _, ts_ms, value, _ in found("sum", points)] == [(NOW_MS, 1.0)]
    assert (dropped("malformed"), dropped("out_of_bounds")) == (malformed + 1, outside + 1)
