"""The metrics of app.telemetry as OpenTelemetry metrics, so that /metrics and an OTLP export say the same.

OpenTelemetry has no observable histogram, so the families are not instruments: they join each export on its way out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family

from app.telemetry import REGISTRY

_CUMULATIVE = AggregationTemporality.CUMULATIVE


class RegistryExporter(MetricExporter):
    """Hands on what an exporter is given, together with the metrics of a prometheus_client registry."""

    def __init__(
        self, inner: MetricExporter, resource: Resource, version: str, registry: CollectorRegistry = REGISTRY
    ) -> None:
        super().__init__()
        self._inner = inner
        self._resource = resource
        self._scope = InstrumentationScope("watchhouse.telemetry", version)
        self._registry = registry
        self._start_ns = time.time_ns()

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Exports both; blocks as the inner exporter does."""
        now_ns = time.time_ns()
        metrics = [m for family in self._registry.collect() for m in metrics_of(family, self._start_ns, now_ns)]
        # one entry for the one resource: of two, the exporters keep only the second
        others = [scope for found in metrics_data.resource_metrics for scope in found.scope_metrics]
        all_scopes = [*others, ScopeMetrics(self._scope, metrics, "")]
        together = MetricsData([ResourceMetrics(self._resource, all_scopes, "")])
        return self._inner.export(together, timeout_millis=timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """As the inner exporter's."""
        return self._inner.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """As the inner exporter's."""
        self._inner.shutdown(timeout_millis=timeout_millis, **kwargs)


def metrics_of(family: Family, start_ns: int, now_ns: int) -> Iterator[Metric]:
    """A Prometheus family as OpenTelemetry metrics; when its series began to be is left out."""
    if family.type == "histogram":
        points = list(_histogram_points(family, start_ns, now_ns))
        if points:
            yield Metric(family.name, family.documentation, family.unit, Histogram(points, _CUMULATIVE))
        return
    by_name: dict[str, list[NumberDataPoint]] = {}
    for sample in family.samples:
        if not sample.name.endswith("_created"):
            point = NumberDataPoint(dict(sample.labels), start_ns, now_ns, sample.value)
            by_name.setdefault(sample.name, []).append(point)
    for name, found in by_name.items():
        counts = family.type == "counter" or (family.type == "summary" and name != family.name)
        data = Sum(found, _CUMULATIVE, True) if counts else Gauge(found)
        yield Metric(name, family.documentation, family.unit, data)


def _histogram_points(family: Family, start_ns: int, now_ns: int) -> Iterator[HistogramDataPoint]:
    buckets: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in family.samples:
        labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
        if sample.name.endswith("_bucket"):
            buckets.setdefault(labels, []).append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    for labels, found in buckets.items():
        found.sort()
        cumulative = [int(count) for _, count in found]
        counts = [after - before for before, after in pairwise([0, *cumulative])]
        bounds = [bound for bound, _ in found if math.isfinite(bound)]
        # what the smallest and the largest value were, a Prometheus histogram does not know
        unknown: Any = None
        total = sums.get(labels, 0.0)
        yield HistogramDataPoint(
            dict(labels), start_ns, now_ns, cumulative[-1], total, counts, bounds, unknown, unknown
        )
