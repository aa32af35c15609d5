"""The rule engine over a real store: order, states, restarts, missed slots, reloads and failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alerting.rules.engine import HOLD_MS, MOST_BEHIND, RESEND_MS, SEEN_MS
from app.config import Limits
from app.errors import Overloaded
from app.labels import Labels
from app.store.client import Pool
from app.store.metrics import STALE_NAN_BITS
from app.store.state import StateStore
from ingest.batch import LogBatch, MetricBatch
from ingest.writer import Writer
from tests.integration.promql_world import series
from tests.integration.rule_world import INTERVAL, T0, RuleWorld, slots
from tests.integration.test_promql_histograms import histogram, put_histograms

STALE = float(np.array([STALE_NAN_BITS], np.uint64).view(np.float64)[0])
FIRE = {"alert": "Fire", "expr": "heat > 50", "for": "30s", "labels": {"severity": "page"}}


@pytest.fixture
async def world(embedded_pool: Pool, tmp_path: Path) -> AsyncIterator[RuleWorld]:
    """A world without rules, whose samples wait for no company."""
    writer = Writer(embedded_pool, Limits.model_validate({"commit_delay": "1ms"}))
    await writer.start()
    yield RuleWorld(embedded_pool, writer, tmp_path)
    await writer.stop()


def heat(world: RuleWorld, *spans: tuple[int, int, float]) -> None:
    """A sample every five seconds of each (from, to, value), in seconds after T0."""
    world.put("heat", [(T0 + s * 1000, value) for begin, end, value in spans for s in range(begin, end, 5)], room="a")


async def test_an_alert_from_its_beginning_to_its_end(world: RuleWorld) -> None:
    """Pending, firing, told again after a minute, over; its series follow it, and nothing is kept of it afterwards."""
    heat(world, (-60, 20, 10.0), (20, 180, 60.0), (180, 400, 10.0))
    (group,) = world.groups(FIRE)
    await world.begin([group])
    states, told = [], []
    for _ in range(15):
        slot = await world.turn(group)
        states.append((world.engine.runs()[0].rules[0].state, slot))
        told += [(slot, *one) for one in world.sink.take()]
    pending = [slot for state, slot in states if state == "pending"]
    firing = [slot for state, slot in states if state == "firing"]
    assert len(pending) == 2
    assert pending[0] - T0 in range(20_000, 35_000)
    assert firing[0] == pending[0] + 2 * INTERVAL
    ended = firing[-1] + INTERVAL
    began = firing[0] - T0
    assert told[0] == (firing[0], "Fire", began, None)
    assert told[-1] == (ended, "Fire", began, ended - T0)
    again = [slot for slot, _, _, ends in told if ends is None]
    assert np.diff(again).min() > RESEND_MS
    labels: Labels = series("ALERTS", alertname="Fire", alertstate="firing", room="a", severity="page")
    assert world.vector("ALERTS", firing[0] + 1) == {labels: 1.0}
    assert world.vector("ALERTS_FOR_STATE", firing[0]).popitem()[1] == pending[0] // 1000
    assert world.vector("ALERTS", ended + 1) == {}
    kept = StateStore(world.pool).get_all("rule")
    assert not [key for key in kept if key.startswith("alert")]


async def test_what_is_told_has_external_labels_and_links(world: RuleWorld) -> None:
    """As a Prometheus sends it: external labels, annotations expanded, a link to the query."""
    heat(world, (-60, 60, 60.0))
    (group,) = world.groups({**FIRE, "for": "0s", "annotations": {"a": '{{ query "heat" | first | value }}'}})
    await world.begin([group])
    await world.turn(group)
    (alert,) = world.sink.told
    assert dict(alert.labels) == {"alertname": "Fire", "room": "a", "severity": "page", "cluster": "eu"}
    assert alert.annotations == (("a", "60"),)
    assert alert.generator_url == "http://watch.example/graph?g0.expr=heat+%3E+50&g0.tab=1"


async def test_rules_of_a_group_see_what_earlier_ones_recorded(world: RuleWorld) -> None:
    """In order, at one time; also through a selector without a name, and what has ended is over for them."""
    heat(world, (-60, 20, 60.0), (20, 200, 10.0))
    (group,) = world.groups(
        {"record": "r:hot", "expr": "heat > 50"},
        {"record": "r:double", "expr": "r:hot * 2"},
        {"record": "r:named", "expr": 'sum({__name__=~"r:double"})'},
        {"record": "r:none", "expr": "absent(r:hot)"},
    )
    await world.begin([group])
    first = await world.turn(group)
    assert world.vector('{__name__=~"r:.*"}', first) == {
        series("r:hot", room="a"): 60.0,
        series("r:double", room="a"): 120.0,
        series("r:named"): 120.0,
    }
    while True:
        slot = await world.turn(group)
        if slot > T0 + 25_000:
            break
    assert world.vector('{__name__=~"r:.*"}', slot) == {series("r:none"): 1.0}


async def test_native_histograms_are_recorded(world: RuleWorld) -> None:
    """A rule over native histograms writes native histograms."""
    put_histograms(world.pool, {series("h", job=job): [(T0, histogram(4))] for job in "ab"})
    (group,) = world.groups({"record": "r:h", "expr": "sum(h)"}, {"record": "r:count", "expr": "histogram_count(r:h)"})
    await world.begin([group])
    slot = await world.turn(group)
    found = world.promql.instant("r:h", slot)
    (h,) = found.native(0) or [None]
    assert h is not None
    assert h.count == 8
    assert world.vector("r:count", slot) == {series("r:count"): 8.0}


async def test_a_query_offset_moves_queries_and_samples(world: RuleWorld) -> None:
    """`query_offset`: the past is asked, and recorded as it was then."""
    heat(world, (-120, 0, 1.0), (0, 60, 2.0))
    (group,) = world.groups({"record": "r", "expr": "heat"}, query_offset="60s")
    await world.begin([group])
    slot = await world.turn(group)
    assert world.vector("r", slot - 60_000) == {series("r", room="a"): 1.0}
    assert world.vector("r", slot - 60_001) == {}


async def test_a_rule_that_fails_says_why_and_stops_no_other(world: RuleWorld) -> None:
    """Health and error of each, counted."""
    heat(world, (-60, 200, 60.0))
    world.put("m", [(T0 + s * 1000, 1.0) for s in range(-60, 20, 5)], room="a")
    world.put("m", [(T0 + s * 1000, 1.0) for s in range(0, 20, 5)], room="a", twice="x")
    (group,) = world.groups({"record": "r", "expr": "heat"}, {"record": "s", "expr": "heat * on (room) m"}, limit=1)
    await world.begin([group])
    before = world.metric("evaluation_failures_total", group)
    await world.turn(group)
    good, bad = world.engine.runs()[0].rules
    assert (good.health, good.error, bad.health) == ("ok", "", "err")
    assert "many-to-many matching not allowed" in bad.error
    assert world.metric("evaluation_failures_total", group) == before + 1


async def test_slots_that_were_missed_are_evaluated_in_order_at_their_own_times(world: RuleWorld) -> None:
    """A group that is behind catches up; each sample has its slot's time and value, and late ones are counted."""
    heat(world, *((s, s + 5, float(s)) for s in range(-60, 300, 5)))
    (group,) = world.groups({"record": "r", "expr": "heat"})
    await world.begin([group])
    late = world.metric("late_evaluations_total", group)
    first = await world.turn(group)
    world.now_ms += 6 * INTERVAL + 100
    caught_up = await world.catch_up(group)
    assert caught_up == slots(group, 6, first)
    assert world.metric("late_evaluations_total", group) == late + 5
    for slot in caught_up:
        assert world.vector("r", slot) == world.vector("label_replace(heat, '__name__', 'r', '', '')", slot)


