"""Native histograms in the store: how they are written, and which metrics have any."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.histogram import Histogram, ResetHint
from app.store.client import Pool

HINTS: tuple[ResetHint, ...] = get_args(ResetHint)
"""Reset hints by their number in the table."""
_CHECK_AGAIN_S = 10.0
_MS = pa.timestamp("ms", tz="UTC")


def insert_histograms(
    pool: Pool,
    metrics: Sequence[str],
    series_id: npt.NDArray[np.uint64],
    ts_ms: npt.NDArray[np.int64],
    items: Sequence[Histogram],
) -> None:
    """Inserts n histogram samples, everything of length n. Kept when it returns."""
    # first: a query that comes while the insert is under way must look for them already
    pool.histogram_metrics.update(metrics)
    rows = pa.table(
        {
            "metric": pa.array(metrics, pa.string()),
            "series_id": pa.array(series_id),
            "ts": pa.array(ts_ms).cast(_MS),
            "schema": pa.array([h.schema for h in items], pa.int8()),
            "hint": pa.array([HINTS.index(h.hint) for h in items], pa.int8()),
            "count": _floats([h.count for h in items]),
            "sum": _floats([h.sum for h in items]),
            "zero_threshold": _floats([h.zero_threshold for h in items]),
            "zero_count": _floats([h.zero_count for h in items]),
            "positive_index": _lists([h.positive.index for h in items], np.int32),
            "positive_count": _lists([h.positive.count for h in items], np.float64),
            "negative_index": _lists([h.negative.index for h in items], np.int32),
            "negative_count": _lists([h.negative.count for h in items], np.float64),
            "custom_values": _lists([np.array(h.custom_values, np.float64) for h in items], np.float64),
        }
    )
    try:
        pool.insert("metric_histograms", rows)
    finally:
        # also when it failed: it may have been kept all the same
        names, codes = np.unique(np.array(metrics, object), return_inverse=True)
        pool.written.tell(names.tolist(), codes, ts_ms)


def _floats(values: Sequence[float]) -> pa.Array:
    # from an array: the payload of a NaN tells a stale marker
    return pa.array(np.array(values, np.float64))


def _lists(parts: Sequence[npt.NDArray[np.generic]], kind: type[np.generic]) -> pa.ListArray:
    offsets = np.concatenate(([0], np.cumsum([len(part) for part in parts]))).astype(np.int32)
    flat = np.concatenate([*parts, np.empty(0, kind)]).astype(kind)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat))


class HistogramMetrics:
    """Names of the metrics that have native histograms, so that a query of others need not look for them.

    What this process writes is known at once, what another writes within ten seconds. Safe to use from many threads.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._found: frozenset[str] = frozenset()
        self._rows = 0
        self._next_check = 0.0

    def names(self) -> frozenset[str]:
        """The names. Raises as `Pool.query`, at most every ten seconds."""
        with self._lock:
            if time.monotonic() >= self._next_check:
                # a count of rows reads no rows
                rows = int(self._pool.query("SELECT count() AS n FROM metric_histograms").column("n")[0].as_py())
                if rows != self._rows:
                    sql = "SELECT DISTINCT toString(metric) AS name FROM metric_histograms"
                    self._found = frozenset(self._pool.query(sql).column("name").to_pylist()) if rows else frozenset()
                self._rows, self._next_check = rows, time.monotonic() + _CHECK_AGAIN_S
            written = self._pool.histogram_metrics
            return self._found | written if written else self._found
