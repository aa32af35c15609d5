"""Series × steps arrays with a presence mask: what PromQL and LogQL evaluate on.

Absent is not NaN: where `present` is false, the value means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.errors import QueryFailed
from app.labels import METRIC_NAME, Labels

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Vector:
    """An instant vector at every step. `values` and `present` are [series, steps]; they may be read-only views."""

    labels: list[Labels]
    values: Floats
    present: Bools

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return int(self.values.shape[1])

    def take(self, rows: Sequence[int] | npt.NDArray[np.intp]) -> Vector:
        """Some of the series, in the order given."""
        index = np.asarray(rows, dtype=np.intp)
        return Vector([self.labels[i] for i in index.tolist()], self.values[index], self.present[index])

    def compact(self) -> Vector:
        """Without the series that are present at no step."""
        some = self.present.any(axis=1)
        return self if bool(some.all()) else self.take(np.flatnonzero(some))

    def broadcast(self, steps: int) -> Vector:
        """The one step there is, repeated."""
        shape = (len(self), steps)
        return Vector(self.labels, np.broadcast_to(self.values, shape), np.broadcast_to(self.present, shape))


def empty(steps: int) -> Vector:
    """A vector without series."""
    return Vector([], np.empty((0, steps)), np.empty((0, steps), bool))


def without_name(labels: Labels) -> Labels:
    """A label set without the metric's name."""
    return tuple(pair for pair in labels if pair[0] != METRIC_NAME)


def unnamed(vector: Vector) -> Vector:
    """The vector without metric names; raises where two series become one at a step."""
    return merged(Vector([without_name(labels) for labels in vector.labels], vector.values, vector.present))


def merged(vector: Vector, message: str = "vector cannot contain metrics with the same labelset") -> Vector:
    """One series for each label set. Series of one label set must not be present at the same step: QueryFailed."""
    if len(set(vector.labels)) == len(vector.labels):
        return vector
    rows: dict[Labels, list[int]] = {}
    for i, labels in enumerate(vector.labels):
        rows.setdefault(labels, []).append(i)
    values = np.empty((len(rows), vector.steps))
    present = np.zeros((len(rows), vector.steps), bool)
    for out, members in enumerate(rows.values()):
        for i in members:
            here = vector.present[i]
            if bool((present[out] & here).any()):
                raise QueryFailed(message)
            values[out, here] = vector.values[i, here]
            present[out] |= here
    return Vector(list(rows), values, present)
