"""Group commit: many small batches become one insert, and each sender is answered when its rows are kept.

A batch somebody waits for starts an insert as soon as none is under way and the senders of the last one had a moment
to come back; what comes in meanwhile is the next one. Batches nobody waits for (scrapes) wait up to `commit_delay`
for company. Memory is bounded: past the bound a write
raises Overloaded, and it is the source's part to tell its sender.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from prometheus_client import Gauge

from app.config import Limits
from app.errors import Overloaded, StoreError, StoreUnavailable
from app.labels import Labels
from app.store import logs, metrics
from app.store.client import Pool
from app.store.exemplars import insert_exemplars
from app.store.histograms import insert_histograms
from app.telemetry import INGEST_COMMITS, INGEST_REFUSED, INGEST_ROWS, INGEST_WAITING
from ingest.batch import HistogramRows, LogBatch, MetricBatch
from ingest.exemplars import ExemplarRows
from ingest.series import SeriesIndex, SeriesRegistry

log = logging.getLogger(__name__)


class Batch(Protocol):
    """What a lane carries."""

    def __len__(self) -> int: ...

    @property
    def size_bytes(self) -> int: ...


B = TypeVar("B", bound=Batch)

_COMMIT_BYTES = 32 * 2**20
_COME_BACK_SECONDS = 0.004
"""How long an insert waits for senders that were just answered: about what one needs to send its next request.

