"""Exemplars in the store: how they are written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.labels import Labels
from app.store.client import Pool

_MS = pa.timestamp("ms", tz="UTC")
_LABELS = pa.map_(pa.string(), pa.string())


def insert_exemplars(
    pool: Pool,
    metrics: Sequence[str],
    series_id: npt.NDArray[np.uint64],
    ts_ms: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
    labels: Sequence[Labels],
) -> None:
    """Inserts n exemplars, everything of length n. Kept when it returns."""
    pool.insert(
        "metric_exemplars",
        pa.table(
            {
                "metric": pa.array(metrics, pa.string()),
                "series_id": pa.array(series_id),
                "ts": pa.array(ts_ms).cast(_MS),
                "value": pa.array(value),
                "labels": pa.array(labels, _LABELS),
            }
        ),
    )