async def test_a_group_too_far_behind_gives_slots_up_and_says_so(world: RuleWorld) -> None:
    """The newest ones are made up; the others are counted."""
    heat(world, (-60, 10, 1.0))
    (group,) = world.groups({"record": "r", "expr": "heat"})
    await world.begin([group])
    missed = world.metric("missed_evaluations_total", group)
    await world.turn(group)
    world.now_ms += (MOST_BEHIND + 41) * INTERVAL
    caught_up = await world.catch_up(group)
    assert len(caught_up) == MOST_BEHIND + 1
    assert np.diff(caught_up).tolist() == [INTERVAL] * MOST_BEHIND
    assert world.metric("missed_evaluations_total", group) == missed + 40


async def firing(world: RuleWorld, **changes: Any) -> tuple[Any, int]:
    """A group whose alert fires; and its last slot."""
    (group,) = world.groups({**FIRE, **changes})
    await world.begin([group])
    while world.engine.runs()[0].rules[0].state != "firing":
        slot = await world.turn(group)
    return group, slot


async def test_a_firing_alert_outlives_a_short_stop(world: RuleWorld) -> None:
    """After a kill: the same alert since the same time, its slots made up, and nobody told that it was over."""
    heat(world, (-60, 600, 60.0))
    group, slot = await firing(world)
    ((_, began, _),) = world.sink.take()
    world.now_ms += 2 * INTERVAL + 500
    await world.begin([group])
    assert await world.catch_up(group) == slots(group, 2, slot)
    assert world.sink.take()[0] == ("Fire", began, None)
    assert all(ends is None for _, _, ends in world.sink.take())
    assert world.vector("ALERTS_FOR_STATE", slot + 2 * INTERVAL).popitem()[1] == (T0 + began) // 1000 - 30


