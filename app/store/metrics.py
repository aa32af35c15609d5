"""Writing metrics: samples, series and metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.labels import METRIC_NAME, Labels
from app.store import native
from app.store.client import Pool

STALE_NAN_BITS = 0x7FF0000000000002
"""Prometheus's stale marker (model/value/value.go, StaleNaN): a NaN with this bit pattern."""
_MS = pa.timestamp("ms", tz="UTC")
_SERIES = pa.schema(
    [
        ("metric", pa.string()),
        ("series_id", pa.uint64()),
        ("labels", pa.map_(pa.string(), pa.string())),
        ("first_seen", _MS),
        ("last_seen", _MS),
    ]
)


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A series as `metric_series` keeps it; times in milliseconds since the epoch."""

    series_id: int
    labels: Labels
    first_seen_ms: int
    last_seen_ms: int


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a metric family is: its Prometheus type, unit and help text."""

    family: str
    type: str
    unit: str = ""
    help: str = ""


def insert_samples(
    pool: Pool,
    names: Sequence[str],
    name_code: npt.NDArray[np.int32],
    series_id: npt.NDArray[np.uint64],
    ts_ms: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
) -> None:
    """Inserts n samples, all arrays of length n; `name_code` indexes `names`. Kept when it returns."""
    columns = [
        ("metric", "LowCardinality(String)", native.low_cardinality(names, name_code)),
        ("series_id", "UInt64", series_id.tobytes()),
        ("ts", "DateTime64(3, 'UTC')", ts_ms.tobytes()),
        ("value", "Float64", value.tobytes()),
    ]
    try:
        pool.insert_bytes("metric_samples", [c[0] for c in columns], native.block(len(ts_ms), columns), "Native")
    finally:
        # also when it failed: it may have been kept all the same
        pool.written.tell(names, name_code, ts_ms)


def insert_series(pool: Pool, rows: Sequence[SeriesRow]) -> None:
    """Makes series known, or widens the time they were seen in."""
    split = [
        ([v for k, v in r.labels if k == METRIC_NAME], [kv for kv in r.labels if kv[0] != METRIC_NAME]) for r in rows
    ]
    pool.insert(
        "metric_series",
        pa.table(
            [
                pa.array([name[0] if name else "" for name, _ in split], pa.string()),
                pa.array([r.series_id for r in rows], pa.uint64()),
                pa.array([rest for _, rest in split], _SERIES.field("labels").type),
                pa.array([r.first_seen_ms for r in rows], pa.int64()).cast(_MS),
                pa.array([r.last_seen_ms for r in rows], pa.int64()).cast(_MS),
            ],
            schema=_SERIES,
        ),
    )


def insert_metadata(pool: Pool, rows: Sequence[Metadata]) -> None:
    """Keeps the newest metadata of each family."""
    now = datetime.now(UTC)
    pool.insert(
        "metric_metadata",
        pa.table(
            {
                "family": [r.family for r in rows],
                "type": [r.type for r in rows],
                "unit": [r.unit for r in rows],
                "help": [r.help for r in rows],
                "updated": pa.array([now] * len(rows), _MS),
            }
        ),
    )
