"""Many SLIs counted at once with the real engines: PromQL, LogQL, both in one, by groups, in parts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.config import Limits
from app.errors import QueryFailed, QueryLimit, StoreUnavailable, WatchhouseError
from app.labels import Labels, labels_from
from app.query.logql.engine import LogQLEngine
from app.query.promql.engine import PromQLEngine
from app.query.result import QueryResult
from app.store.client import Pool
from app.store.slo_events import SloEvents
from slo.counting import Counter, Counts, Want
from slo.spec import EventsSli, Op, Query, RatioSli, Sli, ThresholdSli
from tests.integration import logql_world, promql_world
from tests.integration.promql_world import series

MINUTE = 60_000
T0 = 1_700_000_040_000
GROUPS = ("/a", "/b")
BAD, TOTAL = Query('sum(rate(req{code="500"}[{{.window}}]))'), Query("sum(rate(req[{{.window}}]))")


def counter(pool: Pool, limits: Limits | None = None, max_points: int = 10_000, max_groups: int = 1000) -> Counter:
    """A counter of minutes over the real engines."""
    limits = limits or Limits()
    return Counter(PromQLEngine(pool, limits), LogQLEngine(pool, limits), MINUTE, max_points, max_groups)


def want(sli: Sli, *grouping: str, minutes: int = 5) -> Want:
    """The first minutes after T0."""
    return Want(sli, grouping, T0, T0 + minutes * MINUTE)


def counted(answer: Counts | WatchhouseError) -> Counts:
    """The counts, where there are any."""
    assert not isinstance(answer, WatchhouseError), answer
    return answer


def rows(events: SloEvents) -> list[tuple[int, float, float]]:
    """(minute after T0, good, total) of each interval."""
    minutes = ((events.starts_ms - T0) // MINUTE).tolist()
    return list(zip(minutes, events.good.tolist(), events.total.tolist(), strict=True))


def one(pool: Pool, sli: Sli, minutes: int = 5) -> list[tuple[int, float, float]]:
    """What is counted of one SLI without groups."""
    counts = counted(counter(pool).count([want(sli, minutes=minutes)])[0])
    assert list(counts) == [()]
    return rows(counts[()])


def group(**labels: str) -> Labels:
    """The labels of a group."""
    return labels_from(labels)


def growing(by: float, first: int = 0) -> list[tuple[int, float]]:
    """Samples of a counter, half a minute apart, from a minute up to the fifth."""
    return [(T0 + n * 30_000, 100.0 + by * n) for n in range(2 * first, 11)]


def put_counters(pool: Pool) -> None:
    """Requests of two handlers by code. /b begins at the end of the second minute, and has no 500s."""
    promql_world.put(
        pool,
        {
            series("req", h="/a", code="200"): growing(10),
            series("req", h="/a", code="500"): growing(1),
            series("req", h="/b", code="200"): growing(3, 2),
        },
    )


def put_lines(pool: Pool, app: str, text: str, *at_ns: int) -> None:
    """Lines of an app at times after T0."""
    for at in at_ns:
        logql_world.put(pool, [text], {"app": app}, start_ns=T0 * 1_000_000 + at)


S, NS_MINUTE = 1_000_000_000, 60_000_000_000


def test_bad_and_good_events(embedded_pool: Pool) -> None:
    """Good is what was not bad, or what its own query says; both of the counters' own differences."""
    put_counters(embedded_pool)
    total = [22, 22, 28, 28, 28]
    by_bad = one(embedded_pool, EventsSli(BAD, TOTAL))
    assert by_bad == [(n, t - 2, t) for n, t in enumerate(total)]
    assert one(embedded_pool, EventsSli(None, TOTAL, Query('sum(rate(req{code="200"}[{{.window}}]))'))) == by_bad


