"""Instant queries asked in turn: the answers each gives alone, from one reading, and what was added is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.config import Limits
from app.errors import BadQuery, QueryLimit, WatchhouseError
from app.query.promql.context import Context
from app.query.promql.engine import InstantQueries, PromQLEngine, evaluated
from app.query.promql.memory import MemorySamples
from app.query.promql.parse import parse
from app.query.result import QueryResult
from app.store.client import Pool
from app.store.metrics import STALE_NAN_BITS
from tests.differential.grammar import Generator
from tests.integration.promql_world import put, series
from tests.integration.test_promql_histograms import histogram, put_histograms
from tests.integration.test_promql_peer import samples

T0 = 1_700_000_040_000
MINUTE = 60_000
STALE = float(np.array([STALE_NAN_BITS], np.uint64).view(np.float64)[0])


def answer(engine: PromQLEngine | InstantQueries, query: str, *at: int) -> Any:
    """What a query is answered with, in a form that can be compared."""
    try:
        result: QueryResult = engine.instant(query, *at)
    except WatchhouseError as error:
        return str(error)
    if result.raw is not None:
        return result.kind, result.labels, result.raw.ts_ms.tolist(), result.raw.values.tobytes()
    there = np.where(result.present, result.values, 0.0)
    order = sorted(range(len(result.labels)), key=result.labels.__getitem__)
    return (
        result.kind,
        [result.labels[i] for i in order],
        there[order].tobytes() if order else there.tobytes(),
        result.histograms is None,
        result.text,
        result.warnings,
        result.infos,
    )


def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements of the queries from now on."""
    asked: list[str] = []
    told = Pool.raw_query

    def asking(pool: Pool, sql: str, *args: Any, **options: Any) -> bytes:
        asked.append(sql)
        return told(pool, sql, *args, **options)

    monkeypatch.setattr(Pool, "raw_query", asking)
    return asked


def test_random_queries_are_answered_as_alone(embedded_pool: Pool) -> None:
    """200 random queries in lots of twenty: the same values, to the last bit, notes and errors."""
    data = samples(T0)
    put(embedded_pool, data)
    engine, generator = PromQLEngine(embedded_pool, Limits()), Generator(11)
    arrays = PromQLEngine(embedded_pool, Limits(), push_down=False)
    wrong, covered = [], 0
    for lot in range(10):
        at = T0 + 600_000 + lot * 97_000
        queries = [generator.query() for _ in range(20)]
        together = engine.instants(queries, at)
        for query in queries:
            covered += together.covers(query)
            # the store works deriv out in another order
            alone = arrays if "deriv" in query else engine
            if answer(together, query) != answer(alone, query, at):
                wrong.append(f"{query}: {answer(together, query)} alone {answer(engine, query, at)}")
    assert not wrong, "\n".join(wrong)
    assert covered > 120


def test_one_statement_reads_what_twenty_queries_need(embedded_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten metrics, a window of minutes: one statement, and none for what was added."""
    for n in range(10):
        put(embedded_pool, {series(f"m{n}", job=job): [(T0 + s * 15_000, float(s)) for s in range(40)] for job in "ab"})
    queries = [f"sum(rate(m{n}[5m]))" for n in range(10)] + [f'm{n}{{job="a"}} > 3' for n in range(10)]
    engine = PromQLEngine(embedded_pool, Limits())
    engine.instants(queries, T0 + 300_000)
    asked = statements(monkeypatch)
    together = engine.instants(queries, T0 + 315_000)
    for query in queries:
        together.instant(query)
    assert len(asked) == 1


def test_what_is_added_is_seen_by_the_next(embedded_pool: Pool) -> None:
    """A sample hides the store's older one, a stale marker ends it, and a metric the store does not have begins."""
    put(embedded_pool, {series("r", job="a"): [(T0 - 60_000, 1.0)], series("r", job="b"): [(T0 - 60_000, 2.0)]})
    queries = ["r", "sum(r)", "fresh + 1", "count_over_time(r[5m])", 'r{job="c"}']
    together = PromQLEngine(embedded_pool, Limits()).instants(queries, T0)
    assert all(together.covers(query) for query in queries)
    assert together.instant("sum(r)").values.tolist() == [[3.0]]
    together.add("r", [(series("r", job="a"), 10.0)])
    together.add("r", [(series("r", job="b"), STALE)])
    together.add("r", [(series("r", job="c"), 5.0)])
    together.add("fresh", [(series("fresh"), 7.0)])
    assert together.instant("sum(r)").values.tolist() == [[15.0]]
    assert together.instant("fresh + 1").values.tolist() == [[8.0]]
    assert together.instant('r{job="c"}').values.tolist() == [[5.0]]
    counts = together.instant("count_over_time(r[5m])")
    assert dict(zip(counts.labels, counts.values[:, 0].tolist(), strict=True)) == {
        (("job", "a"),): 2.0,
        (("job", "b"),): 1.0,
        (("job", "c"),): 1.0,
    }


def test_what_cannot_be_told_ahead_comes_from_the_store(embedded_pool: Pool) -> None:
    """A selector without a name, a fixed time and native histograms are answered all the same, and not as covered."""
    put(embedded_pool, {series("r", job="a"): [(T0 - 60_000, 1.0)]})
    put_histograms(embedded_pool, {series("h", job="a"): [(T0 - 60_000, histogram(1, 2))]})
    queries = ['{job="a"}', f"r @ {T0 / 1000}", "histogram_count(h)", "r", 'info(r, {data="x"})', "sum("]
    engine = PromQLEngine(embedded_pool, Limits())
    together = engine.instants(queries, T0)
    assert [together.covers(query) for query in queries] == [False, False, False, True, False, False]
    for query in queries[:-1]:
        assert answer(together, query) == answer(engine, query, T0), query
    with pytest.raises(BadQuery):
        together.instant("sum(")


def test_more_than_may_be_read_at_once_is_read_alone(embedded_pool: Pool) -> None:
    """Where all together are past the limit on samples, each query that is within it is answered."""
    put(embedded_pool, {series(f"m{n}"): [(T0 - s * 1000, 1.0) for s in range(60)] for n in range(4)})
    engine = PromQLEngine(embedded_pool, Limits(query_max_samples=100))
    together = engine.instants([f"sum_over_time(m{n}[5m])" for n in range(4)], T0)
    for n in range(4):
        assert together.instant(f"sum_over_time(m{n}[5m])").values.tolist() == [[60.0]]
    with pytest.raises(QueryLimit):
        together.instant('sum_over_time({__name__=~"m."}[5m])')


def test_memory_without_loops_gives_the_same(embedded_pool: Pool) -> None:
    """Samples added one by one to memory, worked out on arrays, are answered as the store's."""
    data = samples(T0)
    put(embedded_pool, data)
    memory = MemorySamples(compiled=False)
    for labels, points in data.items():
        for at, value in points:
            memory.add(labels, at, STALE if value != value else value)
    engine, generator = PromQLEngine(embedded_pool, Limits(), push_down=False, compiled=False), Generator(5)
    at = T0 + 900_000
    for _ in range(100):
        query = generator.query()
        try:
            context = Context(Limits(), 1e12, 1e12, at, at, 300_000)
            found = evaluated(parse(query), query, memory, context)
        except WatchhouseError:
            assert isinstance(answer(engine, query, at), str), query
            continue
        alone = engine.instant(query, at)
        assert found.labels == alone.labels, query
        np.testing.assert_allclose(
            np.where(found.present, found.values, 0), np.where(alone.present, alone.values, 0), rtol=1e-12
        )
