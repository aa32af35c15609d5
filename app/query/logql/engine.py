"""The LogQL engine: a query text and times in, lines or values out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from app.config import Limits
from app.errors import BadQuery, QueryTimeout
from app.labels import Labels, Matcher
from app.query.grid import Grid
from app.query.logql.ast import (
    Arithmetic,
    ConstantVector,
    Expr,
    LogQuery,
    Number,
    RangeAggregation,
    VectorAggregation,
)
from app.query.logql.lines import Direction, read_lines
from app.query.logql.metric import range_vector
from app.query.logql.parse import parse, parse_matchers
from app.query.logql.result import LogResult
from app.query.logql.streams import select_streams
from app.query.promql.aggregate import aggregate, choose
from app.query.promql.context import Context
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
        return _result("vector" if isinstance(value, Vector) else "scalar", value, grid)

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
        if isinstance(node, Number):
            return np.full(grid.n, node.value)
        if isinstance(node, ConstantVector):
            return Vector([()], np.full((1, grid.n), node.value), np.ones((1, grid.n), bool))
        if isinstance(node, RangeAggregation):
            return range_vector(self._pool, node, grid, context, None)
        if isinstance(node, VectorAggregation):
            return self._aggregated(node, grid, context)
        if isinstance(node, Arithmetic):
            return self._arithmetic(node, grid, context)
        raise BadQuery("log lines cannot be computed with; count them, as in count_over_time({…}[1m])", node.position)

    def _aggregated(self, node: VectorAggregation, grid: Grid, context: Context) -> Vector:
        # sums need not know every series, whose number is that of all attributes' combinations
        pushed = node.op == "sum" and isinstance(node.expr, RangeAggregation)
        if pushed and isinstance(node.expr, RangeAggregation):
            vector: Vector | Floats = range_vector(self._pool, node.expr, grid, context, node.grouping)
        else:
            vector = self._evaluate(node.expr, grid, context)
        if not isinstance(vector, Vector):
            raise BadQuery(f"{node.op} wants a vector, and here is a number", node.position)
        if node.parameter is not None:
            return choose(node.op, vector, node.grouping, np.full(grid.n, float(node.parameter)))
        return aggregate(node.op, vector, node.grouping)

    def _arithmetic(self, node: Arithmetic, grid: Grid, context: Context) -> Vector | Floats:
        left, right = self._evaluate(node.left, grid, context), self._evaluate(node.right, grid, context)
        a = left.values if isinstance(left, Vector) else left
        b = right.values if isinstance(right, Vector) else right
        with np.errstate(all="ignore"):
            values = _OPERATORS[node.op](a, b)
        if isinstance(left, Vector) and isinstance(right, Vector):
            if left.labels != right.labels:
                raise BadQuery(f"`{node.op}` between vector() and series with labels finds no pair", node.position)
            return Vector(left.labels, values, left.present & right.present)
        vector = left if isinstance(left, Vector) else right
        return Vector(vector.labels, values, vector.present) if isinstance(vector, Vector) else values


_OPERATORS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
}


def _result(kind: Kind, value: Vector | Floats, grid: Grid) -> QueryResult:
    if isinstance(value, Vector):
        vector = value.compact()
        ordered = vector.take(sorted(range(len(vector)), key=vector.labels.__getitem__))
        return QueryResult(kind, ordered.labels, grid.times, ordered.values, ordered.present)
    labels: list[Labels] = [()] if kind == "matrix" else []
    return QueryResult(kind, labels, grid.times, value[None, :], np.ones((1, grid.n), bool))
