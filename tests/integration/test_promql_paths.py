"""The two ways of a query, pushed into the engine and on arrays, agree; and what holds of both."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.config import Limits
from app.errors import BadQuery, QueryFailed, QueryLimit, QueryTimeout
from app.query.promql.engine import PromQLEngine
from app.query.promql.leaf_sql import GRID_FUNCTIONS, PUSHED_AGGREGATIONS
from app.query.result import QueryResult
from app.store.client import Pool
from app.store.metrics import STALE_NAN_BITS
from tests.integration.promql_world import put, series

T0 = 1_700_000_000_000
STALE = float(np.array([STALE_NAN_BITS], np.uint64).view(np.float64)[0])

values = st.one_of(
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.integers(0, 1000).map(float),
    st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf, STALE]),
)
# twice the same time is one sample
one_series = st.lists(st.tuples(st.integers(0, 600), values), min_size=1, max_size=40).map(
    lambda points: sorted({at: (T0 + at * 1000, value) for at, value in points}.values())
)
FUNCTIONS = sorted({*GRID_FUNCTIONS, "increase_exact"})
queries = st.one_of(
    st.just("m"),
    st.builds("{}(m[{}s])".format, st.sampled_from(FUNCTIONS), st.sampled_from([30, 60, 181])),
).flatmap(
    lambda inner: st.one_of(
        st.just(inner),
        st.builds(
            "{} {} ({})".format,
            st.sampled_from(sorted(PUSHED_AGGREGATIONS)),
            st.sampled_from(["", "by (a)", "by (a, nothing)", "without (i)", "by (__name__, a)"]),
            st.just(inner),
        ),
    )
)


def assert_same(a: QueryResult, b: QueryResult, tolerance: float = 1e-9) -> None:
    """Same series, same presence, values equal but for rounding."""
    assert a.labels == b.labels
    for i in range(len(a.labels)):
        np.testing.assert_array_equal(a.series(i)[0], b.series(i)[0])
        np.testing.assert_allclose(a.series(i)[1], b.series(i)[1], rtol=tolerance, atol=1e-6)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(one_series, min_size=1, max_size=4), queries, st.integers(0, 20), st.sampled_from([7_000, 30_000]))
def test_pushed_and_array_paths_agree(
    embedded_pool: Pool, data: list[list[tuple[int, float]]], query: str, offset: int, step_ms: int
) -> None:
    """Whatever the samples (NaN, infinities, stale markers, gaps), both paths give the same answer."""
    for table in ("metric_samples", "metric_series"):
        embedded_pool.command(f"TRUNCATE TABLE {table}")
    put(embedded_pool, {series("m", i=str(i), a=str(i % 2)): points for i, points in enumerate(data)})
    limits = Limits()
    times = (T0 + offset * 1000, T0 + 650_000, step_ms)
    pushed = PromQLEngine(embedded_pool, limits).range(query, *times)
    arrays = PromQLEngine(embedded_pool, limits, push_down=False).range(query, *times)
    assert_same(pushed, arrays)
    in_engine = PromQLEngine(embedded_pool, limits, compiled=False).range(query, *times)
    assert_same(in_engine, arrays)


@pytest.mark.parametrize("push_down", [True, False], ids=["pushed", "arrays"])
def test_rate_is_extrapolated_as_prometheus_does(embedded_pool: Pool, push_down: bool) -> None:
    """A counter with a reset inside the window, worked out by hand after extrapolatedRate."""
    points = [(T0 + t * 1000, v) for t, v in ((5, 1.0), (15, 3.0), (20, 4.0), (30, 2.0), (45, 7.0))]
    put(embedded_pool, {series("c_total"): points})
    engine = PromQLEngine(embedded_pool, Limits(), push_down=push_down)
    result = engine.instant("increase(c_total[30s])", T0 + 45_000)
    # 20 to 45: up by 2 after a reset of 4, and 5: 7 in 25 s; 5 s to the start are less than 1.1 gaps of 12.5 s
    assert result.values[0, 0] == pytest.approx(7 * 30 / 25, rel=1e-12)


@pytest.mark.parametrize("push_down", [True, False], ids=["pushed", "arrays"])
def test_a_stale_marker_buries_a_sample(embedded_pool: Pool, push_down: bool) -> None:
    """After a stale marker an instant selector has nothing, and an aggregation over it neither; a range does."""
    put(embedded_pool, {series("m"): [(T0, 1.0), (T0 + 10_000, 2.0), (T0 + 20_000, STALE), (T0 + 40_000, 5.0)]})
    engine = PromQLEngine(embedded_pool, Limits(), push_down=push_down)
    for query in ("m", "sum(m)", "count(m)", "timestamp(m)"):
        result = engine.range(query, T0, T0 + 40_000, 10_000)
        assert result.present.tolist() == [[True, True, False, False, True]], query
    assert engine.instant("count_over_time(m[1m])", T0 + 40_000).values.tolist() == [[3.0]]
    assert engine.instant("m", T0 + 341_000).labels == []


@pytest.mark.parametrize("push_down", [True, False], ids=["pushed", "arrays"])
def test_a_sample_written_twice_counts_once(embedded_pool: Pool, push_down: bool) -> None:
    """Writing the same samples again changes no answer."""
    points = [(T0 + i * 15_000, float(i)) for i in range(20)]
    engine = PromQLEngine(embedded_pool, Limits(), push_down=push_down)
    questions = ["count_over_time(m[2m])", "sum_over_time(m[2m])", "rate(m[2m])", "avg_over_time(m[2m])", "m[1m]"]
    questions += ["stddev_over_time(m[2m])", "changes(m[2m])", "sum(m)", "quantile_over_time(0.3, m[2m])"]
    put(embedded_pool, {series("m"): points})
    once = [engine.instant(q, T0 + 290_000) for q in questions]
    put(embedded_pool, {series("m"): points})
    twice = [engine.instant(q, T0 + 290_000) for q in questions]
    for a, b in zip(once, twice, strict=True):
        assert_same(a, b, 0)


@pytest.mark.parametrize("push_down", [True, False], ids=["pushed", "arrays"])
def test_increase_exact_of_adjacent_windows_adds_up(embedded_pool: Pool, push_down: bool) -> None:
    """Hours of increase_exact sum to what the counter went up by, resets included, however the samples lie."""
    generator = np.random.default_rng(3)
    at = np.cumsum(generator.integers(1, 50_000, 400))
    steps = generator.integers(0, 9, 400).astype(float)
    value = np.cumsum(steps)
    value[200:] -= value[200] - steps[200]  # restarted between 199 and 200
    put(embedded_pool, {series("c_total"): list(zip((T0 + at).tolist(), value.tolist(), strict=True))})
    engine = PromQLEngine(embedded_pool, Limits(), push_down=push_down)
    end = (int(T0 + at[-1]) // 60_000 + 1) * 60_000
    start = T0 // 60_000 * 60_000 + 60_000
    result = engine.range("increase_exact(c_total[1m])", start, end, 60_000)
    total = float(result.values[result.present].sum())
    assert total == pytest.approx(steps[1:].sum(), abs=1e-9)


@pytest.mark.parametrize("push_down", [True, False], ids=["pushed", "arrays"])
def test_increase_exact_is_the_same_wherever_the_query_begins(embedded_pool: Pool, push_down: bool) -> None:
    """The sample counted from may be less than five minutes older than the window, at the first step as at others."""
    put(embedded_pool, {series("c_total"): [(T0, 5.0), (T0 + 1, 6.0), (T0 + 330_000, 9.0)]})
    engine = PromQLEngine(embedded_pool, Limits(), push_down=push_down)
    for end, value in ((T0 + 330_001, 3.0), (T0 + 359_999, 3.0), (T0 + 360_000, 3.0), (T0 + 360_001, 0.0)):
        for start in (end, end - 60_000, end - 360_000):
            found = engine.range("increase_exact(c_total[1m])", start, end, 30_000)
            assert found.values[0, -1] == value, (end, start)


@pytest.mark.parametrize("push_down", [True, False], ids=["pushed", "arrays"])
def test_increase_exact_without_a_baseline_counts_from_the_first_sample(embedded_pool: Pool, push_down: bool) -> None:
    """A counter that is new, or was away for more than five minutes, starts at its first sample."""
    points = [(T0 + t * 1000, v) for t, v in ((10, 50.0), (20, 53.0), (420, 90.0), (430, 91.0))]
    put(embedded_pool, {series("c_total"): points})
    engine = PromQLEngine(embedded_pool, Limits(), push_down=push_down)
    assert engine.instant("increase_exact(c_total[1m])", T0 + 60_000).values.tolist() == [[3.0]]
    assert engine.instant("increase_exact(c_total[1m])", T0 + 440_000).values.tolist() == [[1.0]]
    assert engine.instant("increase_exact(c_total[7m])", T0 + 435_000).values.tolist() == [[41.0]]


@pytest.mark.parametrize(
    ("limits", "query", "says"),
    [
        ({"query_max_samples": 100}, "rate(m[5m])", "limits.query_max_samples = 100"),
        ({"query_max_samples": 100}, "m[1h]", "limits.query_max_samples = 100"),
        ({"query_max_series": 3}, "m", "limits.query_max_series = 3"),
        ({"query_max_series": 3}, "sum(m)", "limits.query_max_series = 3"),
        ({"query_max_memory": 1000}, "m", "limits.query_max_memory = 1000"),
        ({"query_max_memory": 100_000}, "sum_over_time(m[1d:1ms])", "limits.query_max_memory = 100000"),
    ],
)
def test_each_limit_refuses_by_its_name(embedded_pool: Pool, limits: dict[str, int], query: str, says: str) -> None:
    """What a query may not use is refused with the limit's name and value."""
    put(embedded_pool, {series("m", i=str(i)): [(T0 + k * 1000, 1.0) for k in range(60)] for i in range(5)})
    engine = PromQLEngine(embedded_pool, Limits.model_validate(limits))
    with pytest.raises(QueryLimit, match=says):
        engine.instant(query, T0 + 60_000)


