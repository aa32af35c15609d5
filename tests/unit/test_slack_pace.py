"""A channel gets a burst at once and one message a second then; what Slack asks for holds for that channel alone."""

from __future__ import annotations

import asyncio

import pytest

from alerting.notify.base import NotifyError
from alerting.slack.pace import Pacer


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


async def times(pacer: Pacer, clock: Clock, count: int, channel: str = "C1") -> list[float]:
    """When each of so many posts gets its turn."""
    found = []
    for _ in range(count):
        await pacer.turn(channel, 60)
        found.append(clock.now_s - 100)
    return found


async def test_a_burst_then_one_a_second(clock: Clock) -> None:
    """Three at once, then each a second after the other; after a quiet time the burst is there again."""
    pacer = Pacer(1.0, 3, clock, clock.sleep)
    assert await times(pacer, clock, 6) == [0, 0, 0, 1, 2, 3]
    clock.now_s += 60
    assert await times(pacer, clock, 4) == [63, 63, 63, 64]


async def test_what_slack_asks_for_holds_for_its_channel(clock: Clock) -> None:
    """After Retry-After: 30 posts and edits of that channel wait, those of another do not."""
    pacer = Pacer(1.0, 3, clock, clock.sleep)
    pacer.close("C1", 30)
    await pacer.turn("C2", 60)
    assert clock.now_s == 100
    await pacer.turn("C1", 60, counts=False)
    assert clock.now_s == 130


async def test_who_cannot_wait_is_told_how_long(clock: Clock) -> None:
    """A turn that comes later than the caller can wait is refused, may be tried again, and takes no place."""
    pacer = Pacer(1.0, 1, clock, clock.sleep)
    await pacer.turn("C1", 60)
    pacer.close("C1", 30)
    with pytest.raises(NotifyError) as caught:
        await pacer.turn("C1", 5)
    assert (caught.value.reason, caught.value.retry, caught.value.retry_after_s) == ("rate_limited", True, 30)
    clock.now_s = 130
    await pacer.turn("C1", 5)
    assert clock.now_s == 130


async def test_who_waits_when_the_channel_is_closed_waits_longer() -> None:
    """Slack says Retry-After while three wait for their turns: nobody asks before, and they stay a second apart."""
    now_s = 0.0
    sleepers: list[tuple[float, asyncio.Event]] = []
    came: list[object] = []

    async def sleep(seconds: float) -> None:
        woken = asyncio.Event()
        sleepers.append((now_s + seconds, woken))
        await woken.wait()

    async def post(pacer: Pacer, most_s: float) -> None:
        try:
            await pacer.turn("C1", most_s)
            came.append(now_s)
        except NotifyError as error:
            came.append((error.reason, error.retry, now_s))

    pacer = Pacer(1.0, 1, lambda: now_s, sleep)
    await pacer.turn("C1", 100)
    async with asyncio.TaskGroup() as tasks:
        for most_s in (100, 100, 3):
            tasks.create_task(post(pacer, most_s))
        await asyncio.sleep(0)
        pacer.close("C1", 30)
        pacer.close("C1", 20)  # asks for no more than the first
        while len(came) < 3:
            now_s += 1
            for due_s, woken in [one for one in sleepers if one[0] <= now_s]:
                sleepers.remove((due_s, woken))
                woken.set()
            for _ in range(3):
                await asyncio.sleep(0)
    assert came == [("rate_limited", True, 3), 31, 32]
