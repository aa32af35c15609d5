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
        self._put_off_s: dict[str, float] = {}
        """By how much turns were put off so far."""

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
            raise _too_many(wait_s)
        if counts:
            self._free_at[channel] = max(now, at, self._free_at.get(channel, now)) + self._between_s
            self._forget(now)
        put_off_s = self._put_off_s.get(channel, 0.0)
        while wait_s > 0:
            await self._sleep(wait_s)
            # turns that wait when Slack closes the channel come later, in the same order and as far apart
            wait_s, put_off_s = self._put_off_s.get(channel, 0.0) - put_off_s, self._put_off_s.get(channel, 0.0)
            if self._clock() + wait_s > now + most_s:
                raise _too_many(wait_s)

    def close(self, channel: str, seconds: float) -> None:
        """Nothing is written to a channel for so long: Slack said so."""
        now = self._clock()
        open_at = max(now, self._closed_until.get(channel, now))
        longer_s = max(0.0, now + seconds - open_at)
        self._closed_until[channel] = open_at + longer_s
        self._put_off_s[channel] = self._put_off_s.get(channel, 0.0) + longer_s
        if self._free_at.get(channel, now) - self._between_s - self._ahead_s > now:  # the last who waits
            self._free_at[channel] += longer_s

    def _forget(self, now: float) -> None:
        for times in (self._free_at, self._closed_until):
            if len(times) > _MOST_CHANNELS:
                for channel in [channel for channel, at in times.items() if at <= now]:
                    del times[channel]


def _too_many(wait_s: float) -> NotifyError:
    words = "too many messages wait for this channel already, as Slack takes one a second"
    return NotifyError(words, "rate_limited", retry=True, retry_after_s=wait_s)