async def test_a_long_stop_ends_no_alert_that_nobody_could_look_at(world: RuleWorld) -> None:
    """Twenty minutes without samples: five are made up, the rest counted; the alert goes on until known over."""
    heat(world, (-60, 60, 60.0), (1290, 1400, 60.0))
    group, slot = await firing(world)
    world.sink.take()
    missed = world.metric("missed_evaluations_total", group)
    world.now_ms = T0 + 1_260_000
    await world.begin([group])
    made_up = await world.catch_up(group)
    assert made_up[0] == slots(group, 1, slot)[0]
    assert slot + SEEN_MS - INTERVAL <= made_up[-1] <= slot + SEEN_MS
    total = slots(group, 200, slot)
    skipped = [at for at in total if at <= world.now_ms and at not in made_up]
    assert world.metric("missed_evaluations_total", group) == missed + len(skipped) > missed + 50
    while world.now_ms < T0 + 1_320_000:
        await world.turn(group)
    assert {ends for _, _, ends in world.sink.take()} == {None}
    # what was seen again ends as any other
    while world.engine.runs()[0].rules[0].state == "firing":
        await world.turn(group)
        assert world.now_ms < T0 + 1_800_000
    assert world.sink.take()[-1][2] is not None


async def test_an_alert_that_is_not_seen_again_is_over_after_a_while(world: RuleWorld) -> None:
    """It went out while nobody looked: two minutes after the start that is told, once."""
    heat(world, (-60, 60, 60.0), (60, 65, STALE))
    group, _ = await firing(world)
    ((_, began, _),) = world.sink.take()
    world.now_ms = T0 + 150_000
    await world.begin([group])
    await world.catch_up(group)
    while not any(ends for _, _, ends in world.sink.take()):
        await world.turn(group)
        assert world.now_ms < T0 + 150_000 + HOLD_MS + 2 * INTERVAL
    assert world.now_ms >= T0 + 150_000 + HOLD_MS
    for _ in range(3):
        await world.turn(group)
    assert world.sink.take() == []
    assert began > 0


async def test_pending_goes_on_where_it_was_without_the_stop(world: RuleWorld) -> None:
    """What was pending for a minute still has a minute to wait, however long the service was stopped."""
    heat(world, (-60, 90, 60.0), (90, 95, STALE), (990, 1400, 60.0))
    (group,) = world.groups({**FIRE, "for": "2m"})
    await world.begin([group])
    while world.now_ms < T0 + 60_000:
        await world.turn(group)
    (alert,) = world.engine.runs()[0].rules[0].alerts.values()
    waited = world.engine.runs()[0].slot_ms - alert.active_ms
    assert alert.state == "pending"
    world.now_ms = T0 + 1_000_000
    await world.begin([group])
    seen = []
    while world.engine.runs()[0].rules[0].state != "firing":
        seen.append(await world.turn(group))
    on_time = [at for at in seen if at > T0 + 990_000]
    assert abs((on_time[-1] - on_time[0]) - (120_000 - waited)) <= 2 * INTERVAL


async def test_rules_that_are_gone_end_their_alerts(world: RuleWorld) -> None:
    """At a reload and at a start: receivers are told, series end, nothing is kept."""
    heat(world, (-60, 900, 60.0))
    group, slot = await firing(world)
    ((_, began, _),) = world.sink.take()
    (other,) = world.groups({"record": "r", "expr": "heat"}, name="other")
    world.now_ms += 1000
    await world.engine.reload([other])
    assert world.sink.take() == [("Fire", began, world.now_ms - T0)]
    await asyncio.sleep(0.3)
    assert world.vector("ALERTS", world.now_ms + 1) == {}
    assert list(StateStore(world.pool).get_all("rule")) == []
    assert slot > T0

    again, _ = await firing(world)
    world.sink.take()
    await world.begin([other])
    await world.engine._tell_orphans()
    (told,) = world.sink.take()
    assert told[2] is not None
    assert again == group


