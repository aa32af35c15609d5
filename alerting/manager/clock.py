"""Time as an argument: the alert manager asks a clock, so that tests can turn it by hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The time now, and a way to wait for a later one."""

    def now(self) -> datetime:
        """The time now, aware."""

    async def wait(self, until: datetime | None, wake: asyncio.Event) -> None:
        """Returns at `until` (None: never by itself) or as soon as `wake` is set, whichever is first."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time now, in UTC."""
        return datetime.now(UTC)

    async def wait(self, until: datetime | None, wake: asyncio.Event) -> None:
        """As `Clock.wait`."""
        delay_s = None if until is None else max(0.0, (until - self.now()).total_seconds())
        try:
            async with asyncio.timeout(delay_s):
                await wake.wait()
        except TimeoutError:
            return
