"""OTLP exemplars as Prometheus has them (prometheusremotewrite/helper.go there, getPromExemplars and addExemplars)."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar

from app.labels import Labels, labels_from
from ingest.exemplars import Exemplars, fits
from ingest.otlp.values import pairs
from ingest.times import latest_ns


@dataclass(frozen=True, slots=True)
class PointExemplar:
    """An exemplar of a data point. `timed` tells whether its time is its own and not the point's."""

    ts_ms: int
    value: float
    labels: Labels
    timed: bool


def take_exemplars(point: Any, ts_ns: int, found: Exemplars) -> list[PointExemplar]:
    """Takes the exemplars out of a point of time `ts_ns`; those that cannot be taken are dropped in `found`."""
    taken, latest = [], latest_ns() if point.exemplars else 0
    for message in point.exemplars:
        own_ns, kind = message.time_unix_nano, message.WhichOneof("value")
        if own_ns > latest:
            found.drop("out_of_bounds")
        elif kind is None:
            found.drop("malformed")
        else:
            value = float(getattr(message, kind))
            taken.append(PointExemplar((own_ns or ts_ns) // 1_000_000, value, _labels(message), own_ns > 0))
    point.ClearField("exemplars")
    return taken


def add_exemplars(
    exemplars: Iterable[PointExemplar], refs: Sequence[int], bounds: Sequence[float], found: Exemplars
) -> None:
    """Adds a point's exemplars to its series: to the last of `refs`, of which each bound makes one more.

    An exemplar of a histogram is of the first bucket it falls into.
    """
    buckets = refs[len(refs) - len(bounds) - 1 :]
    for one in exemplars:
        if bounds and math.isnan(one.value):
            found.drop("malformed")
            continue
        found.add(buckets[bisect_left(bounds, one.value)], one.ts_ms, one.value, one.labels, timed=one.timed)


def _labels(message: Exemplar) -> Labels:
    """The ids of trace and span, and the attributes by their own names where all fit."""
    ids = [("trace_id", message.trace_id), ("span_id", message.span_id)]
    own = [(name, value.hex()) for name, value in ids if any(value)]
    labels = labels_from([*pairs(message.filtered_attributes), *own])
    return labels if fits(labels) else labels_from(own)
