"""Messages follow silences and acknowledgements soon, and not only when their group is due."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from alerting.manager.acknowledgements import Acknowledgements
from alerting.manager.clock import Clock
from alerting.manager.delivery import Delivery
from alerting.manager.groups import AlertGroup, GroupTable
from alerting.manager.recurring import RecurringSilences
from alerting.manager.silences import Silences

log = logging.getLogger(__name__)

TRY_AGAIN = timedelta(seconds=5)


class Editing:
    """Watches silences and acknowledgements change, also by themselves as time goes on."""

    def __init__(
        self,
        clock: Clock,
        stopping: asyncio.Event,
        silences: Silences,
        recurring: RecurringSilences,
        acknowledgements: Acknowledgements,
    ) -> None:
        self._clock = clock
        self._stopping = stopping
        self._silences = silences
        self._recurring = recurring
        self._acknowledgements = acknowledgements
        self._wake = asyncio.Event()
        self._groups: GroupTable | None = None
        self._delivery: Delivery | None = None
        self._edits: asyncio.Task[None] | None = None
        self._dirty = False
        self._paused = False
        self._again_at: datetime | None = None
        silences.subscribe(self.wake)
        acknowledgements.subscribe(self.wake)
        recurring.subscribe(self.wake)

    def use(self, groups: GroupTable, delivery: Delivery) -> None:
        """Takes up the groups and ways of a configuration; ends a pause."""
        self._groups, self._delivery, self._paused = groups, delivery, False

    def pause(self) -> None:
        """Begins no more edits before another configuration is taken up."""
        self._paused = True

    def wake(self) -> None:
        """Something changed."""
        self._dirty = True
        self._wake.set()

    def version(self) -> tuple[int, int]:
        """Differs whenever a silence or an acknowledgement changed."""
        return self._silences.version, self._acknowledgements.version

    def tasks(self) -> list[asyncio.Task[None]]:
        """The messages that are being changed."""
        return [self._edits] if self._edits is not None and not self._edits.done() else []

    async def run(self, noted: Callable[[], None]) -> None:
        """Runs until the manager stops; `noted` is called after every change."""
        stopped = asyncio.ensure_future(self._stopping.wait())
        stopped.add_done_callback(lambda _: self._wake.set())
        try:
            while not self._stopping.is_set():
                self._wake.clear()
                try:
                    await self._recurring.turn(self._clock.now())
                    noted()
                except Exception:
                    log.exception("a turn of recurring silences failed")
                self._begin()
                next_at = self._next(self._clock.now())
                await self._clock.wait(next_at, self._wake)
                self._dirty = self._dirty or (next_at is not None and next_at <= self._clock.now())
        finally:
            stopped.cancel()
            for task in self.tasks():
                task.cancel()

    def _begin(self) -> None:
        # a receiver that answers slowly must not hold up the silences
        if self._paused or not self._dirty or self.tasks():
            return
        self._dirty, self._again_at = False, None
        self._edits = asyncio.create_task(self._edit_all(), name="alert edits")
        self._edits.add_done_callback(lambda _: self._wake.set())

    def _next(self, now: datetime) -> datetime | None:
        moments = [self._silences.next_change(now), self._recurring.next_change(), self._again_at]
        # what is due and could not be done, such as a write, is tried again after a moment
        return min((at if at > now else now + TRY_AGAIN for at in moments if at is not None), default=None)

    async def _edit_all(self) -> None:
        assert self._groups is not None
        assert self._delivery is not None
        now = self._clock.now()
        # a flush that is under way wakes this again when it ends
        wanted = [g for g in self._groups if not g.lock.locked() and self._delivery.can_edit(g)]
        results = await asyncio.gather(*(self._edit(group, now) for group in wanted), return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                log.error("changing a message failed", exc_info=result)
        if not all(result is True for result in results):
            self._again_at = self._clock.now() + TRY_AGAIN

    async def _edit(self, group: AlertGroup, now: datetime) -> bool:
        assert self._delivery is not None
        async with group.lock:
            deadline = now + TRY_AGAIN
            notification = self._delivery.notification(group, group.snapshot(), now, deadline)
            done = [await self._delivery.edit(way, notification) for way in self._delivery.ways(group.route.receiver)]
        return all(done)
