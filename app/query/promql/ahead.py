"""Instant queries at one time, asked one after another: what they read is read once for all of them, ahead.

The rules of a group read a few metrics again and again, at one time, and each may read what an earlier one recorded a
moment ago. One statement brings the samples of all their selectors into memory; what is recorded is added to them; and
every query is worked out there. What cannot be told ahead is read from the store when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from app.errors import BadQuery, Overloaded, QueryLimit
from app.labels import METRIC_NAME, Labels, Matcher, MatchOp
from app.query.grid import Grid
from app.query.promql.ast import Call, Grouping, Node, Range, Selector, Subquery, children
from app.query.promql.context import DEFAULT_SUBQUERY_STEP_MS, Context
from app.query.promql.kernel_leaves import KERNEL_FUNCTIONS
from app.query.promql.leaf import Leaf, Leaves, reach_ms
from app.query.promql.leaves import LeafSource
from app.query.promql.memory import MemorySamples, SeriesSet, Value, taken
from app.query.promql.points import Points
from app.query.promql.together import covering
from app.query.result import Samples
from app.query.vector import Ints, Vector

_SPANS_MS = (360_000, 900_000)
"""What is read back to at most one of these is read by one statement; what is longer by one of its own."""
_FEW_SAMPLES = 200_000
"""A metric of no more samples in the longest of these spans is read whole."""
_COUNTED_EVERY = 128
"""Readings between two counts of samples."""
_REMEMBERED_QUERIES = 1_000
_MOST_SAMPLES = 2_000_000
"""A metric that has more is left to the store, which reads it in parts."""

Alternatives = tuple[tuple[Matcher, ...], ...]


@dataclass(frozen=True, slots=True)
class _Want:
    """Samples of a selector from `from_ms` before the queries' time to `until_ms` before it."""

    selector: Selector
    metric: str
    from_ms: int
    until_ms: int


def _wants(node: Node, from_ms: int, until_ms: int, lookback_ms: int) -> Iterator[_Want | None]:
    """What a node reads at times between so long before the query's and so long before it; None for what is unknown."""
    match node:
        case Selector():
            yield _want(node, from_ms, until_ms, lookback_ms)
        case Call() if node.name == "info":
            yield None
        case Call() if len(node.args) == 1 and isinstance(node.args[0], Range):
            leaf = node.args[0]
            yield _want(leaf.selector, from_ms, until_ms, leaf.range_ms + reach_ms(node.name))
        case Range():
            yield _want(node.selector, from_ms, until_ms, node.range_ms)
        case Subquery():
            if node.at is not None:
                yield None
                return
            begin_ms = from_ms + node.offset_ms + node.range_ms + (node.step_ms or DEFAULT_SUBQUERY_STEP_MS)
            yield from _wants(node.expr, begin_ms, until_ms + node.offset_ms, lookback_ms)
        case _:
            for child in children(node):
                yield from _wants(child, from_ms, until_ms, lookback_ms)


def _want(selector: Selector, from_ms: int, until_ms: int, window_ms: int) -> _Want | None:
    if selector.metric is None or selector.at is not None:
        return None
    offset_ms = selector.offset_ms
    return _Want(selector, selector.metric, from_ms + offset_ms + window_ms, until_ms + offset_ms)


@dataclass(slots=True)
class _Block:
    """Samples of one metric that are read together."""

    metric: str
    from_ms: int
    until_ms: int
    selector: Selector
    chosen: tuple[Alternatives, ...]
    whole: bool
    """Whether all series of the metric are read: one of the selectors has no matchers, or there are few."""
    left_out: bool = False
    """Whether the last reading gave so much that it is left to the store."""


@dataclass(slots=True)
class _Known:
    """The series a statement gave, by block: they are mostly the same the next time."""

    ids: bytes
    rows: list[tuple[_Block, Ints, SeriesSet]]