def test_points_and_time_are_limited(embedded_pool: Pool) -> None:
    """More than 11,000 points a series is bad data, as in Prometheus; a query without time left times out."""
    engine = PromQLEngine(embedded_pool, Limits())
    with pytest.raises(BadQuery, match="exceeded maximum resolution of 11,000 points"):
        engine.range("m", 0, 11_001_000, 1000)
    with pytest.raises(QueryTimeout, match=r"limits\.query_timeout"):
        engine.instant("m", 0, timeout_s=1e-9)


def test_what_is_not_there_fails_by_name_before_any_sql(embedded_pool: Pool) -> None:
    """A function or aggregation that is not supported is refused by name, even deep in a query."""
    embedded_pool.command("DROP TABLE metric_samples")
    engine = PromQLEngine(embedded_pool, Limits())
    with pytest.raises(BadQuery, match='function "start_timestamp" is not supported yet'):
        engine.instant("sum(rate(m[5m])) + start_timestamp(m)", T0)


def test_user_text_never_becomes_sql(embedded_pool: Pool) -> None:
    """Quotes, backslashes and comment signs in matchers and groupings are only text."""
    nasty = "a'b\\c\"d -- {x:String} */ `\n"
    put(embedded_pool, {series("m", path=nasty): [(T0, 1.0)]})
    engine = PromQLEngine(embedded_pool, Limits())
    quoted = nasty.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    for query in (f'm{{path="{quoted}"}}', f'm{{path!~"x{{1}}\'", path="{quoted}"}}', "sum by (path) (m)"):
        result = engine.instant(query, T0)
        assert [dict(labels)["path"] for labels in result.labels] == [nasty]
    assert engine.instant('sum by ("it\'s") (m)', T0).labels == [()]


