"""OTLP metrics → one MetricBatch.

A steady sender repeats its attributes byte for byte. What changes from one request to the next (times, values,
exemplars) is read and cleared from a data point, and the bytes left over are the key to its series' refs: no label
is built for a series that was met before.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric, ResourceMetrics

from app.config import Limits
from app.histogram import Histogram
from app.labels import METRIC_NAME, Labels, labels_from
from app.store.metrics import STALE_NAN_BITS, Metadata
from ingest.batch import HistogramRows, MetricBatch
from ingest.exemplars import Exemplars
from ingest.otlp.cache import Generation
from ingest.otlp.exemplars import PointExemplar, add_exemplars, take_exemplars
from ingest.otlp.exponential import read_exponential
from ingest.otlp.naming import Kind, merged_labels, metric_name
from ingest.otlp.outcome import Rejections
from ingest.otlp.points import NO_VALUE, READERS, DataField, Part
from ingest.otlp.resource import identity_labels, target_info_labels
from ingest.otlp.values import pairs
from ingest.times import latest_ns

_DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
_TARGET_INFO_EVERY_NS = 150 * 10**9
"""Half of PromQL's lookback: a batch that spans more time gets target_info often enough to be found all along."""
_TARGET_INFO_MOST = 1000
_PROMETHEUS_TYPES: dict[Kind, str] = {
    "gauge": "gauge",
    "counter": "counter",
    "updown": "gauge",
    "histogram": "histogram",
    "summary": "summary",
}


@dataclass(slots=True)
class DecodedMetrics:
    """The samples of a request, and what was not taken. `points` counts the data points the samples are of."""

    batch: MetricBatch
    points: int
    rejected: Rejections


@dataclass(frozen=True, slots=True)
class _Family:
    """A metric while its points are read: its Prometheus name, the labels of its resource, its number in the cache."""

    name: str
    resource_labels: Labels
    number: int


def decode_metrics(
    request: ExportMetricsServiceRequest, generation: Generation, limits: Limits, received_ns: int | None = None
) -> DecodedMetrics:
    """The samples of a request as Prometheus would have them. Takes the request apart: it is not to be used again.

    `received_ns` is the time of a point that tells none (now, without it): Fluent Bit sends a counter that was never
    incremented so. What cannot be taken is told in `rejected`. Blocks for about 3 µs a point; safe to call from
    several threads.
    """
    reader = _Reader(generation, limits, time.time_ns() if received_ns is None else received_ns)
    for resource_metrics in request.resource_metrics:
        reader.resource(resource_metrics)
    return reader.finish()