@dataclass(slots=True)
class Plan:
    """What some queries read. Made once for the same queries; one reading at a time may use it."""

    lookback_ms: int
    blocks: list[_Block] = field(default_factory=list)
    readings: int = 0
    _wants_of: dict[str, tuple[_Want | None, ...]] = field(default_factory=dict)
    _known: dict[tuple[str, ...], _Known] = field(default_factory=dict)

    def wants(self, text: str, node: Node) -> tuple[_Want | None, ...]:
        """What a query reads, also one that is not among those of the plan; None where that cannot be told ahead."""
        found = self._wants_of.get(text)
        if found is None:
            found = tuple(_wants(node, 0, 0, self.lookback_ms))
            if len(self._wants_of) < _REMEMBERED_QUERIES:
                self._wants_of[text] = found
        return found

    def statements(self) -> list[list[_Block]]:
        """The blocks by statement: a metric is in one once, and those that are read whole are read together."""
        found: dict[object, list[_Block]] = {}
        for block in self.blocks:
            if block.left_out:
                continue
            span = next((n for n, most in enumerate(_SPANS_MS) if block.from_ms <= most), None)
            alone = span is None or not block.whole
            found.setdefault(id(block) if alone else span, []).append(block)
        return list(found.values())

    def remembered(self, blocks: Sequence[_Block], ids: bytes) -> _Known | None:
        """What the last reading of these blocks gave, if it is the same series."""
        found = self._known.get(_name(blocks))
        return found if found is not None and found.ids == ids else None

    def remember(self, blocks: Sequence[_Block], known: _Known) -> None:
        """Keeps what a statement gave."""
        if len(self._known) > len(self.blocks):
            self._known = {}
        self._known[_name(blocks)] = known


def _name(blocks: Sequence[_Block]) -> tuple[str, ...]:
    return tuple(f"{block.metric}/{block.from_ms}" for block in blocks)


def plan_of(nodes: Sequence[tuple[str, Node | BadQuery]], lookback_ms: int) -> Plan:
    """The plan of queries by their text."""
    plan = Plan(lookback_ms)
    by_metric: dict[str, list[_Want]] = {}
    for text, node in nodes:
        for want in () if isinstance(node, BadQuery) else plan.wants(text, node):
            if want is not None:
                by_metric.setdefault(want.metric, []).append(want)
    plan.blocks = [block for metric, wants in by_metric.items() for block in _blocks(metric, wants)]
    return plan


def _blocks(metric: str, wants: Sequence[_Want]) -> Iterator[_Block]:
    left = sorted(wants, key=lambda want: -want.from_ms)
    while left:
        longest = left[0].from_ms
        here = [want for want in left if longest <= _SPANS_MS[-1] or want.from_ms * 4 >= longest]
        left = [want for want in left if want not in here]
        chosen = tuple(dict.fromkeys(want.selector.alternatives for want in here))
        until_ms = min(want.until_ms for want in here)
        whole = any(len(group) == 1 for groups in chosen for group in groups)
        yield _Block(metric, longest, until_ms, covering([w.selector for w in here], metric), chosen, whole)


