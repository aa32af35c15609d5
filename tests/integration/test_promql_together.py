"""Many queries at once: the same answers, to the last bit, as each alone, from few readings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.config import Limits
from app.errors import BadQuery, QueryLimit, StoreUnavailable, WatchhouseError
from app.query.promql import together
from app.query.promql.engine import PromQLEngine
from app.query.result import QueryResult
from app.store.client import Pool
from tests.integration.promql_world import put, series
from tests.integration.test_promql_histograms import histogram, put_histograms

T0 = 1_700_000_040_000
MINUTE = 60_000
TIMES = (T0, T0 + 5 * MINUTE, MINUTE)

numbers = st.one_of(st.integers(0, 50).map(float), st.floats(0, 1e6), st.sampled_from([0.1, math.nan, math.inf]))
points = st.lists(st.tuples(st.integers(-400, 330), numbers), min_size=1, max_size=12).map(
    lambda found: sorted({at: (T0 + at * 1000, value) for at, value in found}.values())
)
stored = st.dictionaries(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["", "1", "2", "2x"]), st.sampled_from("pqrs")),
    points,
    max_size=14,
)
matchers = st.lists(
    st.sampled_from(['a="1"', 'a="2"', 'a=~"2.*"', 'a!="1"', 'b="p"', 'b=~"q|r"', 'a=""', 'b!~"s"', 'c="no"']),
    max_size=3,
).map(lambda found: "{" + ",".join(found) + "}")
functions = st.sampled_from(["increase_exact", "increase_exact", "rate", "count_over_time", "stddev_over_time"])
sums = st.builds(
    "sum {} ({}({}{}[{}]{}))".format,
    st.sampled_from(["", "by (a)", "by (a, b)", "without (b)"]),
    functions,
    st.sampled_from(["m", "m", "m", "n"]),
    matchers,
    st.sampled_from(["1m", "1m", "2m"]),
    st.sampled_from(["", "", " offset 1m"]),
)
queries = st.recursive(
    sums,
    lambda inner: st.one_of(
        st.builds("({} - {})".format, inner, inner),
        st.builds("({} or vector(0))".format, inner),
        st.builds("clamp_max({}, 3)".format, inner),
        st.builds("sum({})".format, inner),
        st.builds("max_over_time({}[2m:1m])".format, inner),
        st.builds("m{}".format, matchers),
    ),
    max_leaves=3,
)


def alone(engine: PromQLEngine, query: str, times: tuple[int, int, int] = TIMES) -> QueryResult | WatchhouseError:
    """The answer to one query."""
    try:
        return engine.range(query, *times)
    except WatchhouseError as error:
        return error


def assert_identical(found: QueryResult | WatchhouseError, wanted: QueryResult | WatchhouseError, about: str) -> None:
    """The same error, or the same series with the same bits."""
    if isinstance(wanted, WatchhouseError):
        assert (type(found), str(found)) == (type(wanted), str(wanted)), about
        return
    assert isinstance(found, QueryResult), (about, found)
    assert found.labels == wanted.labels, about
    assert found.present.tolist() == wanted.present.tolist(), about
    # one NaN is as good as another
    values = [np.where(np.isnan(r.values), np.nan, np.where(r.present, r.values, 0.0)) for r in (found, wanted)]
    bits = [of.view(np.uint64).tolist() for of in values]
    assert bits[0] == bits[1], about


def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements for samples asked from now on."""
    asked: list[str] = []
    raw = Pool.raw_query

    def noted(pool: Pool, sql: str, *args: Any, **options: Any) -> bytes:
        asked.append(sql)
        return raw(pool, sql, *args, **options)

    monkeypatch.setattr(Pool, "raw_query", noted)
    return asked


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(stored, st.lists(queries, min_size=1, max_size=40))
def test_together_is_as_alone(
    embedded_pool: Pool, data: dict[tuple[str, str, str], Sequence[tuple[int, float]]], asked: list[str]
) -> None:
    """Whatever the series and queries, each answer is that of the query alone, bit by bit."""
    for table in ("metric_samples", "metric_series"):
        embedded_pool.command(f"TRUNCATE TABLE {table}")
    if data:
        named = {series("m" if kind == "a" else "n", a=a, b=b): found for (kind, a, b), found in data.items()}
        put(embedded_pool, named)
    # enough of one kind that they are read together, whatever else is drawn
    asked = [*asked, *(f'sum(increase_exact(m{{b="{b}"}}[1m]))' for b in "pqrstuvw")]
    engine = PromQLEngine(embedded_pool, Limits())
    for _ in range(2):
        for query, found in zip(asked, engine.range_many(asked, *TIMES), strict=True):
            assert_identical(found, alone(engine, query), query)


def many(count: int) -> list[str]:
    """So many sums over one metric."""
    return [f'sum(increase_exact(m{{i="{i}",code=~"5.."}}[1m]))' for i in range(count)]


def put_many(pool: Pool, count: int) -> None:
    """Two codes of so many instances."""
    put(
        pool,
        {
            series("m", i=str(i), code=code): [(T0 + k * 15_000, 0.1 * k * (i + 1)) for k in range(-20, 21)]
            for i in range(count)
            for code in ("200", "500", "503")
        },
    )


