"""Aggregations over the series of a vector, at every step at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from app.errors import BadQuery, QueryFailed
from app.labels import METRIC_NAME, Labels, labels_from
from app.query.promql import kahan, kernels
from app.query.promql.ast import Grouping
from app.query.promql.format import format_value
from app.query.promql.quantiles import quantile_of_rows
from app.query.vector import Bools, Floats, Vector, empty

Index = npt.NDArray[np.intp]


def group_key(labels: Labels, grouping: Grouping) -> Labels:
    """The labels of the group a series belongs to."""
    if grouping.without:
        return tuple(p for p in labels if p[0] != METRIC_NAME and p[0] not in grouping.labels)
    return tuple(p for p in labels if p[0] in grouping.labels)


def grouped(labels: Sequence[Labels], grouping: Grouping) -> tuple[list[Labels], Index, Index]:
    """(group labels, rows ordered by group, where each group begins among them)."""
    numbers: dict[Labels, int] = {}
    of_row = [numbers.setdefault(group_key(row, grouping), len(numbers)) for row in labels]
    groups = np.array(of_row, np.intp)
    order = np.argsort(groups, kind="stable")
    return list(numbers), order, np.searchsorted(groups[order], np.arange(len(numbers)))


def aggregate(op: str, vector: Vector, grouping: Grouping) -> Vector:
    """sum, avg, min, max, count, group, stddev or stdvar."""
    if not len(vector):
        return empty(vector.steps)
    names, order, starts = grouped(vector.labels, grouping)
    values, present = vector.values[order], vector.present[order]
    counts = np.add.reduceat(present, starts, axis=0, dtype=np.int64)
    return Vector(names, SIMPLE[op](values, present, counts, starts), counts > 0).compact()


def _sum(values: Floats, present: Bools, counts: Index, starts: Index) -> Floats:
    return kahan.group_sums(np.where(present, values, 0.0), starts)


def _avg(values: Floats, present: Bools, counts: Index, starts: Index) -> Floats:
    mean = _sum(values, present, counts, starts) / np.maximum(counts, 1)
    ends = np.append(starts[1:], len(values))
    for group, step in zip(*np.nonzero(np.isinf(mean)), strict=True):
        rows = slice(starts[group], ends[group])
        members = values[rows, step][present[rows, step]]
        mean[group, step] = kernels.mean_of(members, 0, len(members))
    return mean


def _min(values: Floats, present: Bools, counts: Index, starts: Index) -> Floats:
    return np.fmin.reduceat(np.where(present, values, np.nan), starts, axis=0)


def _max(values: Floats, present: Bools, counts: Index, starts: Index) -> Floats:
    return np.fmax.reduceat(np.where(present, values, np.nan), starts, axis=0)


def _variance(values: Floats, present: Bools, counts: Index, starts: Index) -> Floats:
    of_row = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(values))))
    # counted from one of the values: equal values have no variance at all, whatever their mean rounds to
    some = np.maximum.reduceat(np.where(present, np.arange(len(values))[:, None], -1), starts, axis=0)
    around = np.take_along_axis(values, np.maximum(some, 0), axis=0)
    shifted = values - around[of_row]
    mean = _avg(shifted, present, counts, starts)
    squares = np.where(present, (shifted - mean[of_row]) ** 2, 0.0)
    return kahan.group_sums(squares, starts) / np.maximum(counts, 1)


SIMPLE: Mapping[str, Callable[[Floats, Bools, Index, Index], Floats]] = {
    "sum": _sum,
    "avg": _avg,
    "min": _min,
    "max": _max,
    "count": lambda values, present, counts, starts: counts.astype(np.float64),
    "group": lambda values, present, counts, starts: np.ones(counts.shape),
    "stdvar": _variance,
    "stddev": lambda *args: np.sqrt(_variance(*args)),
}


def quantile(vector: Vector, grouping: Grouping, q: Floats) -> Vector:
    """The q-th quantile of each group; `q` has a value for each step."""
    if not len(vector):
        return empty(vector.steps)
    names, order, starts = grouped(vector.labels, grouping)
    ends = np.append(starts[1:], len(order))
    values = np.empty((len(names), vector.steps))
    present = np.empty((len(names), vector.steps), bool)
    for group, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        rows = order[start:end]
        real = vector.present[rows].T
        values[group] = quantile_of_rows(vector.values[rows].T, real, q)
        present[group] = real.any(axis=1)
    return Vector(names, values, present).compact()


def choose(op: str, vector: Vector, grouping: Grouping, k: Floats) -> Vector:
    """topk, bottomk or limitk: the series themselves, where they are among the k chosen of their group.

    With one step, topk and bottomk order the answer by value within each group.
    """
    sizes = _sizes(k, len(vector))
    if not len(vector):
        return vector
    # the store gives series in any order, and of equal values the same ones must be chosen each time
    vector = vector.take(sorted(range(len(vector)), key=vector.labels.__getitem__))
    _, order, starts = grouped(vector.labels, grouping)
    chosen = np.zeros_like(vector.present)
    ranked: list[int] = []
    for start, end in zip(starts.tolist(), np.append(starts[1:], len(order)).tolist(), strict=True):
        rows = order[start:end]
        values, present = vector.values[rows], vector.present[rows]
        place = _places(op, values, present)
        chosen[rows] = present & (place < sizes[None, :])
        ranked += rows[np.argsort(place[:, 0], kind="stable")].tolist()
    result = vector.where(chosen)
    return (result.take(ranked) if vector.steps == 1 and op != "limitk" else result).compact()


def _places(op: str, values: Floats, present: Bools) -> Index:
    """At which place each series stands at each step; what is absent stands behind everything, NaN behind numbers."""
    if op == "limitk":
        return np.cumsum(present, axis=0) - 1
    keys = np.where(np.isnan(values), np.inf, -values if op == "topk" else values)
    # the last key counts most: present first, then numbers, then the value; equals keep their order
    order = np.lexsort((keys, np.isnan(values), ~present), axis=0)
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(len(values))[:, None], axis=0)
    return places


def _sizes(k: Floats, bound: int) -> npt.NDArray[np.int64]:
    bad = ~(np.abs(k) < 2.0**63)
    if bad.any():
        value = k[bad][0]
        if np.isnan(value):
            raise QueryFailed("Parameter value is NaN")
        word = "overflows" if value > 0 else "underflows"
        raise QueryFailed(f"Scalar value {format_value(float(value))} {word} int64")
    return np.clip(k, 0, bound).astype(np.int64)


def count_keys(vector: Vector, grouping: Grouping, label: str) -> list[dict[str, str]]:
    """The group of each series for `count_values`, before the value's label. Raises BadQuery."""
    if not label or not label.isprintable():
        raise BadQuery(f"invalid label name {label!r} in count_values")
    rest = grouping.labels if grouping.without else tuple(n for n in grouping.labels if n != label)
    return [dict(group_key(labels, Grouping(rest, grouping.without))) for labels in vector.labels]


def count_values(vector: Vector, grouping: Grouping, label: str) -> Vector:
    """How many series of each group have each value; the value becomes a label."""
    keys = count_keys(vector, grouping, label)
    counts: dict[Labels, npt.NDArray[np.int64]] = {}
    for row, key in enumerate(keys):
        here = vector.present[row]
        # by bits, so that NaN equals itself
        bits, inverse = np.unique(vector.values[row][here].view(np.uint64), return_inverse=True)
        steps = np.flatnonzero(here)
        for i, value in enumerate(bits.view(np.float64).tolist()):
            labels = labels_from({**key, label: format_value(value)})
            total = counts.setdefault(labels, np.zeros(vector.steps, np.int64))
            total[steps[inverse == i]] += 1
    if not counts:
        return empty(vector.steps)
    table = np.array(list(counts.values()))
    return Vector(list(counts), table.astype(np.float64), table > 0)
