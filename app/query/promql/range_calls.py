"""Range functions on arrays: samples, windows, and the function over them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from app.errors import BadQuery
from app.labels import Labels
from app.query.grid import Grid
from app.query.promql.ast import Call, Node, Range, Subquery
from app.query.promql.context import WINDOW_BYTES
from app.query.promql.functions import absent, check_factor, labels_of_absent
from app.query.promql.histogram import check_quantile
from app.query.promql.histograms.over_time import EDGES, HINTED, over_time, unhinted
from app.query.promql.leaf import reach_ms
from app.query.promql.range_functions import KEEPS_NAME, RANGE_FUNCTIONS
from app.query.promql.windows import cut
from app.query.result import Samples
from app.query.vector import Bools, Floats, Vector, unnamed

if TYPE_CHECKING:
    from app.query.promql.evaluator import Evaluator


def samples_of_vector(vector: Vector, grid: Grid) -> Samples:
    """What a vector has, as samples: absent steps have none."""
    counts = vector.present.sum(axis=1)
    times = np.broadcast_to(grid.times, vector.values.shape)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    histograms = None if vector.histograms is None else unhinted(vector.histograms[vector.present])
    return Samples(vector.labels, offsets, times[vector.present], vector.values[vector.present], histograms)


def _split(node: Call) -> tuple[Range | Subquery, list[Node]]:
    """(the range vector, the other arguments)."""
    for i, arg in enumerate(node.args):
        if isinstance(arg, Range | Subquery):
            return arg, [*node.args[:i], *node.args[i + 1 :]]
    raise BadQuery(f"{node.name} needs a range vector")


def call_range_function(evaluator: Evaluator, node: Call, grid: Grid) -> Vector:
    """A range function over raw samples or a subquery."""
    source, rest = _split(node)
    parameters = [evaluator.scalar(arg, grid) for arg in rest]
    _check(evaluator, node.name, parameters)
    hints = node.name in HINTED or (evaluator.context.adds_histograms and node.name in EDGES)
    samples, ends = evaluator.samples(source, grid, reach_ms(node.name), hints)
    evaluator.context.check_size(len(samples), ends.n, WINDOW_BYTES)
    # windows that stand still (@) are evaluated at every step only where parameters may move
    still = ends.n != grid.n
    times = np.repeat(ends.times, grid.n) if still and parameters else ends.times
    windows = cut(samples, times, source.range_ms, grid.times if len(times) == grid.n else None)
    shape = (len(samples), len(times))
    if node.name == "absent_over_time":
        found = absent(labels_of_absent(source), windows.some.reshape(shape))
        return found.broadcast(grid.n) if still else found
    evaluator.expect_counters(node.name, _with_floats(samples, windows.some.reshape(shape)))
    per_window = [np.tile(values, len(samples)) for values in parameters]
    if samples.histograms is None:
        values, present = RANGE_FUNCTIONS[node.name](windows, *per_window)
        vector = Vector(samples.labels, values.reshape(shape), present.reshape(shape))
    else:
        vector = over_time(evaluator.context, node.name, samples, windows, per_window)
    if shape[1] != grid.n:
        vector = vector.broadcast(grid.n)
    vector = vector.compact()
    return vector if node.name in KEEPS_NAME else unnamed(vector)


def _with_floats(samples: Samples, some: Bools) -> Iterator[Labels]:
    """The label sets of series that have a float in some window."""
    for i in np.flatnonzero(some.any(axis=1)).tolist():
        own = slice(int(samples.offsets[i]), int(samples.offsets[i + 1]))
        if samples.histograms is None or any(h is None for h in samples.histograms[own]):
            yield samples.labels[i]


def _check(evaluator: Evaluator, name: str, parameters: list[Floats]) -> None:
    if name == "quantile_over_time":
        check_quantile(parameters[0], evaluator.context)
    elif name == "double_exponential_smoothing":
        check_factor("smoothing", parameters[0])
        check_factor("trend", parameters[1])