@pytest.mark.parametrize("push_down", [True, False], ids=["pushed", "arrays"])
def test_an_infinity_that_left_the_window_is_forgotten(embedded_pool: Pool, push_down: bool) -> None:
    """The engine moves its sums from window to window; one infinity must not spoil all that follow."""
    put(embedded_pool, {series("m"): [(T0, math.inf), (T0 + 6000, 0.0), (T0 + 7000, 0.0)]})
    engine = PromQLEngine(embedded_pool, Limits(), push_down=push_down)
    for query in ("rate(m[30s])", "sum(rate(m[30s]))", "max(increase(m[30s]))"):
        result = engine.range(query, T0 + 3000, T0 + 31_000, 7000)
        assert (result.present[0, -1], result.values[0, -1]) == (True, 0.0), query


def test_info_adds_the_labels_of_the_info_series_of_the_time(embedded_pool: Pool) -> None:
    """Instance and job join; the newest info series counts; what has none stays as it is unless a label is asked."""
    world = {
        series("up", instance="a", job="j"): [(T0, 1.0), (T0 + 60_000, 1.0)],
        series("up", instance="b", job="j"): [(T0, 0.0), (T0 + 60_000, 0.0)],
        series("target_info", instance="a", job="j", version="1"): [(T0, 1.0)],
        series("target_info", instance="a", job="j", version="2"): [(T0 + 60_000, 1.0)],
    }
    put(embedded_pool, world)
    engine = PromQLEngine(embedded_pool, Limits())
    found = engine.range("info(up)", T0, T0 + 60_000, 60_000)
    present = {dict(labels).get("version", "-"): found.present[i].tolist() for i, labels in enumerate(found.labels)}
    assert present == {"1": [True, False], "2": [False, True], "-": [True, True]}
    asked = engine.instant('info(up, {version=~".+"})', T0 + 60_000)
    assert [dict(labels)["version"] for labels in asked.labels] == ["2"]


