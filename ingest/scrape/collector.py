"""Scraped batches of all targets, gathered for a second before they go to the writer.

Nobody waits for a scrape to be kept, and every insert costs the store a part to merge: at one insert a second it
spends half the CPU it does at five.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging

from app.config import Limits
from app.errors import Overloaded, StoreError, StoreUnavailable
from app.telemetry import DROPPED, RECEIVED
from ingest.batch import MetricBatch
from ingest.series import SeriesRegistry
from ingest.writer import Writer

log = logging.getLogger(__name__)

HOLD_SECONDS = 1.0

_ROWS = RECEIVED.labels("scrape")
_QUEUE_FULL = DROPPED.labels("scrape", "queue_full")
_STORE_FAILED = DROPPED.labels("scrape", "store_failed")


class Collector:
    """Between the scrape loops and the writer.

    Holds `limits.ingest_queue_rows` at most while the writer is full or the store is away.
    """

    def __init__(self, writer: Writer, limits: Limits) -> None:
        self._writer = writer
        self._bound = limits.ingest_queue_rows
        self._enough = limits.commit_rows
        self._held: list[MetricBatch] = []
        self._rows = 0
        self._timer: asyncio.TimerHandle | None = None
        self._refused = False
        self._stopped = False

    @property
    def series(self) -> SeriesRegistry:
        """Where refs of batches come from."""
        return self._writer.series

    def add(self, batch: MetricBatch) -> bool:
        """Takes a batch, to be stored within about a second. False when there is no room: it is counted, and lost."""
        if self._rows and self._rows + len(batch) > self._bound:
            _QUEUE_FULL.inc(len(batch))
            return False
        self._held.append(batch)
        self._rows += len(batch)
        _ROWS.inc(len(batch))
        if self._rows >= self._enough and not self._refused:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(HOLD_SECONDS, self.flush)
        return True

    def flush(self) -> None:
        """Hands everything to the writer now, or tries again in a second when it is full."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        told, self._refused = self._refused, False
        held, self._held, self._rows = self._held, [], 0
        groups = [list(group) for _, group in itertools.groupby(held, key=lambda batch: id(batch.index))]
        for i, group in enumerate(groups):
            batch = MetricBatch.joined(group)
            try:
                done = self._writer.enqueue_metrics(batch)
            except Overloaded as full:
                if not told:
                    log.warning("scrapes are held: %s", full)
                self._held = [each for later in groups[i:] for each in later]
                self._rows = sum(map(len, self._held))
                self._refused = True
                self._timer = asyncio.get_running_loop().call_later(HOLD_SECONDS, self.flush)
                return
            except StoreUnavailable:
                _STORE_FAILED.inc(len(batch))
            else:
                done.add_done_callback(functools.partial(self._ended, batch))

    def stop(self) -> None:
        """Hands over what is held; what the writer does not take then is lost, and counted."""
        self._stopped = True
        self.flush()
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._rows:
            log.error("%d scraped samples are lost: the write queue is full", self._rows)
            _QUEUE_FULL.inc(self._rows)
            self._held, self._rows = [], 0

    def _ended(self, batch: MetricBatch, done: asyncio.Future[None]) -> None:
        """After an insert: what a store that is away did not take is held, and tried again in a second."""
        error = StoreError("cancelled") if done.cancelled() else done.exception()
        if error is None:
            return
        # the writer has logged why
        room = self._rows + len(batch) <= self._bound
        if self._stopped or not room or not isinstance(error, StoreUnavailable):
            _STORE_FAILED.inc(len(batch))
            return
        self._held.insert(0, batch)
        self._rows += len(batch)
        self._refused = True
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(HOLD_SECONDS, self.flush)
