"""Aggregations where there are native histograms among the series (promql/engine.go, aggregation)."""

from __future__ import annotations

import numpy as np

from app.labels import Labels, labels_from
from app.query.promql.aggregate import SIMPLE, aggregate, count_keys, count_values, grouped
from app.query.promql.ast import Grouping
from app.query.promql.context import Context
from app.query.promql.histograms import notes
from app.query.promql.histograms.layout import compact
from app.query.promql.histograms.text import text_of
from app.query.promql.histograms.totals import Incompatible, counter_collision, mean, total
from app.query.vector import Floats, Vector, empty, no_histograms, stacked

_TOTALS = {"sum": total, "avg": mean}


def aggregate_histograms(op: str, vector: Vector, grouping: Grouping, context: Context) -> Vector:
    """sum and avg of histograms; count and group of both; min, max, stddev and stdvar of the floats alone."""
    if op in _TOTALS:
        return _totals(op, vector, grouping, context)
    if op not in ("count", "group"):
        vector = without_histograms(op, vector, context)
    return aggregate(op, vector, grouping)


def count_values_of_both(vector: Vector, grouping: Grouping, label: str) -> Vector:
    """A histogram's value is its text."""
    keys = count_keys(vector, grouping, label)
    counts: dict[Labels, Floats] = {}
    for row, step, h in vector.cells():
        labels = labels_from({**keys[row], label: text_of(h)})
        counts.setdefault(labels, np.zeros(vector.steps))[step] += 1
    floats = count_values(vector.floats(), grouping, label)
    if not counts:
        return floats
    table = np.array(list(counts.values()))
    return stacked([floats, Vector(list(counts), table, table > 0)])


def without_histograms(op: str, vector: Vector, context: Context) -> Vector:
    """The floats; that there were histograms is told."""
    if bool(vector.native.any()):
        notes.ignored_in_aggregation(context, op)
    return vector.floats()


def _totals(op: str, vector: Vector, grouping: Grouping, context: Context) -> Vector:
    if not len(vector):
        return empty(vector.steps)
    # the store gives series in any order, and the last digits of a sum depend on it
    vector = vector.take(sorted(range(len(vector)), key=vector.labels.__getitem__))
    names, order, starts = grouped(vector.labels, grouping)
    vector = vector.take(order)
    native = vector.native
    floats = vector.present & ~native
    counts = np.add.reduceat(floats, starts, axis=0, dtype=np.int64)
    values, present = SIMPLE[op](vector.values, floats, counts, starts), counts > 0
    histograms = no_histograms(values.shape)
    some = np.logical_or.reduceat(native, starts, axis=0)
    if bool((some & present).any()):
        notes.mixed_in_aggregation(context)
        present, some = present & ~some, some & ~present
    assert vector.histograms is not None
    ends = np.append(starts[1:], len(order))
    for group, step in context.make_histograms(np.argwhere(some).tolist()):
        rows = slice(int(starts[group]), int(ends[group]))
        there = native[rows, step]
        items = vector.histograms[rows, step][there].tolist()
        try:
            result = _TOTALS[op](items)
        except Incompatible as error:
            notes.mixed_schemas(context, vector.labels[rows.start + int(np.flatnonzero(there)[error.at])])
            continue
        if counter_collision(items):
            notes.collided(context, "aggregation")
        notes.of_sum(context, result, "aggregation", collisions=False)
        histograms[group, step], present[group, step] = compact(result.histogram()), True
    return Vector(names, values, present, histograms).compact()
