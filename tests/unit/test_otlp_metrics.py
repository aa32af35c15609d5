"""OTLP metrics → samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from app.config import Limits
from app.store.metrics import STALE_NAN_BITS
from ingest.otlp.cache import PointCache
from ingest.otlp.metrics import DecodedMetrics, decode_metrics
from ingest.series import SeriesRegistry

NOW_NS = 1_795_238_981_123_456_789
NOW_MS = 1_795_238_981_123
DELTA, CUMULATIVE = 1, 2


def attributes(**pairs: str) -> list[KeyValue]:
    """Attributes with text values; `__` stands for a dot."""
    return [KeyValue(key=k.replace("__", "."), value=AnyValue(string_value=v)) for k, v in pairs.items()]


def request(*metrics: Metric, **resource: str) -> ExportMetricsServiceRequest:
    """A request with one resource."""
    message = ExportMetricsServiceRequest()
    found = message.resource_metrics.add()
    found.resource.attributes.extend(attributes(**resource))
    found.scope_metrics.add().metrics.extend(metrics)
    return message


def gauge(name: str, value: float, ts_ns: int = NOW_NS, unit: str = "", **labels: str) -> Metric:
    """A gauge with one point."""
    metric = Metric(name=name, unit=unit)
    metric.gauge.data_points.add(time_unix_nano=ts_ns, as_double=value, attributes=attributes(**labels))
    return metric


def histogram(counts: list[int], bounds: list[float], total: float | None = None, temporality: int = 2) -> Metric:
    """A histogram with one point."""
    metric = Metric(name="latency", unit="s")
    metric.histogram.aggregation_temporality = temporality  # type: ignore[assignment]
    point = metric.histogram.data_points.add(
        time_unix_nano=NOW_NS, count=sum(counts), bucket_counts=counts, explicit_bounds=bounds, min=0.1, max=9
    )
    if total is not None:
        point.sum = total
    return metric


def decode(
    message: ExportMetricsServiceRequest, cache: PointCache | None = None, limits: Limits | None = None
) -> DecodedMetrics:
    """The decoded request."""
    return decode_metrics(message, (cache or PointCache(SeriesRegistry())).current(), limits or Limits())


def samples(decoded: DecodedMetrics) -> dict[str, tuple[int, float]]:
    """Series as PromQL writes them → (ms, value)."""
    batch, found = decoded.batch, {}
    for ref, ts_ms, value in zip(batch.refs.tolist(), batch.ts_ms.tolist(), batch.values.tolist(), strict=True):
        labels = dict(batch.index.labels[ref])
        name = labels.pop("__name__")
        found[name + "{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) + "}"] = (ts_ms, value)
    assert len(found) == len(batch)
    return found


def test_job_and_instance_and_target_info() -> None:
    """The resource's identity is on each series; its other attributes are on target_info, and only there."""
    message = request(
        gauge("depth", 3, queue__name="a"),
        service__name="cart",
        service__namespace="shop",
        service__instance__id="i-1",
        k8s__pod__name="cart-1",
    )
    assert samples(decode(message)) == {
        'depth{instance="i-1",job="shop/cart",queue_name="a"}': (NOW_MS, 3.0),
        'target_info{instance="i-1",job="shop/cart",k8s_pod_name="cart-1"}': (NOW_MS, 1.0),
    }


def test_no_target_info_without_something_to_tell_or_somebody_to_tell_it_of() -> None:
    """A resource of identity alone, or without any, gets no target_info."""
    assert list(samples(decode(request(gauge("a", 1), service__name="cart")))) == ['a{job="cart"}']
    assert list(samples(decode(request(gauge("a", 1), host__name="h")))) == ["a{}"]


def test_target_info_covers_the_time_a_batch_spans() -> None:
    """Points ten minutes apart come with target_info at least each half lookback between them."""
    late = NOW_NS + 600 * 10**9
    decoded = decode(request(gauge("a", 1), gauge("b", 2, late), service__name="s", host__name="h"))
    batch = decoded.batch
    names = [dict(batch.index.labels[ref])["__name__"] for ref in batch.refs.tolist()]
    times = [ts - NOW_MS for ts, name in zip(batch.ts_ms.tolist(), names, strict=True) if name == "target_info"]
    assert times == [0, 150_000, 300_000, 450_000, 600_000]
    assert decoded.points == 2


