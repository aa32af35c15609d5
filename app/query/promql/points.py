"""Raw samples of series as the store gives them: floats and native histograms brought together by time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.histogram import Buckets, Histogram
from app.query.grid import Grid
from app.query.promql.histograms.hints import hinted
from app.query.promql.windows import cut
from app.query.result import Samples
from app.query.vector import Bools, Floats, Histograms, Ints, Vector, is_histogram, no_histograms
from app.store.histograms import HINTS
from app.store.metrics import STALE_NAN_BITS

HISTOGRAMS_SQL = (
    "-- PromQL: native histograms of a selector\n"
    "SELECT series_id, toUnixTimestamp64Milli(ts) AS ms, toInt8(schema) AS schema, toInt8(hint) AS hint, count, sum,"
    " zero_threshold, zero_count, positive_index, positive_count, negative_index, negative_count, custom_values\n"
    "FROM metric_histograms\nWHERE {where}\nORDER BY series_id, ms, count"
)
Hints = Literal["none", "stored", "detected"]
"""None but the senders'; those Prometheus's storage tells; and with resets where they are seen."""
_BUCKETS_OF_A_SAMPLE = 2
"""A float sample is 16 bytes; so many buckets count as one in the limit on samples."""


@dataclass(frozen=True, slots=True)
class Points:
    """Samples of series one after another, as in Samples, but by series id; a histogram's value is its sum."""

    ids: npt.NDArray[np.uint64]
    offsets: Ints
    ts_ms: Ints
    values: Floats
    histograms: Histograms | None = None

    def size(self) -> int:
        """How many samples this counts as, by memory."""
        size = len(self.ts_ms)
        if self.histograms is not None:
            size += sum(len(h.positive.index) + len(h.negative.index) for h in self.histograms) // _BUCKETS_OF_A_SAMPLE
        return size

    def merged(self, other: Points) -> Points:
        """The samples of both; of two at one time the other's counts."""
        if not len(other.ids):
            return self
        sources = (self, other)
        ids = np.concatenate([np.repeat(p.ids, np.diff(p.offsets)) for p in sources])
        ts_ms = np.concatenate([p.ts_ms for p in sources])
        values = np.concatenate([p.values for p in sources])
        histograms = np.concatenate(
            [no_histograms(p.ts_ms.shape) if p.histograms is None else p.histograms for p in sources]
        )
        order = np.lexsort((ts_ms, ids))
        ids, ts_ms = ids[order], ts_ms[order]
        # the sort keeps the order of equals, so that the last of them is the other's
        kept = np.append((ids[1:] != ids[:-1]) | (ts_ms[1:] != ts_ms[:-1]), True)
        unique, starts = np.unique(ids[kept], return_index=True)
        offsets = np.append(starts, int(kept.sum())).astype(np.int64)
        return Points(unique, offsets, ts_ms[kept], values[order][kept], histograms[order][kept])

    def hinted(self, detect: bool) -> Points:
        """With reset hints from comparing each histogram with the one before (`histograms.hints`)."""
        if self.histograms is None:
            return self
        every = np.arange(len(self.ts_ms))
        found = hinted(self.histograms, self.offsets, self._stale(), every, detect)
        return Points(self.ids, self.offsets, self.ts_ms, self.values, found)

    def after(self, ms: int) -> Points:
        """Those later than a time, without stale markers and without series that have none left."""
        kept = (self.ts_ms > ms) & ~self._stale()
        ends = np.concatenate(([0], np.cumsum(kept)))[self.offsets]
        some = np.append(np.diff(ends) > 0, True)
        histograms = None if self.histograms is None else self.histograms[kept]
        return Points(self.ids[some[:-1]], ends[some], self.ts_ms[kept], self.values[kept], histograms)

    def _stale(self) -> Bools:
        return np.asarray(self.values.view(np.uint64) == STALE_NAN_BITS)


NO_POINTS = Points(np.empty(0, np.uint64), np.zeros(1, np.int64), np.empty(0, np.int64), np.empty(0))


def histogram_points(rows: pa.Table) -> Points:
    """The rows of HISTOGRAMS_SQL, stale markers among them."""
    if not rows.num_rows:
        return NO_POINTS
    sums = _floats(rows, "sum")
    items = _histograms(rows, sums)
    ids, ts_ms = rows.column("series_id").to_numpy(), rows.column("ms").to_numpy()
    unique, starts = np.unique(ids, return_index=True)
    return Points(unique, np.append(starts, len(ids)).astype(np.int64), ts_ms.astype(np.int64), sums, items)


def newest(samples: Samples, grid: Grid, window_ms: int, times: bool, hints: Hints) -> Vector:
    """At each time the last sample of the window, unless it is a stale marker; its time in seconds if `times`.

    `hints` are what reset hints the histograms get (`histograms.hints`).
    """
    w = cut(samples, grid.times, window_ms)
    shape = (len(samples), grid.n)
    last = w.hi - 1
    present = (w.some & (w.at(last).view(np.uint64) != STALE_NAN_BITS)).reshape(shape)
    values = w.time_at(last) / 1000 if times else w.at(last)
    histograms = None
    if samples.histograms is not None and len(last):
        told = samples.histograms
        if hints != "none":
            stale = np.asarray(samples.values.view(np.uint64) == STALE_NAN_BITS)
            which = np.unique(last[present.ravel()])
            told = hinted(told, samples.offsets, stale, which, detect=hints == "detected")
        histograms = told[np.clip(last, 0, None)].reshape(shape)
        histograms = histograms if bool((is_histogram(histograms) & present).any()) else None
    return Vector(samples.labels, values.reshape(shape), present, histograms).compact()


def _floats(rows: pa.Table, name: str) -> Floats:
    column: Floats = rows.column(name).combine_chunks().to_numpy()
    return column


def _lists(rows: pa.Table, name: str) -> list[npt.NDArray[Any]]:
    column = rows.column(name).combine_chunks()
    offsets, flat = column.offsets.to_numpy(), column.values.to_numpy()
    return [flat[start:end] for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]


def _histograms(rows: pa.Table, sums: Floats) -> Histograms:
    sides = [
        [Buckets(*pair) for pair in zip(_lists(rows, f"{side}_index"), _lists(rows, f"{side}_count"), strict=True)]
        for side in ("positive", "negative")
    ]
    columns = zip(
        rows.column("schema").to_pylist(),
        _floats(rows, "count").tolist(),
        sums.tolist(),
        _floats(rows, "zero_threshold").tolist(),
        _floats(rows, "zero_count").tolist(),
        *sides,
        [tuple(values.tolist()) for values in _lists(rows, "custom_values")],
        [HINTS[number] for number in rows.column("hint").to_pylist()],
        strict=True,
    )
    found = no_histograms((rows.num_rows,))
    for i, values in enumerate(columns):
        found[i] = Histogram(*values)
    return found
