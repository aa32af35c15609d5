"""The SLO engine after errors, downtime and reloads: it says what a new one would say, or that it cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pytest

from app.errors import StoreError
from app.store.client import Pool
from slo.board import looked_back_ms
from slo.engine import SloEngine
from slo.period import Rolling
from slo.spec import EventsSli, Query, SloSpec
from slo.status import SloStatus
from tests.integration.slo_world import DAY, HOUR, MINUTE, NOW, PAGE, SPEC, World, slo

OTHER = slo(EventsSli(Query("sum(bad2)"), Query("sum(all2)")), (replace(PAGE, name="OtherDown"),), name="other")
WEEK = slo(period=Rolling(7 * DAY), alerts=(PAGE,))


@pytest.fixture
def world(embedded_pool: Pool) -> World:
    """Forty days of a hundred requests a minute, one of them bad."""
    world = World(embedded_pool)
    world.counted.span(NOW - 40 * DAY, NOW, 1, 100)
    return world


async def passed(world: World, engine: SloEngine, ms: int) -> None:
    """Time goes on, requests go on, and a cycle runs."""
    world.counted.span(world.now_ms, world.now_ms + ms, 1, 100)
    world.now_ms += ms
    await engine.cycle()


def figures(status: SloStatus) -> list[tuple[int, float, float, float]]:
    """(length, bad, total, coverage) of every window, and of the period."""
    period = (0, status.bad, status.total, round(status.coverage, 6))
    return [period, *((w.window_ms, w.bad, w.total, round(w.coverage, 6)) for w in status.windows)]


def whole(status: SloStatus) -> bool:
    """Whether every window has all there was of it: a hundred requests a minute, one of them bad."""
    lengths = [status.spec.period.length_ms, *(w.window_ms for w in status.windows)]
    return figures(status) == [
        (0 if n == 0 else length, length // MINUTE, length // MINUTE * 100, 1.0) for n, length in enumerate(lengths)
    ]


async def only(engine: SloEngine, specs: Sequence[SloSpec] | None = None) -> SloStatus:
    """The status of the one SLO."""
    (status,) = await engine.statuses(specs)
    return status


@pytest.mark.parametrize("hours", [1, 9, 30, 80])
@pytest.mark.parametrize("restarted", [False, True])
async def test_one_that_failed_for_hours_has_all_its_counts_afterwards(
    world: World, hours: int, restarted: bool
) -> None:
    """An SLI that failed for hours beside one that did not is whole after it recovers, also by a restart."""
    specs = (WEEK, replace(OTHER, period=Rolling(7 * DAY)))
    engine = world.engine(*specs)
    await engine.cycle()
    await passed(world, engine, 37 * MINUTE)
    world.counted.broken = "bad2"
    for _ in range(hours):
        await passed(world, engine, HOUR)
        failing = (await engine.statuses())[1]
        assert failing.error
        assert failing.to_ms == NOW + 37 * MINUTE
    if restarted:
        await engine.stop()
        engine = world.engine(*specs)
        await passed(world, engine, MINUTE)
    world.counted.broken = ""
    await passed(world, engine, MINUTE)
    assert [whole(status) for status in await engine.statuses()] == [True, True]
    await engine.stop()


async def test_slos_that_fail_at_different_hours_keep_their_figures(world: World) -> None:
    """The windows of each are those of when it failed, the others go on; old hours are in memory of few of them."""
    slis = [EventsSli(Query(f"s{n}"), Query(" ".join(f"t{m}" for m in range(n, 6)))) for n in range(6)]
    specs = [slo(sli, name=f"slo-{n}", period=Rolling(7 * DAY)) for n, sli in enumerate(slis)]
    engine = world.engine(*specs)
    await engine.cycle()
    frozen: dict[str, list[tuple[int, float, float, float]]] = {}
    for n in range(5):
        before = await engine.statuses()
        # from now on those with t{n} in a query cannot be counted: the first, then two, then three
        world.counted.broken = f"t{n}"
        frozen.setdefault(f"slo-{n}", figures(before[n])[1:])
        await passed(world, engine, 11 * HOUR + 7 * MINUTE)
        statuses = await engine.statuses()
        assert [bool(status.error) for status in statuses] == [m <= n for m in range(6)]
        assert all(figures(status)[1:] == frozen[status.spec.name] for status in statuses[: n + 1])
        assert all(whole(status) for status in statuses[n + 1 :])
    ledger = engine._tallies.ledger
    assert sum(len(edge.lanes) for edge in ledger._edges.values()) <= 6 * len(specs[0].windows_ms)
    world.counted.broken = ""
    await passed(world, engine, MINUTE)
    assert all(whole(status) for status in await engine.statuses())
    await engine.stop()


async def test_one_that_fails_for_longer_than_anybody_looks_back_stops_no_other(world: World) -> None:
    """Its counts lie before all that is kept in memory; the others are judged on."""
    short = replace(PAGE, conditions=PAGE.conditions[:1])
    specs = [slo(period=Rolling(HOUR), alerts=(short,)), replace(OTHER, period=Rolling(HOUR), alerts=(short,))]
    engine = world.engine(*specs)
    await engine.cycle()
    world.counted.broken = "bad2"
    for _ in range(100):
        await passed(world, engine, HOUR)
    fine, failing = await engine.statuses()
    assert (fine.to_ms, fine.total, failing.to_ms) == (world.now_ms, 6000, NOW)
    assert failing.error
    world.counted.broken = ""
    await passed(world, engine, MINUTE)
    assert [one.total for one in await engine.statuses()] == [6000, 6000]
    await engine.stop()


@pytest.mark.parametrize("down_ms", [10 * MINUTE, 8 * HOUR, 3 * DAY, 40 * DAY])
async def test_after_downtime_everything_is_counted(world: World, down_ms: int) -> None:
    """Requests that came while nothing ran are counted by the next process, however long that was."""
    engine = world.engine(WEEK)
    await engine.cycle()
    await engine.stop()
    world.counted.span(NOW, NOW + down_ms, 1, 100)
    world.now_ms += down_ms
    world.counted.asked.clear()
    engine = world.engine(WEEK)
    await engine.cycle()
    assert whole(await only(engine))
    assert max(end - start for _, start, end in world.counted.asked) <= DAY + 2 * HOUR
    await engine.stop()


async def test_a_store_that_is_away_when_a_longer_period_is_loaded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload that looks further back takes the counts up again, as soon as the store answers."""
    engine = world.engine(WEEK)
    await engine.cycle()

    def away(*_: object, **__: object) -> None:
        raise StoreError("away")

    monkeypatch.setattr(Pool, "query", away)
    longer = replace(WEEK, period=Rolling(30 * DAY))
    await engine.reload([longer])
    with pytest.raises(StoreError):
        await engine.cycle()
    monkeypatch.undo()
    await passed(world, engine, MINUTE)
    assert whole(await only(engine))
    await engine.stop()