def test_sums_integers_and_metadata() -> None:
    """A monotonic sum is a counter with `_total`, another a gauge; integers are numbers."""
    orders = Metric(name="orders", description="Orders placed.", unit="{order}")
    orders.sum.is_monotonic = True
    orders.sum.aggregation_temporality = CUMULATIVE  # type: ignore[assignment]
    orders.sum.data_points.add(time_unix_nano=NOW_NS, as_int=2**40)
    queue = Metric(name="queue", unit="By")
    queue.sum.aggregation_temporality = CUMULATIVE  # type: ignore[assignment]
    queue.sum.data_points.add(time_unix_nano=NOW_NS, as_int=-3)
    decoded = decode(request(orders, queue))
    assert samples(decoded) == {"orders_total{}": (NOW_MS, float(2**40)), "queue_bytes{}": (NOW_MS, -3.0)}
    assert [(m.family, m.type, m.unit, m.help) for m in decoded.batch.metadata] == [
        ("orders_total", "counter", "{order}", "Orders placed."),
        ("queue_bytes", "gauge", "By", ""),
    ]


def test_a_histogram_is_cumulative_buckets_sum_and_count() -> None:
    """Counts a bucket become counts up to a bound; the last is +Inf; no sum, no `_sum`."""
    assert samples(decode(request(histogram([1, 2, 0, 4], [0.5, 1, 10], 20.5)))) == {
        'latency_seconds_bucket{le="0.5"}': (NOW_MS, 1.0),
        'latency_seconds_bucket{le="1"}': (NOW_MS, 3.0),
        'latency_seconds_bucket{le="10"}': (NOW_MS, 3.0),
        'latency_seconds_bucket{le="+Inf"}': (NOW_MS, 7.0),
        "latency_seconds_count{}": (NOW_MS, 7.0),
        "latency_seconds_sum{}": (NOW_MS, 20.5),
    }
    assert list(samples(decode(request(histogram([7], []))))) == [
        "latency_seconds_count{}",
        'latency_seconds_bucket{le="+Inf"}',
    ]


def test_a_histogram_whose_sum_comes_and_goes_keeps_its_values_apart() -> None:
    """The cache does not take a point without a sum for one with a sum of zero."""
    cache = PointCache(SeriesRegistry())
    for total in (0.0, None, 5.0, None):
        found = samples(decode(request(histogram([1, 2], [0.5], total)), cache))
        assert found.get("latency_seconds_sum{}", (0, None))[1] == total
        assert found['latency_seconds_bucket{le="+Inf"}'] == (NOW_MS, 3.0)


def test_fluent_bits_histograms_without_a_temporality_are_cumulative() -> None:
    """Unspecified is taken as cumulative: Fluent Bit 5.1 sends it so."""
    assert len(samples(decode(request(histogram([1, 2], [0.5], 1, temporality=0))))) == 4


def test_a_summary_is_quantiles_sum_and_count() -> None:
    """Quantiles are labels."""
    metric = Metric(name="rpc")
    point = metric.summary.data_points.add(time_unix_nano=NOW_NS, count=4, sum=2.5)
    point.quantile_values.add(quantile=0.5, value=0.4)
    point.quantile_values.add(quantile=1, value=1.25)
    assert samples(decode(request(metric))) == {
        "rpc_count{}": (NOW_MS, 4.0),
        "rpc_sum{}": (NOW_MS, 2.5),
        'rpc{quantile="0.5"}': (NOW_MS, 0.4),
        'rpc{quantile="1"}': (NOW_MS, 1.25),
    }


def test_no_recorded_value_is_a_stale_marker() -> None:
    """Each series of a point that says so gets Prometheus's stale NaN, bit by bit."""
    ended = histogram([1, 2], [0.5], 1)
    ended.histogram.data_points[0].flags = 1
    gone = Metric(name="gone")
    gone.gauge.data_points.add(time_unix_nano=NOW_NS, flags=1)
    decoded = decode(request(gauge("here", 1), ended, gone))
    bits = decoded.batch.values.view(np.uint64).tolist()
    assert bits[0] != STALE_NAN_BITS
    assert bits[1:] == [STALE_NAN_BITS] * 5


