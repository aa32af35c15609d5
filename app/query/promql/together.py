"""Many queries at the same times: what they sum of one metric is read once, not once for each of them.

The queries of SLOs are mostly made of `sum(increase_exact(metric{…}[w]))`. A statement of its own for each of 20,000
such sums takes minutes. Where many sums are over the same range function of one metric, one reading gives the
function's value of every series, and each sum adds up its own, by the same loop and in the same order as alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import re2

from app.errors import BadQuery, Overloaded, QueryLimit, WatchhouseError
from app.labels import METRIC_NAME, Labels, Matcher, MatchOp
from app.query.grid import Grid
from app.query.promql import kernel_groups
from app.query.promql.ast import Aggregate, Call, Node, Range, Selector, Subquery, children
from app.query.promql.context import Context
from app.query.promql.evaluator import Evaluator
from app.query.promql.leaf import Leaf
from app.query.promql.leaves import LeafSource
from app.query.promql.parse import parse
from app.query.promql.picking import Picks, picks
from app.query.promql.range_functions import RANGE_FUNCTIONS
from app.query.vector import Bools, Floats, Vector

_ENOUGH = 8
"""So many sums over one metric are read together."""
_EXACTLY = 64
"""So many selectors are read as they are, one or the other; of more what they have in common is read."""
_VALUES = 1000
"""So many values of a label are asked for by name."""
_STATEMENT_SAMPLES = 100_000
"""Samples that are read and used by nobody cost as much as a statement when there are so many."""
_REMEMBERED_PARTS = 16
_REMEMBERED_PLANS = 8
_REMEMBERED_TREES = 100_000


@dataclass(frozen=True, slots=True)
class _Shape:
    """What sums have in common that can be read together."""

    function: str
    metric: str
    window_ms: int
    offset_ms: int


def sums_in(node: Node) -> Iterator[tuple[_Shape, Aggregate]]:
    """The sums of a query, at the query's own times, that can be read with others."""
    if isinstance(node, Subquery):
        return
    shape = _shape(node) if isinstance(node, Aggregate) else None
    if shape is not None:
        assert isinstance(node, Aggregate)
        yield shape, node
        return
    for child in children(node):
        yield from sums_in(child)


def _shape(node: Aggregate) -> _Shape | None:
    call = node.expr
    if node.op != "sum" or not isinstance(call, Call) or call.name not in RANGE_FUNCTIONS or len(call.args) != 1:
        return None
    source = call.args[0]
    if not isinstance(source, Range) or source.selector.at is not None or METRIC_NAME in node.grouping.labels:
        return None
    metric = source.selector.metric
    return None if metric is None else _Shape(call.name, metric, source.range_ms, source.selector.offset_ms)


