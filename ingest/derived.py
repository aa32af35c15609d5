"""Samples that the service works out itself on their way into the store, as any other samples."""

from __future__ import annotations

import asyncio
import functools
import logging

import numpy as np
import numpy.typing as npt

from app.errors import Overloaded, WatchhouseError
from app.telemetry import DROPPED
from ingest.batch import MetricBatch
from ingest.series import SeriesIndex
from ingest.writer import Writer

log = logging.getLogger(__name__)
_ROWS = 50_000
"""Rows in one batch, below `limits.commit_rows`: others' rows find their way between."""


class DerivedSeries:
    """Hands samples to the writer without waiting. Bound to the writer's event loop.

    What the writer has no room for or the store refuses is lost; it is counted and logged, and the next is tried again.
    """

    def __init__(self, writer: Writer, source: str) -> None:
        self._writer = writer
        self._source = source
        for reason in ("queue_full", "store_failed"):
            DROPPED.labels(source, reason)

    @property
    def index(self) -> SeriesIndex:
        """The index that refs given now belong to; another one once it is full."""
        return self._writer.series.current

    def put(
        self,
        index: SeriesIndex,
        refs: npt.NDArray[np.int32],
        ts_ms: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
    ) -> None:
        """Takes n samples. Does not wait, and does not raise for what cannot be kept."""
        for first in range(0, len(refs), _ROWS):
            part = slice(first, first + _ROWS)
            batch = MetricBatch(index, refs[part], ts_ms[part], values[part])
            try:
                done = self._writer.enqueue_metrics(batch)
            except WatchhouseError as error:
                self._lost(len(batch), error)
                continue
            done.add_done_callback(functools.partial(self._after, len(batch)))

    def _after(self, rows: int, done: asyncio.Future[None]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self._lost(rows, error)

    def _lost(self, rows: int, error: BaseException) -> None:
        DROPPED.labels(self._source, "queue_full" if isinstance(error, Overloaded) else "store_failed").inc(rows)
        log.error("%d samples of %s could not be kept: %s", rows, self._source, error)