@pytest.mark.parametrize("count", [8, 40, 200])
def test_one_metric_is_read_once(embedded_pool: Pool, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """However many sums there are over it; again when they come again, and for series that are new by then."""
    put_many(embedded_pool, count)
    engine = PromQLEngine(embedded_pool, Limits())
    asked = statements(monkeypatch)
    for instances in (count, count + 3):
        put_many(embedded_pool, instances)
        found = list(engine.range_many(many(instances), *TIMES))
        assert sum("groupArray" in sql for sql in asked) == 1
        asked.clear()
        for query, result in zip(many(instances), found, strict=True):
            assert_identical(result, alone(engine, query), query)
        asked.clear()


def test_few_sums_are_read_each(embedded_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven sums over one metric are seven statements: together they would read what nobody asked for."""
    put_many(embedded_pool, 7)
    engine = PromQLEngine(embedded_pool, Limits())
    asked = statements(monkeypatch)
    list(engine.range_many(many(7), *TIMES))
    assert sum("groupArray" in sql for sql in asked) == 7


def test_what_is_too_much_at_once_is_read_in_parts(embedded_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all times together pass a limit each query alone would keep, they are read in parts of the time."""
    put_many(embedded_pool, 20)
    wanted = list(PromQLEngine(embedded_pool, Limits()).range_many(many(20), *TIMES))
    # 60 series have 41 samples each; no query alone reads more than 120
    engine = PromQLEngine(embedded_pool, Limits.model_validate({"query_max_samples": 1500}))
    asked = statements(monkeypatch)
    for query, found, right in zip(many(20), engine.range_many(many(20), *TIMES), wanted, strict=True):
        assert_identical(found, right, query)
    assert 2 <= sum("groupArray" in sql for sql in asked) < 20


def test_what_cannot_be_read_together_is_read_alone(embedded_pool: Pool) -> None:
    """A limit that only all queries together pass refuses none of them; one that is passed alone refuses that one."""
    put_many(embedded_pool, 20)
    engine = PromQLEngine(embedded_pool, Limits.model_validate({"query_max_series": 8}))
    asked = [*many(20), "sum(increase_exact(m[1m]))", "sum(", "m[1m]"]
    found = list(engine.range_many(asked, *TIMES))
    for query, result in zip(asked, found, strict=True):
        assert_identical(result, alone(engine, query), query)
    assert all(isinstance(result, QueryResult) for result in found[:20])
    assert [type(result) for result in found[20:]] == [QueryLimit, BadQuery, BadQuery]


def test_an_unreachable_store_is_each_querys_error(embedded_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked once, not once for each query, and answered to all."""
    asked: list[str] = []

    def away(pool: Pool, sql: str, *args: Any, **options: Any) -> bytes:
        asked.append(sql)
        raise StoreUnavailable("it is away")

    monkeypatch.setattr(Pool, "raw_query", away)
    found = list(PromQLEngine(embedded_pool, Limits()).range_many(many(30), *TIMES))
    assert all(isinstance(result, StoreUnavailable) for result in found)
    assert len(asked) == 1


def test_native_histograms_are_left_to_each_query(embedded_pool: Pool) -> None:
    """A metric with native histograms is summed as a query alone does it."""
    put_histograms(
        embedded_pool, {series("m", i=str(i)): [(T0, histogram(4)), (T0 + 1, histogram(6))] for i in range(9)}
    )
    engine = PromQLEngine(embedded_pool, Limits())
    asked = [f'sum(increase_exact(m{{i="{i}"}}[1m]))' for i in range(9)]
    for found in engine.range_many(asked, *TIMES):
        assert isinstance(found, QueryResult)
        assert found.histograms is not None
        assert [h.count for h in found.histograms[0] if h is not None] == [0.0, 2.0]


@pytest.mark.parametrize("options", [{"compiled": False}, {"push_down": False}], ids=["in the store", "arrays"])
def test_without_compiled_loops(embedded_pool: Pool, options: dict[str, bool]) -> None:
    """An engine that works otherwise answers the same, whole numbers to the last digit."""
    put(
        embedded_pool,
        {
            series("m", i=str(i), code=code): [(T0 + k * 15_000, k * (i + 1.0)) for k in range(-20, 21)]
            for i in range(20)
            for code in ("500", "503")
        },
    )
    engine = PromQLEngine(embedded_pool, Limits(), **options)
    asked = [*many(20), *(f'sum by (code) (count_over_time(m{{i="{i}"}}[1m]))' for i in range(20))]
    for query, found in zip(asked, engine.range_many(asked, *TIMES), strict=True):
        assert_identical(found, alone(engine, query), query)


def test_what_nobody_wants_is_not_read_again(embedded_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where most of what was read together was for nothing, each is read alone the next time."""
    monkeypatch.setattr(together, "_STATEMENT_SAMPLES", 30)
    monkeypatch.setattr(together, "_EXACTLY", 4)
    put_many(embedded_pool, 400)
    engine = PromQLEngine(embedded_pool, Limits())
    queries = [f'sum(increase_exact(m{{i=~"{i}|x"}}[1m]))' for i in range(20)]
    asked = statements(monkeypatch)
    for reads in (1, 20):
        found = list(engine.range_many(queries, *TIMES))
        assert sum("groupArray" in sql for sql in asked) == reads
        for query, result in zip(queries, found, strict=True):
            assert_identical(result, alone(engine, query), query)
        asked.clear()
