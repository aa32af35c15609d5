"""Series × steps arrays with a presence mask: what PromQL and LogQL evaluate on.

Absent is not NaN: where `present` is false, the value means nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.errors import QueryFailed
from app.histogram import Histogram
from app.labels import METRIC_NAME, Labels

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Histograms = npt.NDArray[np.object_]
"""Histogram or None in each cell."""


@dataclass(frozen=True, slots=True)
class Vector:
    """An instant vector at every step. `values` and `present` are [series, steps]; they may be read-only views.

    A present cell is a native histogram where `histograms` (of the same shape) has one, and its value then means
    nothing. `histograms` is None where all cells are floats.
    """

    labels: list[Labels]
    values: Floats
    present: Bools
    histograms: Histograms | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return int(self.values.shape[1])

    @property
    def native(self) -> Bools:
        """Which present cells are histograms."""
        return np.zeros_like(self.present) if self.histograms is None else self.present & is_histogram(self.histograms)

    def cells(self) -> Iterator[tuple[int, int, Histogram]]:
        """(series, step, histogram) of every cell that is one."""
        if self.histograms is not None:
            for row, step in zip(*np.nonzero(self.native), strict=True):
                yield int(row), int(step), self.histograms[row, step]

    def floats(self) -> Vector:
        """Without the histograms."""
        if self.histograms is None:
            return self
        return Vector(self.labels, self.values, self.present & ~self.native).compact()

    def take(self, rows: Sequence[int] | npt.NDArray[np.intp]) -> Vector:
        """Some of the series, in the order given."""
        index = np.asarray(rows, dtype=np.intp)
        histograms = None if self.histograms is None else self.histograms[index]
        return Vector([self.labels[i] for i in index.tolist()], self.values[index], self.present[index], histograms)

    def relabelled(self, labels: list[Labels]) -> Vector:
        """The same cells, each series under other labels."""
        return Vector(labels, self.values, self.present, self.histograms)

    def where(self, present: Bools) -> Vector:
        """The same cells where `present` says so."""
        return Vector(self.labels, self.values, present, self.histograms)

    def compact(self) -> Vector:
        """Without the series that are present at no step."""
        some = self.present.any(axis=1)
        return self if bool(some.all()) else self.take(np.flatnonzero(some))

    def broadcast(self, steps: int) -> Vector:
        """The one step there is, repeated."""
        shape = (len(self), steps)
        histograms = None if self.histograms is None else np.broadcast_to(self.histograms, shape)
        return Vector(
            self.labels, np.broadcast_to(self.values, shape), np.broadcast_to(self.present, shape), histograms
        )


def is_histogram(histograms: Histograms) -> Bools:
    """Which cells have one."""
    found: Bools = histograms != None  # noqa: E711
    return found


def no_histograms(shape: tuple[int, ...]) -> Histograms:
    """Cells without histograms, to be filled."""
    return np.full(shape, None, object)


def stacked(vectors: Sequence[Vector]) -> Vector:
    """The series of vectors of the same steps, one after another."""
    histograms: Histograms | None = None
    if any(v.histograms is not None for v in vectors):
        histograms = np.concatenate(
            [no_histograms(v.values.shape) if v.histograms is None else v.histograms for v in vectors]
        )
    return Vector(
        [labels for v in vectors for labels in v.labels],
        np.concatenate([v.values for v in vectors]),
        np.concatenate([v.present for v in vectors]),
        histograms,
    )


def empty(steps: int) -> Vector:
    """A vector without series."""
    return Vector([], np.empty((0, steps)), np.empty((0, steps), bool))


def without_name(labels: Labels) -> Labels:
    """A label set without the metric's name."""
    return tuple(pair for pair in labels if pair[0] != METRIC_NAME)


def unnamed(vector: Vector) -> Vector:
    """The vector without metric names; raises where two series become one at a step."""
    return merged(vector.relabelled([without_name(labels) for labels in vector.labels]))


def merged(vector: Vector, message: str = "vector cannot contain metrics with the same labelset") -> Vector:
    """One series for each label set. Series of one label set must not be present at the same step: QueryFailed."""
    if len(set(vector.labels)) == len(vector.labels):
        return vector
    rows: dict[Labels, list[int]] = {}
    for i, labels in enumerate(vector.labels):
        rows.setdefault(labels, []).append(i)
    values = np.empty((len(rows), vector.steps))
    present = np.zeros((len(rows), vector.steps), bool)
    histograms = None if vector.histograms is None else no_histograms(values.shape)
    for out, members in enumerate(rows.values()):
        for i in members:
            here = vector.present[i]
            if bool((present[out] & here).any()):
                raise QueryFailed(message)
            values[out, here] = vector.values[i, here]
            if histograms is not None and vector.histograms is not None:
                histograms[out, here] = vector.histograms[i, here]
            present[out] |= here
    return Vector(list(rows), values, present, histograms)