def test_what_a_query_has_twice_is_read_once(embedded_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal parts of a query cost one statement; parts that differ in a matcher, a window or an offset do not mix."""
    points = [(T0 + k * 1000, float(k)) for k in range(60)]
    put(embedded_pool, {series("m_total", i=str(i)): points for i in range(1, 4)})
    statements: list[str] = []
    ask = Pool.raw_query

    def counted(self: Pool, sql: str, *args: Any, **options: Any) -> bytes:
        if "FROM metric_samples" in sql and "groupArray" in sql:
            statements.append(sql)
        return ask(self, sql, *args, **options)

    monkeypatch.setattr(Pool, "raw_query", counted)
    engine = PromQLEngine(embedded_pool, Limits())
    one = "sum(rate(m_total[30s]))"
    result = engine.range(f"{one} / ({one} + {one})", T0 + 40_000, T0 + 60_000, 1000)
    assert (len(statements), np.unique(result.values).tolist()) == (1, [0.5])
    statements.clear()
    of_one = 'm_total{i="1"}'
    engine.instant(
        f"sum(m_total) + sum(m_total offset 1s) + sum({of_one}) + count_over_time({of_one}[30s])", T0 + 60_000
    )
    assert len(statements) == 4


def test_many_samples_are_read_in_parts(embedded_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many parts the series are read in, and however they are split, the answer is the same."""
    world = {
        series("m", i=str(i), instance=str(i % 5)): [(T0 + k * 1000, float(k * i)) for k in range(40)]
        for i in range(50)
    }
    put(embedded_pool, world)
    queries = (
        "sum by (instance) (rate(m[20s]))",
        "max_over_time(m[20s])",
        "quantile_over_time(0.5, m[20s])",
        "count(m)",
    )
    times = (T0 + 10_000, T0 + 40_000, 7000)
    whole = [PromQLEngine(embedded_pool, Limits()).range(query, *times) for query in queries]
    monkeypatch.setattr("app.query.promql.kernel_leaves._PART_SAMPLES", 100)
    engine = PromQLEngine(embedded_pool, Limits())
    for _ in ("nothing is known of the ids", "they are known"):
        for query, expected in zip(queries, whole, strict=True):
            assert_same(engine.range(query, *times), expected, 1e-12)


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("clamp_min(m * NaN, Inf)", math.inf),
        ("clamp_max(m * NaN, -Inf)", -math.inf),
        ("clamp(m * NaN, 1, 2)", math.nan),
        ("clamp(m, NaN, 5)", math.nan),
    ],
)
def test_bounds_are_go_s(embedded_pool: Pool, query: str, value: float) -> None:
    """math.Max(NaN, +Inf) is +Inf in Go."""
    put(embedded_pool, {series("m"): [(T0, 3.0)]})
    result = PromQLEngine(embedded_pool, Limits()).instant(query, T0)
    np.testing.assert_array_equal(result.values, [[value]])


