"""Range queries that come again with a later end: what is used again is what would be worked out anew."""

from __future__ import annotations

import random

import numpy as np
import pytest

from app.config import Limits
from app.labels import Labels
from app.query.promql.engine import PromQLEngine
from app.query.result import QueryResult
from app.running import RunningQuery, working_for
from app.store.client import Pool
from app.store.http_interface import HttpInterface
from tests.integration.promql_world import Points, put, series

T0 = 1_790_000_000_000
STEP = 30_000
QUERIES = (
    "requests_total",
    "rate(requests_total[2m])",
    "sum by (code) (rate(requests_total[2m]))",
    "sum(requests_total) / scalar(sum(heat))",
    "scalar(sum(heat))",
    "quantile_over_time(0.5, heat[3m])",
    "max_over_time(rate(requests_total[1m])[3m:30s])",
    "heat offset 2m",
    "heat offset -1m",
    "avg_over_time(heat[2m] offset -90s) + on() group_left() sum(requests_total)",
    'max by (code) ({__name__=~"requests.*"})',
    "absent(heat)",
    "topk(1, heat)",
    "max_over_time((heat offset -1m)[2m:30s] offset 1m)",
    "heat @ end()",
    "heat - time() + end()",
    "rate(heat[2m])",
)


def check_same(a: QueryResult, b: QueryResult) -> None:
    assert a.labels == b.labels
    assert np.array_equal(a.present, b.present)
    ours, theirs = a.values[a.present], b.values[b.present]
    assert np.allclose(ours, theirs, rtol=1e-12, atol=0, equal_nan=True)
    assert (a.warnings, a.infos) == (b.warnings, b.infos)


def _some(rng: random.Random, now_ms: int) -> dict[Labels, Points]:
    """Samples of a moment; some of them late."""
    found: dict[Labels, Points] = {}
    for name in rng.sample(["requests_total", "heat", "other"], rng.randint(1, 3)):
        for code in rng.sample(["200", "404", "500"], rng.randint(1, 3)):
            at = now_ms - (rng.randrange(600_000) if rng.random() < 0.1 else rng.randrange(15_000))
            found[series(name, code=code)] = [(at, rng.randrange(1000))]
    return found


@pytest.mark.parametrize("seed", range(4))
def test_what_is_used_again_is_true(embedded_pool: Pool, seed: int) -> None:
    """Whatever is written between two refreshes, late or in time, the answer is that of one who remembers nothing."""
    rng = random.Random(seed)
    engine, other = PromQLEngine(embedded_pool, Limits()), PromQLEngine(embedded_pool, Limits())
    now_ms = T0
    for _ in range(25):
        for _ in range(rng.randint(1, 3)):
            now_ms += 10_000
            put(embedded_pool, _some(rng, now_ms))
        end_ms = now_ms // STEP * STEP + rng.choice((0, 0, 0, STEP))
        start_ms = end_ms - rng.choice((600_000, 600_000, 300_000))
        for query in rng.sample(QUERIES, 8):
            again = engine.range(query, start_ms, end_ms, STEP, reuse=True)
            check_same(again, other.range(query, start_ms, end_ms, STEP))


def _read(engine: PromQLEngine, query: str, start_ms: int, end_ms: int) -> tuple[QueryResult, int]:
    running = RunningQuery(query, "")
    with working_for(running):
        result = engine.range(query, start_ms, end_ms, 15_000, reuse=True)
    return result, running.samples


def _hour(value: float = 1.0) -> dict[Labels, Points]:
    return {series("heat", code=code): [(T0 + i * 15_000, value * i) for i in range(240)] for code in ("200", "500")}


def test_a_refresh_reads_what_is_new(embedded_pool: Pool) -> None:
    """Only the windows of new steps are read; an answer that is known whole reads nothing."""
    put(embedded_pool, _hour())
    engine, end = PromQLEngine(embedded_pool, Limits()), T0 + 239 * 15_000
    _, first = _read(engine, "sum_over_time(heat[1m])", T0, end)
    put(embedded_pool, {series("heat", code="200"): [(end + 15_000, 1.0)]})
    refreshed, second = _read(engine, "sum_over_time(heat[1m])", T0 + 15_000, end + 15_000)
    _, third = _read(engine, "sum_over_time(heat[1m])", T0 + 15_000, end + 15_000)
    assert (first, third) == (480, 0)
    assert second <= 10
    assert refreshed.present.sum() == 480


def test_a_series_that_comes_and_one_that_goes(embedded_pool: Pool) -> None:
    """Series of the old steps and of the new ones are one answer; those of neither are none."""
    put(embedded_pool, {series("heat", code="a"): [(T0, 1.0)], series("heat", code="b"): [(T0 + 600_000, 2.0)]})
    engine = PromQLEngine(embedded_pool, Limits())
    _read(engine, "heat", T0, T0 + 300_000)
    both, _ = _read(engine, "heat", T0, T0 + 600_000)
    assert [dict(labels)["code"] for labels in both.labels] == ["a", "b"]
    late, _ = _read(engine, "heat", T0 + 315_000, T0 + 600_000)
    assert [dict(labels)["code"] for labels in late.labels] == ["b"]


def test_what_is_written_as_sql_is_seen(embedded_pool: Pool) -> None:
    """A writable /clickhouse changes samples behind the writer's back: everything is worked out anew."""
    put(embedded_pool, _hour())
    engine, end = PromQLEngine(embedded_pool, Limits()), T0 + 239 * 15_000
    before, _ = _read(engine, "sum(heat)", T0, end)
    interface = HttpInterface(embedded_pool, True, Limits())
    late = f"ts > fromUnixTimestamp64Milli({T0 + 1_800_000})"
    sql = f"ALTER TABLE metric_samples DELETE WHERE {late} SETTINGS mutations_sync = 1"
    interface.run({"database": embedded_pool.database}, sql.encode())
    after, read = _read(engine, "sum(heat)", T0, end)
    interface.close()
    assert read > 0
    assert after.present.sum() < before.present.sum()


def test_memory_is_bounded(embedded_pool: Pool) -> None:
    """Past `query_reuse_memory` the answers asked for longest ago are forgotten; at 0 nothing is kept."""
    put(embedded_pool, _hour())
    end = T0 + 239 * 15_000
    small = PromQLEngine(embedded_pool, Limits.model_validate({"query_reuse_memory": "20KiB"}))
    for i in range(5):
        _read(small, f"heat + {i}", T0, end)
    assert _read(small, "heat + 4", T0, end)[1] == 0
    assert _read(small, "heat + 0", T0, end)[1] == 480
    nothing = PromQLEngine(embedded_pool, Limits(query_reuse_memory=0))
    assert _read(nothing, "heat", T0, end)[1] == _read(nothing, "heat", T0, end)[1] == 480
