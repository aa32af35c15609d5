"""Which lines of a batch the store has already."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.store.client import Pool
from app.store.logs import kept_lines
from ingest.batch import LogBatch


def keep_lines(batch: LogBatch, places: Iterable[int]) -> None:
    """Leaves only the lines at these places in a batch."""
    wanted = list(places)
    columns: tuple[list[Any], ...] = (
        batch.refs,
        batch.ts_ns,
        batch.bodies,
        batch.attributes,
        batch.severities,
        batch.trace_ids,
        batch.span_ids,
        batch.seqs,
    )
    for column in columns:
        column[:] = [column[i] for i in wanted]


def drop_kept(pool: Pool, batch: LogBatch) -> int:
    """Takes the lines out of a batch that the store has already; gives how many. Blocks; raises StoreError.

    A line is told by its number and its time: a topic made anew counts its offsets from 0 again, and its lines are
    not those of the old one.
    """
    kept = kept_lines(pool, batch.source, (min(batch.seqs), max(batch.seqs)), (min(batch.ts_ns), max(batch.ts_ns)))
    if not kept:
        return 0
    news = [i for i, line in enumerate(zip(batch.seqs, batch.ts_ns, strict=True)) if line not in kept]
    dropped = len(batch) - len(news)
    keep_lines(batch, news)
    return dropped
