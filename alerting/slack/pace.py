"""When a channel may be written to next: Slack takes one message a second for each, and says when to wait longer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from alerting.notify.base import NotifyError

BETWEEN_POSTS_S = 1.0
"""https://docs.slack.dev/apis/web-api/rate-limits: one message a second in a channel."""
BURST = 20
"""So many go at once before that: Slack lets short bursts pass, and an incident is no time to wait."""
_MOST_CHANNELS = 10_000


class Pacer:
    """Turns by channel, first come, first served. A channel that has to wait holds up no other."""

    def __init__(
        self,
        between_s: float = BETWEEN_POSTS_S,
        burst: int = BURST,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._between_s = between_s
        self._ahead_s = between_s * (burst - 1)
        self._clock = clock
        self._sleep = sleep
        self._free_at: dict[str, float] = {}
        self._closed_until: dict[str, float] = {}

    async def turn(self, channel: str, most_s: float, *, counts: bool = True) -> None:
        """Returns when it is this caller's turn; a call that does not count (an edit) waits for Retry-After only.

        Raises NotifyError when that would take longer than `most_s`.
        """
        now = self._clock()
        at = self._closed_until.get(channel, now)
        if counts:
            at = max(at, self._free_at.get(channel, now) - self._ahead_s)
        wait_s = max(0.0, at - now)
        if wait_s > most_s:
            raise NotifyError(
                "too many messages wait for this channel already, as Slack takes one a second",
                "rate_limited",
                retry=True,
                retry_after_s=wait_s,
            )
        if counts:
            self._free_at[channel] = max(now, at, self._free_at.get(channel, now)) + self._between_s
            self._forget(now)
        if wait_s:
            await self._sleep(wait_s)

    def close(self, channel: str, seconds: float) -> None:
        """Nothing is written to a channel for so long: Slack said so."""
        until = self._clock() + seconds
        self._closed_until[channel] = max(until, self._closed_until.get(channel, until))

    def _forget(self, now: float) -> None:
        for times in (self._free_at, self._closed_until):
            if len(times) > _MOST_CHANNELS:
                for channel in [channel for channel, at in times.items() if at <= now]:
                    del times[channel]