async def test_what_could_not_be_kept_is_not_known(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an insert fails after counting, the SLO says so, nothing of it is shown, and it is made good later."""
    engine = world.engine(WEEK)
    await engine.cycle()
    before = figures(await only(engine))
    insert = Pool.insert

    def full(pool: Pool, table: str, rows: pa.Table) -> None:
        if table == "slo_events":
            raise StoreError("the disk is full")
        insert(pool, table, rows)

    monkeypatch.setattr(Pool, "insert", full)
    await passed(world, engine, MINUTE)
    status = await only(engine)
    assert (status.error, status.to_ms) == ("the disk is full", NOW)
    assert figures(status) == before
    monkeypatch.undo()
    await passed(world, engine, MINUTE)
    assert whole(await only(engine))
    await engine.stop()


async def test_a_clock_that_goes_back_changes_nothing(world: World) -> None:
    """Cycles before what was counted already leave it; afterwards it goes on."""
    engine = world.engine(WEEK)
    await engine.cycle()
    world.now_ms -= 20 * MINUTE
    await engine.cycle()
    assert whole(await only(engine))
    world.now_ms += 20 * MINUTE
    await passed(world, engine, MINUTE)
    assert whole(await only(engine))
    await engine.stop()


async def test_slos_of_one_name_in_two_services_have_their_own_groups(world: World) -> None:
    """`availability` by path of two services are two SLOs a path, each of its own counts."""
    specs = [
        slo(SPEC.components[0].sli, (PAGE,), grouping=("path",)),
        slo(OTHER.components[0].sli, (PAGE,), service="api", grouping=("path",)),
    ]
    world.counted.groups = {(("path", "/"),): 1.0, (("path", "/a"),): 2.0}
    engine = world.engine(*specs)
    await engine.cycle()
    ids = [status.spec.id for status in await engine.statuses()]
    assert ids == [f'{service}-availability{{path="{path}"}}' for service in ("shop", "api") for path in ("/", "/a")]
    assert [one.components[0].sli for one in engine.specs()] == [specs[n].components[0].sli for n in (0, 0, 1, 1)]
    await engine.stop()


async def test_lanes_that_are_used_again_hold_nothing_of_before(world: World) -> None:
    """An SLO that takes the place of another has its own counts alone."""
    engine = world.engine(WEEK)
    await engine.cycle()
    none = slo(EventsSli(Query("none"), Query("none")), (PAGE,), name="none", period=Rolling(7 * DAY))
    await engine.reload([none])
    await passed(world, engine, MINUTE)
    assert {total for _, _, total, _ in figures(await only(engine))} == {0.0}
    assert looked_back_ms(none, MINUTE) == looked_back_ms(WEEK, MINUTE)
    await engine.stop()
