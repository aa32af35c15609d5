"""Evaluates a tree on a grid: leaves from the store, everything above them on arrays."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from app.errors import BadQuery
from app.labels import METRIC_NAME, Labels
from app.query.grid import Grid
from app.query.promql import aggregate, binary
from app.query.promql.ast import (
    Aggregate,
    AtEdge,
    Binary,
    Call,
    Negate,
    Node,
    Number,
    Range,
    Selector,
    Subquery,
    Text,
    repeated,
)
from app.query.promql.calls import CALLS
from app.query.promql.context import Context
from app.query.promql.histogram import check_quantile
from app.query.promql.histograms import aggregation
from app.query.promql.histograms.arithmetic import multiplied
from app.query.promql.histograms.operators import HistogramOperation
from app.query.promql.leaf import INSTANT, INSTANT_TIME, Leaf, Leaves
from app.query.promql.leaf_sql import PUSHED_AGGREGATIONS
from app.query.promql.limit_ratio import limit_ratio
from app.query.promql.names import RANGE_FUNCTIONS
from app.query.promql.operations import TRIMS, Operation
from app.query.promql.places import place_of
from app.query.promql.range_calls import call_range_function, samples_of_vector
from app.query.result import Samples
from app.query.vector import Floats, Vector, no_histograms, unnamed


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number at every step."""

    values: Floats


Value = Vector | Scalar | Text


