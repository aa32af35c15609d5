"""The leaves of a query: one SQL statement reads the samples of a selector and puts them on the grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.errors import QueryFailed
from app.labels import METRIC_NAME, Labels, labels_from
from app.query.grid import Grid
from app.query.promql.ast import Grouping, Selector
from app.query.promql.catalog import SeriesCatalog
from app.query.promql.conditions import FIRST_MS, LAST_MS, Parameters, series_condition, storable
from app.query.promql.context import Context
from app.query.promql.groups import GroupIndex, Groups
from app.query.promql.histograms.hints import REACH_MS
from app.query.promql.kernel_leaves import KERNEL_FUNCTIONS, KernelLeaves, Rows, tidied
from app.query.promql.leaf import INSTANT, INSTANT_TIME, Leaf
from app.query.promql.leaf_sql import (
    GRID_FUNCTIONS,
    NOT_STALE,
    SLIDING,
    grid_sql,
    may_cancel,
    of_metrics_sql,
    pushed_sql,
    where_sql,
)
from app.query.promql.points import HISTOGRAMS_SQL, NO_POINTS, Hints, Points, histogram_points, newest
from app.query.result import Samples, no_samples
from app.query.vector import Bools, Floats, Vector, empty
from app.store.client import Pool
from app.store.histograms import HistogramMetrics
from app.store.metrics import STALE_NAN_BITS

_ILL_CONDITIONED = 1e15


class LeafSource:
    """Reads leaves from the store. Methods block; safe to use from many threads."""

    def __init__(self, pool: Pool, catalog: SeriesCatalog, compiled: bool) -> None:
        self._pool = pool
        self._catalog = catalog
        self._kernels = KernelLeaves(self._native) if compiled else None
        self._groups = GroupIndex()
        self._histograms = HistogramMetrics(pool)

    def puts_on_grid(self, function: str) -> bool:
        """Whether leaves of a range function can be worked out without arrays of all their samples."""
        return function in GRID_FUNCTIONS or (self._kernels is not None and function in KERNEL_FUNCTIONS)

    def doubtful(self, function: str, vector: Vector) -> bool:
        """Whether the engine's own sums may have spoiled a leaf: they overflow, or keep an infinity that has left."""
        if self._kernels is not None and function in KERNEL_FUNCTIONS:
            return False
        doubted = np.isinf if function == "avg_over_time" else np.isnan if function in SLIDING else None
        return doubted is not None and bool((doubted(vector.values) & vector.present).any())

    def may_have_histograms(self, selector: Selector, context: Context) -> bool:
        """Whether there may be native histograms among the samples of a selector."""
        with context.asking():
            names = self._histograms.names()
        return bool(names) and any(
            all(m.matches(name) for m in group if m.name == METRIC_NAME)
            for name in names
            for group in selector.alternatives
        )

    def vector(self, leaf: Leaf, context: Context) -> Vector:
        """A row for each selected series; metric names are kept."""
        if leaf.function in (INSTANT, INSTANT_TIME) and self.may_have_histograms(leaf.selector, context):
            return self._newest(leaf, context)
        first, last = _reachable(leaf.grid)
        if first == last:
            return empty(leaf.grid.n)
        if self._kernels is not None and leaf.function in KERNEL_FUNCTIONS:
            vector = self._vector(self._kernels, replace(leaf, grid=leaf.grid.part(first, last)), context)
            return _padded(vector, leaf.grid.n, first, last).compact()
        parameters = Parameters()
        sql = grid_sql(leaf, leaf.grid.part(first, last), parameters)
        rows = self._query(sql, parameters, context)
        context.used_samples(_total(rows, "samples"))
        context.check_size(rows.num_rows, leaf.grid.n)
        if not rows.num_rows:
            return empty(leaf.grid.n)
        values, present = _cells(rows, "grid")
        if leaf.function in (INSTANT, INSTANT_TIME):
            present = present & (values.view(np.uint64) != STALE_NAN_BITS)
        labels = self.labels(rows.column("series_id").to_numpy(), leaf.selector, context)
        return _padded(Vector(labels, values, present), leaf.grid.n, first, last).compact()

    def aggregated(self, leaf: Leaf, op: str, grouping: Grouping, context: Context) -> Vector | None:
        """An aggregation of PUSHED_AGGREGATIONS over a leaf, worked out by the engine: a row for each group.

        None when the engine's plain sums lost too many digits, or overflowed where a mean would not.
        """
        first, last = _reachable(leaf.grid)
        if first == last:
            return empty(leaf.grid.n)
        if self._kernels is not None and leaf.function in KERNEL_FUNCTIONS:
            part = replace(leaf, grid=leaf.grid.part(first, last))
            total = self._aggregated(self._kernels, part, op, grouping, context)
            return None if total is None else _padded(total, leaf.grid.n, first, last)
        parameters = Parameters()
        sql = pushed_sql(leaf, leaf.grid.part(first, last), op, grouping, parameters)
        rows = self._query(sql, parameters, context)
        context.used_samples(_total(rows, "samples"))
        context.check_size(_total(rows, "series"), 0)
        if not rows.num_rows:
            return empty(leaf.grid.n)
        values, present = _cells(rows, "value")
        if not _trustworthy(leaf, op, values, present, rows):
            return None
        if op in ("avg", "count", "group"):
            counts, _ = _cells(rows, "counts")
            present = counts > 0
            values = {"avg": values / np.maximum(counts, 1), "count": counts, "group": np.ones_like(counts)}[op]
        groups = Vector(_group_labels(rows, grouping), values, present)
        return _padded(groups, leaf.grid.n, first, last).compact()

    def parts(self, leaf: Leaf, context: Context) -> Iterator[tuple[Rows, Callable[[], list[Labels]]]] | None:
        """The rows of a leaf, by id, in parts, with a way to their labels; None where it takes arrays."""
        if self._kernels is None or leaf.function not in KERNEL_FUNCTIONS or _reachable(leaf.grid) != (0, leaf.grid.n):
            return None
        return self._parts(self._kernels, leaf, context)

    def _parts(
        self, source: KernelLeaves, leaf: Leaf, context: Context
    ) -> Iterator[tuple[Rows, Callable[[], list[Labels]]]]:
        series = 0
        for part in source.parts(leaf, context):
            series += len(part.ids)
            context.check_size(series, 0)
            yield part, partial(self.labels, part.ids, leaf.selector, context)

    def samples(
        self, selector: Selector, after_ms: int, until_ms: int, context: Context, hints: bool = False
    ) -> Samples:
        """The raw samples in (after_ms, until_ms], without stale markers, one at each time.

        With `hints` native histograms have reset hints from comparing them with the ones before.
        """
        if not self.may_have_histograms(selector, context):
            return self._samples(self._floats(selector, after_ms, until_ms, context, stale=False), selector, context)
        found = self._both(selector, after_ms - REACH_MS * hints, until_ms, context)
        if hints:
            found = found.hinted(context.detects_resets)
        return self._samples(found.after(after_ms), selector, context)

    def everything(self, selector: Selector, after_ms: int, until_ms: int, context: Context) -> Samples:
        """The floats in (after_ms, until_ms], stale markers among them."""
        return self._samples(self._floats(selector, after_ms, until_ms, context, stale=True), selector, context)

    def of_metrics(self, metrics: Sequence[str], after_ms: int, until_ms: int, context: Context) -> Points:
        """The floats of all series of some metrics in (after_ms, until_ms], with stale markers."""
        parameters = Parameters()
        base = storable(after_ms)
        since = f"toUnixTimestamp64Milli(ts) - {parameters.add(base, 'Int64')}"
        sql = (
            "-- PromQL: samples of several metrics\n"
            f"SELECT series_id, groupArray({since}) AS times, groupArray(value) AS numbers\nFROM metric_samples\n"
            f"WHERE {of_metrics_sql(metrics, base, storable(until_ms), parameters)}\nGROUP BY series_id"
        )
        # such statements run side by side, and each reads little
        points, n = tidied(self._native(sql, parameters, context, {"max_threads": 1}), base, keep_stale=True)
        context.used_samples(n)
        context.check_samples(n)
        return points

    def counts(self, metrics: Sequence[str], after_ms: int, until_ms: int, context: Context) -> dict[str, int]:
        """How many floats some metrics have in (after_ms, until_ms]; those that have none are left out."""
        parameters = Parameters()
        where = of_metrics_sql(metrics, storable(after_ms), storable(until_ms), parameters)
        sql = (
            "-- PromQL: how many samples metrics have\nSELECT toString(metric) AS name, count() AS n\n"
            f"FROM metric_samples\nWHERE {where}\nGROUP BY metric"
        )
        rows = self._query(sql, parameters, context)
        return dict(zip(rows.column("name").to_pylist(), rows.column("n").to_pylist(), strict=True))

    def stored(self, selector: Selector, after_ms: int, until_ms: int, context: Context) -> Points:
        """The floats of a selector in (after_ms, until_ms], with stale markers, by series id."""
        return self._floats(selector, after_ms, until_ms, context, stale=True)

    def _vector(self, source: KernelLeaves, leaf: Leaf, context: Context) -> Vector:
        parts = []
        series = 0
        for part in source.parts(leaf, context):
            series += len(part.ids)
            context.check_size(series, leaf.grid.n)
            parts.append(part)
        labels = self.labels(np.concatenate([part.ids for part in parts]), leaf.selector, context)
        if len(parts) == 1:
            return Vector(labels, parts[0].values, parts[0].present)
        values, present = ([getattr(part, name) for part in parts] for name in ("values", "present"))
        return Vector(labels, np.concatenate(values), np.concatenate(present))

    def _aggregated(
        self, source: KernelLeaves, leaf: Leaf, op: str, grouping: Grouping, context: Context
    ) -> Vector | None:
        groups = Groups(op, leaf.grid.n)
        for part, labels in self._parts(source, leaf, context):
            if not len(part.ids):
                continue
            group, names = self._groups.of(part.ids, grouping, labels)
            groups.add(part, group, names)
            context.check_size(len(groups), leaf.grid.n)
        return groups.result()

    def _newest(self, leaf: Leaf, context: Context) -> Vector:
        """An instant leaf on arrays: floats and histograms of a series are one row of samples."""
        grid = leaf.grid
        reach_ms = leaf.window_ms + REACH_MS * context.adds_histograms
        found = self._both(leaf.selector, grid.start_ms - reach_ms, grid.end_ms, context)
        samples = self._samples(found, leaf.selector, context)
        context.check_size(len(samples), grid.n)
        times = leaf.function == INSTANT_TIME
        hints: Hints = "none" if not context.adds_histograms else "detected" if context.detects_resets else "stored"
        return newest(samples, grid, leaf.window_ms, times, hints)

    def _both(self, selector: Selector, after_ms: int, until_ms: int, context: Context) -> Points:
        """Floats and histograms in (after_ms, until_ms], stale markers among them."""
        floats = self._floats(selector, after_ms, until_ms, context, stale=True)
        after_ms, until_ms = storable(after_ms), storable(until_ms)
        if after_ms >= until_ms:
            return floats
        parameters = Parameters()
        sql = HISTOGRAMS_SQL.format(where=where_sql(selector, after_ms, until_ms, parameters))
        histograms = histogram_points(self._query(sql, parameters, context))
        context.used_samples(histograms.size())
        return floats.merged(histograms)

    def _floats(self, selector: Selector, after_ms: int, until_ms: int, context: Context, stale: bool) -> Points:
        after_ms, until_ms = storable(after_ms), storable(until_ms)
        if after_ms >= until_ms:
            return NO_POINTS
        if self._kernels is not None:
            return self._kernels.samples(selector, after_ms, until_ms, stale, context)
        parameters = Parameters()
        sql = (
            "-- PromQL: raw samples of a selector\n"
            "SELECT series_id, timeSeriesGroupArray(ts, value) AS points, count() AS samples\n"
            f"FROM metric_samples\nWHERE {where_sql(selector, after_ms, until_ms, parameters)}"
            f"{'' if stale else f' AND {NOT_STALE}'}\nGROUP BY series_id"
        )
        rows = self._query(sql, parameters, context)
        context.used_samples(_total(rows, "samples"))
        if not rows.num_rows:
            return NO_POINTS
        points = rows.column("points").combine_chunks()
        ts, values = (points.flatten().field(i) for i in (0, 1))
        offsets = points.offsets.to_numpy().astype(np.int64)
        ids = rows.column("series_id").to_numpy()
        return Points(ids, offsets - offsets[0], ts.cast(pa.int64()).to_numpy(), values.to_numpy())

    def _samples(self, points: Points, selector: Selector, context: Context) -> Samples:
        context.check_size(len(points.ids), 0)
        if not len(points.ids):
            return no_samples()
        labels = self.labels(points.ids, selector, context)
        return Samples(labels, points.offsets, points.ts_ms, points.values, points.histograms)

    def labels(self, ids: npt.NDArray[np.uint64], selector: Selector, context: Context) -> list[Labels]:
        """The label sets of series that a selector chose."""

        def read(some: list[int]) -> pa.Table:
            # of series there are samples of, not of all that ever were
            parameters = Parameters()
            wanted = parameters.add(some, "Array(UInt64)")
            sql = (
                "-- PromQL: labels of the selected series\n"
                "SELECT series_id, toString(any(metric)) AS name, any(labels) AS pairs\nFROM metric_series\n"
                f"WHERE {series_condition(selector, parameters)} AND series_id IN {wanted}\nGROUP BY series_id"
            )
            return self._query(sql, parameters, context)

        labels = self._catalog.labels(ids, read)
        if labels is None:
            raise QueryFailed("the store holds samples of a series it has no labels of")
        return labels

    def _native(self, sql: str, parameters: Parameters, context: Context, settings: Mapping[str, int]) -> bytes:
        wanted = {**context.settings(), **settings}
        with context.asking():
            return self._pool.raw_query(
                sql, parameters.values, fmt="Native", timeout_s=context.remaining_s(), settings=wanted
            )

    def _query(self, sql: str, parameters: Parameters, context: Context) -> pa.Table:
        with context.asking():
            return self._pool.query(
                sql, parameters.values, timeout_s=context.remaining_s(), settings=context.settings()
            )


