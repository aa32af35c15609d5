"""Lines into the store for a sender that cannot be told to come again: wait and retry instead."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from app.errors import Overloaded, StoreError, StoreUnavailable
from app.telemetry import DROPPED
from ingest.batch import LogBatch
from ingest.writer import Writer

log = logging.getLogger(__name__)

_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 5.0
_REFUSALS = 3


@dataclass(slots=True)
class Delivery:
    """A receiver's way to the writer. While `room` is clear something waits, and no connection is read."""

    writer: Writer
    receiver: str
    room: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0

    def __post_init__(self) -> None:
        self.room.set()

    async def pause(self, seconds: float) -> None:
        """Waits with the connections unread."""
        self.waiting += 1
        self.room.clear()
        try:
            await asyncio.sleep(seconds)
        finally:
            self.waiting -= 1
            if not self.waiting:
                self.room.set()


async def deliver(delivery: Delivery, batch: LogBatch, sender_repeats: bool) -> bool:
    """Whether the lines are kept. Retries while the queue is full or the store away, for as long as it takes.

    What the store itself refuses is tried three times; then it is left to a sender that repeats, and else dropped
    and counted.
    """
    wait_s, refusals = _FIRST_WAIT_S, 0
    while True:
        try:
            await delivery.writer.write_logs(batch)
        except Overloaded as error:
            await delivery.pause(error.retry_after_s)
            continue
        except StoreUnavailable as error:
            log.warning("%d lines wait, the store is away: %s", len(batch), error)
        except StoreError as error:
            refusals += 1
            if refusals == _REFUSALS:
                log.error("%d lines were refused by the store: %s", len(batch), error)
                if not sender_repeats:
                    DROPPED.labels(delivery.receiver, "store_refused").inc(len(batch))
                return False
        else:
            return True
        await delivery.pause(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