def _selector_of(node: Aggregate) -> Selector:
    assert isinstance(node.expr, Call)
    source = node.expr.args[0]
    assert isinstance(source, Range)
    return source.selector


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of several queries on the grid: sum number n has the groups in `rows[n]`, and nothing where it is not."""

    rows: dict[int, list[tuple[Labels, int]]]
    values: Floats
    present: Bools

    def of(self, number: int) -> Vector:
        """A row for each group of one sum."""
        found = self.rows.get(number, [])
        index = [row for _, row in found]
        return Vector([labels for labels, _ in found], self.values[index], self.present[index]).compact()


class _UnderWay:
    """Sums to which series are added in parts."""

    def __init__(self, steps: int) -> None:
        self._numbers: dict[tuple[int, Labels], int] = {}
        self._total, self._lost, self._some = np.zeros((0, steps)), np.zeros((0, steps)), np.zeros((0, steps), bool)

    def add(self, found: Picks, values: Floats, present: Bools) -> None:
        """Adds what the sums take of some series."""
        out = np.array([self._numbers.setdefault(key, len(self._numbers)) for key in found.keys], np.int64)
        more = len(self._numbers) - len(self._total)
        if more:
            fresh = np.zeros((more, self._total.shape[1]))
            self._total, self._lost = (np.concatenate((own, fresh)) for own in (self._total, self._lost))
            self._some = np.concatenate((self._some, fresh.astype(bool)))
        kernel_groups.picked(values, present, found.starts, found.rows, out, self._total, self._lost, self._some)

    def result(self) -> Sums:
        """What was added up."""
        rows: dict[int, list[tuple[Labels, int]]] = {}
        for (number, group), row in self._numbers.items():
            rows.setdefault(number, []).append((group, row))
        return Sums(rows, self._total + self._lost, self._some)


def _joined(earlier: Sums, later: Sums) -> Sums:
    """Sums of a grid's first steps, and of those after."""
    numbers: dict[tuple[int, Labels], int] = {}
    places = [
        [(numbers.setdefault((n, group), len(numbers)), row) for n, found in part.rows.items() for group, row in found]
        for part in (earlier, later)
    ]
    steps = earlier.values.shape[1]
    values = np.zeros((len(numbers), steps + later.values.shape[1]))
    present = np.zeros(values.shape, bool)
    for part, place, columns in zip((earlier, later), places, (slice(0, steps), slice(steps, None)), strict=True):
        to, of = np.array(place, np.intp).reshape(-1, 2).T
        values[to, columns], present[to, columns] = part.values[of], part.present[of]
    rows: dict[int, list[tuple[Labels, int]]] = {}
    for (number, group), row in numbers.items():
        rows.setdefault(number, []).append((group, row))
    return Sums(rows, values, present)


@dataclass(slots=True)
class Shared:
    """Sums of one shape, none twice."""

    shape: _Shape
    sums: list[Aggregate]
    selector: Selector
    wasteful: bool = False
    """Whether the last reading gave so much that nobody wanted that each is better read alone."""
    _picks: dict[Hashable, Picks] = field(default_factory=dict)

    def read(self, source: LeafSource, grid: Grid, context: Context, push_down: bool) -> Sums:
        """The sums on a grid. Raises as a query does."""
        going = _UnderWay(grid.n)
        series = used = 0
        for key, labels, values, present in self._parts(source, grid, context, push_down):
            found = self._picked(key, labels)
            going.add(found, values, present)
            series += len(values)
            used += found.used
        unused = context.samples * (series - used) // max(1, series)
        self.wasteful = unused > _STATEMENT_SAMPLES * len(self.sums)
        return going.result()

    def _parts(
        self, source: LeafSource, grid: Grid, context: Context, push_down: bool
    ) -> Iterator[tuple[Hashable, Callable[[], Sequence[Labels]], Floats, Bools]]:
        shape = self.shape
        leaf = Leaf(shape.function, self.selector, shape.window_ms, grid.shifted(shape.offset_ms))
        parts = source.parts(leaf, context) if push_down else None
        if parts is not None:
            for rows, labels in parts:
                yield rows.ids.tobytes(), labels, rows.values, rows.present
            return
        selector = Selector(self.selector.alternatives, shape.offset_ms)
        call = Call(shape.function, (Range(selector, shape.window_ms),))
        vector = Evaluator(source, context, call, push_down).vector(call, grid)
        yield tuple(vector.labels), lambda: vector.labels, vector.values, vector.present

    def _picked(self, key: Hashable, labels: Callable[[], Sequence[Labels]]) -> Picks:
        # the same series have the same labels for ever
        found = self._picks.get(key)
        if found is None:
            sums = [(_selector_of(node), node.grouping) for node in self.sums]
            found = picks(sums, self.shape.metric, labels())
            if len(self._picks) >= _REMEMBERED_PARTS:
                self._picks = {}
            self._picks[key] = found
        return found


