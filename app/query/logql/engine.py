"""The LogQL engine: a query text and times in, lines or values out."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from app.config import Limits
from app.errors import BadQuery, QueryTimeout
from app.labels import Labels, Matcher, labels_from
from app.query.grid import Grid
from app.query.logql.ast import (
    Binary,
    ConstantVector,
    Expr,
    LabelReplace,
    LogQuery,
    Number,
    RangeAggregation,
    VectorAggregation,
)
from app.query.logql.build import SORTS
from app.query.logql.lines import Direction, read_lines
from app.query.logql.metric import range_vector
from app.query.logql.operators import operate
from app.query.logql.parse import parse, parse_matchers
from app.query.logql.ranges import range_function
from app.query.logql.result import LogResult
from app.query.logql.streams import select_streams
from app.query.promql.aggregate import aggregate, choose
from app.query.promql.context import Context
from app.query.promql.functions import sorted_by_value
from app.query.promql.label_functions import label_replace
from app.query.result import Kind, QueryResult
from app.query.vector import Floats, Vector
from app.store.client import Pool

_MS = 1_000_000
DEFAULT_LIMIT = 100


class LogQLEngine:
    """Answers LogQL from the store. Methods block and are meant for threads; safe to use from many at once."""

    def __init__(self, pool: Pool, limits: Limits) -> None:
        self._pool = pool
        self._limits = limits

    def range(
        self,
        query: str,
        start_ns: int,
        end_ns: int,
        *,
        step_ms: int,
        limit: int = DEFAULT_LIMIT,
        direction: Direction = "backward",
        timeout_s: float | None = None,
    ) -> LogResult | QueryResult:
        """The lines with start <= ts < end, or a matrix for a query that computes values.

        Raises BadQuery, QueryFailed, QueryLimit, QueryTimeout or StoreUnavailable.
        """
        if end_ns < start_ns:
            raise BadQuery("end timestamp must not be before or equal to start time")
        node = parse(query)
        context = self._context(start_ns, end_ns, timeout_s)
        if isinstance(node, LogQuery):
            self._check_limit(limit)
            return read_lines(self._pool, node, start_ns, end_ns, limit, direction, context)
        if step_ms <= 0:
            raise BadQuery("zero or negative query resolution step widths are not accepted. Try a positive integer")
        if (end_ns - start_ns) // _MS // step_ms > self._limits.query_max_points:
            raise BadQuery(
                f"exceeded maximum resolution of {self._limits.query_max_points:,} points per timeseries"
                " (limits.query_max_points). Try increasing the value of the step parameter"
            )
        grid = Grid.between(start_ns // _MS, end_ns // _MS, step_ms)
        return _result("matrix", self._evaluate(node, grid, context), grid)

    def instant(self, query: str, time_ns: int, *, timeout_s: float | None = None) -> QueryResult:
        """The values at one time: a vector or a scalar. A query for lines is refused, as Loki refuses it."""
        node = parse(query)
        if isinstance(node, LogQuery):
            raise BadQuery(
                "log queries are not supported as an instant query type, please change your query to a range query type"
            )
        grid = Grid.at(time_ns // _MS)
        value = self._evaluate(node, grid, self._context(time_ns, time_ns, timeout_s))
        return _result("vector" if isinstance(value, Vector) else "scalar", value, grid, _ordered(node))

    def streams(
        self, selectors: Sequence[str], start_ns: int, end_ns: int, timeout_s: float | None = None
    ) -> list[Labels]:
        """The label sets of the streams that any of the selectors chooses, all streams without one, sorted."""
        matchers: list[tuple[Matcher, ...]] = [parse_matchers(s) for s in selectors] or [()]
        context = self._context(start_ns, end_ns, timeout_s)
        return sorted(set(select_streams(self._pool, matchers, start_ns, end_ns, context).values()))

    def _check_limit(self, limit: int) -> None:
        bound = self._limits.log_query_max_lines
        if limit < 0 or limit > bound:
            raise BadQuery(
                f"max entries limit per query exceeded, limit > max_entries_limit ({limit} > {bound},"
                " limits.log_query_max_lines)"
            )

    def _context(self, start_ns: int, end_ns: int, timeout_s: float | None) -> Context:
        allowed = self._limits.query_timeout / 1000
        timeout = allowed if timeout_s is None else min(timeout_s, allowed)
        if timeout <= 0:
            raise QueryTimeout("the query has no time left (timeout)")
        return Context(self._limits, time.monotonic() + timeout, timeout, start_ns // _MS, end_ns // _MS, 0)

    def _evaluate(self, node: Expr, grid: Grid, context: Context) -> Vector | Floats:
        """A vector, or for a scalar its value at every step."""
        context.remaining_s()
        match node:
            case Number():
                return np.full(grid.n, node.value)
            case ConstantVector():
                return Vector([()], np.full((1, grid.n), node.value), np.ones((1, grid.n), bool))
            case RangeAggregation():
                return range_vector(self._pool, node, grid, context, None)
            case VectorAggregation():
                return self._aggregated(node, grid, context)
            case LabelReplace():
                vector = self._vector(node.expr, node, grid, context)
                return label_replace(vector, node.target, node.replacement, node.source, node.expression)
            case Binary():
                left, right = self._evaluate(node.left, grid, context), self._evaluate(node.right, grid, context)
                series = sum(len(side) for side in (left, right) if isinstance(side, Vector))
                context.check_size(series, grid.n)
                with np.errstate(all="ignore"):
                    return operate(node, left, right)
            case LogQuery():
                told = "log lines cannot be computed with; count them, as in count_over_time({…}[1m])"
                raise BadQuery(told, node.position)

    def _vector(self, node: Expr, of: VectorAggregation | LabelReplace, grid: Grid, context: Context) -> Vector:
        value = self._evaluate(node, grid, context)
        if not isinstance(value, Vector):
            name = of.op if isinstance(of, VectorAggregation) else "label_replace"
            raise BadQuery(f"{name} wants a vector, and here is a number", of.position)
        return value

    def _aggregated(self, node: VectorAggregation, grid: Grid, context: Context) -> Vector:
        inner = node.expr
        # sums need not know every series, whose number is that of all attributes' combinations
        if node.op == "sum" and isinstance(inner, RangeAggregation) and range_function(inner).adds:
            vector = range_vector(self._pool, inner, grid, context, node.grouping)
        else:
            vector = self._vector(inner, node, grid, context)
        if node.op in SORTS:
            return sorted_by_value(vector, node.op == "sort_desc")
        if node.parameter is not None:
            return choose(node.op, vector, node.grouping, np.full(grid.n, float(node.parameter)))
        # what is grouped by may be an empty label of some series, which is none of others
        kept = vector.relabelled([labels_from(labels) for labels in vector.labels])
        with np.errstate(all="ignore"):
            return aggregate(node.op, kept, node.grouping)


def _ordered(node: Expr) -> bool:
    """Whether the series of an answer of one step have an order of their own: where anything is sorted, as in Loki."""
    match node:
        case VectorAggregation():
            return node.op in SORTS or _ordered(node.expr)
        case Binary():
            return _ordered(node.left) or _ordered(node.right)
        case LabelReplace():
            return _ordered(node.expr)
        case _:
            return False


def _result(kind: Kind, value: Vector | Floats, grid: Grid, ordered: bool = False) -> QueryResult:
    if isinstance(value, Vector):
        vector = value.compact()
        if not ordered:
            vector = vector.take(sorted(range(len(vector)), key=vector.labels.__getitem__))
        return QueryResult(kind, vector.labels, grid.times, vector.values, vector.present)
    labels: list[Labels] = [()] if kind == "matrix" else []
    return QueryResult(kind, labels, grid.times, value[None, :], np.ones((1, grid.n), bool))
