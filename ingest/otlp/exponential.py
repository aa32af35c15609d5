"""OTLP exponential histograms as native ones (Prometheus: prometheusremotewrite/histograms.go)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from opentelemetry.proto.metrics.v1.metrics_pb2 import ExponentialHistogramDataPoint

from app.histogram import Buckets, Histogram
from ingest.batch import STALE_NAN
from ingest.native import MAX_SCHEMA, MIN_SCHEMA, check, merged
from ingest.otlp.points import NO_VALUE

_ZERO_THRESHOLD = 1e-128
"""What Prometheus takes for a sender that does not tell how wide its zero bucket is."""
_CLEARED = (
    "start_time_unix_nano",
    "time_unix_nano",
    "count",
    "sum",
    "scale",
    "zero_count",
    "positive",
    "negative",
    "flags",
    "exemplars",
    "min",
    "max",
    "zero_threshold",
)


def read_exponential(point: ExponentialHistogramDataPoint) -> Histogram:
    """The histogram of a point; leaves of the point only what names its series. Raises ValueError.

    OTLP counts a bucket of offset 0 from 1 up, Prometheus the one below from 1 down, so that numbers differ by one.
    """
    found = Histogram(0, 0.0, STALE_NAN) if point.flags & NO_VALUE else _histogram(point)
    for name in _CLEARED:
        point.ClearField(name)  # type: ignore[arg-type]
    return found


def _histogram(point: ExponentialHistogramDataPoint) -> Histogram:
    if point.scale < MIN_SCHEMA:
        raise ValueError(f"an exponential histogram of scale {point.scale}, which is below {MIN_SCHEMA}")
    finer = max(0, point.scale - MAX_SCHEMA)
    threshold = point.zero_threshold
    if not 0 <= threshold < math.inf:
        raise ValueError(f"an exponential histogram with the zero threshold {threshold}")
    h = Histogram(
        point.scale - finer,
        float(point.count),
        point.sum if point.HasField("sum") else 0.0,
        threshold or _ZERO_THRESHOLD,
        float(point.zero_count),
        _buckets(point.positive, finer),
        _buckets(point.negative, finer),
    )
    check(h, sum(point.positive.bucket_counts) + sum(point.negative.bucket_counts) + point.zero_count)
    return h


def _buckets(side: Any, finer: int) -> Buckets:
    counts = np.array(side.bucket_counts, np.float64)
    some = np.flatnonzero(counts)
    index = some.astype(np.int64) + side.offset + 1
    if len(index) and not -(2**31) < index[0] <= index[-1] < 2**31 - 1:
        raise ValueError(f"an exponential histogram whose buckets begin at {side.offset}")
    return merged(index, counts[some], min(finer, 62))
