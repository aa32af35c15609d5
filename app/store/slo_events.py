"""Good and total of each SLI, an interval a row."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.store.client import Pool

_MOST_KEYS = 2_000
"""So many keys are named in a statement; of more all rows of the time are read and the others dropped."""


@dataclass(frozen=True, slots=True)
class SloEvents:
    """Counts of consecutive or scattered intervals of one SLI, ordered by start. Arrays of one length."""

    starts_ms: npt.NDArray[np.int64]
    good: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]

    def between(self, from_ms: int, to_ms: int) -> SloEvents:
        """Those of intervals that start in [from_ms, to_ms)."""
        first, last = np.searchsorted(self.starts_ms, (from_ms, to_ms))
        return SloEvents(self.starts_ms[first:last], self.good[first:last], self.total[first:last])


def no_events() -> SloEvents:
    """No interval at all."""
    return SloEvents(np.empty(0, np.int64), np.empty(0), np.empty(0))


@dataclass(frozen=True, slots=True)
class KeyedEvents:
    """Counts of many SLIs: `codes` are places in `keys`, (n,); rows of a code are together, ordered by start."""

    keys: Sequence[str]
    codes: npt.NDArray[np.int64]
    events: SloEvents

    def __len__(self) -> int:
        return len(self.codes)

    def by_key(self) -> dict[str, SloEvents]:
        """The counts of each key that has any."""
        events = self.events
        edges = np.flatnonzero(np.diff(self.codes, prepend=-1, append=-1))
        return {
            self.keys[int(self.codes[first])]: SloEvents(
                events.starts_ms[first:last], events.good[first:last], events.total[first:last]
            )
            for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        }


def joined(keys: Sequence[str], parts: Sequence[SloEvents]) -> KeyedEvents:
    """The counts of each key, in one."""
    codes = np.repeat(np.arange(len(parts)), [len(part.starts_ms) for part in parts])
    if not len(codes):
        return KeyedEvents(keys, codes, no_events())
    columns = (np.concatenate([getattr(part, name) for part in parts]) for name in ("starts_ms", "good", "total"))
    return KeyedEvents(keys, codes, SloEvents(*columns))


def insert_events(pool: Pool, interval_ms: int, rows: KeyedEvents) -> None:
    """Keeps counts, all in one insert; an interval counted before is replaced. Blocks; raises StoreError.

    `starts_ms` are starts of intervals, epoch-aligned.
    """
    n = len(rows)
    if not n:
        return
    # the keys as the dictionary they are: one text each, however many rows
    slo = pa.DictionaryArray.from_arrays(pa.array(rows.codes, pa.int32()), pa.array(list(rows.keys), pa.string()))
    pool.insert(
        "slo_events",
        pa.table(
            {
                "slo": slo,
                "starts_at": pa.array(rows.events.starts_ms).cast(pa.timestamp("ms", tz="UTC")),
                "interval_ms": pa.array(np.full(n, interval_ms), pa.uint32()),
                "good": rows.events.good,
                "total": rows.events.total,
                "version": pa.array(np.full(n, time.time_ns(), np.uint64)),
            }
        ),
    )


def read_events(pool: Pool, keys: Sequence[str], interval_ms: int, from_ms: int, to_ms: int) -> KeyedEvents:
    """The kept counts of intervals that start in [from_ms, to_ms), of some keys. Blocks; raises StoreError."""
    if not keys or from_ms >= to_ms:
        return KeyedEvents(keys, np.empty(0, np.int64), no_events())
    named = len(keys) <= _MOST_KEYS
    found = pool.query(
        "SELECT slo, groupArray(start) AS starts, groupArray(good) AS good, groupArray(total) AS total FROM ("
        " SELECT toString(slo) AS slo, toUnixTimestamp64Milli(starts_at) AS start,"
        " argMax(good, version) AS good, argMax(total, version) AS total"
        " FROM slo_events WHERE interval_ms = {interval:UInt32}"
        " AND starts_at >= fromUnixTimestamp64Milli({from:Int64}) AND starts_at < fromUnixTimestamp64Milli({to:Int64})"
        + (" AND slo IN {keys:Array(String)}" if named else "")
        + " GROUP BY slo, starts_at ORDER BY slo, starts_at) GROUP BY slo",
        {"interval": interval_ms, "from": from_ms, "to": to_ms, **({"keys": list(keys)} if named else {})},
    )
    places = {key: n for n, key in enumerate(keys)}
    names = found.column("slo").to_pylist()
    kept = [n for n, name in enumerate(names) if name in places]
    parts = []
    for n in kept:
        lists = [found.column(name)[n].values.to_numpy(zero_copy_only=False) for name in ("starts", "good", "total")]
        order = np.argsort(lists[0], kind="stable")
        parts.append(SloEvents(*(column[order] for column in lists)))
    rows = joined([names[n] for n in kept], parts)
    codes = np.array([places[names[n]] for n in kept], np.int64)[rows.codes] if len(rows) else rows.codes
    return KeyedEvents(keys, codes, rows.events)