def test_what_is_absent(embedded_pool: Pool) -> None:
    """Absent bad events are none, absent good ones too; where the total is absent nothing is known."""
    put_counters(embedded_pool)
    nothing = Query('sum(rate(req{code="404"}[{{.window}}]))')
    late = Query('sum(rate(req{h="/b"}[{{.window}}]))')
    assert one(embedded_pool, EventsSli(nothing, TOTAL))[0] == (0, 22, 22)
    assert one(embedded_pool, EventsSli(None, TOTAL, nothing))[0] == (0, 0, 22)
    assert one(embedded_pool, EventsSli(nothing, late)) == [(1, 0, 0), (2, 6, 6), (3, 6, 6), (4, 6, 6)]
    assert one(embedded_pool, EventsSli(BAD, nothing)) == []


def test_good_is_not_cut_off(embedded_pool: Pool) -> None:
    """Errors that were read before their requests are taken off where they are, so that the sum is right."""
    put_counters(embedded_pool)
    twenty = Query("sum(rate(req[{{.window}}])) * 0 + 23")
    assert [good for _, good, _ in one(embedded_pool, EventsSli(twenty, TOTAL))] == [-1, -1, 5, 5, 5]


def test_a_bad_want_costs_no_other(embedded_pool: Pool) -> None:
    """Each want has its own answer, in order, whatever became of the others, over whatever time."""
    put_counters(embedded_pool)
    good = want(EventsSli(BAD, TOTAL))
    wants = [
        good,
        want(EventsSli(Query("sum(rate(req[5m]))"), TOTAL)),
        want(EventsSli(BAD, Query("rate(req[{{.window}}])"))),
        want(EventsSli(BAD, Query("rate(req[{{.window}}]) / on(h) req"))),
        want(EventsSli(BAD, Query('sum(rate({app="a"} | unwrap x [{{.window}}]))', "logql"))),
        replace(good, from_ms=T0 + 2 * MINUTE),
        replace(good, to_ms=T0),
        good,
    ]
    answers = counter(embedded_pool).count(wants)
    assert [isinstance(answer, WatchhouseError) for answer in answers] == [n in (1, 2, 3) for n in range(8)]
    assert "fixed range" in str(answers[1])
    assert "gives 3 series where one is wanted, put sum(…) around it: rate(req[{{.window}}])" in str(answers[2])
    assert [len(counted(answers[n])[()].starts_ms) for n in (0, 4, 5, 6, 7)] == [5, 5, 3, 0, 5]
    assert counter(embedded_pool).count([]) == []


def test_groups(embedded_pool: Pool) -> None:
    """Each combination of the labels has its counts; bad events are those of the same group."""
    put_counters(embedded_pool)
    sli = EventsSli(
        Query('sum by (h) (rate(req{code="500"}[{{.window}}]))'), Query("sum by (h) (rate(req[{{.window}}]))")
    )
    counts = counted(counter(embedded_pool).count([want(sli, "h")])[0])
    assert {g: rows(events)[-1] for g, events in counts.items()} == {
        group(h="/a"): (4, 20, 22),
        group(h="/b"): (4, 6, 6),
    }
    assert len(counts[group(h="/b")].starts_ms) == 4
    swapped = EventsSli(sli.total, sli.bad or sli.total)
    assert list(counted(counter(embedded_pool).count([want(swapped, "h")])[0])) == [group(h="/a")]
    both = replace(sli, total=Query("sum by (h, code) (rate(req[{{.window}}]))"), bad=Query("req * 0"))
    by_both = counted(counter(embedded_pool).count([want(both, "h", "code")])[0])
    assert sorted(by_both) == [group(code=c, h=h) for c, h in [("200", "/a"), ("200", "/b"), ("500", "/a")]]


def test_groups_that_are_none(embedded_pool: Pool) -> None:
    """`or vector(0)` makes no group; what has none of the labels is one as soon as it has events, and from then on."""
    put_counters(embedded_pool)
    one_label = Query("sum by (h) (rate(req[{{.window}}])) or vector(0)")
    sli = EventsSli(one_label, one_label)
    assert sorted(counted(counter(embedded_pool).count([want(sli, "h")])[0])) == [group(h="/a"), group(h="/b")]
    known = replace(want(sli, "h"), groups=((),))
    assert sorted(counted(counter(embedded_pool).count([known])[0])) == [(), group(h="/a"), group(h="/b")]
    without = EventsSli(BAD, Query("sum by (nothing) (rate(req[{{.window}}]))"))
    assert list(counted(counter(embedded_pool).count([want(without, "nothing")])[0])) == [()]


