"""Samples held in memory, asked as those of the store are: `Leaves` over arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from app.histogram import Histogram
from app.labels import METRIC_NAME, Labels, Matcher
from app.query.promql.aggregate import group_key
from app.query.promql.ast import Grouping, Selector
from app.query.promql.context import Context
from app.query.promql.groups import Groups
from app.query.promql.histograms.hints import REACH_MS
from app.query.promql.kernel_leaves import KERNEL_FUNCTIONS, worked_out
from app.query.promql.leaf import INSTANT, INSTANT_TIME, Leaf
from app.query.promql.picking import SeriesTable
from app.query.promql.points import NO_POINTS, Hints, Points, newest
from app.query.result import Samples, no_samples
from app.query.vector import Floats, Histograms, Ints, Vector, empty, no_histograms, stacked
from app.store.metrics import STALE_NAN_BITS

_NEVER_MS = -(2**62)


class SeriesSet:
    """Series of one metric by number, with what was asked of them before. Not safe for two threads at once."""

    def __init__(self, metric: str, labels: Sequence[Labels]) -> None:
        self.labels: list[Labels] = list(labels)
        self._metric = metric
        self._table: SeriesTable | None = None
        self._rows: dict[tuple[tuple[Matcher, ...], ...], Ints] = {}
        self._groups: dict[tuple[tuple[tuple[Matcher, ...], ...], Grouping], tuple[Ints, list[Labels]]] = {}

    def rows(self, selector: Selector) -> Ints:
        """The numbers of the series a selector chooses, ascending."""
        found = self._rows.get(selector.alternatives)
        if found is None:
            if self._table is None:
                self._table = SeriesTable(self._metric, self.labels)
            found = self._rows[selector.alternatives] = self._table.rows(selector)
        return found

    def groups(self, selector: Selector, grouping: Grouping) -> tuple[Ints, list[Labels]]:
        """(the number of each series' group, -1 where the selector does not choose it; the groups)."""
        key = (selector.alternatives, grouping)
        found = self._groups.get(key)
        if found is None:
            numbers: dict[Labels, int] = {}
            of_row = np.full(len(self.labels), -1, np.int64)
            for row in self.rows(selector).tolist():
                of_row[row] = numbers.setdefault(group_key(self.labels[row], grouping), len(numbers))
            found = self._groups[key] = of_row, list(numbers)
        return found


Value = float | Histogram


@dataclass(slots=True)
class _Held:
    """The samples of one metric; `points.ids` are numbers of `series`."""

    series: SeriesSet
    points: Points
    fresh: Points | None = None
    """The points without stale markers, once they were asked for."""
    news: list[tuple[Labels, int, Value]] = field(default_factory=list)


class MemorySamples:
    """Samples by metric. `Leaves`; not safe for two threads at once.

    With `compiled` leaves are worked out by the loops the engine uses for the store's samples, else on arrays, to which
    nothing must be compiled. Of two samples of a series at one time the one that was added last counts.
    """

    def __init__(self, *, compiled: bool) -> None:
        self._compiled = compiled
        self._held: dict[str, _Held] = {}

    def put(self, metric: str, series: SeriesSet, points: Points) -> None:
        """Takes all samples of a metric at once; `points.ids` are numbers of `series`, ascending."""
        self._held[metric] = _Held(series, points)

    def add(self, labels: Labels, ts_ms: int, value: Value) -> None:
        """Takes one sample; NaN may be the stale marker."""
        metric = next((v for name, v in labels if name == METRIC_NAME), "")
        held = self._held.get(metric)
        if held is None:
            held = self._held[metric] = _Held(SeriesSet(metric, ()), NO_POINTS)
        held.news.append((labels, ts_ms, value))

    def puts_on_grid(self, function: str) -> bool:
        """Whether there is a loop for a range function."""
        return self._compiled and function in KERNEL_FUNCTIONS

    def doubtful(self, function: str, vector: Vector) -> bool:
        """Never: the loops lose nothing."""
        return False

    def may_have_histograms(self, selector: Selector, context: Context) -> bool:
        """Whether a metric that may be selected has native histograms."""
        return any(held.points.histograms is not None for held in self._selected(selector))

    def vector(self, leaf: Leaf, context: Context) -> Vector:
        """A row for each selected series; metric names are kept."""
        instant = leaf.function in (INSTANT, INSTANT_TIME)
        if instant and (not self._compiled or self.may_have_histograms(leaf.selector, context)):
            return self._newest(leaf, context)
        found = []
        for held in self._selected(leaf.selector):
            points, labels = self._points(held, leaf.selector, instant)
            if len(points.ids):
                context.used_samples(len(points.ts_ms))
                context.check_size(len(labels), leaf.grid.n)
                rows = worked_out(leaf.function, leaf.grid, leaf.window_ms, points)
                found.append(Vector(labels, rows.values, rows.present))
        if not found:
            return empty(leaf.grid.n)
        return (found[0] if len(found) == 1 else stacked(found)).compact()

    def aggregated(self, leaf: Leaf, op: str, grouping: Grouping, context: Context) -> Vector | None:
        """The aggregation by the loops, a row for each group; None without them."""
        if not self._compiled or leaf.function not in (*KERNEL_FUNCTIONS, INSTANT):
            return None
        groups = Groups(op, leaf.grid.n)
        for held in self._selected(leaf.selector):
            points, labels = self._points(held, leaf.selector, leaf.function == INSTANT)
            if not len(points.ids):
                continue
            context.used_samples(len(points.ts_ms))
            context.check_size(len(labels), leaf.grid.n)
            numbers, names = held.series.groups(leaf.selector, grouping)
            rows = worked_out(leaf.function, leaf.grid, leaf.window_ms, points)
            groups.add(rows, numbers[points.ids.astype(np.intp)], names)
        return groups.result()

    def samples(
        self, selector: Selector, after_ms: int, until_ms: int, context: Context, hints: bool = False
    ) -> Samples:
        """The raw samples in (after_ms, until_ms], without stale markers, one at each time."""
        if not self.may_have_histograms(selector, context):
            return self._samples(selector, after_ms, until_ms, context, stale=False)
        found = self._samples(selector, after_ms - REACH_MS * hints, until_ms, context, stale=True)
        points = Points(np.arange(len(found.labels), dtype=np.uint64), *_columns(found))
        if hints:
            points = points.hinted(context.detects_resets)
        points = points.after(after_ms)
        labels = [found.labels[row] for row in points.ids.tolist()]
        return Samples(labels, points.offsets, points.ts_ms, points.values, points.histograms)

    def _newest(self, leaf: Leaf, context: Context) -> Vector:
        grid = leaf.grid
        reach_ms = leaf.window_ms + REACH_MS * context.adds_histograms
        samples = self._samples(leaf.selector, grid.start_ms - reach_ms, grid.end_ms, context, stale=True)
        if not len(samples):
            return empty(grid.n)
        context.check_size(len(samples), grid.n)
        hints: Hints = "none" if not context.adds_histograms else "detected" if context.detects_resets else "stored"
        return newest(samples, grid, leaf.window_ms, leaf.function == INSTANT_TIME, hints)

    def _samples(self, selector: Selector, after_ms: int, until_ms: int, context: Context, *, stale: bool) -> Samples:
        labels: list[Labels] = []
        parts: list[Points] = []
        for held in self._selected(selector):
            points, _ = self._points(held, selector, stale)
            points = _between(points, after_ms, until_ms)
            if len(points.ids):
                context.used_samples(points.size())
                labels += [held.series.labels[row] for row in points.ids.tolist()]
                parts.append(points)
        context.check_size(len(labels), 0)
        if not parts:
            return no_samples()
        if len(parts) == 1:
            return Samples(labels, *_columns(parts[0]))
        sizes = np.concatenate([np.diff(p.offsets) for p in parts])
        histograms = None
        if any(p.histograms is not None for p in parts):
            histograms = np.concatenate(
                [no_histograms(p.ts_ms.shape) if p.histograms is None else p.histograms for p in parts]
            )
        return Samples(
            labels,
            np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
            np.concatenate([p.ts_ms for p in parts]),
            np.concatenate([p.values for p in parts]),
            histograms,
        )

    def _selected(self, selector: Selector) -> Iterator[_Held]:
        """The metrics a selector may choose series of."""
        metric = selector.metric
        if metric is not None:
            held = self._held.get(metric)
            if held is not None:
                yield self._tidied(metric, held)
            return
        for name in list(self._held):
            if any(all(m.matches(name) for m in group if m.name == METRIC_NAME) for group in selector.alternatives):
                yield self._tidied(name, self._held[name])

    def _tidied(self, metric: str, held: _Held) -> _Held:
        if not held.news:
            return held
        held = self._held[metric] = _merged(metric, held)
        return held

    def _points(self, held: _Held, selector: Selector, stale: bool) -> tuple[Points, list[Labels]]:
        """The selected samples of a metric, and the labels of the series that have some."""
        points = held.points
        if not stale:
            if held.fresh is None:
                held.fresh = points.after(_NEVER_MS) if _has_stale(points) else points
            points = held.fresh
        series = held.series
        rows = series.rows(selector)
        if len(rows) != len(series.labels):
            points = _of_series(points, rows)
        elif len(points.ids) == len(rows):
            return points, series.labels
        return points, [series.labels[row] for row in points.ids.tolist()]


def _columns(of: Points | Samples) -> tuple[Ints, Ints, Floats, Histograms | None]:
    return of.offsets, of.ts_ms, of.values, of.histograms


def _has_stale(points: Points) -> bool:
    return bool((points.values.view(np.uint64) == STALE_NAN_BITS).any())


def _of_series(points: Points, rows: Ints) -> Points:
    """The samples of the series with these numbers."""
    return taken(points, np.flatnonzero(np.isin(points.ids, rows.astype(np.uint64), assume_unique=True)))


def taken(points: Points, places: Ints) -> Points:
    """The samples of the series at these places, ascending."""
    if len(places) == len(points.ids):
        return points
    sizes = np.diff(points.offsets)[places]
    offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    index = np.repeat(points.offsets[:-1][places] - offsets[:-1], sizes) + np.arange(offsets[-1])
    histograms = None if points.histograms is None else points.histograms[index]
    return Points(points.ids[places], offsets, points.ts_ms[index], points.values[index], histograms)


def _between(points: Points, after_ms: int, until_ms: int) -> Points:
    kept = (points.ts_ms > after_ms) & (points.ts_ms <= until_ms)
    if bool(kept.all()):
        return points
    ends = np.concatenate(([0], np.cumsum(kept)))[points.offsets]
    some = np.append(np.diff(ends) > 0, True)
    histograms = None if points.histograms is None else points.histograms[kept]
    return Points(points.ids[some[:-1]], ends[some], points.ts_ms[kept], points.values[kept], histograms)


def _merged(metric: str, held: _Held) -> _Held:
    """What is held, and the news among it."""
    series, points = held.series, held.points
    numbers = {labels: n for n, labels in enumerate(series.labels)}
    ids = np.array([numbers.setdefault(labels, len(numbers)) for labels, _, _ in held.news], np.uint64)
    if len(numbers) > len(series.labels):
        series = SeriesSet(metric, list(numbers))
    ts_ms = np.array([at for _, at, _ in held.news], np.int64)
    floats = [value.sum if isinstance(value, Histogram) else value for _, _, value in held.news]
    histograms = None
    if points.histograms is not None or any(isinstance(value, Histogram) for _, _, value in held.news):
        old = no_histograms(points.ts_ms.shape) if points.histograms is None else points.histograms
        new = no_histograms(ts_ms.shape)
        for n, (_, _, value) in enumerate(held.news):
            if isinstance(value, Histogram):
                new[n] = value
        histograms = np.concatenate((old, new))
    ids = np.concatenate((np.repeat(points.ids, np.diff(points.offsets)), ids))
    ts_ms = np.concatenate((points.ts_ms, ts_ms))
    values = np.concatenate((points.values, np.array(floats, np.float64)))
    order = np.lexsort((ts_ms, ids))
    ids, ts_ms = ids[order], ts_ms[order]
    # the sort keeps the order of equals: the last is the one that was added last
    last = np.append((ids[1:] != ids[:-1]) | (ts_ms[1:] != ts_ms[:-1]), True)
    kept = order[last]
    unique, starts = np.unique(ids[last], return_index=True)
    offsets = np.append(starts, len(kept)).astype(np.int64)
    told = None if histograms is None else histograms[kept]
    return _Held(series, Points(unique, offsets, ts_ms[last], values[kept], told))
