"""A channel gets a burst at once and one message a second then; what Slack asks for holds for that channel alone."""

from __future__ import annotations

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