def test_wrong_groups_are_refused(embedded_pool: Pool) -> None:
    """Labels that are not grouped by, and more groups than there may be: the reason says what to do."""
    put_counters(embedded_pool)
    sli = EventsSli(BAD, Query("sum by (h, code) (rate(req[{{.window}}]))"))
    ((error,), (many,)) = (
        counter(embedded_pool).count([want(sli, "h")]),
        counter(embedded_pool, max_groups=2).count([want(sli, "code", "h")]),
    )
    assert isinstance(error, QueryFailed)
    assert "gives series with code, which the SLO is not grouped by, put sum by (h) (…) around it" in str(error)
    assert isinstance(many, QueryLimit)
    assert "3 groups by code, h are more than limits.slo_groups (2)" in str(many)
    hidden = EventsSli(
        BAD, Query('label_replace(sum by (h, code) (rate(req[{{.window}}])), "__name__", "$1", "code", "(.*)")')
    )
    assert "code" in str(counter(embedded_pool).count([want(hidden, "h")])[0])


@pytest.mark.parametrize("of", ["bad", "good"])
def test_ratios(embedded_pool: Pool, of: str) -> None:
    """A ratio weighs each interval the same, is cut to 0 and 1, and is missing where it is not a number."""
    values = [0.25, 7.0, -1.0, math.nan, math.inf]
    promql_world.put(embedded_pool, {series("ratio"): [(T0 + (n + 1) * MINUTE, v) for n, v in enumerate(values)]})
    sli = RatioSli(Query("ratio"), "good" if of == "good" else "bad")
    shares = [(0, 0.25), (1, 1.0), (2, 0.0), (4, 1.0)]
    assert one(embedded_pool, sli) == [(n, share if of == "good" else 1 - share, 1) for n, share in shares]


@pytest.mark.parametrize(
    ("op", "good"), [("lt", [1, 0, 0, 0]), ("lte", [1, 1, 0, 0]), ("gt", [0, 0, 1, 1]), ("gte", [0, 1, 1, 1])]
)
def test_thresholds(embedded_pool: Pool, op: Op, good: list[float]) -> None:
    """A value is good at the end of an interval where it compares so; NaN and nothing are missing."""
    values = [0.1, 0.5, 0.9, math.inf, math.nan]
    promql_world.put(embedded_pool, {series("v", h="/a"): [(T0 + (n + 1) * MINUTE, x) for n, x in enumerate(values)]})
    sli = ThresholdSli(Query("v"), op, 0.5)
    assert one(embedded_pool, sli) == [(n, x, 1) for n, x in enumerate(good)]
    assert one(embedded_pool, replace(sli, value=Query("w"))) == []
    # the metric's name is no label of a group
    assert list(counted(counter(embedded_pool).count([want(sli, "h")])[0])) == [group(h="/a")]


def test_a_threshold_over_the_window(embedded_pool: Pool) -> None:
    """A quantile is that of what was observed in the interval alone, exactly."""
    counts = {"0.1": (0, 10, 10, 20), "1": (0, 10, 20, 30), "+Inf": (0, 10, 20, 30)}
    promql_world.put(
        embedded_pool,
        {
            series("d_bucket", le=le): [(T0 + n * MINUTE, float(count)) for n, count in enumerate(found)]
            for le, found in counts.items()
        },
    )
    value = Query("histogram_quantile(0.9, sum by (le) (rate(d_bucket[{{.window}}])))")
    assert one(embedded_pool, ThresholdSli(value, "lt", 0.1), 3) == [(0, 1, 1), (1, 0, 1), (2, 1, 1)]


