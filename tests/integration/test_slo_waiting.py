"""Nobody waits for a long cycle, and no evaluation is lost by one."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.store.client import Pool
from slo.period import Rolling
from tests.integration.slo_world import DAY, HOUR, MINUTE, NOW, PAGE, World, slo

WEEK = slo(period=Rolling(7 * DAY), alerts=(PAGE,))


@pytest.fixture
def world(embedded_pool: Pool) -> World:
    """Two weeks of a hundred requests a minute, none of them bad."""
    world = World(embedded_pool)
    world.counted.span(NOW - 14 * DAY, NOW, 0, 100)
    return world


@pytest.fixture
def gate(world: World) -> Iterator[threading.Event]:
    """Counting waits until it is set."""
    gate, entered = threading.Event(), threading.Event()
    gate.set()

    def wait() -> None:
        entered.set()
        assert gate.wait(30)

    world.counted.before = wait
    yield gate
    gate.set()


async def test_statuses_and_history_do_not_wait_for_a_cycle(world: World, gate: threading.Event) -> None:
    """While a cycle counts, SLOs are as of the one before."""
    engine = world.engine(WEEK)
    await engine.cycle()
    gate.clear()
    world.counted.span(NOW, NOW + MINUTE, 100, 100)
    world.now_ms += MINUTE
    cycle = asyncio.create_task(engine.cycle())
    async with asyncio.timeout(5):
        (status,) = await engine.statuses()
        (rows,) = await engine.rows(engine.specs()[0], NOW - HOUR, NOW + MINUTE)
    assert not cycle.done()
    assert (status.to_ms, status.bad, len(rows.starts_ms)) == (NOW, 0, 60)
    gate.set()
    await cycle
    assert (await engine.statuses())[0].bad == 100
    await engine.stop()


async def test_a_maintenance_waits_for_one_part_of_history_only(world: World) -> None:
    """Between two parts of history that is being read a maintenance is taken up, and shows at once."""
    engine = world.engine(WEEK)
    loop, reached = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        if len(world.counted.asked) == 3:
            loop.call_soon_threadsafe(reached.set)

    world.counted.before = tell
    cycle = asyncio.create_task(engine.cycle())
    await reached.wait()
    await engine.add_maintenance(NOW - HOUR, NOW)
    assert len(world.counted.asked) <= 5
    assert math.isnan((await engine.statuses())[0].windows[0].coverage)
    await cycle
    await engine.stop()


async def test_a_page_between_two_cycles_is_judged(world: World) -> None:
    """A cycle that comes minutes late judges each minute's end: what fired and ended meanwhile is told."""
    fast = replace(PAGE, conditions=PAGE.conditions[:1])
    engine = world.engine(replace(WEEK, alerts=(fast,)))
    await engine.cycle()
    world.counted.span(NOW, NOW + 2 * MINUTE, 100, 100)
    world.counted.span(NOW + 2 * MINUTE, NOW + 8 * MINUTE, 0, 100)
    world.now_ms += 8 * MINUTE
    await engine.cycle()
    ((alert,),) = world.sink.puts
    assert alert.starts_at.timestamp() * 1000 == NOW + MINUTE
    assert alert.ends_at is not None
    assert alert.ends_at.timestamp() * 1000 == NOW + 7 * MINUTE
    await engine.stop()


async def test_what_must_hold_for_a_time_must_hold_at_each_minute_between_two_cycles(world: World) -> None:
    """A pending alert starts anew where one of the minutes a late cycle missed says no."""
    fast = replace(PAGE, conditions=PAGE.conditions[:1], for_ms=9 * MINUTE)
    engine = world.engine(replace(WEEK, alerts=(fast,)))
    await engine.cycle()
    world.counted.span(NOW, NOW + MINUTE, 100, 100)
    world.now_ms += MINUTE
    await engine.cycle()
    assert (await engine.statuses())[0].alerts[0].pending
    world.counted.span(NOW + MINUTE, NOW + 9 * MINUTE, 0, 100)
    world.counted.span(NOW + 9 * MINUTE, NOW + 11 * MINUTE, 100, 100)
    world.now_ms += 10 * MINUTE
    await engine.cycle()
    (status,) = await engine.statuses()
    assert status.alerts[0].pending
    assert status.alerts[0].state.pending_ms == NOW + 10 * MINUTE
    await engine.stop()


async def test_a_cycle_that_took_too_long_is_followed_at_once(world: World) -> None:
    """Cycles longer than an interval leave no interval's end out."""
    took_ms = 70_000
    ends: list[int] = []
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def slow() -> None:
        ends.append(world.now_ms // MINUTE * MINUTE)
        world.counted.span(ends[-1], ends[-1] + 2 * MINUTE, 0, 100)
        world.now_ms += took_ms
        if len(ends) == 4:
            loop.call_soon_threadsafe(done.set)

    engine = world.engine(WEEK)
    await engine.cycle()
    world.counted.before = slow
    await engine.start()
    async with asyncio.timeout(20):
        await done.wait()
    await engine.stop()
    assert ends[:4] == [NOW, NOW + MINUTE, NOW + 2 * MINUTE, NOW + 3 * MINUTE]
