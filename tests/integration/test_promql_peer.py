"""The same samples and queries at a real Prometheus and here: the same answers.

Debian's Prometheus is 2.42, whose windows are closed at both ends; all times lie off the sample grid, so that no
sample lies on an edge.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.config import Limits
from app.labels import Labels
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool
from app.store.metrics import STALE_NAN_BITS
from tests.integration.prometheus_peer import differences, running_prometheus
from tests.integration.promql_world import Points, put, series
from tests.unit.promql.syntax_cases import GRAMMAR, SINCE_3, TOKENS, TYPES

STALE = float(np.array([STALE_NAN_BITS], np.uint64).view(np.float64)[0])
QUERIES = [
    "http_requests_total",
    'http_requests_total{code=~"5..",instance!="a"}',
    '{__name__=~"http_.*", code="200"}',
    "http_requests_total offset 3m",
    "rate(http_requests_total[5m])",
    "rate(http_requests_total[1m])",
    "irate(http_requests_total[5m])",
    "increase(http_requests_total[10m])",
    "delta(temperature[5m])",
    "idelta(temperature[5m])",
    "deriv(temperature[10m])",
    "predict_linear(temperature[10m], 3600)",
    "changes(temperature[10m])",
    "resets(http_requests_total[10m])",
    "avg_over_time(temperature[3m])",
    "min_over_time(temperature[3m])",
    "max_over_time(temperature[3m])",
    "sum_over_time(temperature[3m])",
    "count_over_time(temperature[3m])",
    "stddev_over_time(temperature[3m])",
    "stdvar_over_time(temperature[3m])",
    "last_over_time(temperature[3m])",
    "quantile_over_time(0.9, temperature[3m])",
    "present_over_time(temperature[1m])",
    'absent_over_time(temperature{instance="nowhere"}[1m])',
    "sum by (code) (rate(http_requests_total[5m]))",
    "sum without (instance) (http_requests_total)",
    "avg(temperature)",
    "topk(2, temperature * on(instance) sum by (instance) (http_requests_total))",
    "bottomk by (code) (1, http_requests_total)",
    "quantile(0.3, temperature)",
    "stddev by (instance) (http_requests_total)",
    'count_values("v", round(temperature, 5))',
    'sum(rate(http_requests_total{code="500"}[5m])) / sum(rate(http_requests_total[5m]))',
    "http_requests_total / on(instance) group_left() temperature",
    "temperature > 20",
    "temperature > bool 20",
    'temperature and on(instance) http_requests_total{code="500"}',
    'temperature unless on(instance) http_requests_total{code="500", instance="a"}',
    "temperature or http_requests_total",
    "histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m])))",
    "histogram_quantile(0.5, rate(latency_bucket[5m]))",
    "max_over_time(rate(http_requests_total[1m])[5m:30s])",
    'label_replace(temperature, "room", "room-$1", "instance", "(.*)")',
    "clamp(temperature, 19, 21)",
    "timestamp(temperature)",
    "minute() + hour()",
    'absent(temperature{instance="z"})',
    "-temperature ^ 2 % 7",
    'scalar(temperature{instance="a"}) * 2',
]


def samples(start_ms: int) -> dict[Labels, Points]:
    """An hour of counters with resets, gauges with gaps and stale markers, and a histogram; every 15 s, not all."""
    generator = np.random.default_rng(7)
    found: dict[Labels, Points] = {}
    # scrapes are never quite on time; were they, extrapolation's threshold would be met to the last bit
    scrapes = (start_ms + np.arange(240) * 15_000 + generator.integers(0, 2000, 240)).tolist()
    for instance in "abc":
        for code in ("200", "404", "500"):
            # far from zero: Prometheus 3 extrapolates towards it otherwise than 2
            value = np.cumsum(generator.integers(0, 20, 240)).astype(float) + 5000
            value[150:] -= value[150] - 3000
            points = [(at, v) for at, v in zip(scrapes, value.tolist(), strict=True) if generator.random() > 0.05]
            found[series("http_requests_total", instance=instance, code=code)] = points
        heat = 20 + np.cumsum(generator.normal(0, 0.3, 240)).round(2)
        points = [(scrapes[i], v) for i, v in enumerate(heat.tolist()) if i < 90 or i > 130]
        found[series("temperature", instance=instance)] = sorted([*points, (scrapes[90], STALE)])
    counts = np.cumsum(np.sort(generator.integers(0, 30, (240, 5)), axis=1), axis=0).astype(float) + 5000
    for column, le in enumerate(("0.1", "0.5", "1", "5", "+Inf")):
        found[series("latency_bucket", le=le)] = list(zip(scrapes, counts[:, column].tolist(), strict=True))
    return found


@pytest.fixture(scope="module")
def start_ms() -> int:
    """When the samples begin: Prometheus takes no old ones. Seven seconds off the steps of a subquery."""
    return ((int(time.time()) - 3720) // 15 * 15 + 7) * 1000


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, start_ms: int) -> Iterator[str]:
    """The URL of a Prometheus that holds the samples."""
    with running_prometheus(tmp_path_factory.mktemp("prometheus"), samples(start_ms)) as url:
        yield url


def test_the_same_queries_have_the_same_answers(embedded_pool: Pool, prometheus: str, start_ms: int) -> None:
    """Each query, over an hour in steps that meet no sample, gives Prometheus's series, times and values."""
    put(embedded_pool, samples(start_ms))
    engine = PromQLEngine(embedded_pool, Limits())
    first, last, step = start_ms + 604_000, start_ms + 3_590_000, 45_000
    wrong = differences(engine, prometheus, QUERIES, first, last, step)
    assert not wrong, "\n".join(wrong)


def test_the_same_errors_are_told_in_the_same_words(tmp_path: Path) -> None:
    """What the unit tests expect of wrong queries is what this Prometheus says, as far as it is not older."""
    features = "promql-experimental-functions,promql-binop-fill-modifiers"
    with running_prometheus(tmp_path, {}, f"--enable-feature={features}") as url, httpx.Client(base_url=url) as http:
        version = http.get("/api/v1/status/buildinfo").json()["data"]["version"]
        wrong = []
        for query, says in [*TOKENS, *GRAMMAR, *TYPES]:
            answer = http.post("/api/v1/query", data={"query": query}).json().get("error")
            if answer != f'invalid parameter "query": {says}' and not (version < "3" and query in SINCE_3):
                wrong.append(f"{query!r}: {answer}")
    assert not wrong, "\n".join(wrong)
