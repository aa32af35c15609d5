"""The Kafka consumer: fetch, decode, insert, and only then commit.

A record is committed when its lines and samples are in the store and, where it could not be read, the dead-letter
topic has it. A process killed in between reads records again: samples are the same samples, and lines are told by
partition, offset and place, so that what is kept already is passed over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError

from app.config import Kafka, Limits
from app.errors import Overloaded, StoreError
from app.store.client import Pool
from app.telemetry import RECEIVED
from ingest.batch import LogBatch, MetricBatch
from ingest.kafka.dead_letters import DeadLetters
from ingest.kafka.decode import Decoder, Fetched, source_of
from ingest.kafka.lines import drop_kept
from ingest.writer import Writer

log = logging.getLogger(__name__)

FETCH_RECORDS = 20_000
_FETCH_WAIT_MS = 500
_FETCH_PARTITION_BYTES = 8 * 2**20
_REBALANCE_MS = 60_000
_REVOKE_SECONDS = 30.0
# a consumer that waits for the store is alive: its heartbeats say so, and its partitions are best left with it
_POLL_INTERVAL_MS = 24 * 3_600_000
_BACKOFF_S = (0.5, 30.0)
_STEADY_SECONDS = 60.0
RECEIVED.labels("kafka")


class KafkaReceiver:
    """Consumes the configured topics as a member of the consumer group, in a task of its own.

    `start` returns at once: a broker that is away is waited for. Everything that is not committed when the process
    ends, however it ends, is read again.
    """

    def __init__(
        self, writer: Writer, config: Kafka, limits: Limits, pool: Pool, session_timeout_ms: int = 10_000
    ) -> None:
        self._writer = writer
        self._config = config
        self._pool = pool
        self._session_timeout_ms = session_timeout_ms
        self._decoder = Decoder(writer, config.topics, limits)
        self._dead_letters = DeadLetters(config)
        self._stopping = asyncio.Event()
        self._busy = asyncio.Lock()
        self._give_up = asyncio.Event()
        self._unproven: dict[str, int] = {}
        self._partitions: tuple[str, ...] = ()
        self._task: asyncio.Task[None] | None = None

    @property
    def partitions(self) -> tuple[str, ...]:
        """The partitions this member consumes now, as `topic/number`; none while the broker is away."""
        return self._partitions

    async def start(self) -> None:
        """Begins to consume, as soon as the broker is there."""
        self._task = asyncio.create_task(self._run(), name="kafka")

    async def stop(self) -> None:
        """Finishes and commits what was fetched, leaves the group, and closes. Safe to call twice."""
        self._stopping.set()
        self._give_up.set()
        if self._task is not None:
            await self._task
        await self._dead_letters.stop()

    async def _run(self) -> None:
        delay_s, said = _BACKOFF_S[0], ""
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                await self._session()
            except (KafkaError, OSError) as error:
                text = f"{type(error).__name__}: {error}"
                if text != said:
                    log.warning("Kafka at %s: %s; trying again", ", ".join(self._config.bootstrap_servers), text)
                said = text
            except Exception:
                # nothing was committed for what failed: a new session reads it again
                log.exception("the Kafka consumer failed and starts anew")
            if time.monotonic() - began > _STEADY_SECONDS:
                delay_s, said = _BACKOFF_S[0], ""
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay_s)
            delay_s = min(delay_s * 2, _BACKOFF_S[1])

    async def _session(self) -> None:
        """One life of a consumer, from joining the group to an error or the end."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=list(self._config.bootstrap_servers),
            group_id=self._config.group_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=_FETCH_PARTITION_BYTES,
            session_timeout_ms=self._session_timeout_ms,
            heartbeat_interval_ms=self._session_timeout_ms // 3,
            max_poll_interval_ms=_POLL_INTERVAL_MS,
            rebalance_timeout_ms=_REBALANCE_MS,
            # a topic that does not exist yet is found this soon after it was made
            metadata_max_age_ms=30_000,
        )
        consumer.subscribe([t.name for t in self._config.topics], listener=_Rebalance(self))
        try:
            await consumer.start()
            log.info("consuming %s", ", ".join(t.name for t in self._config.topics))
            while not self._stopping.is_set():
                records = await consumer.getmany(timeout_ms=_FETCH_WAIT_MS, max_records=FETCH_RECORDS)
                if records:
                    async with self._busy:
                        await self._take(consumer, records)
        finally:
            self._partitions = ()
            await consumer.stop()

    async def _take(self, consumer: Any, records: dict[Any, list[Any]]) -> None:
        """Inserts fetched records and commits them; returns without a commit when it had to give up."""
        fetched = await asyncio.to_thread(self._decoder.decode, records)
        rows = sum(map(len, fetched.logs)) + sum(map(len, fetched.metrics))
        if not await self._insert(fetched):
            return
        await self._dead_letters.send(fetched.dead)
        try:
            await consumer.commit({partition: members[-1].offset + 1 for partition, members in records.items()})
        except CommitFailedError as error:
            # another member has the partitions now; it passes over the lines that are kept
            log.warning("offsets not committed: %s", error)
        RECEIVED.labels("kafka").inc(rows)

    async def _insert(self, fetched: Fetched) -> bool:
        """Whether all batches are kept. Tries again while the store is away or its queue is full, until told not to."""
        waiting: list[LogBatch | MetricBatch] = [*fetched.logs, *fetched.metrics]
        doubtful = [b for b in fetched.logs if b.source in self._unproven]
        delay_s, said = _BACKOFF_S[0], ""
        while True:
            failed, error = await self._try(waiting, doubtful)
            if error is None:
                return True
            if str(error) != said:
                log.warning("fetched records wait: %s", error)
            waiting, said = failed, str(error)
            # an insert that failed may still have been kept in part
            doubtful = [b for b in waiting if isinstance(b, LogBatch)]
            if isinstance(error, Overloaded):
                delay_s = error.retry_after_s
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._give_up.wait(), delay_s)
            if self._give_up.is_set():
                return False
            delay_s = min(delay_s * 2, _BACKOFF_S[1])

    async def _try(
        self, waiting: Sequence[LogBatch | MetricBatch], doubtful: Sequence[LogBatch]
    ) -> tuple[list[LogBatch | MetricBatch], Overloaded | StoreError | None]:
        """(batches that are not kept, why) after one attempt to write all that wait."""
        try:
            for lines in doubtful:
                await self._pass_over_kept(lines)
        except StoreError as error:
            return list(waiting), error
        results = await asyncio.gather(*map(self._write, waiting), return_exceptions=True)
        failed: list[LogBatch | MetricBatch] = []
        found: Overloaded | StoreError | None = None
        for batch, result in zip(waiting, results, strict=True):
            if isinstance(result, Overloaded | StoreError):
                failed.append(batch)
                found = found or result
            elif isinstance(result, BaseException):
                raise result
        return failed, found

    def _write(self, batch: LogBatch | MetricBatch) -> Awaitable[None]:
        return self._writer.write_logs(batch) if isinstance(batch, LogBatch) else self._writer.write_metrics(batch)

    async def _pass_over_kept(self, batch: LogBatch) -> None:
        if not len(batch):
            return
        lines = len(batch)
        dropped = await asyncio.to_thread(drop_kept, self._pool, batch)
        if dropped:
            log.info("%d lines of %s were kept before", dropped, batch.source)
            self._unproven[batch.source] = FETCH_RECORDS
        elif batch.source in self._unproven:
            self._unproven[batch.source] -= lines
            if self._unproven[batch.source] <= 0:
                del self._unproven[batch.source]

    async def revoked(self) -> None:
        """Lets what was fetched be inserted and committed, before the partitions may go to another member."""
        try:
            async with asyncio.timeout(_REVOKE_SECONDS):
                async with self._busy:
                    return
        except TimeoutError:
            log.warning("partitions are taken away while fetched records wait for the store; they are read again")
        self._give_up.set()
        async with self._busy:
            if not self._stopping.is_set():
                self._give_up.clear()

    def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Notes that lines of these partitions may be kept already, by a member that ended before it committed.

        It inserted no more than one fetch at a time, so it is enough to look at as many lines.
        """
        self._partitions = tuple(f"{p.topic}/{p.partition}" for p in partitions)
        self._unproven = {source_of(p.topic, p.partition): FETCH_RECORDS for p in partitions}


class _Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells the receiver what the group decided."""

    def __init__(self, receiver: KafkaReceiver) -> None:
        self._receiver = receiver

    async def on_partitions_revoked(self, revoked: Any) -> None:
        if revoked:
            await self._receiver.revoked()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        self._receiver.assigned(list(assigned))
