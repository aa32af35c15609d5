"""Pyrra's four indicators counted with the real engine."""

from __future__ import annotations

from app.store.client import Pool
from app.yamlfile import read_documents
from slo.pyrra.specs import read_pyrra
from slo.spec import SloSpec
from tests.integration.promql_world import put, series
from tests.integration.test_promql_histograms import histogram, put_histograms
from tests.integration.test_slo_counting import MINUTE, T0, counted, counter, group, growing, rows, want


def slo(indicator: str) -> SloSpec:
    """The SLO of an indicator."""
    head = "apiVersion: pyrra.dev/v1alpha1\nkind: ServiceLevelObjective\nmetadata: {name: a}\n"
    (document,) = read_documents("slo.yaml", f"{head}spec: {{target: '99', window: 4w, indicator: {{{indicator}}}}}\n")
    (spec,) = read_pyrra(document).specs
    return spec


def minutes(pool: Pool, spec: SloSpec) -> list[tuple[int, float, float]]:
    """(minute, good, total) of the first three minutes of the one group there is."""
    counts = counted(counter(pool).count([want(spec.components[0].sli, *spec.grouping, minutes=3)])[0])
    (found,) = counts.values()
    assert list(counts) == [group(handler="/a") if spec.grouping else ()]
    return rows(found)


def test_ratio_and_latency(embedded_pool: Pool) -> None:
    """Errors are taken from all, the bucket is what was fast enough, by the labels of the grouping."""
    put(
        embedded_pool,
        {
            series("req", code="200", handler="/a"): growing(9),
            series("req", code="500", handler="/a"): growing(1),
            series("d_count", handler="/a"): growing(10),
            # as Prometheus 3 writes the bucket that the object calls 1
            series("d_bucket", le="1.0", handler="/a"): growing(7),
            series("d_bucket", le="2.5", handler="/a"): growing(10),
        },
    )
    ratio = """ratio: {errors: {metric: 'req{code=~"5.."}'}, total: {metric: req}, grouping: [handler]}"""
    assert minutes(embedded_pool, slo(ratio)) == [(n, 18, 20) for n in range(3)]
    latency = """latency: {success: {metric: 'd_bucket{le="1"}'}, total: {metric: d_count}}"""
    assert minutes(embedded_pool, slo(latency)) == [(n, 14, 20) for n in range(3)]


def test_native_histograms(embedded_pool: Pool) -> None:
    """Half of what is observed is at most a second; a minute without observations has none, and is known."""
    observed = [(0, 100.0), (1, 110.0), (2, 110.0), (3, 118.0)]
    put_histograms(
        embedded_pool, {series("d", handler="/a"): [(T0 + n * MINUTE, histogram(count)) for n, count in observed]}
    )
    native = "latencyNative: {latency: 1s, total: {metric: d}, grouping: [handler]}"
    assert minutes(embedded_pool, slo(native)) == [(0, 5, 10), (1, 0, 0), (2, 4, 8)]


def test_a_gauge(embedded_pool: Pool) -> None:
    """Each sample is an event, good where it is 1."""
    put(embedded_pool, {series("ok"): [(T0 + n * 20_000, float(n % 3 > 0)) for n in range(1, 10)]})
    assert minutes(embedded_pool, slo("bool_gauge: {metric: ok}")) == [(n, 2, 3) for n in range(3)]