def _trustworthy(leaf: Leaf, op: str, values: Floats, present: Bools, rows: pa.Table) -> bool:
    if (op == "avg" or leaf.function == "avg_over_time") and bool((np.isinf(values) & present).any()):
        return False
    if "doubted" in rows.column_names and bool(rows.column("doubted").to_numpy().any()):
        return False
    if not may_cancel(leaf, op):
        return True
    largest = rows.column("largest").to_numpy().astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        lost = largest[:, None] > _ILL_CONDITIONED * np.abs(values)
    return not bool((lost & present & np.isfinite(largest)[:, None]).any())


def _group_labels(rows: pa.Table, grouping: Grouping) -> list[Labels]:
    if not grouping.labels and not grouping.without:
        return [()]
    keys = rows.column("key").to_pylist()
    if grouping.without:
        return [labels_from(key) for key in keys]
    return [labels_from(zip(grouping.labels, key, strict=True)) for key in keys]


def _cells(rows: pa.Table, column: str) -> tuple[Floats, Bools]:
    """A column of arrays of one length as [rows, steps] values and their presence."""
    flat = rows.column(column).combine_chunks().flatten()
    shape = (rows.num_rows, -1)
    if not pa.types.is_floating(flat.type):
        return flat.to_numpy().astype(np.float64).reshape(shape), np.ones((rows.num_rows, 1), bool)
    # straight from the buffer: a conversion would turn what is absent into NaN, and may lose a NaN's payload
    values = np.frombuffer(flat.buffers()[1], np.float64)[flat.offset : flat.offset + len(flat)]
    return values.reshape(shape), flat.is_valid().to_numpy(zero_copy_only=False).reshape(shape)


def _reachable(grid: Grid) -> tuple[int, int]:
    """The steps, from the first to before the last, whose windows meet times the store can hold."""
    first = max(0, -((grid.start_ms - FIRST_MS) // grid.step_ms))
    last = min(grid.n, (LAST_MS - grid.start_ms) // grid.step_ms + 1)
    return (first, last) if first < last else (0, 0)


def _padded(vector: Vector, steps: int, first: int, last: int) -> Vector:
    if last - first == steps:
        return vector
    values = np.zeros((len(vector), steps))
    present = np.zeros((len(vector), steps), bool)
    values[:, first:last], present[:, first:last] = vector.values, vector.present
    return Vector(vector.labels, values, present)


def _total(rows: pa.Table, column: str) -> int:
    return int(rows.column(column).to_numpy().sum()) if rows.num_rows else 0