def test_lines_at_the_edges(embedded_pool: Pool) -> None:
    """A line exactly at an interval's end is its, and one a nanosecond after is the next one's: none counts twice."""
    put_lines(embedded_pool, "a", "x", 0, 1, NS_MINUTE - 1, NS_MINUTE, NS_MINUTE + 1, 2 * NS_MINUTE, 5 * NS_MINUTE)
    sli = EventsSli(
        Query('sum(rate({app="a"} |= "no" [{{.window}}]))', "logql"),
        Query('sum(rate({app="a"}[{{.window}}]))', "logql"),
    )
    assert one(embedded_pool, sli) == [(0, 3, 3), (1, 2, 2), (2, 0, 0), (3, 0, 0), (4, 1, 1)]


def test_what_is_summed_of_lines(embedded_pool: Pool) -> None:
    """Bytes and unwrapped values are added up, also with factors; without lines there are none of them."""
    put_lines(embedded_pool, "a", "n=2.5", S, 2 * S, 61 * S)
    none = Query('sum(count_over_time({app="none"}[{{.window}}]))', "logql")
    lines, nothing = (f'sum(rate({{app="{app}"}}[{{{{.window}}}}]))' for app in ("a", "none"))
    sums: list[tuple[str, list[float]]] = [
        ('sum(bytes_rate({app="a"}[{{.window}}]))', [10, 5, 0]),
        ('sum(rate({app="a"} | logfmt | unwrap n [{{.window}}]))', [5, 2.5, 0]),
        (f"2 * {lines} / 4", [1, 0.5, 0]),
        (f"{lines} - {nothing}", [2, 1, 0]),
        (f"{nothing} + ({lines} - ({lines} - {lines}))", [2, 1, 0]),
    ]
    for text, totals in sums:
        assert one(embedded_pool, EventsSli(none, Query(text, "logql")), 3) == [(n, t, t) for n, t in enumerate(totals)]
    assert one(embedded_pool, EventsSli(none, Query('max(count_over_time({app="a"}[{{.window}}]))', "logql")), 3) == [
        (0, 2, 2),
        (1, 1, 1),
    ]
    value = ThresholdSli(Query('max(max_over_time({app="a"} | logfmt | unwrap n [{{.window}}]))', "logql"), "lt", 3)
    assert one(embedded_pool, value, 3) == [(0, 1, 1), (1, 1, 1)]


def test_good_from_logs_and_total_from_a_counter(embedded_pool: Pool) -> None:
    """The languages may be mixed within an SLI, either way round."""
    put_counters(embedded_pool)
    put_lines(embedded_pool, "a", "served", *(n * S for n in range(1, 61)), 61 * S)
    lines = Query('sum(count_over_time({app="a"} |= "served" [{{.window}}]))', "logql")
    assert one(embedded_pool, EventsSli(None, TOTAL, lines), 3) == [(0, 60, 22), (1, 1, 22), (2, 0, 28)]
    assert one(embedded_pool, EventsSli(BAD, lines), 3) == [(0, 58, 60), (1, -1, 1), (2, -2, 0)]


def test_groups_of_lines(embedded_pool: Pool) -> None:
    """A group of lines has no events where it has no lines, also before it first has some, or where it is known of."""
    put_lines(embedded_pool, "a", "ok", S, 2 * S, 121 * S)
    put_lines(embedded_pool, "b", "bad", 121 * S)
    bad, total = (f"sum by (app) (rate({{app=~`.+`}} {stage} [{{{{.window}}}}]))" for stage in ("|= `bad`", ""))
    sli = EventsSli(Query(bad, "logql"), Query(total, "logql"))
    expected = {
        group(app="a"): [(0, 2, 2), (1, 0, 0), (2, 1, 1)],
        group(app="b"): [(0, 0, 0), (1, 0, 0), (2, 0, 1)],
    }
    for max_points in (10_000, 2, 1):
        counts = counted(counter(embedded_pool, max_points=max_points).count([want(sli, "app", minutes=3)])[0])
        assert {g: rows(events) for g, events in counts.items()} == expected
    known = replace(want(sli, "app", minutes=1), groups=(group(app="c"), group(app="a")))
    counts = counted(counter(embedded_pool).count([known])[0])
    assert {g: rows(events) for g, events in counts.items()} == {
        group(app="a"): [(0, 2, 2)],
        group(app="c"): [(0, 0, 0)],
    }


