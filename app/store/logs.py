"""Writing logs: lines and streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from app.labels import Labels
from app.store.client import Pool

LOG_SCHEMA = pa.schema(
    [
        ("ts", pa.timestamp("ns", tz="UTC")),
        ("service", pa.string()),
        ("stream_id", pa.uint64()),
        ("seq", pa.uint64()),
        ("source", pa.string()),
        ("severity", pa.string()),
        ("body", pa.string()),
        ("attributes", pa.map_(pa.string(), pa.string())),
        ("trace_id", pa.string()),
        ("span_id", pa.string()),
    ]
)
"""Columns of `logs`. `seq` orders lines of one stream with one timestamp; `source` and `seq` name a line uniquely."""

_STREAMS = pa.schema(
    [
        ("service", pa.string()),
        ("stream_id", pa.uint64()),
        ("labels", pa.map_(pa.string(), pa.string())),
        ("first_seen", pa.timestamp("ms", tz="UTC")),
        ("last_seen", pa.timestamp("ms", tz="UTC")),
    ]
)


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A log stream as `log_streams` keeps it; times in milliseconds since the epoch."""

    stream_id: int
    service: str
    labels: Labels
    first_seen_ms: int
    last_seen_ms: int


def insert_lines(pool: Pool, lines: pa.Table) -> None:
    """Inserts lines with the columns of LOG_SCHEMA. Kept when it returns."""
    pool.insert("logs", lines)


def insert_streams(pool: Pool, rows: Sequence[StreamRow]) -> None:
    """Makes streams known, or widens the time they were seen in."""
    pool.insert(
        "log_streams",
        pa.table(
            [
                pa.array([r.service for r in rows], pa.string()),
                pa.array([r.stream_id for r in rows], pa.uint64()),
                pa.array([list(r.labels) for r in rows], _STREAMS.field("labels").type),
                pa.array([r.first_seen_ms for r in rows], pa.int64()).cast(pa.timestamp("ms", tz="UTC")),
                pa.array([r.last_seen_ms for r in rows], pa.int64()).cast(pa.timestamp("ms", tz="UTC")),
            ],
            schema=_STREAMS,
        ),
    )


def kept_sequence_numbers(pool: Pool, source: str, from_seq: int) -> set[int]:
    """The `seq` of every kept line of a source from `from_seq` on: what a consumer that starts again may skip."""
    rows = pool.query(
        "SELECT seq FROM logs WHERE source = {source:String} AND seq >= {seq:UInt64}",
        {"source": source, "seq": from_seq},
    )
    return set(pc.unique(rows.column("seq")).to_pylist())


def kept_lines(pool: Pool, source: str, seqs: tuple[int, int], ts_ns: tuple[int, int]) -> set[tuple[int, int]]:
    """The (`seq`, nanoseconds) of the kept lines of a source within both ranges, ends included."""
    rows = pool.query(
        "SELECT seq, toUnixTimestamp64Nano(ts) AS ns FROM logs WHERE source = {source:String} "
        "AND seq BETWEEN {first:UInt64} AND {last:UInt64} "
        "AND ts BETWEEN fromUnixTimestamp64Nano({from:Int64}, 'UTC') AND fromUnixTimestamp64Nano({to:Int64}, 'UTC')",
        {"source": source, "first": seqs[0], "last": seqs[1], "from": ts_ns[0], "to": ts_ns[1]},
    )
    return set(zip(rows.column("seq").to_pylist(), rows.column("ns").to_pylist(), strict=True))
