"""Stopped for two seconds and for twenty minutes: nothing is lost and nothing is told twice. Time is turned by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.alert_world import START, AlertWorld, alert
from tests.unit.test_alert_silences import silence

CONFIG = """
route: {receiver: team, group_by: [slo], group_wait: 1s, group_interval: 30s, repeat_interval: 6h}
receivers: [{name: team}]
"""

pytestmark = pytest.mark.parametrize("stopped_s", [2, 1200])


async def away(world: AlertWorld, seconds: float) -> None:
    """The service is stopped, time goes on without it, and it is started again."""
    await world.manager.stop()
    world.clock.pass_by(seconds)
    await world.restart()


async def test_what_was_told_is_not_told_again(stopped_s: int) -> None:
    """An alert that goes on is told once, though its sender says so again after the start."""
    async with AlertWorld(CONFIG) as world:
        await world.put(alert("A", slo="x"))
        await world.turn(10)
        for _ in range(3):
            await away(world, stopped_s)
            await world.put(alert("A", slo="x"))
            await world.turn(61)
        assert world.team.told == [(1, ["A"], [])]


async def test_what_was_not_told_yet_is_told(stopped_s: int) -> None:
    """An alert that was taken just before the stop is told after it; one that joins is told with it."""
    async with AlertWorld(CONFIG) as world:
        await world.put(alert("A", slo="x"))
        await away(world, stopped_s)
        await world.put(alert("B", 1, slo="x"))
        await world.turn(31)
        told = sorted({name for _, firing, _ in world.team.told for name in firing})
        assert told == ["A", "B"]


async def test_what_ended_meanwhile_is_told(stopped_s: int) -> None:
    """An alert whose end came while nobody ran is told as resolved, once, by itself or with its sender's word."""
    async with AlertWorld(CONFIG) as world:
        await world.put(alert("A", 0, 21, slo="x"), alert("B", slo="y"))
        await world.turn(20)
        await away(world, stopped_s)
        await world.put(alert("B", 0, 21, slo="y"))
        await world.turn(90)
        assert [(f, r) for _, f, r in world.team.told[:2]] == [(["A"], []), (["B"], [])]
        assert sorted(r for _, f, r in world.team.told[2:] if not f) == [["A"], ["B"]]
        assert world.manager.alerts() == []


async def test_what_is_repeated_is_repeated_on_time(stopped_s: int) -> None:
    """A repeat that came due while nobody ran is told after the start, and the next one counts from there."""
    async with AlertWorld(CONFIG) as world:
        await world.put(alert("A", slo="x"))
        await world.turn(6 * 3600 - 1)
        await away(world, stopped_s)
        await world.put(alert("A", slo="x"))
        await world.turn(100)
        assert len(world.team.told) == 2
        await world.turn(5 * 3600)
        assert len(world.team.told) == 2


async def test_silences_hold_over_it(stopped_s: int) -> None:
    """A silence that goes on keeps its alerts back after the start; one that ended meanwhile does not."""
    async with AlertWorld(CONFIG) as world:
        await world.manager.silences.set(silence("slo=x", 0, 9000), "ann")
        await world.manager.silences.set(silence("slo=y", 0, 11), "ann")
        await world.put(alert("A", slo="x"), alert("B", slo="y"))
        await world.turn(10)
        await away(world, stopped_s)
        await world.put(alert("A", slo="x"), alert("B", slo="y"))
        await world.turn(60)
        assert [firing for _, firing, _ in world.team.told] == [["B"]]


async def test_decisions_are_remembered(stopped_s: int) -> None:
    """What was decided before the stop can be asked for after it."""
    async with AlertWorld(CONFIG) as world:
        await world.put(alert("A", slo="x"))
        await world.turn(10)
        await away(world, stopped_s)
        (decision,) = [d for d in world.manager.journal.about(alert("A", slo="x").fingerprint) if d.outcome == "sent"]
        assert decision.first_at == START + timedelta(seconds=1)


async def test_what_is_sent_again_and_again_did_not_end(stopped_s: int) -> None:
    """A Prometheus that goes on sending an alert after the start: it is not told that it ended, nor told again."""
    async with AlertWorld(CONFIG) as world:
        await resent(world, 120)
        await away(world, stopped_s)
        await world.turn(50)
        await resent(world, 300)
        assert world.team.told == [(1, ["A"], [])]


async def test_what_is_not_sent_any_longer_ends(stopped_s: int) -> None:
    """When nobody says so after the start, it ends as it would have: once the time to its end is over again."""
    async with AlertWorld(CONFIG) as world:
        await resent(world, 120)
        await away(world, stopped_s)
        await world.turn(235)
        assert world.team.told == [(1, ["A"], [])]
        await world.turn(60)
        assert [(f, r) for _, f, r in world.team.told] == [(["A"], []), ([], ["A"])]


async def resent(world: AlertWorld, seconds: int) -> None:
    """A Prometheus sends an alert every 15 s, each time to end in four minutes."""
    for _ in range(seconds // 15):
        now_s = (world.clock.now() - START).total_seconds()
        await world.put(alert("A", 0, now_s + 240, slo="x"))
        await world.turn(15)


async def test_what_is_sent_again_is_written_seldom(stopped_s: int) -> None:
    """An end that is moved every 15 s is written when half of the time to it is over."""
    async with AlertWorld(CONFIG) as world:
        await resent(world, 60)
        before = world.store.writes
        await resent(world, 600)
        assert world.store.writes - before <= 600 / 120 + 3
        await away(world, stopped_s)
