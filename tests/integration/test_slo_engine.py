"""The SLO engine over a real store, a counted past it is given, and a clock that is set."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.store.client import Pool
from slo.spec import EventsSli, Query
from tests.integration.slo_world import DAY, HOUR, MINUTE, NOW, PAGE, SPEC, TICKET, World, burning_world, slo


@pytest.fixture
def world(embedded_pool: Pool) -> World:
    """Two hours of a hundred requests a minute, 20 of them bad in the last hour."""
    return burning_world(embedded_pool)


async def test_a_new_slo_pages_in_its_first_cycle(world: World) -> None:
    """History is read back, and what has burnt for an hour pages at once, with its figures."""
    engine = world.engine()
    await engine.cycle()
    assert world.sink.states() == {"ShopDown": True, "ShopSlow": True}
    page = next(a for a in world.sink.puts[-1] if a.name == "ShopDown")
    assert page.starts_at == datetime.fromtimestamp(NOW / 1000, UTC)
    assert page.facts["long_burn"] == pytest.approx(200)
    assert page.facts["short_burn"] == pytest.approx(200)
    assert (page.facts["threshold"], page.facts["long_window_ms"]) == (14.4, HOUR)
    assert page.facts["budget_left"] == pytest.approx(1 - 1200 / 12000 * 1000)
    assert page.facts["exhausted_in_ms"] == 0
    (status,) = await engine.statuses()
    assert (status.bad, status.total) == (1200, 12000)
    assert world.kept() == (120, 10800, 12000)
    await engine.stop()


async def test_history_is_read_newest_first_a_day_at_a_time(world: World) -> None:
    """The newest day comes first, then older ones back to the period, without a hole and none twice."""
    engine = world.engine()
    await engine.cycle()
    asked = [(start, end) for _, start, end in world.counted.asked]
    assert asked[0][1] == NOW
    assert asked == sorted(asked, reverse=True)
    assert all(later[0] == earlier[1] for later, earlier in itertools.pairwise(asked))
    assert all(end - start <= DAY + HOUR for start, end in asked)
    assert asked[-1][0] <= NOW - 30 * DAY
    await engine.stop()


async def test_a_restart_reads_only_the_last_minutes_again(world: World) -> None:
    """Counts, and the beginning of an alert, are those of the process before; nothing is counted twice."""
    first = world.engine()
    await first.cycle()
    await first.stop()
    kept = world.kept()
    world.counted.asked.clear()
    world.now_ms += 2 * MINUTE
    world.counted.span(NOW, world.now_ms, 20, 100)
    second = world.engine()
    await second.cycle()
    assert min(start for _, start, _ in world.counted.asked) == NOW - HOUR
    assert world.kept() == (kept[0] + 2, kept[1] + 160, kept[2] + 200)
    (status,) = await second.statuses()
    assert (status.bad, status.total) == (1240, 12200)
    page = next(a for a in world.sink.puts[-1] if a.name == "ShopDown")
    assert page.starts_at == datetime.fromtimestamp(NOW / 1000, UTC)
    await second.stop()


async def test_an_alert_ends_when_the_short_window_is_clean(world: World) -> None:
    """Minute by minute: it goes on as one alert, ends when the 5m and the 30m pair let go, and is told so once."""
    engine = world.engine(slo(alerts=(PAGE,)))
    ended = []
    for minute in range(40):
        world.now_ms = NOW + minute * MINUTE
        world.counted.span(world.now_ms - MINUTE, world.now_ms, 0, 100) if minute else None
        await engine.cycle()
        ended += [(minute, a) for a in world.sink.puts[-1] if a.ends_at is not None] if world.sink.puts else []
        world.sink.puts.clear()
    # 30 minutes at 20 % hold until their rest is below 6 * 0.1 %: 0.9 of a minute, so the whole of the window
    assert [(minute, a.ends_at) for minute, a in ended] == [(30, datetime.fromtimestamp(NOW / 1000 + 1800, UTC))]
    assert ended[0][1].starts_at == datetime.fromtimestamp(NOW / 1000, UTC)
    assert not (await engine.statuses())[0].alerts[0].fires
    await engine.stop()


async def test_late_samples_are_made_good(world: World) -> None:
    """What arrives for the last five minutes replaces what was counted of them."""
    engine = world.engine()
    await engine.cycle()
    world.counted.span(NOW - 5 * MINUTE, NOW, 50, 200)
    world.now_ms += MINUTE
    await engine.cycle()
    (status,) = await engine.statuses()
    assert (status.bad, status.total) == (1200 + 5 * 30, 12000 + 5 * 100)
    assert world.kept()[2] == 12500
    await engine.stop()


async def test_missing_is_missing(world: World) -> None:
    """Minutes without a total have no row, weigh nothing, and lower the coverage."""
    for t in range(NOW - HOUR + MINUTE, NOW - HOUR // 2 + MINUTE, MINUTE):
        del world.counted.minutes[t]
    engine = world.engine()
    await engine.cycle()
    (status,) = await engine.statuses()
    assert (status.bad, status.total) == (600, 9000)
    assert status.coverage == pytest.approx(90 / (30 * 24 * 60))
    await engine.stop()


async def test_a_broken_slo_stops_no_other_and_holds_its_alert(world: World) -> None:
    """An SLO that cannot be counted says why and keeps its alert; the others go on."""
    other = slo(EventsSli(Query("bad2"), Query("all2")), (replace(PAGE, name="OtherDown"),), name="other")
    engine = world.engine(SPEC, other)
    await engine.cycle()
    world.counted.broken = "(bad["
    world.now_ms += MINUTE
    world.counted.span(NOW, world.now_ms, 20, 100)
    await engine.cycle()
    broken, fine = await engine.statuses()
    assert (broken.error, broken.to_ms) == ("it is broken", NOW)
    assert (fine.error, fine.to_ms) == (None, world.now_ms)
    assert world.sink.states() == {"ShopDown": True, "ShopSlow": True, "OtherDown": True}
    world.counted.broken = ""
    await engine.cycle()
    assert (await engine.statuses())[0].error is None
    await engine.stop()


async def test_another_query_is_counted_anew_and_another_objective_is_not(world: World) -> None:
    """Changing the objective judges the same counts; changing a query reads history again."""
    engine = world.engine()
    await engine.cycle()
    world.counted.asked.clear()
    await engine.reload([slo(objective=50.0)])
    await engine.cycle()
    assert len(world.counted.asked) == 1
    assert (await engine.statuses())[0].error_ratio == pytest.approx(0.1)
    assert world.sink.states() == {"ShopDown": False, "ShopSlow": False}
    changed = slo(EventsSli(Query("sum(rate(bad[{{.window}}])) * 2"), Query("sum(rate(all[{{.window}}]))")))
    world.counted.asked.clear()
    await engine.reload([changed])
    await engine.cycle()
    assert len(world.counted.asked) > 20
    assert world.kept(changed)[0] == world.kept()[0] == 120
    await engine.stop()


async def test_what_is_removed_or_disabled_ends(world: World) -> None:
    """The alert of an SLO that is gone, or of a severity that was disabled, is resolved once; also after a restart."""
    engine = world.engine()
    await engine.cycle()
    await engine.reload([slo(alerts=(TICKET,))])
    await engine.cycle()
    assert world.sink.states() == {"ShopDown": False, "ShopSlow": True}
    await engine.stop()
    later = world.engine(slo(EventsSli(Query("bad3"), Query("none")), (), name="new"))
    await later.cycle()
    assert world.sink.states() == {"ShopSlow": False}
    world.sink.puts.clear()
    await later.cycle()
    assert world.sink.puts == []
    await later.stop()


async def test_an_end_the_sink_did_not_take_is_told_again(world: World) -> None:
    """A hand-over that failed is made good in the next cycle, and the end keeps its time."""
    engine = world.engine()
    await engine.cycle()
    world.sink.broken = True
    await engine.reload([])
    await engine.cycle()
    world.sink.broken = False
    world.now_ms += MINUTE
    await engine.cycle()
    assert world.sink.states() == {"ShopDown": False, "ShopSlow": False}
    assert world.sink.puts[-1][0].ends_at == datetime.fromtimestamp(NOW / 1000, UTC)
    await engine.stop()


async def test_a_ticket_waits_for_its_history(world: World) -> None:
    """While three days are still being read, one bad day is no ticket: the days before were good."""
    world.counted.span(NOW - 3 * DAY, NOW - DAY, 0, 100)
    world.counted.span(NOW - DAY, NOW, 0.2, 100)
    world.counted.span(NOW - 2 * HOUR, NOW, 0, 100)
    engine = world.engine()
    await engine.cycle()
    assert all(alert.ends_at is not None for put in world.sink.puts for alert in put)
    assert world.sink.puts == []
    await engine.stop()


async def test_filling_goes_on_where_a_stopped_process_left(world: World) -> None:
    """A process that ends while history is being read leaves what it has read; the next one reads on from there."""
    first = world.engine()
    loop = asyncio.get_running_loop()

    def stop_after_twelve() -> None:
        if len(world.counted.asked) == 12:
            asyncio.run_coroutine_threadsafe(first.stop(), loop)

    world.counted.before = stop_after_twelve
    await first.cycle()
    first_asked = {start for _, start, _ in world.counted.asked}
    world.counted.before = lambda: None
    world.counted.asked.clear()
    second = world.engine()
    await second.cycle()
    again = sorted((start, end) for _, start, end in world.counted.asked)
    assert again[-1] == (NOW - HOUR, NOW)
    assert again[-2][1] == min(first_asked)
    assert (await second.statuses())[0].total == 12000
    await second.stop()


async def test_a_reload_does_not_wait_for_history(world: World) -> None:
    """A reload is taken up between two chunks of history; what is missing is read afterwards."""
    engine = world.engine()
    loop, reloads = asyncio.get_running_loop(), []

    def reload_after_twelve() -> None:
        if len(world.counted.asked) == 12:
            reloads.append(asyncio.run_coroutine_threadsafe(engine.reload([slo(objective=99.0)]), loop))

    world.counted.before = reload_after_twelve
    await engine.cycle()
    assert len(world.counted.asked) < 20
    await asyncio.wrap_future(reloads[0])
    await engine.cycle()
    (status,) = await engine.statuses()
    assert (status.spec.objective, status.total) == (99.0, 12000)
    assert world.counted.asked[-1][1] <= NOW - 29 * DAY
    await engine.stop()


async def test_start_cycles_at_once_and_stop_ends(world: World) -> None:
    """The first cycle does not wait for an interval; stop returns with nothing running."""
    engine = world.engine()
    await engine.start()
    async with asyncio.timeout(30):
        await world.sink.came.wait()
    await engine.stop()
    await engine.stop()
    assert world.sink.states() == {"ShopDown": True, "ShopSlow": True}
