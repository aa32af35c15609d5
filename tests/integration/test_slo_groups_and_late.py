"""Groups that come and go, samples that come late, and maintenance of long ago, live in the SLO engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from unittest.mock import AsyncMock

import numpy as np
import pytest

from app.labels import Labels
from app.store.client import Pool
from app.store.slo_events import SloEvents
from slo.engine import SloEngine
from slo.period import Rolling
from slo.spec import EventsSli, Query, SloSpec, Timeslices
from slo.tallies import Tallies
from slo.tally import Tally
from tests.integration.slo_world import DAY, HOUR, MINUTE, NOW, PAGE, World, slo

BY_PATH = slo(period=Rolling(3 * DAY), alerts=(PAGE,), grouping=("path",))
A: Labels = (("path", "/a"),)
B: Labels = (("path", "/b"),)


@pytest.fixture
def world(embedded_pool: Pool) -> World:
    """Four days of a hundred requests a minute, 20 of them bad."""
    world = World(embedded_pool)
    world.counted.span(NOW - 4 * DAY, NOW, 20, 100)
    world.counted.groups = {A: 1.0, B: 2.0}
    return world


async def passed(world: World, engine: SloEngine, ms: int, total: float = 100) -> None:
    """Time goes on, requests go on, and a cycle runs."""
    world.counted.span(world.now_ms, world.now_ms + ms, total / 5, total)
    world.now_ms += ms
    await engine.cycle()


def written(world: World, at_ms: int, metric: str = "requests") -> None:
    """Tells who listens that a sample of a time was written."""
    world.pool.written.tell((metric,), np.zeros(1, np.int32), np.array([at_ms], np.int64))


async def totals(engine: SloEngine) -> dict[str, float]:
    """The total of the period by SLO."""
    return {status.spec.id: status.total for status in await engine.statuses()}


async def test_a_group_that_is_gone_ends_and_may_return(world: World) -> None:
    """Without an event for all that is kept a group is forgotten and its alert ends; it may return."""
    engine = world.engine(BY_PATH)
    await engine.cycle()
    assert len(engine.firing()) == 2
    world.counted.groups = {A: 1.0}
    for _ in range(90):
        await passed(world, engine, HOUR)
    assert list(engine.firing()) == ['shop-availability{path="/a"}']
    assert [spec.group for spec in engine.specs()] == [A]
    ended = [a for put in world.sink.puts for a in put if a.ends_at and dict(a.labels)["path"] == "/b"]
    assert len(ended) == 1
    world.counted.groups = {A: 1.0, B: 3.0}
    await passed(world, engine, MINUTE)
    # what is counted again of the last minutes is of the group, too
    assert (await totals(engine))['shop-availability{path="/b"}'] == 300 * 6
    await engine.stop()


async def test_a_group_that_takes_the_place_of_another_at_once(world: World) -> None:
    """One group is forgotten in the very cycle another is first seen: each has its own counts."""
    engine = world.engine(BY_PATH)
    await engine.cycle()
    world.counted.groups = {A: 1.0}
    for n in range(90):
        if len(engine.specs()) == 2 and n > 80:
            world.counted.groups = {A: 1.0, (("path", f"/{n}"),): 1.0}
        await passed(world, engine, HOUR)
    assert {spec.group for spec in engine.specs()} >= {A}
    assert B not in {spec.group for spec in engine.specs()}
    assert {status.to_ms for status in await engine.statuses()} == {world.now_ms}
    await engine.stop()


@pytest.mark.parametrize("ago", [MINUTE, 5 * MINUTE, 6 * MINUTE, 3 * HOUR, 2 * DAY + 17 * MINUTE])
async def test_late_samples_are_counted_whenever_they_come(world: World, ago: int) -> None:
    """A sample at the end of an interval that came minutes, hours or days late is in it, in slices and groups, too."""
    sliced = replace(BY_PATH, name="sliced", budgeting=Timeslices(5 * MINUTE, 0.9), grouping=())
    plain = replace(BY_PATH, name="plain", grouping=())
    engine = world.engine(BY_PATH, sliced, plain)
    await engine.cycle()
    await passed(world, engine, MINUTE)
    before = {status.spec.id: (status.bad, status.total) for status in await engine.statuses()}
    at_ms = (world.now_ms - ago) // (5 * MINUTE) * (5 * MINUTE) if ago > HOUR else world.now_ms - ago
    world.counted.minutes[at_ms] = (20, 1100)
    written(world, at_ms)
    await engine.cycle()
    after = {status.spec.id: (status.bad, status.total) for status in await engine.statuses()}
    grown = {name: after[name][1] - before[name][1] for name in before}
    assert grown['shop-availability{path="/a"}'] == grown["shop-plain"] == 1000
    assert grown['shop-availability{path="/b"}'] == 2000
    if ago > HOUR:
        # 100 of 1,500 requests are bad now, and the slice is good
        assert after["shop-sliced"][0] == before["shop-sliced"][0] - 1
    await engine.stop()


async def test_only_what_late_samples_touch_is_counted_again(world: World) -> None:
    """One days late, one hours late and one minutes late cost the hours they lie in, not all that is between."""
    engine = world.engine(slo(period=Rolling(3 * DAY), alerts=(PAGE,)))
    await engine.cycle()
    world.counted.asked.clear()
    late = (NOW - 2 * DAY, NOW - 30 * HOUR, NOW - 3 * HOUR, NOW - 8 * MINUTE)
    for at_ms in late:
        world.counted.minutes[at_ms] = (20, 1100)
        written(world, at_ms)
    await passed(world, engine, MINUTE)
    assert (await totals(engine))["shop-availability"] == 3 * 1440 * 100 + 4 * 1000
    asked = [(start, end) for _, start, end in world.counted.asked]
    for at_ms in late:
        assert sum(start < at_ms <= end for start, end in asked) == 1
    assert sum(end - start for start, end in asked) <= 4 * HOUR + 30 * MINUTE
    # the sample of minutes ago is counted with the newest intervals, not by one more query
    assert len(asked) == 4
    world.counted.asked.clear()
    await passed(world, engine, MINUTE)
    assert [(start, end) for _, start, end in world.counted.asked] == [(NOW - 4 * MINUTE, NOW + 2 * MINUTE)]
    await engine.stop()


async def test_slices_and_maintenance_are_made_again_where_late_samples_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an SLO of slices, and of one with maintenance, only the hours a late sample reached are read again."""
    plain = slo(period=Rolling(3 * DAY), alerts=(PAGE,))
    engine = world.engine(replace(plain, name="sliced", budgeting=Timeslices(5 * MINUTE, 0.9)), plain)
    await engine.add_maintenance(NOW - 20 * HOUR, NOW - 19 * HOUR, slos=(plain.id,))
    await engine.cycle()
    before = {status.spec.id: (status.bad, status.total) for status in await engine.statuses()}
    assert before[plain.id][1] == (3 * 1440 - 60) * 100
    read: list[tuple[int, int]] = []
    rows_of = Tallies.rows_of

    def listened(tallies: Tallies, wanted: Sequence[tuple[Tally, Labels]], from_ms: int, to_ms: int) -> list[SloEvents]:
        read.append((from_ms, to_ms))
        return rows_of(tallies, wanted, from_ms, to_ms)

    monkeypatch.setattr(Tallies, "rows_of", listened)
    for at_ms in (NOW - 2 * DAY, NOW - 8 * MINUTE):
        for at in range(at_ms // (5 * MINUTE) * 5 * MINUTE, at_ms // (5 * MINUTE) * 5 * MINUTE + 5 * MINUTE, MINUTE):
            world.counted.minutes[at + MINUTE] = (0, 300)
            written(world, at + MINUTE)
    await passed(world, engine, 2 * MINUTE)
    after = {status.spec.id: (status.bad, status.total) for status in await engine.statuses()}
    assert after[plain.id][1] - before[plain.id][1] == 2 * 5 * 200
    assert after["shop-sliced"][0] - before["shop-sliced"][0] == -2
    assert read
    # the samples lie at the end of an hour, so what they change reaches into the next
    assert {end - start for start, end in read} == {2 * HOUR}
    await engine.stop()


async def test_late_samples_of_what_is_not_taken_up_yet_are_counted_once_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart the newest day is there at once; a sample of the days before that comes late waits for them."""
    spec = slo(period=Rolling(3 * DAY), alerts=(PAGE,))
    first = world.engine(spec)
    await first.cycle()
    await first.stop()
    second = world.engine(spec)
    monkeypatch.setattr(second, "fill_once", AsyncMock(return_value=False))
    await second.cycle()
    world.counted.minutes[NOW - 60 * HOUR] = (20, 1100)
    written(world, NOW - 60 * HOUR)
    await passed(world, second, MINUTE)
    monkeypatch.undo()
    for _ in range(2):
        await passed(world, second, MINUTE)
    assert (await totals(second))["shop-availability"] == 3 * 1440 * 100 + 1000
    await second.stop()


async def test_what_came_before_the_first_cycle_of_a_process_is_counted(world: World) -> None:
    """Senders that catch up after a restart may write hours that were counted already before the first cycle runs."""
    spec: SloSpec = slo(period=Rolling(3 * DAY), alerts=(PAGE,))
    first = world.engine(spec)
    await first.cycle()
    await first.stop()
    second = world.engine(spec)
    world.counted.minutes[NOW - 5 * HOUR] = (20, 1100)
    written(world, NOW - 5 * HOUR)
    world.now_ms += MINUTE
    world.counted.span(NOW, NOW + MINUTE, 20, 100)
    await second.cycle()
    assert (await totals(second))["shop-availability"] == 3 * 1440 * 100 + 1000
    await second.stop()


async def test_late_samples_that_cannot_be_counted_stop_no_judging(world: World) -> None:
    """Where an old block cannot be counted again the newest intervals are counted and judged on, and it is retried."""
    spec = slo(EventsSli(Query("b"), Query("a")), period=Rolling(3 * DAY), alerts=(PAGE,))
    engine = world.engine(spec)
    await engine.cycle()
    world.counted.minutes[NOW - DAY] = (20, 1100)
    written(world, NOW - DAY)
    calls = 0

    def break_the_second() -> None:
        nonlocal calls
        calls += 1
        world.counted.broken = "b" if calls == 2 else ""

    world.counted.before = break_the_second
    await passed(world, engine, MINUTE)
    (status,) = await engine.statuses()
    assert (status.error, status.to_ms, status.total) == (None, world.now_ms, 3 * 1440 * 100)
    world.counted.before = lambda: None
    world.counted.broken = ""
    await passed(world, engine, MINUTE)
    assert (await totals(engine))["shop-availability"] == 3 * 1440 * 100 + 1000
    await engine.stop()
