"""The PromQL engine: a query text and times in, a QueryResult out."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from app.config import Limits
from app.errors import BadQuery, QueryTimeout, WatchhouseError
from app.histogram import Histogram
from app.labels import Labels
from app.query.grid import Grid
from app.query.promql.ahead import Instants, Plan, plan_of
from app.query.promql.ast import Aggregate, Call, Node, Range, Selector, Subquery, Text
from app.query.promql.catalog import SeriesCatalog
from app.query.promql.context import Context
from app.query.promql.evaluator import Evaluator, Scalar, Value
from app.query.promql.leaf import Leaves
from app.query.promql.leaves import LeafSource
from app.query.promql.locality import Reach, reach_of
from app.query.promql.parse import parse
from app.query.promql.reuse import Asked, StepCache
from app.query.promql.together import Planner, Reading
from app.query.result import Kind, QueryResult, Samples
from app.query.vector import Vector
from app.store.client import Pool

DEFAULT_LOOKBACK_MS = 300_000
_REMEMBERED_PLANS = 2_000
"""Plans of groups of instant queries, by their texts."""
# floats have infinities and NaN, and PromQL counts on them
_no_complaints = functools.partial(np.errstate, all="ignore")


class PromQLEngine:
    """Answers PromQL from the store. Methods block and are meant for threads; safe to use from many at once.

    Leaves are worked out by the engine that holds the samples, or, when `compiled`, by loops here. By default that is
    so for the embedded engine, whose samples cross no network. `push_down` False leaves both out: all on arrays.
    """

    def __init__(self, pool: Pool, limits: Limits, push_down: bool = True, compiled: bool | None = None) -> None:
        compiled = pool.embedded and push_down if compiled is None else compiled
        self._source = LeafSource(pool, SeriesCatalog(), compiled)
        self._planner = Planner()
        self._plans: dict[tuple[tuple[str, ...], int], Plan] = {}
        self._limits = limits
        self._push_down = push_down
        self._steps: StepCache | None = None
        # only an embedded store has no other writers than this process
        if pool.embedded and limits.query_reuse_memory:
            self._steps = StepCache(limits.query_reuse_memory)
            pool.written.subscribe(self._steps)

    def instant(
        self, query: str, time_ms: int, *, timeout_s: float | None = None, lookback_ms: int = DEFAULT_LOOKBACK_MS
    ) -> QueryResult:
        """The value at one time: a vector, a scalar, a string, or the matrix of a range selector.

        Raises BadQuery, QueryFailed, QueryLimit, QueryTimeout or StoreUnavailable.
        """
        node = parse(query)
        context = self._context(time_ms, time_ms, timeout_s, lookback_ms)
        return evaluated(node, query, self._source, context, self._push_down)

    def range(
        self,
        query: str,
        start_ms: int,
        end_ms: int,
        step_ms: int,
        *,
        timeout_s: float | None = None,
        lookback_ms: int = DEFAULT_LOOKBACK_MS,
        reuse: bool = False,
    ) -> QueryResult:
        """The values from start to end, both included, every step: a matrix. Raises as `instant`.

        With `reuse` steps of an earlier answer to the same text are used again, where no sample of theirs was written
        since.
        """
        grid = self._grid(start_ms, end_ms, step_ms)
        node = _of_range(parse(query))
        context = self._context(start_ms, end_ms, timeout_s, lookback_ms, step_ms)
        context.text = query
        reach = reach_of(node) if reuse and self._steps is not None else None
        if reach is None or reach.metrics == frozenset():
            return _result("matrix", self._evaluated(node, grid, context), grid, context)
        asked = Asked(query, step_ms, start_ms % step_ms, lookback_ms)
        return _result("matrix", self._again(asked, node, reach, grid, context), grid, context)

    def range_many(
        self, queries: Sequence[str], start_ms: int, end_ms: int, step_ms: int
    ) -> Iterator[QueryResult | WatchhouseError]:
        """As `range` of each query, one after another, with what many of them sum of a metric read once.

        One that fails is answered with its error. Notes are left out. The values are those `range` gives, to the last
        bit where leaves are compiled.
        """
        grid = self._grid(start_ms, end_ms, step_ms)
        plan = self._planner.plan(tuple(queries))
        new_context = functools.partial(self._context, start_ms, end_ms, None, DEFAULT_LOOKBACK_MS, step_ms)
        with _no_complaints():
            reading = Reading(plan, self._source, grid, new_context, self._push_down)
        for text, node in zip(queries, plan.nodes, strict=True):
            try:
                found = reading.of(node) if isinstance(node, Aggregate) else None
                if found is not None:
                    yield _matrix_of(found, grid)
                else:
                    yield self._one_of_many(text, node, grid, new_context(), reading)
            except WatchhouseError as error:
                yield error

    def instants(self, queries: Sequence[str], time_ms: int, lookback_ms: int = DEFAULT_LOOKBACK_MS) -> InstantQueries:
        """Instant queries at one time, to be asked in turn: what they read is read now, once for all of them.

        Raises as `instant`.
        """
        key = (tuple(queries), lookback_ms)
        plan = self._plans.pop(key, None)
        if plan is None:
            nodes = [(text, self._planner.tree(text)) for text in dict.fromkeys(queries)]
            plan = plan_of(nodes, lookback_ms)
        context = functools.partial(self._context, time_ms, time_ms, None, lookback_ms)
        read = Instants(plan, self._source, time_ms, context)
        # put back where it is the youngest; two readings of the same queries at once make two plans
        self._plans[key] = plan
        while len(self._plans) > _REMEMBERED_PLANS:
            self._plans.pop(next(iter(self._plans)), None)
        return InstantQueries(read, self._planner, context)

    def newest(self, selector: Selector, time_ms: int) -> list[tuple[Labels, int, float]]:
        """(labels, time in ms, value) of the newest sample of each selected series that is not stale, by labels.

        Native histograms are left out. Raises as `instant`.
        """
        context = self._context(time_ms, time_ms, None, DEFAULT_LOOKBACK_MS)
        grid = Grid.at(time_ms)
        with _no_complaints():
            evaluator = Evaluator(self._source, context, selector, self._push_down)
            values = evaluator.vector(selector, grid).floats().compact()
            times = evaluator.sample_times(selector, grid).compact()
        # two statements: a series may have begun between them
        known = dict(zip(times.labels, times.values[:, 0].tolist(), strict=True))
        found = zip(values.labels, values.values[:, 0].tolist(), strict=True)
        return sorted((labels, round(known[labels] * 1000), value) for labels, value in found if labels in known)

    def raw(self, selector: Selector, start_ms: int, end_ms: int) -> Samples:
        """The samples from start to end, both included, stale markers among them; no native histograms.

        Raises as `instant`.
        """
        context = self._context(start_ms, end_ms, None, DEFAULT_LOOKBACK_MS)
        return self._source.everything(selector, start_ms - 1, end_ms, context)

    def _one_of_many(
        self, text: str, node: Node | BadQuery, grid: Grid, context: Context, reading: Reading
    ) -> QueryResult:
        if isinstance(node, BadQuery):
            raise node
        context.text = text
        evaluator = Evaluator(self._source, context, _of_range(node), self._push_down, reading.of)
        with _no_complaints():
            return _result("matrix", evaluator.evaluate(node, grid), grid, context)

    def _grid(self, start_ms: int, end_ms: int, step_ms: int) -> Grid:
        """The steps of a range query. Raises BadQuery when there are none, or too many."""
        if step_ms <= 0:
            raise BadQuery("zero or negative query resolution step widths are not accepted. Try a positive integer")
        if end_ms < start_ms:
            raise BadQuery("end timestamp must not be before start time")
        if (end_ms - start_ms) // step_ms > self._limits.query_max_points:
            raise BadQuery(
                f"exceeded maximum resolution of {self._limits.query_max_points:,} points per timeseries"
                f" (limits.query_max_points). Try decreasing the query resolution (?step=XX)"
            )
        return Grid.between(start_ms, end_ms, step_ms)

    def _evaluated(self, node: Node, grid: Grid, context: Context) -> Value:
        with _no_complaints():
            return Evaluator(self._source, context, node, self._push_down).evaluate(node, grid)

    def _again(self, asked: Asked, node: Node, reach: Reach, grid: Grid, context: Context) -> Value:
        """The value of a node, with what is known of it from before."""
        assert self._steps is not None

        def evaluate(part: Grid) -> tuple[Vector, bool]:
            value = self._evaluated(node, part, context)
            if isinstance(value, Scalar):
                value = Vector([()], value.values[None, :], np.ones((1, part.n), bool))
            assert isinstance(value, Vector)
            # notes name steps and samples: what has some is worked out anew each time
            return value, context.notes() == ((), ())

        vector = self._steps.vector(asked, reach, grid, evaluate)
        context.check_size(len(vector), grid.n)
        return vector

    def _context(
        self, start_ms: int, end_ms: int, timeout_s: float | None, lookback_ms: int, step_ms: int = 0
    ) -> Context:
        allowed = self._limits.query_timeout / 1000
        timeout = allowed if timeout_s is None else min(timeout_s, allowed)
        if timeout <= 0:
            raise QueryTimeout("the query has no time left (timeout)")
        return Context(self._limits, time.monotonic() + timeout, timeout, start_ms, end_ms, lookback_ms, step_ms)


class InstantQueries:
    """What `PromQLEngine.instants` gives. Not safe for two threads at once."""

    def __init__(self, read: Instants, planner: Planner, context: Callable[[], Context]) -> None:
        self._read = read
        self._planner = planner
        self._context = context

    def covers(self, query: str) -> bool:
        """Whether a query sees what was added; another one sees what the store has."""
        node = self._planner.tree(query)
        return not isinstance(node, BadQuery) and self._read.covers(query, node)

    def add(self, metric: str, samples: Sequence[tuple[Labels, float | Histogram]]) -> None:
        """Adds samples of a metric at the queries' time; NaN may be the stale marker."""
        self._read.add(metric, samples)

    def instant(self, query: str) -> QueryResult:
        """As `PromQLEngine.instant` at the queries' time."""
        node = self._planner.tree(query)
        if isinstance(node, BadQuery):
            raise node
        return evaluated(node, query, self._read.leaves, self._context())


