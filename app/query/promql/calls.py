"""Calls of functions that are no range functions: arguments evaluated, then the function on arrays."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from app.histogram import Histogram
from app.query.grid import Grid
from app.query.promql import functions
from app.query.promql.ast import Call, Node, Selector
from app.query.promql.histogram import check_quantile, histogram_fraction, histogram_quantile, histogram_quantiles
from app.query.promql.histograms import shape
from app.query.promql.info import info
from app.query.promql.label_functions import label_join, label_replace, sorted_by_labels
from app.query.promql.names import DATE_FUNCTIONS, MATH_FUNCTIONS
from app.query.promql.places import place_of
from app.query.vector import Floats, Vector, unnamed

if TYPE_CHECKING:
    from app.query.promql.evaluator import Evaluator

CallFunction = Callable[["Evaluator", Call, Grid], Vector | Floats]


def _of_scalar(values: Floats) -> Vector:
    return Vector([()], values[None, :], np.ones((1, len(values)), bool))


def _seconds(grid: Grid) -> Floats:
    return grid.times / 1000


def _math(e: Evaluator, node: Call, grid: Grid) -> Vector:
    vector = e.floats(node.args[0], grid)
    return unnamed(Vector(vector.labels, functions.MATH[node.name](vector.values), vector.present))


def _date(e: Evaluator, node: Call, grid: Grid) -> Vector:
    vector = e.floats(node.args[0], grid) if node.args else _of_scalar(_seconds(grid))
    return functions.dates(node.name, vector)


def _absent(e: Evaluator, node: Call, grid: Grid) -> Vector:
    return functions.absent(functions.labels_of_absent(node.args[0]), e.vector(node.args[0], grid).present)


def _clamp(e: Evaluator, node: Call, grid: Grid) -> Vector:
    low, high = (e.scalar(arg, grid) for arg in node.args[1:])
    return functions.clamp(e.floats(node.args[0], grid), low, high)


def _clamp_min(e: Evaluator, node: Call, grid: Grid) -> Vector:
    return functions.clamp(e.floats(node.args[0], grid), e.scalar(node.args[1], grid), None)


def _clamp_max(e: Evaluator, node: Call, grid: Grid) -> Vector:
    return functions.clamp(e.floats(node.args[0], grid), None, e.scalar(node.args[1], grid))


def _round(e: Evaluator, node: Call, grid: Grid) -> Vector:
    nearest = e.scalar(node.args[1], grid) if len(node.args) > 1 else np.ones(grid.n)
    return functions.round_to(e.floats(node.args[0], grid), nearest)


def _label_replace(e: Evaluator, node: Call, grid: Grid) -> Vector:
    target, replacement, source, pattern = (e.text(arg) for arg in node.args[1:])
    return label_replace(e.vector(node.args[0], grid), target, replacement, source, pattern)


def _label_join(e: Evaluator, node: Call, grid: Grid) -> Vector:
    target, separator, *sources = (e.text(arg) for arg in node.args[1:])
    return label_join(e.vector(node.args[0], grid), target, separator, tuple(sources))


def _whole(e: Evaluator, node: Node, grid: Grid) -> Vector:
    with e.context.reading(whole=True):
        return e.vector(node, grid)


def _histogram_quantile(e: Evaluator, node: Call, grid: Grid) -> Vector:
    q = e.scalar(node.args[0], grid)
    with e.context.at(place_of(node.args[0])):
        check_quantile(q, e.context)
    return histogram_quantile(q, _whole(e, node.args[1], grid), e.context)


def _histogram_fraction(e: Evaluator, node: Call, grid: Grid) -> Vector:
    low, high = (e.scalar(arg, grid) for arg in node.args[:2])
    return histogram_fraction(low, high, _whole(e, node.args[2], grid), e.context)


def _histogram_quantiles(e: Evaluator, node: Call, grid: Grid) -> Vector:
    vector, label = _whole(e, node.args[0], grid), e.text(node.args[1])
    asked = [e.scalar(arg, grid) for arg in node.args[2:]]
    for arg, q in zip(node.args[2:], asked, strict=True):
        with e.context.at(place_of(arg)):
            check_quantile(q, e.context)
    return histogram_quantiles(vector, label, asked, e.context)


def _of_histograms(of_one: Callable[[Histogram], float]) -> CallFunction:
    buckets_matter = of_one in (shape.deviation, shape.variance)

    def function(e: Evaluator, node: Call, grid: Grid) -> Vector:
        with contextlib.nullcontext() if buckets_matter else e.context.reading(whole=False):
            vector = e.vector(node.args[0], grid)
        values = np.zeros(vector.values.shape)
        for row, step, h in e.context.make_histograms(list(vector.cells())):
            values[row, step] = of_one(h)
        return unnamed(Vector(vector.labels, values, vector.native).compact())

    return function


def _sort(descending: bool) -> CallFunction:
    return lambda e, node, grid: functions.sorted_by_value(e.floats(node.args[0], grid), descending)


def _sort_by_label(descending: bool) -> CallFunction:
    def function(e: Evaluator, node: Call, grid: Grid) -> Vector:
        names = tuple(e.text(arg) for arg in node.args[1:])
        return sorted_by_labels(e.vector(node.args[0], grid), names, descending)

    return function


def _edge(name: str) -> CallFunction:
    def function(e: Evaluator, node: Call, grid: Grid) -> Floats:
        start, end, step = e.context.start_ms, e.context.end_ms, e.context.step_ms
        return np.full(grid.n, {"start": start, "end": end, "step": step, "range": end - start}[name] / 1000)

    return function


def _pick_of(pick: Callable[[Floats, Floats], Floats]) -> CallFunction:
    return lambda e, node, grid: pick(e.scalar(node.args[0], grid), e.scalar(node.args[1], grid))


def _timestamp(e: Evaluator, node: Call, grid: Grid) -> Vector:
    arg = node.args[0]
    if isinstance(arg, Selector):
        times = e.sample_times(arg, grid)
        return unnamed(Vector(times.labels, times.values, times.present))
    vector = e.vector(arg, grid)
    return unnamed(Vector(vector.labels, np.broadcast_to(_seconds(grid), vector.values.shape), vector.present))


CALLS: Mapping[str, CallFunction] = {
    **dict.fromkeys(MATH_FUNCTIONS, _math),
    **dict.fromkeys(DATE_FUNCTIONS, _date),
    "absent": _absent,
    "clamp": _clamp,
    "clamp_max": _clamp_max,
    "clamp_min": _clamp_min,
    "end": _edge("end"),
    "histogram_avg": _of_histograms(shape.average),
    "histogram_count": _of_histograms(shape.count_of),
    "histogram_fraction": _histogram_fraction,
    "histogram_quantile": _histogram_quantile,
    "histogram_quantiles": _histogram_quantiles,
    "histogram_stddev": _of_histograms(shape.deviation),
    "histogram_stdvar": _of_histograms(shape.variance),
    "histogram_sum": _of_histograms(shape.sum_of),
    "info": info,
    "label_join": _label_join,
    "label_replace": _label_replace,
    "max_of": _pick_of(np.maximum),
    "min_of": _pick_of(np.minimum),
    "pi": lambda e, node, grid: np.full(grid.n, np.pi),
    "range": _edge("range"),
    "round": _round,
    "scalar": lambda e, node, grid: functions.scalar_of(e.floats(node.args[0], grid)),
    "sort": _sort(descending=False),
    "sort_by_label": _sort_by_label(descending=False),
    "sort_by_label_desc": _sort_by_label(descending=True),
    "sort_desc": _sort(descending=True),
    "start": _edge("start"),
    "step": _edge("step"),
    "time": lambda e, node, grid: _seconds(grid),
    "timestamp": _timestamp,
    "vector": lambda e, node, grid: _of_scalar(e.scalar(node.args[0], grid)),
}