def test_duplicates_matter_only_where_the_other_side_is_something(embedded_pool: Pool) -> None:
    """Many to many is an error at a step where both sides have series, and at no other."""
    put(embedded_pool, {series("one"): [(T0 + 400_000, 1.0)], series("two", a="1"): [(T0, 1.0)]})
    put(embedded_pool, {series("two", a="2"): [(T0, 1.0)]})
    engine = PromQLEngine(embedded_pool, Limits())
    assert engine.instant("one * on () two", T0).labels == []
    with pytest.raises(QueryFailed, match=r"found duplicate series for the match group \{\} on the right"):
        engine.instant("vector(1) * on () two", T0)


def test_what_absent_is_absent_of(embedded_pool: Pool) -> None:
    """A label said twice is left out, unless the last matcher alone says what it is; negative ones are last."""
    engine = PromQLEngine(embedded_pool, Limits())
    queries = ('absent(m{a=~"x|y",a="y",b="1"})', 'absent(m{a="y",a=~"x|y"})', 'absent(m{a="y",a="y"})')
    assert [engine.instant(query, T0).labels for query in queries] == [[(("a", "y"), ("b", "1"))], [()], [()]]
    negative = ('absent(m{a!="z",a="y",b="1"})', 'absent_over_time(m{a!~"z",a="y"}[1m])', 'absent(m{a!="",a="y"})')
    assert [engine.instant(query, T0).labels for query in negative] == [[(("b", "1"),)], [()], [(("a", "y"),)]]


def test_series_that_are_gone_do_not_count(embedded_pool: Pool) -> None:
    """Only labels of series with samples in the query's time are read: churn does not make a metric unanswerable."""
    gone = {series("churned", pod=f"old-{i}"): [(T0 - 86_400_000, 1.0)] for i in range(30)}
    put(embedded_pool, {**gone, series("churned", pod="new"): [(T0, 2.0)]})
    engine = PromQLEngine(embedded_pool, Limits(query_max_series=10))
    assert engine.instant("churned", T0).labels == [series("churned", pod="new")]
    assert engine.instant("sum by (pod) (churned)", T0).labels == [(("pod", "new"),)]


@pytest.mark.parametrize("push_down", [True, False])
def test_samples_held_at_once_are_bounded(embedded_pool: Pool, push_down: bool) -> None:
    """Raw samples count against the memory of a query, and the refusal names the limit."""
    put(embedded_pool, {series("many", i="1"): [(T0 + i, 0.0) for i in range(5000)]})
    small = PromQLEngine(embedded_pool, Limits(query_max_memory=100_000), push_down=push_down, compiled=True)
    with pytest.raises(QueryLimit, match=r"limits\.query_max_memory = 100000 bytes"):
        small.instant("quantile_over_time(0.5, many[1h])", T0 + 5000)
