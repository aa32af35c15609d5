"""What PromQL tells about native histograms beside the answer, worded as util/annotations/annotations.go words it."""

from __future__ import annotations

import json
from typing import Literal

import numpy as np
import numpy.typing as npt

from app.labels import METRIC_NAME, Labels
from app.query.promql.context import Context, Forced
from app.query.promql.histograms.arithmetic import Sum
from app.query.vector import Floats

_DOCS = "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile"
Operation = Literal["addition", "subtraction", "aggregation"]
Sample = Literal["float", "histogram"]


def _metric(labels: Labels) -> str:
    return json.dumps(dict(labels).get(METRIC_NAME, ""), ensure_ascii=False)


def _for_metric(labels: Labels) -> str:
    return f" for metric name {_metric(labels)}" if dict(labels).get(METRIC_NAME) else ""


def mixed_in_range(context: Context, labels: Labels) -> None:
    """A window has both, and the function takes only one of them."""
    context.warn(f"encountered a mix of histograms and floats for metric name {_metric(labels)}")


def mixed_in_aggregation(context: Context) -> None:
    """A group has both."""
    context.warn("encountered a mix of histograms and floats for aggregation")


def mixed_classic_native(context: Context, labels: Labels) -> None:
    """One label set has classic buckets and a native histogram."""
    context.warn(f"vector contains a mix of classic and native histograms{_for_metric(labels)}")


def not_a_counter(context: Context, labels: Labels) -> None:
    """A gauge histogram where a counter belongs."""
    context.warn(f"this native histogram metric is not a counter: {_metric(labels)}")


def not_a_gauge(context: Context, labels: Labels) -> None:
    """A counter histogram where a gauge belongs."""
    context.warn(f"this native histogram metric is not a gauge: {_metric(labels)}")


def mixed_schemas(context: Context, labels: Labels) -> None:
    """Exponential and custom buckets cannot be added."""
    context.warn(
        "vector contains a mix of histograms with exponential and custom buckets schemas for metric name"
        f" {_metric(labels)}"
    )


def incompatible_layouts(context: Context, op: str) -> None:
    """As `mixed_schemas`, of an operator's two sides."""
    context.warn(f"incompatible bucket layout encountered for binary operator {op}")


def incompatible_types(context: Context, left: Sample, op: str, right: Sample) -> None:
    """An operator that is not for these."""
    context.inform(f'incompatible sample types encountered for binary operator "{op}": {left} {op} {right}')


def ignored_in_aggregation(context: Context, op: str) -> None:
    """An aggregation that is for floats alone."""
    context.inform(f"ignored histogram in {op} aggregation")


def ignored_in_range(context: Context, labels: Labels) -> None:
    """A function of floats alone met a window that has both."""
    context.inform(
        f"ignored histograms in a range containing both floats and histograms for metric name {_metric(labels)}"
    )


def of_sum(context: Context, total: Sum, operation: Operation, collisions: bool = True) -> None:
    """What the additions to a sum came upon."""
    if total.collided and collisions:
        collided(context, operation)
    if total.reconciled:
        reconciled(context, operation)


def collided(context: Context, operation: Operation) -> None:
    """A histogram after a counter reset was added to one after none."""
    context.warn(f"conflicting counter resets during histogram {operation}")


def reconciled(context: Context, operation: Operation) -> None:
    """Custom bounds differed. Nobody sees it where only counts and sums are read, nor does Prometheus."""
    if context.detects_resets:
        return
    context.inform(f"mismatched custom buckets were reconciled during {operation}")


def of_shape(context: Context, labels: Labels, note: str) -> None:
    """A note about NaN observations, from the functions of `shape`."""
    if note:
        context.inform(note + _for_metric(labels))


def forced_monotonic(
    context: Context, labels: Labels, steps: npt.NDArray[np.intp], bounds: Floats, drops: Floats
) -> None:
    """Classic buckets counted less than the ones below them; `drops` [buckets, steps] says by how much."""
    rows, columns = np.nonzero(drops)
    times = context.grid.times[steps[columns]]
    context.forced(
        f"input to histogram_quantile needed to be fixed for monotonicity (see {_DOCS}){_for_metric(labels)}",
        Forced(
            int(times.min()),
            int(times.max()),
            float(bounds[rows].min()),
            float(bounds[rows].max()),
            float(drops.max()),
            len(np.unique(columns)),
        ),
    )