def covering(selectors: Sequence[Selector], metric: str) -> Selector:
    """A selector of a metric that chooses at least what any of these does."""
    groups = list(dict.fromkeys(group for selector in selectors for group in selector.alternatives))
    if len(groups) <= _EXACTLY:
        return Selector(tuple(groups))
    common = [m for m in groups[0] if all(m in group for group in groups)]
    equal: list[dict[str, str]] = [{m.name: m.value for m in group if m.op is MatchOp.EQUAL} for group in groups]
    values = {name: {of.get(name) for of in equal} for name in equal[0] if name != METRIC_NAME}
    told = {name: found for name, found in values.items() if None not in found and 1 < len(found) <= _VALUES}
    if told:
        name, found = min(told.items(), key=lambda item: len(item[1]))
        pattern = "|".join(re2.escape(value) for value in sorted(value for value in found if value is not None))
        common.append(Matcher(name, MatchOp.REGEX, pattern))
    name_is = Matcher(METRIC_NAME, MatchOp.EQUAL, metric)
    return Selector(((name_is, *(m for m in common if m != name_is)),))


@dataclass(frozen=True, slots=True)
class Plan:
    """What some queries ask for together, and where each finds its sums."""

    nodes: list[Node | BadQuery]
    """The tree of each query, or why it has none."""
    shared: list[Shared]
    places: dict[Aggregate, tuple[int, int]]
    """(number of the shared reading, number of the sum in it)."""


class Planner:
    """Finds what queries can read together, and remembers it for the next time they are asked."""

    def __init__(self) -> None:
        self._plans: dict[tuple[str, ...], Plan] = {}
        self._trees: dict[str, Node | BadQuery] = {}

    def plan(self, texts: tuple[str, ...]) -> Plan:
        """The plan of these queries."""
        found = self._plans.get(texts)
        if found is None:
            found = _planned([self.tree(text) for text in texts])
            plans = dict(list(self._plans.items())[1 - _REMEMBERED_PLANS :])
            self._plans = {**plans, texts: found}
        return found

    def tree(self, text: str) -> Node | BadQuery:
        """The tree of a query, or why it has none."""
        found = self._trees.get(text)
        if found is None:
            try:
                found = parse(text)
            except BadQuery as error:
                found = error
            if len(self._trees) >= _REMEMBERED_TREES:
                self._trees = {}
            self._trees[text] = found
        return found


def _planned(nodes: list[Node | BadQuery]) -> Plan:
    by_shape: dict[_Shape, dict[Aggregate, None]] = {}
    for node in nodes:
        for shape, summed in () if isinstance(node, BadQuery) else sums_in(node):
            by_shape.setdefault(shape, {})[summed] = None
    shared = [
        Shared(shape, list(sums), covering([_selector_of(node) for node in sums], shape.metric))
        for shape, sums in by_shape.items()
        if len(sums) >= _ENOUGH
    ]
    places = {node: (i, n) for i, group in enumerate(shared) for n, node in enumerate(group.sums)}
    return Plan(nodes, shared, places)


class Reading:
    """The shared readings of a plan at some times. What cannot be read together is left to each query."""

    def __init__(
        self, plan: Plan, source: LeafSource, grid: Grid, context: Callable[[], Context], push_down: bool
    ) -> None:
        self._plan = plan
        self._source = source
        self._grid = grid
        self._context = context
        self._push_down = push_down
        self._read = [self._reading(shared) for shared in plan.shared]

    def of(self, node: Aggregate) -> Vector | None:
        """What a sum is at each step, or None when it was not read. Raises what its reading did."""
        place = self._plan.places.get(node)
        found = None if place is None else self._read[place[0]]
        if isinstance(found, WatchhouseError):
            raise found
        return None if found is None or place is None else found.of(place[1])

    def _reading(self, shared: Shared) -> Sums | WatchhouseError | None:
        try:
            if shared.wasteful or self._source.may_have_histograms(shared.selector, self._context()):
                return None
            return self._bounded(shared, self._grid)
        except (QueryLimit, Overloaded):
            return None
        except WatchhouseError as error:
            # each alone would have to wait for the same to happen
            return error

    def _bounded(self, shared: Shared, grid: Grid) -> Sums:
        """The sums, in parts where all of the times at once are more than a query may read."""
        try:
            return shared.read(self._source, grid, self._context(), self._push_down)
        except (QueryLimit, Overloaded):
            if grid.n == 1:
                raise
        half = grid.n // 2
        return _joined(self._bounded(shared, grid.part(0, half)), self._bounded(shared, grid.part(half, grid.n)))