async def test_a_reload_keeps_what_is_the_same(world: RuleWorld) -> None:
    """A changed expression or `for` keeps the alert; a changed label is another rule; an equal group is not touched."""
    heat(world, (-60, 900, 60.0))
    group, _ = await firing(world)
    ((_, began, _),) = world.sink.take()
    run = world.engine.runs()[0]
    await world.engine.reload(world.groups(FIRE))
    assert world.engine.runs()[0] is run
    (changed,) = world.groups({**FIRE, "expr": "heat > 40"})
    await world.engine.reload([changed])
    await world.turn(changed)
    (alert,) = world.engine.runs()[0].rules[0].alerts.values()
    assert (alert.state, alert.fired_ms) == ("firing", T0 + began)
    (relabelled,) = world.groups({**FIRE, "labels": {"severity": "ticket"}})
    await world.engine.reload([relabelled])
    slot = await world.turn(relabelled)
    told = world.sink.take()
    assert [ends is not None for _, _, ends in told].count(True) == 1
    alerts = world.vector("ALERTS", slot + 1)
    assert [dict(labels)["severity"] for labels in alerts] == ["ticket"]
    assert group.key == relabelled.key


async def test_alerts_are_told_again_when_the_sink_was_away(world: RuleWorld) -> None:
    """Neither a beginning nor an end is lost."""
    heat(world, (-60, 100, 60.0), (100, 400, 10.0))
    (group,) = world.groups({**FIRE, "for": "0s"})
    await world.begin([group])
    world.sink.away = True
    await world.turn(group)
    world.sink.away = False
    await world.turn(group)
    ((_, _, ends),) = world.sink.take()
    assert ends is None
    world.sink.away = True
    while world.now_ms < T0 + 140_000:
        await world.turn(group)
    world.sink.away = False
    await world.turn(group)
    ((_, _, ends),) = world.sink.take()
    assert ends is not None


async def test_samples_that_cannot_be_kept_are_the_rules_failure(
    world: RuleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full queue: health err with the reason, and the next evaluation is tried as any other."""
    heat(world, (-60, 200, 60.0))
    (group,) = world.groups({"record": "r", "expr": "heat"})
    await world.begin([group])

    async def refuse(batch: MetricBatch, urgent: bool = True) -> None:
        raise Overloaded("the queue is full")

    with monkeypatch.context() as patched:
        patched.setattr(world.writer, "write_metrics", refuse)
        await world.turn(group)
    rule = world.engine.runs()[0].rules[0]
    assert (rule.health, rule.error, rule.series) == ("err", "the queue is full", {})
    slot = await world.turn(group)
    assert rule.health == "ok"
    assert world.vector("r", slot) == {series("r", room="a"): 60.0}


async def test_logql_rules(world: RuleWorld) -> None:
    """Lines are counted, recorded as series, and alerted on."""
    batch = LogBatch(world.writer.streams.current)
    ref = batch.index.ref((("app", "shop"),))
    for second in range(-50, 0):
        batch.add(ref, (T0 + second * 1000) * 1_000_000, f"error {second}", {})
    await world.writer.write_logs(batch)
    (group,) = world.groups(
        {"record": "lines", "expr": 'sum by (app) (count_over_time({app="shop"} |= "error" [2m]))'},
        {
            "alert": "Errors",
            "expr": 'sum by (app) (rate({app="shop"}[2m])) > 0.1',
            "annotations": {"v": "{{ $value }}"},
        },
        language="logql",
    )
    await world.begin([group])
    slot = await world.turn(group)
    assert world.vector("lines", slot) == {series("lines", app="shop"): 50.0}
    ((name, _, ends),) = world.sink.take()
    assert (name, ends) == ("Errors", None)


async def test_the_engine_runs_by_itself_and_stops(world: RuleWorld) -> None:
    """With tasks and the real clock: every slot once, and the end leaves the last slot for the next start."""
    (group,) = world.groups({"record": "r", "expr": "vector(1)"}, interval="200ms")
    await world.begin([group])
    engine = world.engine
    engine._clock = __import__("time").time  # the one place that needs time to pass
    await engine.start()
    async with asyncio.timeout(10):
        while world.metric("evaluations_total", group) < 3:
            await asyncio.sleep(0.02)
    await engine.stop()
    await engine.stop()
    (slot,) = [doc["slot_ms"] for doc in StateStore(world.pool).get_all("rule").values()]
    assert slot == engine.runs()[0].slot_ms
