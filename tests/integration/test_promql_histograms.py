"""Native histograms in the store, asked for with PromQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import httpx
import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from app.commands import query as query_command
from app.config import Limits
from app.errors import QueryLimit
from app.histogram import Buckets, Histogram
from app.labels import METRIC_NAME, Labels
from app.query.promql.engine import PromQLEngine
from app.query.result import QueryResult
from app.store.client import Pool
from app.store.histograms import insert_histograms
from app.store.metrics import STALE_NAN_BITS, SeriesRow, insert_series
from ingest.series import label_set_id
from tests.integration.promql_world import put, series, serving

T0 = 1_700_000_000_000
Params = dict[str, str | int | float | bool | None]
STALE = float(np.array([STALE_NAN_BITS], np.uint64).view(np.float64)[0])


def histogram(count: float, total: float | None = None) -> Histogram:
    """`count` observations, half of them in (0.5, 1] and half in (1, 2]."""
    halves = Buckets(np.array([0, 1], np.int32), np.array([count / 2, count / 2]))
    return Histogram(0, count, count if total is None else total, 0.001, 0.0, halves)


def put_histograms(pool: Pool, samples: Mapping[Labels, Sequence[tuple[int, Histogram]]]) -> None:
    """Stores histograms, as (ms, histogram), of series by label set."""
    insert_series(pool, [SeriesRow(label_set_id(labels), labels, T0, T0) for labels in samples])
    rows = [(dict(labels)[METRIC_NAME], label_set_id(labels), at, h) for labels, of in samples.items() for at, h in of]
    names, ids, times, items = zip(*rows, strict=True)
    insert_histograms(pool, names, np.array(ids, np.uint64), np.array(times, np.int64), items)


def counts(result: QueryResult, i: int = 0) -> list[float | None]:
    """The counts of the histograms of a series; None for a float."""
    native = result.native(i)
    return [] if native is None else [None if h is None else h.count for h in native]


@pytest.fixture(params=[True, False], ids=["pushed", "arrays"])
def engine(request: pytest.FixtureRequest, embedded_pool: Pool) -> PromQLEngine:
    """An engine that pushes work down, and one that does not."""
    return PromQLEngine(embedded_pool, Limits(), push_down=request.param)


def test_increase_exact_of_histograms_adds_up(embedded_pool: Pool, engine: PromQLEngine) -> None:
    """Adjacent windows of a native histogram add up to its own increase, a reset included; the first counts nothing."""
    grown = [(0, 10.0), (50, 14.0), (70, 20.0), (130, 4.0), (170, 6.0)]
    put_histograms(embedded_pool, {series("h"): [(T0 + t * 1000, histogram(count)) for t, count in grown]})
    found = engine.range("increase_exact(h[1m])", T0, T0 + 180_000, 60_000)
    assert counts(found) == [0.0, 4.0, 6.0, 6.0]
    query = "histogram_count(sum(increase_exact(h[1m])))"
    assert engine.range(query, T0, T0 + 180_000, 60_000).values.tolist() == [[0.0, 4.0, 6.0, 6.0]]
    under = engine.range("histogram_fraction(0, 1, increase_exact(h[1m]))", T0 + 60_000, T0 + 180_000, 60_000)
    assert under.values.tolist() == [[0.5, 0.5, 0.5]]


def test_what_is_stored_is_what_is_read(embedded_pool: Pool, engine: PromQLEngine) -> None:
    """Every part of a histogram comes back to the last bit."""
    h = Histogram(
        3,
        7.5,
        -0.1,
        1e-128,
        0.5,
        Buckets(np.array([-400, 2, 3], np.int32), np.array([1.0, 0.0, 3.0])),
        Buckets(np.array([7], np.int32), np.array([3.0])),
        hint="gauge",
    )
    nhcb = Histogram(
        -53, 3, 4, positive=Buckets(np.array([0, 2], np.int32), np.array([1.0, 2.0])), custom_values=(0.1, 5)
    )
    put_histograms(embedded_pool, {series("h", of="exponential"): [(T0, h)], series("h", of="custom"): [(T0, nhcb)]})
    result = engine.instant("h", T0)
    found = {dict(labels)["of"]: result.native(i) for i, labels in enumerate(result.labels)}
    for name, stored in (("exponential", h), ("custom", nhcb)):
        cells = found[name]
        assert cells is not None
        read = cells[0]
        for side, other in ((read.positive, stored.positive), (read.negative, stored.negative)):
            assert (side.index.tolist(), side.count.tolist()) == (other.index.tolist(), other.count.tolist())
        for part in ("schema", "count", "sum", "zero_threshold", "zero_count", "custom_values", "hint"):
            assert getattr(read, part) == getattr(stored, part)


def test_floats_histograms_and_markers_of_a_series_are_one_row(embedded_pool: Pool, engine: PromQLEngine) -> None:
    """The newest sample counts, whichever kind it is; a marker of either kind ends the series."""
    labels = series("m")
    put(embedded_pool, {labels: [(T0, 1.0), (T0 + 40_000, 3.0), (T0 + 60_000, STALE)]})
    put_histograms(
        embedded_pool,
        {labels: [(T0 + 20_000, histogram(2)), (T0 + 80_000, histogram(4)), (T0 + 100_000, histogram(0, STALE))]},
    )
    result = engine.range("m", T0, T0 + 120_000, 20_000)
    times, values = result.series(0)
    assert ((times - T0) // 20_000).tolist() == [0, 1, 2, 4]
    assert counts(result) == [None, 2.0, None, 4.0]
    assert values[[0, 2]].tolist() == [1.0, 3.0]
    assert np.isnan(values[[1, 3]]).all()
    stamps = engine.range("timestamp(m)", T0, T0 + 120_000, 20_000)
    assert stamps.series(0)[1].tolist() == [(T0 + 20_000 * i) / 1000 for i in (0, 1, 2, 4)]
    assert engine.instant("count_over_time(m[3m])", T0 + 120_000).values.tolist() == [[4.0]]
    raw = engine.instant("m[3m]", T0 + 120_000)
    assert counts(raw) == [None, 2.0, None, 4.0]
    assert engine.instant("absent(m)", T0 + 60_000).labels == [()]


def test_rates_are_histograms(embedded_pool: Pool, engine: PromQLEngine) -> None:
    """rate() of a counter goes on over a reset, and sum() adds the histograms of series."""
    # a reset after the third sample
    of = {
        series("h", pod=str(pod)): [(T0 + i * 15_000, histogram(c)) for i, c in enumerate((10, 20, 30, 4, 14))]
        for pod in (1, 2)
    }
    put_histograms(embedded_pool, of)
    result = engine.instant("sum(increase(h[1m]))", T0 + 60_000)
    # of each: 10 from the second to the third, 4 and 10 after the reset, over 45 of 60 seconds
    assert counts(result) == [pytest.approx(2 * 24 * 60 / 45)]
    assert engine.instant("resets(h[2m])", T0 + 60_000).values.tolist() == [[1.0], [1.0]]
    assert engine.instant("histogram_quantile(0.5, sum(rate(h[1m])))", T0 + 60_000).values.tolist() == [[1.0]]
    assert engine.instant("histogram_count(sum by (pod) (h))", T0 + 60_000).values.tolist() == [[14.0], [14.0]]


def test_selectors_of_any_name_find_histograms(embedded_pool: Pool, engine: PromQLEngine) -> None:
    """A selector by expression, or by another label alone, reads both kinds."""
    put(embedded_pool, {series("f", job="a"): [(T0, 1.0)]})
    put_histograms(embedded_pool, {series("h", job="a"): [(T0, histogram(2))]})
    for query in ('{__name__=~"f|h"}', '{job="a"}', '{job="a" or job="b"}'):
        result = engine.instant(query, T0)
        assert [dict(labels)[METRIC_NAME] for labels in result.labels] == ["f", "h"]
        assert result.histograms is not None
        assert [h is not None for h in result.histograms[:, 0]] == [False, True]
    assert engine.instant('count({job="a"})', T0).values.tolist() == [[2.0]]
    mixed = engine.instant('sum({job="a"})', T0)
    assert mixed.labels == []
    assert any("mix of histograms and floats for aggregation" in text for text in mixed.warnings)


def test_trims_take_numbers(embedded_pool: Pool, engine: PromQLEngine) -> None:
    """`</` and `>/` cut a histogram; between floats they give nothing, and say so."""
    put(embedded_pool, {series("f"): [(T0, 1.0)]})
    put_histograms(embedded_pool, {series("h"): [(T0, histogram(8))]})
    assert counts(engine.instant("h </ 1", T0)) == [4.0]
    assert engine.instant("h >/ 1", T0).labels == [series("h")]
    nothing = engine.instant("f </ 1", T0)
    assert nothing.labels == []
    assert any('binary operator "</": float </ float' in text for text in nothing.infos)


def test_answers_have_histograms_as_prometheus_writes_them(embedded_pool: Pool) -> None:
    """`histogram` in a vector, `histograms` beside `values` in a matrix; empty buckets are left out."""
    h = Histogram(
        1,
        9,
        -0.5,
        0.001,
        2,
        Buckets(np.array([0, 1, 2], np.int32), np.array([3.0, 0.0, 1.0])),
        Buckets(np.array([-4000, 1], np.int32), np.array([0.0, 3.0])),
    )
    nhcb = Histogram(-53, 3, 4, positive=Buckets(np.array([0, 1], np.int32), np.array([1.0, 2.0])), custom_values=(5,))
    put(embedded_pool, {series("h", of="e"): [(T0 - 15_000, 1e22)]})
    for name, item in (("e", h), ("c", nhcb), ("n", Histogram(0, 0, 0))):
        put_histograms(embedded_pool, {series("h", of=name): [(T0, item)]})
    exponential = {
        "count": "9",
        "sum": "-0.5",
        "buckets": [
            [1, "-1.414213562373095", "-1", "3"],
            [3, "-0.001", "0.001", "2"],
            [0, "0.7071067811865475", "1", "3"],
            [0, "1.414213562373095", "2", "1"],
        ],
    }
    custom = {"count": "3", "sum": "4", "buckets": [[3, "-Inf", "5", "1"], [0, "5", "+Inf", "2"]]}
    with serving(embedded_pool) as url:
        at: Params = {"query": "h", "time": T0 / 1000}
        vector = httpx.get(f"{url}/api/v1/query", params=at).json()["data"]["result"]
        assert [s["histogram"] for s in vector] == [
            [T0 / 1000, custom],
            [T0 / 1000, exponential],
            [T0 / 1000, {"count": "0", "sum": "0"}],
        ]
        span: Params = {"query": "h", "start": T0 / 1000 - 15, "end": T0 / 1000, "step": 15}
        raw: Params = {**at, "query": "h[1m]"}
        for params, path in ((span, "query_range"), (raw, "query")):
            matrix = httpx.get(f"{url}/api/v1/{path}", params=params).json()["data"]["result"]
            assert [set(s) - {"metric"} for s in matrix] == [{"histograms"}, {"values", "histograms"}, {"histograms"}]
            assert matrix[1]["values"] == [[T0 / 1000 - 15, "1e+22"]]
            assert matrix[1]["histograms"] == [[T0 / 1000, exponential]]


def test_the_command_prints_histograms(embedded_pool: Pool) -> None:
    """A line for each bucket in a table, JSON in CSV; a plot of them is refused with what to ask instead."""
    put_histograms(embedded_pool, {series("h"): [(T0, histogram(8))]})
    app = typer.Typer()
    app.callback()(lambda: None)
    query_command.register(app)
    at = ("--time", str(T0 // 1000))
    with serving(embedded_pool) as url:

        def ask(*arguments: str) -> Result:
            return CliRunner().invoke(app, ["query", "h", *arguments, "--url", url], env={"COLUMNS": "100"})

        table = ask(*at).output
        assert "count 8  sum 8" in table
        assert "(0.5, 1]  4  ████" in table
        assert '"buckets":[[0,""0.5""' in ask(*at, "-o", "csv").output.replace('""buckets""', '"buckets"')
        refused = ask("--start", str(T0 // 1000), "--end", str(T0 // 1000 + 60), "--plot")
        assert refused.exit_code == 2
        assert "histogram_quantile()" in refused.output


def test_histograms_count_in_the_limit_on_samples(embedded_pool: Pool) -> None:
    """Their buckets are memory too."""
    put_histograms(embedded_pool, {series("h"): [(T0 + i, histogram(2)) for i in range(30)]})
    assert len(PromQLEngine(embedded_pool, Limits(query_max_samples=60)).instant("h", T0 + 1000).labels) == 1
    with pytest.raises(QueryLimit, match=r"limits\.query_max_samples"):
        PromQLEngine(embedded_pool, Limits(query_max_samples=59)).instant("h", T0 + 1000)


def test_histograms_that_are_made_are_bounded(embedded_pool: Pool) -> None:
    """A rate at many steps makes many histograms: memory bounds them, by the limit's name."""
    put_histograms(embedded_pool, {series("h"): [(T0 + i * 15_000, histogram(2 * i)) for i in range(8)]})
    engine = PromQLEngine(embedded_pool, Limits.model_validate({"query_max_memory": "10MiB"}))
    few = engine.range("rate(h[1m])", T0, T0 + 60_000, 1000)
    assert few.histograms is not None
    for query in ("rate(h[1h])", "sum(h)", "h * 2", "-h", "sum_over_time(h[1h])", "histogram_count(h)"):
        with pytest.raises(QueryLimit, match=r"native histograms in memory, more than limits\.query_max_memory"):
            engine.range(query, T0 + 60_000, T0 + 168_000, 10)


def test_queries_of_floats_pay_nothing(embedded_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which metrics have histograms is asked once for many queries, and what this process writes is known at once."""
    put(embedded_pool, {series("f"): [(T0, 1.0)]})
    asked: list[str] = []
    query = Pool.query

    def watched(pool: Pool, sql: str, *args: object, **options: object) -> object:
        asked.append(sql)
        return query(pool, sql, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Pool, "query", watched)
    embedded_pool.histogram_metrics.clear()
    engine = PromQLEngine(embedded_pool, Limits())
    for _ in range(5):
        assert engine.instant("sum(f)", T0).values.tolist() == [[1.0]]
    assert sum("metric_histograms" in sql for sql in asked) == 1
    put_histograms(embedded_pool, {series("late"): [(T0, histogram(2))]})
    assert counts(engine.instant("late", T0)) == [2.0]
    asked.clear()
    assert engine.instant("sum(f)", T0).values.tolist() == [[1.0]]
    assert not any("metric_histograms" in sql for sql in asked)