SLIS: list[Sli] = [
    EventsSli(BAD, TOTAL),
    EventsSli(BAD, Query('sum(rate(req{h="/b"}[{{.window}}]))')),
    EventsSli(
        None,
        Query('sum(rate({app=~"a|b"}[{{.window}}]))', "logql"),
        Query('sum(rate({app="a"}[{{.window}}]))', "logql"),
    ),
    EventsSli(BAD, Query('sum(rate({app="a"}[{{.window}}]))', "logql")),
    RatioSli(Query("sum(rate(req[{{.window}}])) / 100")),
    ThresholdSli(Query("sum(req)"), "lt", 250),
]
GROUPED = EventsSli(
    Query('sum by (h) (rate(req{code="500"}[{{.window}}]))'), Query("sum by (h) (rate(req[{{.window}}]))")
)


def test_counted_in_parts(embedded_pool: Pool) -> None:
    """However a time is cut, by the intervals or samples a query may have, the counts are the same."""
    put_counters(embedded_pool)
    put_lines(embedded_pool, "a", "x", *(n * 10 * S for n in range(31)))
    put_lines(embedded_pool, "b", "x", 0, NS_MINUTE, 3 * NS_MINUTE)
    wants = [*map(want, SLIS), want(GROUPED, "h")]

    def told(counting: Counter, wants: Sequence[Want]) -> list[dict[Labels, list[tuple[int, float, float]]]]:
        return [{g: rows(events) for g, events in counted(answer).items()} for answer in counting.count(wants)]

    expected = told(counter(embedded_pool), wants)
    assert all(len(found[min(found)]) >= 3 for found in expected)
    for counting in (
        counter(embedded_pool, max_points=1),
        counter(embedded_pool, max_points=3),
    ):
        assert told(counting, wants) == expected
    both = [
        told(counter(embedded_pool), [replace(w, to_ms=T0 + 2 * MINUTE) for w in wants]),
        told(counter(embedded_pool), [replace(w, from_ms=T0 + 2 * MINUTE) for w in wants]),
    ]
    joined = [{g: early.get(g, []) + late.get(g, []) for g in early | late} for early, late in zip(*both, strict=True)]
    assert joined == expected


def test_a_time_is_halved_until_it_may_be_read(embedded_pool: Pool) -> None:
    """Where a query may not read all samples of a time at once it reads them in parts, lines too."""
    promql_world.put(embedded_pool, {series("req", code="500"): [(T0 + n * 30_000, float(n * n)) for n in range(61)]})
    put_lines(embedded_pool, "a", "x", *(n * 10 * S for n in range(181)))
    line = Query('sum(rate({app="a"}[{{.window}}]))', "logql")
    wants = [want(EventsSli(line, TOTAL), minutes=30), want(RatioSli(TOTAL), minutes=30)]
    at_once, halved = (counter(embedded_pool, limits).count(wants) for limits in (None, Limits(query_max_samples=20)))
    for whole, parts in zip(at_once, halved, strict=True):
        assert rows(counted(parts)[()]) == rows(counted(whole)[()])
    assert len(counted(halved[0])[()].starts_ms) == 30
    engine = PromQLEngine(embedded_pool, Limits(query_max_samples=20))
    with pytest.raises(QueryLimit):
        engine.range("sum(increase_exact(req[1m]))", T0, T0 + 30 * MINUTE, MINUTE)


