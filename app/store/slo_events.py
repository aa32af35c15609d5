"""Good and total of each SLO, an interval a row."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.store.client import Pool


@dataclass(frozen=True, slots=True)
class SloEvents:
    """Counts of consecutive or scattered intervals of one SLO, ordered by start. Arrays of one length."""

    starts_ms: npt.NDArray[np.int64]
    good: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]


def insert_events(pool: Pool, slo: str, interval_ms: int, events: SloEvents) -> None:
    """Keeps counts; an interval counted before is replaced. `starts_ms` are starts of intervals, epoch-aligned."""
    n = len(events.starts_ms)
    if not n:
        return
    pool.insert(
        "slo_events",
        pa.table(
            {
                "slo": [slo] * n,
                "starts_at": pa.array(events.starts_ms).cast(pa.timestamp("ms", tz="UTC")),
                "interval_ms": pa.array([interval_ms] * n, pa.uint32()),
                "good": events.good,
                "total": events.total,
                "version": pa.array([time.time_ns()] * n, pa.uint64()),
            }
        ),
    )


def read_events(pool: Pool, slo: str, interval_ms: int, from_ms: int, to_ms: int) -> SloEvents:
    """The kept counts of intervals that start in [from_ms, to_ms)."""
    rows = pool.query(
        "SELECT toUnixTimestamp64Milli(starts_at) AS start,"
        " argMax(good, version) AS good, argMax(total, version) AS total"
        " FROM slo_events WHERE slo = {slo:String} AND interval_ms = {interval:UInt32}"
        " AND starts_at >= fromUnixTimestamp64Milli({from:Int64}) AND starts_at < fromUnixTimestamp64Milli({to:Int64})"
        " GROUP BY starts_at ORDER BY starts_at",
        {"slo": slo, "interval": interval_ms, "from": from_ms, "to": to_ms},
    )
    if not rows.num_rows:
        return SloEvents(np.empty(0, np.int64), np.empty(0), np.empty(0))
    return SloEvents(*(rows.column(name).to_numpy() for name in ("start", "good", "total")))