Two requests in one insert cost little more than one, and half as many parts are merged later."""


@dataclass(slots=True)
class _Lane(Generic[B]):
    """Batches of one signal on their way into the store, one insert at a time."""

    name: str
    insert: Callable[[Sequence[B]], None]
    limits: Limits
    executor: ThreadPoolExecutor
    waiting: list[tuple[B, asyncio.Future[None]]] = field(default_factory=list)
    waiting_rows: int = 0
    waiting_bytes: int = 0
    expected: int = 1
    closing: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    company: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    gauge: Gauge = field(init=False)

    def __post_init__(self) -> None:
        self.gauge = INGEST_WAITING.labels(self.name)

    def put(self, batch: B, urgent: bool) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not len(batch) and not getattr(batch, "metadata", ()):
            done.set_result(None)
            return done
        if self.closing:
            raise StoreUnavailable("the service is stopping")
        self._make_room_for(batch)
        self.waiting.append((batch, done))
        self.waiting_rows += len(batch)
        self.waiting_bytes += batch.size_bytes
        self.gauge.set(self.waiting_rows)
        self.wake.set()
        if urgent or self.waiting_rows >= self.limits.commit_rows:
            self.hurry.set()
        if len(self.waiting) >= self.expected or self.waiting_rows >= self.limits.commit_rows:
            self.company.set()
        return done

    def _make_room_for(self, batch: B) -> None:
        for limit, now, more in (
            ("limits.ingest_queue_rows", self.waiting_rows, len(batch)),
            ("limits.ingest_queue_bytes", self.waiting_bytes, batch.size_bytes),
        ):
            bound = getattr(self.limits, limit.split(".")[1])
            # an empty queue takes any batch: one that is larger than the bound could never be sent otherwise
            if now and now + more > bound:
                INGEST_REFUSED.labels(self.name).inc(len(batch))
                raise Overloaded(f"the {self.name} write queue is full ({limit} = {bound})", retry_after_s=1.0)

    async def run(self) -> None:
        while not (self.closing and not self.waiting):
            await self.wake.wait()
            if not self.closing:
                await _up_to(self.limits.commit_delay / 1000, self.hurry)
                await _up_to(_COME_BACK_SECONDS, self.company)
            taken = self._take()
            await self._commit(taken)
            self.expected = max(1, len(taken) + len(self.waiting))
            if len(self.waiting) < self.expected:
                self.company.clear()

    def _take(self) -> list[tuple[B, asyncio.Future[None]]]:
        taken, rows, size = 0, 0, 0
        for batch, _ in self.waiting:
            if taken and (rows + len(batch) > self.limits.commit_rows or size + batch.size_bytes > _COMMIT_BYTES):
                break
            taken, rows, size = taken + 1, rows + len(batch), size + batch.size_bytes
        head, self.waiting = self.waiting[:taken], self.waiting[taken:]
        self.waiting_rows -= rows
        self.waiting_bytes -= size
        self.gauge.set(self.waiting_rows)
        if not self.waiting:
            self.wake.clear()
            self.hurry.clear()
        return head

    async def _commit(self, taken: list[tuple[B, asyncio.Future[None]]]) -> None:
        if not taken:
            return
        batches = [batch for batch, _ in taken]
        try:
            await asyncio.get_running_loop().run_in_executor(self.executor, self.insert, batches)
        except StoreError as error:
            self._fail(taken, error)
        except Exception as error:
            log.exception("insert of %s failed", self.name)
            self._fail(taken, StoreError(f"insert failed: {error}"))
        else:
            INGEST_COMMITS.labels(self.name, "kept").inc()
            INGEST_ROWS.labels(self.name).inc(sum(map(len, batches)))
            for _, done in taken:
                if not done.done():
                    done.set_result(None)

    def _fail(self, taken: list[tuple[B, asyncio.Future[None]]], error: StoreError) -> None:
        INGEST_COMMITS.labels(self.name, "failed").inc()
        log.error("insert of %d %s batches failed: %s", len(taken), self.name, error)
        for _, done in taken:
            if not done.done():
                done.set_exception(error)
                done.exception()  # somebody may no longer wait, and that is no news


async def _up_to(seconds: float, event: asyncio.Event) -> None:
    if not event.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()


class Writer:
    """Takes batches from every source into the store. Bound to the event loop it was started on."""

    def __init__(self, pool: Pool, limits: Limits) -> None:
        self.series = SeriesRegistry(limits.cached_series)
        self.streams = SeriesRegistry(limits.cached_series)
        self._pool = pool
        self._executor = ThreadPoolExecutor(2, thread_name_prefix="commit")
        self._metrics: _Lane[MetricBatch] = _Lane("metrics", self._insert_metrics, limits, self._executor)
        self._logs: _Lane[LogBatch] = _Lane("logs", self._insert_logs, limits, self._executor)
        self._metadata: dict[str, metrics.Metadata] = {}

    async def start(self) -> None:
        """Starts committing."""
        for lane in (self._metrics, self._logs):
            lane.task = asyncio.create_task(lane.run(), name=f"commit {lane.name}")

    async def stop(self) -> None:
        """Refuses new batches, commits what waits, and ends. Safe to call twice."""
        for lane in (self._metrics, self._logs):
            lane.closing = True
            lane.wake.set()
            lane.hurry.set()
            lane.company.set()
        await asyncio.gather(*(lane.task for lane in (self._metrics, self._logs) if lane.task))
        self._executor.shutdown()

    async def write_metrics(self, batch: MetricBatch, urgent: bool = True) -> None:
        """Returns when the samples are kept. Not `urgent`: nobody waits, so they may wait `commit_delay` for company.

        Raises Overloaded when the queue is full, StoreError or StoreUnavailable when the insert failed.
        """
        await self._metrics.put(batch, urgent)

    async def write_logs(self, batch: LogBatch, urgent: bool = True) -> None:
        """Returns when the lines are kept; otherwise as `write_metrics`."""
        await self._logs.put(batch, urgent)

    def enqueue_metrics(self, batch: MetricBatch) -> asyncio.Future[None]:
        """As `write_metrics` not urgent, but gives the future at once; Overloaded is raised here."""
        return self._metrics.put(batch, urgent=False)

    @property
    def waiting_rows(self) -> int:
        """Rows taken but not kept yet."""
        return self._metrics.waiting_rows + self._logs.waiting_rows

    def _insert_metrics(self, batches: Sequence[MetricBatch]) -> None:
        # batches of one index are inserted together; nearly always there is but one
        for index, group in itertools.groupby(batches, key=lambda b: b.index):
            batch = MetricBatch.joined(list(group))
            if not len(batch):  # metadata alone
                continue
            refs, ts_ms, native = batch.refs, batch.ts_ms, batch.histograms
            exemplars = batch.exemplars.news(index)
            untold = index.untold(*_every(refs, ts_ms, native, exemplars))
            if untold:
                rows = [metrics.SeriesRow(int(index.ids[r]), index.labels[r], first, last) for r, first, last in untold]
                metrics.insert_series(self._pool, rows)
                index.told(untold)
            if len(refs):
                ids, codes = index.ids[refs], index.name_code[refs]
                metrics.insert_samples(self._pool, index.names, codes, ids, ts_ms, batch.values)
            if native:
                ids, names = index.ids[native.refs], _names(index, native.refs)
                insert_histograms(self._pool, names, ids, native.ts_ms, native.items)
            if exemplars:
                ids, names = index.ids[exemplars.refs], _names(index, exemplars.refs)
                insert_exemplars(self._pool, names, ids, exemplars.ts_ms, exemplars.values, exemplars.labels)
                exemplars.kept(index)
        self._insert_metadata([m for b in batches for m in b.metadata])

    def _insert_metadata(self, found: Sequence[metrics.Metadata]) -> None:
        news = {m.family: m for m in found if self._metadata.get(m.family) != m}
        if news:
            metrics.insert_metadata(self._pool, list(news.values()))
            self._metadata.update(news)

    def _insert_logs(self, batches: Sequence[LogBatch]) -> None:
        for index, group in itertools.groupby(batches, key=lambda b: b.index):
            members = list(group)
            refs = np.concatenate([np.array(b.refs, np.int32) for b in members])
            ts_ns = np.concatenate([np.array(b.ts_ns, np.int64) for b in members])
            untold = index.untold(refs, ts_ns // 1_000_000)
            if untold:
                rows = [
                    logs.StreamRow(int(index.ids[r]), service_of(index.labels[r]), index.labels[r], first, last)
                    for r, first, last in untold
                ]
                logs.insert_streams(self._pool, rows)
                index.told(untold)
            logs.insert_lines(self._pool, _log_table(members, index.ids[refs], refs.tolist(), ts_ns))


def _every(
    refs: npt.NDArray[np.int32], ts_ms: npt.NDArray[np.int64], *beside: HistogramRows | ExemplarRows
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Refs and times of samples and of what is beside them."""
    more = [rows for rows in beside if len(rows)]
    if not more:
        return refs, ts_ms
    return np.concatenate([refs, *(m.refs for m in more)]), np.concatenate([ts_ms, *(m.ts_ms for m in more)])