class Evaluator:
    """Evaluates one query. `push_down` False keeps every range function and aggregation on arrays.

    `known` gives the aggregations that are worked out already, at the query's own times.
    """

    def __init__(
        self,
        source: Leaves,
        context: Context,
        query: Node,
        push_down: bool = True,
        known: Callable[[Aggregate], Vector | None] | None = None,
    ) -> None:
        self._source = source
        self.context: Context = context
        self._push_down = push_down
        self._known = known
        self._repeated = repeated(query)
        self._values: dict[tuple[Node, Grid, bool, bool], Value] = {}

    def evaluate(self, node: Node, grid: Grid) -> Value:
        """The value of a node at every time of the grid; one that the query has several times is worked out once."""
        if node not in self._repeated:
            return self._evaluate(node, grid)
        context = self.context
        key = (node, grid, context.detects_resets, context.needs_buckets)
        value = self._values.get(key)
        if value is None:
            said = len(context.warnings) + len(context.infos)
            value = self._evaluate(node, grid)
            # what is said names a place in the query, and so has to be said again
            if len(context.warnings) + len(context.infos) == said:
                self._values[key] = value
        return value

    def _evaluate(self, node: Node, grid: Grid) -> Value:
        self.context.remaining_s()
        match node:
            case Number():
                return Scalar(np.full(grid.n, node.value))
            case Text():
                return node
            case Selector():
                return self._leaf(INSTANT, node, self.context.lookback_ms, grid)
            case Negate():
                inner = self.evaluate(node.expr, grid)
                if isinstance(inner, Vector):
                    return unnamed(self._negated(inner))
                return Scalar(-self._floats(inner))
            case Aggregate():
                with self.context.at(place_of(node.expr), grid):
                    return self._aggregate(node, grid)
            case Binary():
                with self.context.at(place_of(node), grid):
                    return self._binary(node, grid)
            case Call():
                with self.context.at(_told_place(node), grid):
                    return self._call(node, grid)
            case Range() | Subquery():
                raise BadQuery("a range vector can only be the argument of a range function")

    def vector(self, node: Node, grid: Grid) -> Vector:
        """The value of a node that is an instant vector."""
        value = self.evaluate(node, grid)
        if not isinstance(value, Vector):
            raise BadQuery("expected an instant vector")
        self.context.check_size(len(value), grid.n)
        return value

    def floats(self, node: Node, grid: Grid) -> Vector:
        """The value of a node that is an instant vector, without native histograms."""
        return self.vector(node, grid).floats()

    def scalar(self, node: Node, grid: Grid) -> Floats:
        """The value of a node that is a scalar, at every step."""
        return self._floats(self.evaluate(node, grid))

    def text(self, node: Node) -> str:
        """The value of a node that is a string."""
        if not isinstance(node, Text):
            raise BadQuery("expected a string")
        return node.value

    def _floats(self, value: Value) -> Floats:
        if not isinstance(value, Scalar):
            raise BadQuery("expected a scalar")
        return value.values

    def resolve(self, at: int | AtEdge | None) -> int | None:
        """The time an `@` modifier names."""
        if at == "start":
            return self.context.start_ms
        if at == "end":
            return self.context.end_ms
        return at

    def _leaf(self, function: str, selector: Selector, window_ms: int, grid: Grid) -> Vector:
        at = self.resolve(selector.at)
        where = grid if at is None else Grid.at(at)
        leaf = Leaf(function, selector, window_ms, where.shifted(selector.offset_ms))
        vector = self._source.vector(leaf, self.context)
        return vector if at is None else vector.broadcast(grid.n)

    def sample_times(self, selector: Selector, grid: Grid) -> Vector:
        """When the samples an instant selector gives were taken, in seconds; and which are native histograms."""
        at = self.resolve(selector.at)
        where = (grid if at is None else Grid.at(at)).shifted(selector.offset_ms)
        vector = self._source.vector(Leaf(INSTANT_TIME, selector, self.context.lookback_ms, where), self.context)
        return vector if at is None else vector.broadcast(grid.n)

    def samples(
        self, node: Range | Subquery, grid: Grid, before_ms: int = 0, hints: bool = False
    ) -> tuple[Samples, Grid]:
        """The samples of a range vector, and the times its windows end at; `before_ms` reads further back.

        `hints`: whether native histograms need reset hints.
        """
        offset_ms = node.selector.offset_ms if isinstance(node, Range) else node.offset_ms
        at = self.resolve(node.selector.at if isinstance(node, Range) else node.at)
        ends = (grid if at is None else Grid.at(at)).shifted(offset_ms)
        after_ms = ends.start_ms - node.range_ms - before_ms
        if isinstance(node, Range):
            return self._source.samples(node.selector, after_ms, ends.end_ms, self.context, hints), ends
        step_ms = node.step_ms or self.context.subquery_step_ms
        inner = Grid.between((after_ms // step_ms + 1) * step_ms, ends.end_ms, step_ms)
        # a series more than none: the grid alone can already be too large
        self.context.check_size(1, inner.n)
        with self.context.reading(whole=True):
            return samples_of_vector(self.vector(node.expr, inner), inner), ends

    def _call(self, node: Call, grid: Grid) -> Value:
        if node.name in RANGE_FUNCTIONS:
            leaf = node.args[0]
            if (
                self._push_down
                and self._source.puts_on_grid(node.name)
                and isinstance(leaf, Range)
                and not self._source.may_have_histograms(leaf.selector, self.context)
            ):
                vector = self._leaf(node.name, leaf.selector, leaf.range_ms, grid)
                if self._source.doubtful(node.name, vector):
                    return call_range_function(self, node, grid)
                self.expect_counters(node.name, vector.labels)
                return vector if node.name == "last_over_time" else unnamed(vector)
            return call_range_function(self, node, grid)
        result = CALLS[node.name](self, node, grid)
        return result if isinstance(result, Vector) else Scalar(result)

    def _aggregate(self, node: Aggregate, grid: Grid) -> Vector:
        context = self.context
        if self._known is not None and grid == Grid.between(context.start_ms, context.end_ms, context.step_ms):
            known = self._known(node)
            if known is not None:
                return known
        pushed = self._pushed(node, grid) if self._push_down else None
        if pushed is not None:
            return pushed
        with self.context.adding() if node.op in ("sum", "avg") else contextlib.nullcontext():
            vector = self.vector(node.expr, grid)
        # what is said of histograms costs nothing where there are none
        native = vector.histograms is not None
        if node.op == "count_values":
            count_values = aggregation.count_values_of_both if native else aggregate.count_values
            return count_values(vector, node.grouping, self.text(_parameter(node)))
        if node.op == "quantile":
            q = self.scalar(_parameter(node), grid)
            with self.context.at(place_of(_parameter(node))):
                check_quantile(q, self.context)
            if native:
                vector = aggregation.without_histograms(node.op, vector, self.context)
            return aggregate.quantile(vector, node.grouping, q)
        if node.op == "limit_ratio":
            ratio = self.scalar(_parameter(node), grid)
            with self.context.at(place_of(_parameter(node))):
                return limit_ratio(vector, ratio, self.context)
        if node.op in ("topk", "bottomk", "limitk"):
            if native and node.op != "limitk":
                vector = aggregation.without_histograms(node.op, vector, self.context)
            return aggregate.choose(node.op, vector, node.grouping, self.scalar(_parameter(node), grid))
        if native:
            return aggregation.aggregate_histograms(node.op, vector, node.grouping, self.context)
        return aggregate.aggregate(node.op, vector, node.grouping)

    def _pushed(self, node: Aggregate, grid: Grid) -> Vector | None:
        """The aggregation worked out by the engine, or None where it cannot be."""
        if node.op not in PUSHED_AGGREGATIONS:
            return None
        inner = node.expr
        if isinstance(inner, Selector):
            function, selector, window_ms = INSTANT, inner, self.context.lookback_ms
        elif isinstance(inner, Call) and self._source.puts_on_grid(inner.name) and isinstance(inner.args[0], Range):
            function, selector, window_ms = inner.name, inner.args[0].selector, inner.args[0].range_ms
            # without their names two series of two metrics may be one, which is an error only arrays can see
            if selector.metric is None or METRIC_NAME in node.grouping.labels:
                return None
        else:
            return None
        if self._source.may_have_histograms(selector, self.context):
            return None
        at = self.resolve(selector.at)
        where = (grid if at is None else Grid.at(at)).shifted(selector.offset_ms)
        vector = self._source.aggregated(
            Leaf(function, selector, window_ms, where), node.op, node.grouping, self.context
        )
        if vector is not None and isinstance(inner, Call):
            with self.context.at(_told_place(inner)):
                self.expect_counters(function, [((METRIC_NAME, selector.metric or ""),)] * bool(len(vector)))
        return vector if at is None or vector is None else vector.broadcast(grid.n)

    def expect_counters(self, function: str, series: Iterable[Labels]) -> None:
        """Notes where a rate is taken of floats that have not the name of a counter."""
        if function not in ("rate", "increase"):
            return
        for name in sorted({value for labels in series for label, value in labels if label == METRIC_NAME}):
            if name and not name.endswith(_COUNTERS):
                self.context.inform(
                    "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:"
                    f" {json.dumps(name, ensure_ascii=False)}"
                )

    def _binary(self, node: Binary, grid: Grid) -> Value:
        with self._operands(node.op):
            left, right = self.evaluate(node.left, grid), self.evaluate(node.right, grid)
        if isinstance(left, Vector) and isinstance(right, Vector):
            self.context.check_size(len(left) + len(right), grid.n)
            if node.op in binary.SETS:
                return binary.sets(node, left, right)
            return binary.vectors(node, left, right, self._operation(node, left, right))
        if isinstance(left, Vector):
            operation = self._operation(node, left)
            return binary.vector_and_scalar(node, left, self._floats(right), swapped=False, operate=operation)
        if isinstance(right, Vector):
            operation = self._operation(node, right)
            return binary.vector_and_scalar(node, right, self._floats(left), swapped=True, operate=operation)
        return Scalar(binary.scalars(node.op, self._floats(left), self._floats(right)))

    def _negated(self, vector: Vector) -> Vector:
        histograms = None
        if vector.histograms is not None:
            histograms = no_histograms(vector.values.shape)
            for row, step, h in self.context.make_histograms(list(vector.cells())):
                histograms[row, step] = multiplied(h, -1.0)
        return Vector(vector.labels, -vector.values, vector.present, histograms)

    def _operands(self, op: str) -> contextlib.AbstractContextManager[None]:
        if op in TRIMS:
            return self.context.reading(whole=True)
        return self.context.adding() if op in ("+", "-") else contextlib.nullcontext()

    def _operation(self, node: Binary, *sides: Vector) -> Operation | None:
        """What to do with cells where some are histograms."""
        if node.op not in TRIMS and all(side.histograms is None for side in sides):
            return None
        return HistogramOperation(node.op, node.return_bool, self.context)


_COUNTERS = ("_total", "_sum", "_count", "_bucket")
_TOLD = {"histogram_quantile": 1, "histogram_fraction": 2}
"""The argument that notes point at, where it is not the first."""


def _told_place(node: Call) -> int | None:
    i = _TOLD.get(node.name, 0)
    return place_of(node.args[i]) if len(node.args) > i else None


def _parameter(node: Aggregate) -> Node:
    if node.param is None:
        raise BadQuery(f"{node.op} needs a parameter")
    return node.param
