"""Rules where things go wrong: clocks set back, pauses, mistakes in an evaluation, reloads while the store is away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerting.rules.engine import VALID_MS
from app.errors import StoreUnavailable
from app.store.state import StateStore
from tests.integration.rule_world import INTERVAL, T0, RuleWorld
from tests.integration.test_rule_engine import FIRE, heat, world

__all__ = ["world"]
NOW_ON = {**FIRE, "for": "0s"}


async def test_a_clock_set_back_holds_no_rule_up(world: RuleWorld) -> None:
    """The next evaluation comes within an interval, an alert fires on, and its end is told."""
    heat(world, (-4_000, -3_500, 60.0), (-60, 60, 60.0))
    (group,) = world.groups(NOW_ON)
    await world.begin([group])
    await world.turn(group)
    world.now_ms -= 3_600_000
    assert await world.engine.turn(group.key) <= INTERVAL / 1000
    assert abs(await world.turn(group) - world.now_ms) < INTERVAL
    assert world.engine.runs()[0].rules[0].state == "firing"
    assert [ends for _, _, ends in world.sink.take()] == [None]
    heat(world, (-3_500, -3_400, 10.0))
    world.now_ms = T0 - 3_450_000
    await world.catch_up(group)
    assert [ends is None for _, _, ends in world.sink.take()][-1:] == [False]


async def test_a_restart_under_an_earlier_clock_holds_no_rule_up(world: RuleWorld) -> None:
    """As one that is set back while the process runs."""
    heat(world, (-4000, 400, 60.0))
    (group,) = world.groups(NOW_ON)
    await world.begin([group])
    await world.turn(group)
    world.now_ms -= 3_600_000
    await world.begin([group])
    assert abs(await world.turn(group) - world.now_ms) < INTERVAL


async def test_a_process_that_was_held_up_ends_no_alert(world: RuleWorld) -> None:
    """A paused machine scrapes nothing: that is as a stop, and what fired fires on."""
    heat(world, (-60, 60, 60.0), (3_600, 4_000, 60.0))
    (group,) = world.groups(NOW_ON)
    await world.begin([group])
    world.engine.pulse()
    await world.turn(group)
    began = world.engine.runs()[0].rules[0].alerts.copy().popitem()[1].fired_ms
    world.now_ms = T0 + 3_620_000
    await world.catch_up(group)
    (alert,) = world.engine.runs()[0].rules[0].alerts.values()
    assert (alert.state, alert.fired_ms) == ("firing", began)
    assert not [told for told in world.sink.take() if told[2] is not None]


async def test_a_mistake_in_one_rule_ends_no_other(world: RuleWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error nobody foresaw is that rule's failure; the others are evaluated, and the group goes on."""
    heat(world, (-60, 200, 60.0))
    (group,) = world.groups({"alert": "Bad", "expr": "heat"}, NOW_ON)
    await world.begin([group])
    (run,) = world.engine.runs()

    def broken(*_: object) -> Any:
        raise ValueError("oops")

    monkeypatch.setattr(run.rules[0].maker, "found", broken)
    first = await world.turn(group)
    assert [(r.health, r.error) for r in run.rules] == [("err", "internal error: ValueError"), ("ok", "")]
    assert await world.turn(group) == first + INTERVAL
    assert world.metric("evaluation_failures_total", group) == 2


async def test_a_reload_while_the_store_is_away_begins_what_is_new(
    world: RuleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be written then is written later; no group is left without its evaluations."""
    (one,) = world.groups({"record": "a", "expr": "1"}, name="one")
    (two,) = world.groups({"record": "a", "expr": "2"}, name="two")
    await world.begin([one])
    await world.engine.start()

    def away(*_: object) -> None:
        raise StoreUnavailable("the store is away")

    monkeypatch.setattr(StateStore, "write", away)
    world.engine._book._slots["group/gone"] = {}
    await world.engine.reload([two])
    assert set(world.engine._tasks) == {two.key}
    monkeypatch.undo()
    await world.engine.stop()


async def test_rules_of_one_name_keep_their_own_alerts(world: RuleWorld) -> None:
    """Two rules of a group with the same name and labels: each has its alerts back after a restart."""
    for name in ("a", "b"):
        world.put(name, [(T0 + s * 1000, 1.0) for s in range(-60, 600, 5)], i=name)
    (group,) = world.groups({"alert": "X", "expr": "a"}, {"alert": "X", "expr": "b", "for": "15s"})
    await world.begin([group])
    await world.turn(group)
    await world.begin([group])
    (run,) = world.engine.runs()
    assert [[alert.state for alert in rule.alerts.values()] for rule in run.rules] == [["firing"], ["pending"]]
    await world.turn(group)
    assert [[alert.state for alert in rule.alerts.values()] for rule in run.rules] == [["firing"], ["firing"]]


async def test_the_end_of_alerts_over_the_limit_is_told(world: RuleWorld) -> None:
    """A rule over its limit has no alerts: who was told of one hears that it is over."""
    heat(world, (-60, 600, 60.0))
    world.put("heat", [(T0 + s * 1000, 60.0) for s in range(40, 600, 5)], room="b")
    (group,) = world.groups(NOW_ON, limit=1)
    await world.begin([group])
    for _ in range(5):
        await world.turn(group)
    assert [ends is None for _, _, ends in world.sink.take()] == [True, False]


async def test_the_end_of_alerts_that_wait_for_a_longer_for_is_told(world: RuleWorld) -> None:
    """A longer `for` makes an alert pending again: it does not fire on for those who were told."""
    heat(world, (-60, 600, 60.0))
    (group,) = world.groups(NOW_ON)
    await world.begin([group])
    await world.turn(group)
    (longer,) = world.groups({**FIRE, "for": "2m"})
    await world.engine.reload([longer])
    await world.turn(longer)
    assert [ends is None for _, _, ends in world.sink.take()] == [True, False]


async def test_other_external_labels_leave_nothing_firing(world: RuleWorld) -> None:
    """A reload that changes them: alerts under the old ones are over, and fire at once under the new ones."""
    heat(world, (-60, 600, 60.0))
    (group,) = world.groups({**NOW_ON, "annotations": {"where": "{{ $externalLabels.cluster }}"}})
    await world.begin([group])
    external = {"cluster": "eu"}
    world.engine._external_labels = lambda: external
    await world.turn(group)
    external = {"cluster": "us"}
    await world.turn(group)
    assert [(dict(a.labels)["cluster"], dict(a.annotations)["where"], a.ends_by_timeout) for a in world.sink.told] == [
        ("eu", "eu", True),
        ("eu", "us", False),
        ("us", "us", True),
    ]


async def test_an_alert_nobody_speaks_of_any_more_is_over(world: RuleWorld) -> None:
    """What receivers are told has an end, far beyond the next time it is told."""
    heat(world, (-60, 600, 60.0))
    (group,) = world.groups(NOW_ON)
    await world.begin([group])
    await world.turn(group)
    (alert,) = world.sink.told
    assert alert.ends_by_timeout
    assert alert.ends_at == datetime.fromtimestamp(world.now_ms / 1000, UTC) + timedelta(milliseconds=VALID_MS)