def _names(index: SeriesIndex, refs: npt.NDArray[np.int32]) -> list[str]:
    return [index.names[code] for code in index.name_code[refs].tolist()]


def service_of(labels: Labels) -> str:
    """The service a stream belongs to, which the logs table is ordered by first."""
    found = dict(labels)
    return next((found[name] for name in ("service_name", "container", "job", "tag") if name in found), "")


def _log_table(batches: Sequence[LogBatch], ids: object, refs: list[int], ts_ns: object) -> pa.Table:
    index = batches[0].index
    services = {ref: service_of(index.labels[ref]) for ref in set(refs)}
    chain = itertools.chain.from_iterable
    columns = [
        pa.array(ts_ns).cast(logs.LOG_SCHEMA.field("ts").type),
        pa.array([services[ref] for ref in refs], pa.string()),
        pa.array(ids),
        pa.array(list(chain(b.seqs for b in batches)), pa.uint64()),
        pa.array(list(chain([b.source] * len(b) for b in batches)), pa.string()),
        pa.array(list(chain(b.severities for b in batches)), pa.string()),
        pa.array(list(chain(b.bodies for b in batches)), pa.string()),
        pa.array([list(a.items()) for b in batches for a in b.attributes], logs.LOG_SCHEMA.field("attributes").type),
        pa.array(list(chain(b.trace_ids for b in batches)), pa.string()),
        pa.array(list(chain(b.span_ids for b in batches)), pa.string()),
    ]
    return pa.table(columns, schema=logs.LOG_SCHEMA)