def test_what_a_query_may_not_read_is_told(embedded_pool: Pool) -> None:
    """Where even one interval is more than a query may read the limit is named, and the others are counted."""
    put_counters(embedded_pool)
    wants = [want(EventsSli(BAD, TOTAL)), want(RatioSli(Query('sum(rate(req{h="/b"}[{{.window}}]))')))]
    told, well = counter(embedded_pool, Limits(query_max_samples=12)).count(wants)
    assert isinstance(told, QueryLimit)
    assert "query_max_samples" in str(told)
    assert len(counted(well)[()].starts_ms) == 4


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_line_is_lost_or_counted_twice(embedded_pool: Pool, data: st.DataObject) -> None:
    """For lines at and around edges, intervals of any length and any cut: each is in the one interval that has it."""
    interval_s = data.draw(st.sampled_from([1, 5, 60]))
    n = data.draw(st.integers(1, 6))
    edges = st.integers(0, n).map(lambda k: k * interval_s * S)
    near = st.tuples(edges, st.sampled_from([-1_000_000, -1, 0, 1, 999_999, 1_000_000])).map(sum)
    at = data.draw(st.lists(st.one_of(near, st.integers(-S, n * interval_s * S + S)), min_size=1, max_size=12))
    logql_world.clear(embedded_pool)
    put_lines(embedded_pool, "a", "x", *at)
    length = interval_s * 1000
    total = Query('sum(rate({app="a"}[{{.window}}]))', "logql")
    counting = counter(embedded_pool, max_points=data.draw(st.integers(1, 6))).with_interval(length)
    events = counted(counting.count([Want(EventsSli(total, total), (), T0, T0 + n * length)])[0])[()]
    inside = [-(-t // (interval_s * S)) - 1 for t in at]
    assert events.total.tolist() == [inside.count(k) for k in range(n)]
    assert events.starts_ms.tolist() == [T0 + k * length for k in range(n)]


def test_which_metrics_are_read(embedded_pool: Pool) -> None:
    """The names of all selectors, and nothing known where one has none or where lines are counted."""
    counting = counter(embedded_pool)
    ratio = RatioSli(Query("sum(rate(x[{{.window}}])) / ignoring(a) rate(y_count[{{.window}}] offset 1m)"))
    assert counting.metrics(ratio) == frozenset({"x", "y_count"})
    assert counting.metrics(EventsSli(BAD, Query("sum(rate(all[{{.window}}]))"))) == frozenset({"req", "all"})
    assert counting.metrics(ThresholdSli(Query("vector(1)"), "lt", 2)) == frozenset()
    assert counting.metrics(RatioSli(Query('sum(rate({__name__=~"a|b"}[{{.window}}]))'))) is None
    assert counting.metrics(EventsSli(Query('sum(rate({app="a"}[{{.window}}]))', "logql"), TOTAL)) is None
    assert counting.metrics(EventsSli(BAD, Query("sum(rate(x[5m]))"))) is None


class Away:
    """A PromQL engine whose store is away from the second query on."""

    def range_many(
        self, queries: Sequence[str], start_ms: int, end_ms: int, step_ms: int
    ) -> Iterator[QueryResult | WatchhouseError]:
        """As the real one."""
        self.asked = iter(queries)
        steps = np.arange(start_ms, end_ms + 1, step_ms)
        for n, _ in enumerate(self.asked):
            if n:
                yield StoreUnavailable("away")
            else:
                yield QueryResult("matrix", [()], steps, np.ones((1, len(steps))), np.ones((1, len(steps)), bool))


def test_nobody_waits_for_a_store_that_is_away() -> None:
    """Once the store cannot be reached no more queries are asked; what needs them says why it has no counts."""
    away = Away()
    ratios = [want(RatioSli(Query(f"x{n}"))) for n in range(4)]
    answers = Counter(away, None, MINUTE).count(ratios)
    assert [isinstance(answer, StoreUnavailable) for answer in answers] == [False, True, True, True]
    assert list(away.asked) == ["x2", "x3"]


def test_logs_that_nobody_can_read() -> None:
    """Without a LogQL engine an SLI over lines says so."""
    (answer,) = Counter(Away(), None, MINUTE).count([want(RatioSli(Query('sum(rate({a="b"}[1m]))', "logql")))])
    assert "logs cannot be counted here" in str(answer)