def evaluated(node: Node, text: str, leaves: Leaves, context: Context, push_down: bool = True) -> QueryResult:
    """The answer to an instant query at the context's time. Raises as `PromQLEngine.instant`."""
    context.text = text
    evaluator = Evaluator(leaves, context, node, push_down)
    grid = Grid.at(context.start_ms)
    with _no_complaints():
        if isinstance(node, Range | Subquery):
            return _matrix(evaluator, node, grid)
        value = evaluator.evaluate(node, grid)
    kind: Kind = "vector" if isinstance(value, Vector) else "string" if isinstance(value, Text) else "scalar"
    return _result(kind, value, grid, context, ordered=_has_order(node))


def _of_range(node: Node) -> Node:
    """The tree of a range query. Raises BadQuery where it gives no instant vector or scalar."""
    if isinstance(node, Range | Subquery | Text):
        found = "string" if isinstance(node, Text) else "range vector"
        raise BadQuery(f'invalid expression type "{found}" for range query, must be Scalar or instant Vector')
    return node


def _has_order(node: Node) -> bool:
    return (isinstance(node, Call) and node.name.startswith("sort")) or (
        isinstance(node, Aggregate) and node.op in ("topk", "bottomk")
    )


def _matrix(evaluator: Evaluator, node: Range | Subquery, grid: Grid) -> QueryResult:
    samples, ends = evaluator.samples(node, grid)
    nothing = np.empty((0, 0))
    result = QueryResult("matrix", samples.labels, ends.times, nothing, nothing.astype(bool), raw=samples)
    return _noted(result, evaluator.context)


