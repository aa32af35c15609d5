"""OTLP data points taken apart: what changes from request to request is read and cleared, what names series stays.

Each kind of point has a `read_…`, which gives its values and clears them and all else that names no series but the
exemplars, and a `…_parts`, which says in the same order what series the values belong to.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Literal

from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    DataPointFlags,
    HistogramDataPoint,
    NumberDataPoint,
    SummaryDataPoint,
)

from app.labels import Labels
from ingest.otlp.naming import bound_text

NO_VALUE = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
"""The flag of a point that says its series has ended."""

Part = tuple[str, Labels]
"""The suffix of a series' name, and the labels it has beside the point's."""

_NUMBER_PARTS: list[Part] = [("", ())]


def read_number(point: NumberDataPoint) -> list[float]:
    """The value of a gauge's or a sum's point. Raises ValueError when it has none and does not say so."""
    field = point.WhichOneof("value")
    if field is None and not point.flags & NO_VALUE:
        raise ValueError("a data point without a value")
    value = float(point.as_int) if field == "as_int" else point.as_double
    point.ClearField("start_time_unix_nano")
    point.ClearField("time_unix_nano")
    if field is not None:
        point.ClearField(field)
    point.ClearField("flags")
    return [value]


def number_parts(point: NumberDataPoint) -> list[Part]:
    """One series."""
    return _NUMBER_PARTS


def read_histogram(point: HistogramDataPoint) -> list[float]:
    """Count, sum where there is one, and the cumulative buckets, the last of them +Inf.

    Raises ValueError when there are not as many counts as buckets.
    """
    counts, bounds = point.bucket_counts, len(point.explicit_bounds)
    if len(counts) != bounds + 1 and (counts or bounds):
        raise ValueError(f"{len(counts)} bucket counts for {bounds} bounds")
    total = float(point.count)
    values = [total]
    if point.HasField("sum"):
        values.append(point.sum)
        # whether there is a sum decides what series there are, so that much of it stays
        point.sum = 0.0
    values += map(float, itertools.accumulate(counts[:-1]))
    values.append(total)
    point.ClearField("start_time_unix_nano")
    point.ClearField("time_unix_nano")
    point.ClearField("count")
    point.ClearField("bucket_counts")
    point.ClearField("flags")
    point.ClearField("min")
    point.ClearField("max")
    return values


def histogram_parts(point: HistogramDataPoint) -> list[Part]:
    """`_count`, `_sum` where there is one, `_bucket` by `le`."""
    parts: list[Part] = [("_count", ())]
    if point.HasField("sum"):
        parts.append(("_sum", ()))
    return [*parts, *(("_bucket", (("le", bound_text(b)),)) for b in (*point.explicit_bounds, float("inf")))]


def read_summary(point: SummaryDataPoint) -> list[float]:
    """Count, sum, and the value of each quantile."""
    values = [float(point.count), point.sum, *(quantile.value for quantile in point.quantile_values)]
    for quantile in point.quantile_values:
        quantile.ClearField("value")
    point.ClearField("start_time_unix_nano")
    point.ClearField("time_unix_nano")
    point.ClearField("count")
    point.ClearField("sum")
    point.ClearField("flags")
    return values


def summary_parts(point: SummaryDataPoint) -> list[Part]:
    """`_count`, `_sum`, and one series a quantile."""
    quantiles = (("", (("quantile", bound_text(q.quantile)),)) for q in point.quantile_values)
    return [("_count", ()), ("_sum", ()), *quantiles]


DataField = Literal["gauge", "sum", "histogram", "summary"]
"""The fields of a Metric that can be taken."""

READERS: dict[DataField, tuple[Callable[[Any], list[float]], Callable[[Any], list[Part]]]] = {
    "gauge": (read_number, number_parts),
    "sum": (read_number, number_parts),
    "histogram": (read_histogram, histogram_parts),
    "summary": (read_summary, summary_parts),
}