class Instants:
    """Instant queries at `time_ms`. Not safe for two threads at once.

    Samples that were added are seen by the queries asked after; see `covers`.
    """

    def __init__(self, plan: Plan, source: LeafSource, time_ms: int, context: Callable[[], Context]) -> None:
        self.time_ms = time_ms
        self._plan = plan
        self._leaves = _AheadLeaves(source)
        self._held: dict[str, list[MemorySamples]] = {}
        if plan.readings % _COUNTED_EVERY == 0:
            self._count(source, context())
        plan.readings += 1
        for blocks in plan.statements():
            self._read(blocks, source, context())

    @property
    def leaves(self) -> Leaves:
        """The samples, as an evaluator asks for them."""
        return self._leaves

    def covers(self, query: str, node: Node) -> bool:
        """Whether all that a query reads is in memory, so that it sees what was added."""
        return all(
            want is not None
            and self._leaves.holds(want.selector, self.time_ms - want.from_ms, self.time_ms - want.until_ms)
            for want in self._plan.wants(query, node)
        )

    def add(self, metric: str, samples: Sequence[tuple[Labels, Value]]) -> None:
        """Adds samples of a metric at the queries' time."""
        for held in self._held.get(metric, ()):
            for labels, value in samples:
                held.add(labels, self.time_ms, value)

    def _count(self, source: LeafSource, context: Context) -> None:
        """Finds the metrics that are so small that choosing among their series costs more than reading them all."""
        some = [block for block in self._plan.blocks if not block.whole and block.from_ms <= _SPANS_MS[-1]]
        if some:
            counts = source.counts([b.metric for b in some], self.time_ms - _SPANS_MS[-1], self.time_ms, context)
            for block in some:
                block.whole = counts.get(block.metric, 0) <= _FEW_SAMPLES

    def _read(self, blocks: Sequence[_Block], source: LeafSource, context: Context) -> None:
        blocks = [block for block in blocks if not source.may_have_histograms(block.selector, context)]
        if not blocks:
            return
        after_ms = self.time_ms - max(block.from_ms for block in blocks)
        until_ms = self.time_ms - min(block.until_ms for block in blocks)
        try:
            if blocks[0].whole:
                points = source.of_metrics([block.metric for block in blocks], after_ms, until_ms, context)
            else:
                points = source.stored(blocks[0].selector, after_ms, until_ms, context)
        except (QueryLimit, Overloaded):
            # each query alone may have room
            return
        found = {id(block): MemorySamples(compiled=True) for block in blocks}
        for block, rows, series in self._split(blocks, points, source, context):
            part = taken(points, rows)
            block.left_out = len(part.ts_ms) > _MOST_SAMPLES
            numbered = Points(np.arange(len(part.ids), dtype=np.uint64), part.offsets, part.ts_ms, part.values)
            found[id(block)].put(block.metric, series, numbered)
        for block in blocks:
            samples = found[id(block)]
            self._held.setdefault(block.metric, []).append(samples)
            span = _Span(after_ms, until_ms, samples)
            for alternatives in block.chosen:
                self._leaves.held.setdefault(alternatives, []).append(span)

    def _split(
        self, blocks: Sequence[_Block], points: Points, source: LeafSource, context: Context
    ) -> list[tuple[_Block, Ints, SeriesSet]]:
        """The places of each block's series among those read."""
        ids = points.ids.tobytes()
        known = self._plan.remembered(blocks, ids)
        if known is None:
            by_metric = {block.metric: block for block in blocks}
            of_any = tuple((Matcher(METRIC_NAME, MatchOp.EQUAL, metric),) for metric in by_metric)
            labels = source.labels(points.ids, Selector(of_any), context)
            rows: dict[str, list[int]] = {}
            for row, own in enumerate(labels):
                rows.setdefault(next((v for name, v in own if name == METRIC_NAME), ""), []).append(row)
            found = [
                (by_metric[metric], np.array(of, np.int64), SeriesSet(metric, [labels[row] for row in of]))
                for metric, of in rows.items()
            ]
            known = _Known(ids, found)
            self._plan.remember(blocks, known)
        return known.rows


@dataclass(frozen=True, slots=True)
class _Span:
    after_ms: int
    until_ms: int
    samples: MemorySamples


class _AheadLeaves:
    """`Leaves` that are in memory where they were read ahead, and else in the store."""

    def __init__(self, source: LeafSource) -> None:
        self._source = source
        self.held: dict[Alternatives, list[_Span]] = {}

    def holds(self, selector: Selector, after_ms: int, until_ms: int) -> bool:
        """Whether samples of a selector in (after, until] are in memory."""
        return self._span(selector, after_ms, until_ms) is not None

    def puts_on_grid(self, function: str) -> bool:
        return function in KERNEL_FUNCTIONS

    def doubtful(self, function: str, vector: Vector) -> bool:
        return False

    def may_have_histograms(self, selector: Selector, context: Context) -> bool:
        found = self.held.get(selector.alternatives)
        if found is not None:
            return any(span.samples.may_have_histograms(selector, context) for span in found)
        return self._source.may_have_histograms(selector, context)

    def vector(self, leaf: Leaf, context: Context) -> Vector:
        return self._of(leaf.selector, leaf.grid.start_ms - leaf.read_ms, leaf.grid).vector(leaf, context)

    def aggregated(self, leaf: Leaf, op: str, grouping: Grouping, context: Context) -> Vector | None:
        source = self._of(leaf.selector, leaf.grid.start_ms - leaf.read_ms, leaf.grid)
        return source.aggregated(leaf, op, grouping, context)

    def samples(
        self, selector: Selector, after_ms: int, until_ms: int, context: Context, hints: bool = False
    ) -> Samples:
        return self._of(selector, after_ms, Grid.at(until_ms)).samples(selector, after_ms, until_ms, context, hints)

    def _of(self, selector: Selector, after_ms: int, grid: Grid) -> Leaves:
        span = self._span(selector, after_ms, grid.end_ms)
        return self._source if span is None else span.samples

    def _span(self, selector: Selector, after_ms: int, until_ms: int) -> _Span | None:
        for span in self.held.get(selector.alternatives, ()):
            if span.after_ms <= after_ms and until_ms <= span.until_ms:
                return span
        return None
