"""OTLP exponential histograms → native histograms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import ExponentialHistogramDataPoint, Metric

from app.config import Limits
from app.histogram import Histogram
from app.store.metrics import STALE_NAN_BITS
from ingest.otlp.cache import PointCache
from ingest.otlp.metrics import DecodedMetrics, decode_metrics
from ingest.series import SeriesRegistry

NOW_NS = 1_795_238_981_123_456_789
NOW_MS = 1_795_238_981_123
DELTA, CUMULATIVE = 1, 2
Buckets = ExponentialHistogramDataPoint.Buckets


def point(**fields: Any) -> ExponentialHistogramDataPoint:
    """3 in (1, 2], none in (2, 4], 2 in (4, 8], 1 in [-1, -0.5), 4 at zero."""
    return ExponentialHistogramDataPoint(
        **{
            "time_unix_nano": NOW_NS,
            "start_time_unix_nano": NOW_NS - 1,
            "count": 10,
            "sum": 15.5,
            "scale": 0,
            "zero_count": 4,
            "positive": Buckets(offset=0, bucket_counts=[3, 0, 2]),
            "negative": Buckets(offset=-1, bucket_counts=[1]),
            **fields,
        }
    )


def decode(
    *points: ExponentialHistogramDataPoint, temporality: int = CUMULATIVE, more: Metric | None = None
) -> DecodedMetrics:
    """A decoded request of one metric, and maybe another."""
    message = ExportMetricsServiceRequest()
    metrics = message.resource_metrics.add()
    metrics.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value="cart")))
    metric = metrics.scope_metrics.add().metrics.add(name="request.duration", unit="s")
    metric.exponential_histogram.aggregation_temporality = temporality  # type: ignore[assignment]
    metric.exponential_histogram.data_points.extend(points)
    if more is not None:
        metrics.scope_metrics[0].metrics.append(more)
    return decode_metrics(message, PointCache(SeriesRegistry()).current(), Limits())


def only(decoded: DecodedMetrics) -> Histogram:
    """The one histogram there is."""
    assert not decoded.rejected.total, decoded.rejected.message()
    (item,) = decoded.batch.histograms.items
    return item


def by_number(h: Histogram) -> tuple[dict[int, float], dict[int, float]]:
    """(positive, negative) buckets by number."""
    positive, negative = (
        dict(zip(side.index.tolist(), side.count.tolist(), strict=True)) for side in (h.positive, h.negative)
    )
    return positive, negative


def test_buckets_are_numbered_by_their_upper_bound() -> None:
    """The bucket from 1 up is number 1; empty ones are not kept."""
    decoded = decode(point())
    h = only(decoded)
    assert by_number(h) == ({1: 3.0, 3: 2.0}, {0: 1.0})
    assert (h.schema, h.count, h.sum, h.zero_count, h.zero_threshold, h.hint) == (0, 10, 15.5, 4, 1e-128, "unknown")
    rows = decoded.batch.histograms
    assert rows.ts_ms.tolist() == [NOW_MS]
    assert dict(decoded.batch.index.labels[rows.refs[0]]) == {"__name__": "request_duration_seconds", "job": "cart"}
    assert [(m.family, m.type) for m in decoded.batch.metadata][:1] == [("request_duration_seconds", "histogram")]
    assert decoded.points == 1


def test_a_zero_threshold_that_is_told_is_kept() -> None:
    """Where the sender says how wide its zero bucket is, it is that wide."""
    assert only(decode(point(zero_threshold=0.25))).zero_threshold == 0.25


@pytest.mark.parametrize(
    ("scale", "offset", "counts", "expected"),
    [
        (8, 0, [1, 2], {1: 1.0, 2: 2.0}),
        # two of scale 9 are one of scale 8: (b^-1, 1] with b of scale 9 is the upper half of number 0
        (9, -1, [1, 2, 3, 4], {0: 1.0, 1: 5.0, 2: 4.0}),
        (10, -5, [1] * 10, {-1: 1.0, 0: 4.0, 1: 4.0, 2: 1.0}),
        (20, 0, [1] * 100, {1: 100.0}),
        (-4, 1, [7], {2: 7.0}),
    ],
)
def test_a_finer_scale_is_taken_at_schema_8(
    scale: int, offset: int, counts: list[int], expected: dict[int, float]
) -> None:
    """2^(scale - 8) buckets become one, and nothing is lost."""
    buckets = Buckets(offset=offset, bucket_counts=counts)
    h = only(decode(point(scale=scale, count=sum(counts), zero_count=0, positive=buckets, negative=Buckets())))
    assert (h.schema, by_number(h)[0]) == (min(scale, 8), expected)


def test_an_ended_series_is_a_marker() -> None:
    """The flag "no recorded value" becomes the stale marker."""
    h = only(decode(ExponentialHistogramDataPoint(time_unix_nano=NOW_NS, flags=1)))
    assert np.array([h.sum]).view(np.uint64).tolist() == [STALE_NAN_BITS]


def test_a_sum_that_is_not_told_is_zero() -> None:
    """As in Prometheus: there are histograms of values that may be negative."""
    told = point()
    told.ClearField("sum")
    assert only(decode(told)).sum == 0.0


def test_steady_senders_reuse_refs_and_kinds_do_not_mix() -> None:
    """Points that differ in what they measured are one series; a classic histogram of the same name has its own."""
    classic = Metric(name="request.duration", unit="s")
    classic.histogram.aggregation_temporality = CUMULATIVE  # type: ignore[assignment]
    classic.histogram.data_points.add(time_unix_nano=NOW_NS, count=2)
    other = point(count=11, zero_count=5, scale=-1, positive=Buckets(offset=3, bucket_counts=[5]))
    decoded = decode(point(), other, more=classic)
    assert len(set(decoded.batch.histograms.refs.tolist())) == 1
    names = {dict(decoded.batch.index.labels[ref])["__name__"] for ref in decoded.batch.refs.tolist()}
    assert names == {"request_duration_seconds_count", "request_duration_seconds_bucket"}
    assert not decoded.rejected.total


def test_what_makes_no_sense_is_told_and_the_rest_kept() -> None:
    """A scale below -4, counts that do not add up, thresholds that are none; delta temporality as a whole."""
    decoded = decode(
        point(),
        point(scale=-5),
        point(count=9),
        point(zero_threshold=math.inf),
        point(positive=Buckets(offset=2**31 - 1, bucket_counts=[1, 2, 2])),
        point(time_unix_nano=2**64 - 1),
    )
    assert len(decoded.batch.histograms) == 1
    assert dict(decoded.rejected.counts) == {"bad_point": 5}
    assert "request_duration_seconds: an exponential histogram of scale -5" in decoded.rejected.message()
    delta = decode(point(), temporality=DELTA)
    assert not len(delta.batch)
    assert "request.duration: delta temporality is not taken" in delta.rejected.message()