def _noted(result: QueryResult, context: Context) -> QueryResult:
    warnings, infos = context.notes()
    return replace(result, warnings=warnings, infos=infos)


def _result(kind: Kind, value: Value, grid: Grid, context: Context, ordered: bool = False) -> QueryResult:
    if isinstance(value, Text):
        nothing = np.empty((0, 1))
        return QueryResult("string", [], grid.times, nothing, nothing.astype(bool), text=value.value)
    if isinstance(value, Scalar):
        labels: list[Labels] = [()] if kind == "matrix" else []
        present = np.ones((1, grid.n), bool)
        return _noted(QueryResult(kind, labels, grid.times, value.values[None, :], present), context)
    vector = value.compact()
    if not ordered:
        vector = _sorted(vector)
    # whoever counts with values alone must not take a histogram for one
    values = vector.values if vector.histograms is None else np.where(vector.native, np.nan, vector.values)
    result = QueryResult(kind, vector.labels, grid.times, values, vector.present, histograms=vector.histograms)
    return _noted(result, context)


def _sorted(vector: Vector) -> Vector:
    if len(vector) < 2:
        return vector
    return vector.take(sorted(range(len(vector)), key=vector.labels.__getitem__))


def _matrix_of(vector: Vector, grid: Grid) -> QueryResult:
    """The answer that has no notes and no histograms."""
    vector = _sorted(vector)
    return QueryResult("matrix", vector.labels, grid.times, vector.values, vector.present)