class _Reader:
    """What has been read of one request."""

    def __init__(self, generation: Generation, limits: Limits, received_ns: int) -> None:
        self._cache = generation
        self._received_ns = received_ns
        self._latest_ns = latest_ns()
        self._limits = limits
        self._rejected = Rejections()
        self._metadata: dict[str, Metadata] = {}
        self._refs: list[int] = []
        self._ts_ns: list[int] = []
        self._values: list[float] = []
        self._stale: list[int] = []
        self._histograms: list[tuple[int, int, Histogram]] = []
        self._exemplars = Exemplars()
        self._points = 0

    def resource(self, message: ResourceMetrics) -> None:
        """Takes all metrics of a resource, and its target_info."""
        key = message.resource.SerializeToString()
        labels = identity_labels(message.resource)
        before, native_before = len(self._ts_ns), len(self._histograms)
        for scope_metrics in message.scope_metrics:
            for metric in scope_metrics.metrics:
                self._metric(metric, key, labels)
        taken = self._ts_ns[before:] + [ms * 1_000_000 for _, ms, _ in self._histograms[native_before:]]
        if taken:
            self._target_info(message, key, min(taken), max(taken))

    def finish(self) -> DecodedMetrics:
        """The batch of all that was read."""
        values = np.array(self._values, np.float64)
        if self._stale:
            values.view(np.uint64)[self._stale] = STALE_NAN_BITS
        ts_ms = np.array(self._ts_ns, np.int64) // 1_000_000
        refs = np.array(self._refs, np.int32)
        metadata = list(self._metadata.values())
        histograms, exemplars = HistogramRows.of(self._histograms), self._exemplars.rows()
        batch = MetricBatch(self._cache.index, refs, ts_ms, values, metadata, histograms, exemplars)
        return DecodedMetrics(batch, self._points, self._rejected)

    def _metric(self, metric: Metric, resource_key: bytes, resource_labels: Labels) -> None:
        field = metric.WhichOneof("data")
        if field is None:
            return
        data = getattr(metric, field)
        refusal = _refusal(metric, data, field)
        if refusal is not None:
            self._rejected.add(*refusal, len(data.data_points))
            return
        kind = _kind(metric, field)
        try:
            name = metric_name(metric.name, metric.unit, kind)
        except ValueError as error:
            self._rejected.add("bad_name", str(error), len(data.data_points))
            return
        if data.data_points:
            self._metadata[name] = Metadata(name, _PROMETHEUS_TYPES[kind], metric.unit, metric.description)
        # not by the kind: points of both kinds of histograms may leave the same bytes
        family = _Family(name, resource_labels, self._cache.number((resource_key, metric.name, metric.unit, field)))
        if field == "exponential_histogram":
            self._take_histograms(data.data_points, family)
        else:
            self._take_points(data.data_points, family, field)

    def _take_points(self, points: Any, family: _Family, field: DataField) -> None:
        get, number = self._cache.points.get, family.number
        read, parts_of = READERS[field]
        no_exemplars: list[PointExemplar] = []
        for point in points:
            ts_ns, flags = point.time_unix_nano or self._received_ns, point.flags
            try:
                if ts_ns > self._latest_ns:
                    raise ValueError(f"a data point with the time {ts_ns} ns, more than 10 minutes ahead")
                values = read(point)
                key = (number, point.SerializeToString())
                refs, exemplars = get(key), no_exemplars
                # most points have none: that is found out only where there is no such key
                if refs is None and field != "summary" and point.exemplars:
                    exemplars = take_exemplars(point, ts_ns, self._exemplars)
                    key = (number, point.SerializeToString())
                    refs = get(key)
                if refs is None:
                    refs = self._cache.points[key] = self._series(family, point, parts_of(point))
            except ValueError as error:
                self._rejected.add("bad_point", f"{family.name}: {error}")
                continue
            if flags & NO_VALUE:
                self._stale += range(len(self._values), len(self._values) + len(refs))
            if exemplars:
                bounds = point.explicit_bounds if field == "histogram" else ()
                add_exemplars(exemplars, refs, bounds, self._exemplars)
            self._refs += refs
            self._values += values
            self._ts_ns += [ts_ns] * len(refs)
            self._points += 1

    def _take_histograms(self, points: Any, family: _Family) -> None:
        for point in points:
            ts_ns = point.time_unix_nano or self._received_ns
            try:
                if ts_ns > self._latest_ns:
                    raise ValueError(f"a data point with the time {ts_ns} ns, more than 10 minutes ahead")
                exemplars = take_exemplars(point, ts_ns, self._exemplars)
                found = read_exponential(point)
                key = (family.number, point.SerializeToString())
                refs = self._cache.points.get(key)
                if refs is None:
                    refs = self._cache.points[key] = self._series(family, point, [("", ())])
            except ValueError as error:
                self._rejected.add("bad_point", f"{family.name}: {error}")
                continue
            add_exemplars(exemplars, refs, (), self._exemplars)
            self._histograms.append((refs[0], ts_ns // 1_000_000, found))
            self._points += 1

    def _series(self, family: _Family, point: Any, parts: list[Part]) -> tuple[int, ...]:
        """The refs of a point's series. Raises ValueError when its labels are not good."""
        own = {**merged_labels(pairs(point.attributes)), **dict(family.resource_labels)}
        self._check(own)
        name = family.name
        return tuple(
            self._cache.index.ref(labels_from({**own, **dict(more), METRIC_NAME: name + suffix}))
            for suffix, more in parts
        )

    def _check(self, labels: dict[str, str]) -> None:
        limits = self._limits
        # the name of the metric and a bucket's `le` come on top
        if len(labels) + 2 > limits.max_labels_per_series:
            bound = f"limits.max_labels_per_series = {limits.max_labels_per_series}"
            raise ValueError(f"{len(labels)} attributes ({bound})")
        for name, value in labels.items():
            if len(name.encode()) > limits.max_label_name_bytes:
                bound = f"limits.max_label_name_bytes = {limits.max_label_name_bytes}"
                raise ValueError(f"the attribute name {name[:50]!r}… is too long ({bound})")
            if len(value.encode()) > limits.max_label_value_bytes:
                bound = f"limits.max_label_value_bytes = {limits.max_label_value_bytes}"
                raise ValueError(f"the value of attribute {name!r} is too long ({bound})")

    def _target_info(self, message: ResourceMetrics, resource_key: bytes, first_ns: int, last_ns: int) -> None:
        key = (self._cache.number((resource_key, "target_info", "", "gauge")), b"target_info")
        refs = self._cache.points.get(key)
        if refs is None:
            refs = self._cache.points[key] = self._target_info_series(message)
        if not refs:
            return
        step = max(_TARGET_INFO_EVERY_NS, (last_ns - first_ns) // _TARGET_INFO_MOST)
        times = [*range(first_ns, last_ns, step), last_ns]
        self._refs += refs * len(times)
        self._values += [1.0] * len(times)
        self._ts_ns += times
        self._metadata.setdefault("target_info", Metadata("target_info", "gauge", "", "Target metadata"))

    def _target_info_series(self, message: ResourceMetrics) -> tuple[int, ...]:
        """One ref, or none when there is nothing to tell or it cannot be told: no data point is lost with it."""
        try:
            labels = target_info_labels(message.resource)
            self._check(dict(labels))
        except ValueError as error:
            self._rejected.add("bad_resource", f"target_info: {error}", 0)
            return ()
        return (self._cache.index.ref(labels),) if labels else ()


def _kind(metric: Metric, field: DataField | Literal["exponential_histogram"]) -> Kind:
    if field == "sum":
        return "counter" if metric.sum.is_monotonic else "updown"
    return "histogram" if field == "exponential_histogram" else field


def _refusal(metric: Metric, data: Any, field: str) -> tuple[str, str] | None:
    """(reason, sentence) of a metric that is not taken at all."""
    # Fluent Bit leaves the temporality of its cumulative histograms unspecified; only what says delta is delta
    if field in ("sum", "histogram", "exponential_histogram") and data.aggregation_temporality == _DELTA:
        return "delta_temporality", (
            f"{metric.name}: delta temporality is not taken, export cumulative (the OpenTelemetry SDKs: "
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative)"
        )
    return None