def test_what_is_not_taken_is_counted_and_told() -> None:
    """Delta temporality and points that make no sense: the rest is kept."""
    nameless = gauge("...", 1)
    valueless = Metric(name="valueless")
    valueless.gauge.data_points.add(time_unix_nano=NOW_NS)
    odd = histogram([1, 2, 3], [1.0])
    late = gauge("late", 1, ts_ns=2**64 - 1)
    bad = (histogram([1, 2], [0.5], 1, DELTA), nameless, valueless, odd, late)
    decoded = decode(request(gauge("good", 1), *bad))
    assert list(samples(decoded)) == ["good{}"]
    assert decoded.points == 1
    assert dict(decoded.rejected.counts) == {
        "delta_temporality": 1,
        "bad_name": 1,
        "bad_point": 3,
    }
    message = decoded.rejected.message()
    assert "latency: delta temporality is not taken, export cumulative" in message
    assert "valueless: a data point without a value (3 not taken)" in message


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_labels_per_series": 3}, "limits.max_labels_per_series = 3"),
        ({"max_label_name_bytes": 3}, "limits.max_label_name_bytes = 3"),
        ({"max_label_value_bytes": 2}, "limits.max_label_value_bytes = 2"),
    ],
)
def test_labels_over_a_limit_are_refused_by_its_name(limits: dict[str, int], words: str) -> None:
    """The limit and its value are told."""
    decoded = decode(request(gauge("a", 1, full="한", other="b")), limits=Limits.model_validate(limits))
    assert decoded.points == 0
    assert words in decoded.rejected.message()


def test_a_resource_over_a_limit_costs_its_target_info_and_no_point() -> None:
    """The sender is told; nothing counts as rejected."""
    limits = Limits(max_label_value_bytes=3)
    decoded = decode(request(gauge("a", 1), service__name="s", host__name="long"), limits=limits)
    assert list(samples(decoded)) == ['a{job="s"}']
    assert decoded.rejected.total == 0
    assert "target_info" in decoded.rejected.message()


def test_a_point_without_a_time_is_of_when_it_came() -> None:
    """Fluent Bit sends a counter that was never incremented with the time 0."""
    cache = PointCache(SeriesRegistry())
    decoded = decode_metrics(request(gauge("a", 0, ts_ns=0)), cache.current(), Limits(), received_ns=NOW_NS)
    assert samples(decoded) == {"a{}": (NOW_MS, 0.0)}


def test_a_new_index_empties_the_cache() -> None:
    """Refs of an index that was replaced are not given out again."""
    registry = SeriesRegistry(limit=2)
    cache = PointCache(registry)
    first = decode(request(gauge("a", 1), gauge("b", 1)), cache)
    second = decode(request(gauge("b", 2)), cache)
    assert second.batch.index is not first.batch.index
    assert list(samples(second)) == ["b{}"]


metric_values = st.floats(allow_nan=False)
names = st.sampled_from(["a.b", "a_b", "c"])


@st.composite
def requests(draw: st.DrawFn) -> list[Metric]:
    """Metrics that share names, labels and shapes, so that caching mistakes would show."""
    found = []
    for _ in range(draw(st.integers(1, 6))):
        metric = Metric(name=draw(names), unit=draw(st.sampled_from(["", "s", "1"])))
        kind = draw(st.sampled_from(["gauge", "sum", "histogram", "summary"]))
        labels = attributes(**draw(st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from(["1", "2"]))))
        data = getattr(metric, kind)
        if kind == "histogram":
            bounds = draw(st.sampled_from([[], [1.0], [1.0, 2.0]]))
            counts = [draw(st.integers(0, 5)) for _ in range(len(bounds) + 1)]
            total = draw(st.none() | metric_values)
            data.data_points.add(bucket_counts=counts, explicit_bounds=bounds, count=sum(counts), sum=total)
        elif kind == "summary":
            point = data.data_points.add(count=draw(st.integers(0, 5)), sum=draw(metric_values))
            for quantile in draw(st.sampled_from([[], [0.0], [0.5, 1.0]])):
                point.quantile_values.add(quantile=quantile, value=draw(metric_values))
        elif draw(st.booleans()):
            data.data_points.add(as_int=draw(st.integers(-5, 5)))
        else:
            data.data_points.add(as_double=draw(metric_values))
        data.data_points[0].time_unix_nano = draw(st.integers(1, 2**62))
        data.data_points[0].start_time_unix_nano = draw(st.integers(0, 2**62))
        data.data_points[0].attributes.extend(labels)
        found.append(metric)
    return found


def listing(decoded: DecodedMetrics) -> list[tuple[object, ...]]:
    """Every sample with its labels."""
    batch = decoded.batch
    labels = [batch.index.labels[ref] for ref in batch.refs.tolist()]
    return list(zip(labels, batch.ts_ms.tolist(), batch.values.tolist(), strict=True))


@settings(max_examples=100, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=4))
def test_the_cache_changes_nothing(many: list[list[Metric]]) -> None:
    """Requests decoded with one cache give what each gives with an empty one."""
    cache = PointCache(SeriesRegistry())
    for metrics in many:
        assert listing(decode(request(*metrics), cache)) == listing(decode(request(*metrics)))
