"""Steps of earlier range queries, for those that come again with a later end: a dashboard that refreshes itself.

A step is used again only while it is certain that no sample it depends on was written since it was worked out. That is
known of a store whose every insert goes through this process; late samples take back the steps they reach.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.labels import Labels
from app.query.grid import Grid
from app.query.promql.context import HISTOGRAM_BYTES
from app.query.promql.locality import Reach
from app.query.vector import Vector, no_histograms

_NEVER_MS = 2**62
_LABELS_BYTES = 300
"""About what the labels of a series take."""
_LARGEST_SHARE = 4
"""One answer may take this part of the memory; a larger one would push out everything else."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What makes two range queries the same but for their times: text, step, where the steps lie, and look-back."""

    text: str
    step_ms: int
    phase_ms: int
    lookback_ms: int


@dataclass(slots=True, eq=False)
class _Kept:
    """An answer, or one being worked out; samples from `changed_ms` on were written since that began."""

    reach: Reach
    changed_ms: int = _NEVER_MS
    first_ms: int = 0
    vector: Vector | None = None
    size: int = 0

    def changed(self, from_ms: int) -> None:
        self.changed_ms = min(self.changed_ms, from_ms)


class StepCache:
    """Remembers answers within `max_bytes`, those asked for last. A `WriteListener`; safe to use from many threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[Asked, _Kept] = OrderedDict()
        self._by_metric: dict[str | None, set[_Kept]] = {}
        self._bytes = 0

    def vector(self, asked: Asked, reach: Reach, grid: Grid, evaluate: Callable[[Grid], tuple[Vector, bool]]) -> Vector:
        """The answer on a grid; `evaluate` is asked for the steps that are not known.

        It says of them whether they may be kept. Raises as `evaluate` does.
        """
        fresh = _Kept(reach)
        with self._lock:
            # watched from before anything is read, and from the moment on at which known steps are found true
            self._watch(fresh)
            known = self._kept.get(asked)
            begun = None if known is None else _true_steps(known, grid)
            if begun is not None:
                self._kept.move_to_end(asked)
        try:
            if begun is not None and begun.steps == grid.n:
                return begun
            vector, lasting = evaluate(grid if begun is None else grid.part(begun.steps, grid.n))
            if begun is not None:
                vector = _joined(begun, vector)
            if lasting:
                self._keep(asked, fresh, grid, vector)
            return vector
        finally:
            with self._lock:
                if fresh.vector is None:
                    self._forget(fresh)

    def written(self, names: Sequence[str], codes: npt.NDArray[np.integer], ts_ms: npt.NDArray[np.int64]) -> None:
        """Takes back the steps that depend on these samples."""
        if not self._by_metric or not len(ts_ms):
            return
        earliest = np.full(len(names), _NEVER_MS)
        np.minimum.at(earliest, codes, ts_ms)
        with self._lock:
            for kept in self._by_metric.get(None, ()):
                kept.changed(int(earliest.min()))
            for code in np.flatnonzero(earliest < _NEVER_MS).tolist():
                for kept in self._by_metric.get(names[code], ()):
                    kept.changed(int(earliest[code]))

    def anything_written(self) -> None:
        """Takes back everything."""
        with self._lock:
            for some in self._by_metric.values():
                for kept in some:
                    kept.changed(-_NEVER_MS)

    def _keep(self, asked: Asked, fresh: _Kept, grid: Grid, vector: Vector) -> None:
        size = _size(vector)
        if size > self._max_bytes // _LARGEST_SHARE:
            return
        vector = _frozen(vector)
        with self._lock:
            if asked in self._kept:
                self._drop(asked)
            fresh.first_ms, fresh.vector, fresh.size = grid.start_ms, vector, size
            self._kept[asked] = fresh
            self._bytes += size
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._kept)))

    def _drop(self, asked: Asked) -> None:
        gone = self._kept.pop(asked)
        self._bytes -= gone.size
        self._forget(gone)

    def _watch(self, kept: _Kept) -> None:
        for name in kept.reach.metrics if kept.reach.metrics is not None else (None,):
            self._by_metric.setdefault(name, set()).add(kept)

    def _forget(self, kept: _Kept) -> None:
        for name in kept.reach.metrics if kept.reach.metrics is not None else (None,):
            some = self._by_metric.get(name, set())
            some.discard(kept)
            if not some:
                self._by_metric.pop(name, None)


def _true_steps(kept: _Kept, grid: Grid) -> Vector | None:
    """The steps a grid begins with that are known and still true; None when there are none."""
    if kept.vector is None or grid.start_ms < kept.first_ms:
        return None
    first = (grid.start_ms - kept.first_ms) // grid.step_ms
    # a step is true as long as all samples written since are after what it reads
    true_ms = kept.changed_ms - kept.reach.ahead_ms - 1
    last = min(kept.vector.steps, (true_ms - kept.first_ms) // grid.step_ms + 1, first + grid.n)
    return _steps(kept.vector, first, last) if first < last else None


def _size(vector: Vector) -> int:
    size = vector.values.nbytes + vector.present.nbytes + _LABELS_BYTES * len(vector)
    if vector.histograms is not None:
        size += vector.histograms.nbytes + HISTOGRAM_BYTES * int(vector.native.sum())
    return size


def _frozen(vector: Vector) -> Vector:
    """The vector with arrays of its own size: a view would hold a larger one."""
    values, present = np.ascontiguousarray(vector.values), np.ascontiguousarray(vector.present)
    values.flags.writeable = present.flags.writeable = False
    return Vector(vector.labels, values, present, vector.histograms)


def _steps(vector: Vector, first: int, last: int) -> Vector:
    part = slice(first, last)
    histograms = None if vector.histograms is None else vector.histograms[:, part]
    return Vector(vector.labels, vector.values[:, part], vector.present[:, part], histograms).compact()


def _joined(earlier: Vector, later: Vector) -> Vector:
    """The steps of one vector, then those of another."""
    if earlier.labels == later.labels and earlier.histograms is None and later.histograms is None:
        return Vector(
            earlier.labels, np.hstack((earlier.values, later.values)), np.hstack((earlier.present, later.present))
        )
    rows: dict[Labels, int] = {}
    places = [np.array([rows.setdefault(s, len(rows)) for s in v.labels], np.intp) for v in (earlier, later)]
    shape = (len(rows), earlier.steps + later.steps)
    values, present = np.zeros(shape), np.zeros(shape, bool)
    native = earlier.histograms is not None or later.histograms is not None
    histograms = no_histograms(shape) if native else None
    columns = slice(0, earlier.steps), slice(earlier.steps, None)
    for vector, row, column in zip((earlier, later), places, columns, strict=True):
        values[row, column], present[row, column] = vector.values, vector.present
        if histograms is not None and vector.histograms is not None:
            histograms[row, column] = vector.histograms
    return Vector(list(rows), values, present, histograms)
