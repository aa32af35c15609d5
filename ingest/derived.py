"""Samples that the service works out itself on their way into the store, as any other samples."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
import numpy.typing as npt

from app.errors import Overloaded, StoreUnavailable, WatchhouseError
from app.histogram import Histogram
from app.labels import Labels
from app.telemetry import DROPPED
from ingest.batch import HistogramRows, MetricBatch
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


class RecordedSamples:
    """Takes samples of rules from any thread and tells when they are kept. Made on the writer's event loop."""

    def __init__(self, writer: Writer, source: str) -> None:
        self._writer = writer
        self._source = source
        self._loop = asyncio.get_running_loop()
        for reason in ("queue_full", "store_failed"):
            DROPPED.labels(source, reason)

    def write(self, samples: Sequence[tuple[Labels, float | Histogram]], ts_ms: int) -> Future[None]:
        """Takes samples of one time, in milliseconds.

        The future is done when they are in the store; it has Overloaded or StoreError where they cannot be kept.
        """
        try:
            return asyncio.run_coroutine_threadsafe(self._write(self._batch(samples, ts_ms)), self._loop)
        except RuntimeError:
            failed: Future[None] = Future()
            failed.set_exception(StoreUnavailable("the service stops"))
            return failed

    def _batch(self, samples: Sequence[tuple[Labels, float | Histogram]], ts_ms: int) -> MetricBatch:
        index = self._writer.series.current
        floats = [(index.ref(labels), value) for labels, value in samples if not isinstance(value, Histogram)]
        native = [(index.ref(labels), ts_ms, value) for labels, value in samples if isinstance(value, Histogram)]
        return MetricBatch(
            index,
            np.array([ref for ref, _ in floats], np.int32),
            np.full(len(floats), ts_ms, np.int64),
            # an array of its own: the stale marker's bits must not pass through arithmetic
            np.array([value for _, value in floats], np.float64),
            histograms=HistogramRows.of(native),
        )

    async def _write(self, batch: MetricBatch) -> None:
        try:
            await self._writer.write_metrics(batch, urgent=False)
        except WatchhouseError as error:
            reason = "queue_full" if isinstance(error, Overloaded) else "store_failed"
            DROPPED.labels(self._source, reason).inc(len(batch))
            raise
