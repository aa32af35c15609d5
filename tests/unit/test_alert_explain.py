"""Explanations: why somebody was told of an alert or was not, now and at times past. Time is turned by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from alerting.manager.explain import explain
from alerting.manager.journal import KEPT_EACH
from alerting.notify.base import NotifyError
from app.errors import NotFound
from tests.alert_world import START, AlertWorld, alert
from tests.unit.test_alert_silences import silence

CONFIG = """
route:
  receiver: team
  group_by: [slo]
  group_wait: 30s
  group_interval: 1m
  repeat_interval: 4h
  routes: [{matchers: [severity=info], receiver: nobody}, {matchers: [team=night], active_time_intervals: [night]}]
receivers: [{name: team}, {name: nobody}]
time_intervals: [{name: night, time_intervals: [{times: [{start_time: '20:00', end_time: '24:00'}]}]}]
inhibit_rules: [{source_matchers: [alertname=Boss], target_matchers: [alertname!=Boss], equal: [slo]}]
"""
A = alert("A", slo="x")


@pytest.fixture
async def world() -> AsyncIterator[AlertWorld]:
    """A started world."""
    async with AlertWorld(CONFIG) as world:
        yield world


def told(world: AlertWorld, at_s: float | None = None, fingerprint: str = A.fingerprint) -> dict[str, Any]:
    """The explanation of an alert, as of some seconds after START."""
    return explain(world.manager, fingerprint, None if at_s is None else START + timedelta(seconds=at_s))


def sentences(*args: Any, **kwargs: Any) -> list[str]:
    """What it comes to, in words."""
    found: list[str] = told(*args, **kwargs)["summary"]
    return found


async def test_it_waits(world: AlertWorld) -> None:
    """Before the first message: the route, the group, and until when it waits."""
    await world.put(A)
    await world.turn(10)
    answer = told(world)
    (route,) = answer["routes"]
    assert (answer["state"], answer["labels"]) == ("firing", {"alertname": "A", "slo": "x"})
    assert (route["receiver"], route["path"], route["group_labels"]) == ("team", ["{}"], {"slo": "x"})
    assert route["next_flush_at"] == (START + timedelta(seconds=30)).isoformat()
    assert answer["summary"] == [
        "team (slack/0): not told yet; the group waits for others until 2026-03-01 12:00:30 UTC"
    ]


async def test_it_was_told_and_nothing_is_new(world: AlertWorld) -> None:
    """After the message: when and why; later: that nothing is new since."""
    await world.put(A)
    await world.turn(40)
    assert sentences(world) == [
        "team (slack/0): told at 2026-03-01 12:00:30 UTC that it is firing, since it is the first message of this group"
    ]
    await world.turn(600)
    (notifier,) = told(world)["routes"][0]["notifiers"]
    assert (notifier["decision"]["outcome"], notifier["decision"]["times"]) == ("unchanged", 10)
    assert notifier["last_sent"]["why"] == "first"
    assert sentences(world)[0].endswith("(told at 2026-03-01 12:00:30 UTC)")


async def test_times_past(world: AlertWorld) -> None:
    """What is asked for at a time past is what was decided then, over a kill and after the alert is gone."""
    await world.put(A)
    await world.turn(100)
    await world.put(alert("B", 100, slo="x"))
    await world.turn(100)
    await world.put(alert("A", 0, 200, slo="x"), alert("B", 100, 200, slo="x"))
    await world.turn(200)
    await world.kill()
    assert world.manager.alerts() == []
    assert sentences(world, 10) == [
        "team (slack/0): not told yet; the group was first looked at 2026-03-01 12:00:30 UTC"
    ]
    assert "that it is firing, since it is the first message" in sentences(world, 45)[0]
    assert "that it is firing, since alerts had joined the group" in sentences(world, 160)[0]
    assert "that it is resolved, since all alerts of the group had resolved" in sentences(world, 290)[0]
    assert told(world, 45)["routes"][0]["notifiers"][0]["next"]["outcome"] == "unchanged"


async def test_silenced(world: AlertWorld) -> None:
    """By which silence, of whom, and what it says."""
    one = await world.manager.silences.set(silence("slo=x", 0, 9000), "ann")
    await world.put(A)
    await world.turn(40)
    assert sentences(world) == [
        f"team (slack/0): not told at 2026-03-01 12:00:30 UTC: kept back by silence {one}",
        f"team: suppressed now by the silence {one} of ann: patching",
    ]


async def test_inhibited(world: AlertWorld) -> None:
    """By which alert, with its labels."""
    boss = alert("Boss", slo="x")
    named = f'{{alertname="Boss", slo="x"}} ({boss.fingerprint})'
    await world.put(A, boss)
    await world.turn(40)
    assert sentences(world) == [
        f"team (slack/0): not told at 2026-03-01 12:00:30 UTC: kept back by the alert {named}",
        f"team: suppressed now by the alert {named}",
    ]


async def test_muted(world: AlertWorld) -> None:
    """By which time interval; the path of routes is shown."""
    mine = alert("A", slo="x", team="night")
    await world.put(mine)
    await world.turn(40)
    answer = told(world, fingerprint=mine.fingerprint)
    assert answer["routes"][0]["path"] == ["{}", '{team="night"}']
    assert answer["summary"] == [
        "team (slack/0): not told at 2026-03-01 12:00:30 UTC: kept back by mute night",
        "team: suppressed now by the time interval night",
    ]


async def test_the_receivers_answer(world: AlertWorld) -> None:
    """What the receiver answered when it did not take the message, and that it took it later."""
    world.team.failures = [NotifyError("Slack says channel_not_found", "rejected", retry=False)]
    await world.put(A)
    await world.turn(40)
    assert sentences(world) == [
        "team (slack/0): not told at 2026-03-01 12:00:30 UTC: the receiver answered "
        "'rejected: Slack says channel_not_found'"
    ]
    await world.turn(60)
    assert "told at 2026-03-01 12:01:30 UTC that it is firing" in sentences(world)[0]
    assert "channel_not_found" in sentences(world, 35)[0]


async def test_a_receiver_without_notifiers(world: AlertWorld) -> None:
    """A route to a receiver that sends nothing says so."""
    mine = alert("A", slo="x", severity="info")
    await world.put(mine)
    await world.turn(40)
    assert sentences(world, fingerprint=mine.fingerprint) == [
        "nobody: not told at 2026-03-01 12:00:30 UTC: the receiver has nothing that is sent to"
    ]


async def test_acknowledged(world: AlertWorld) -> None:
    """Who looks after it."""
    await world.put(A)
    await world.manager.acknowledge(fingerprints=[A.fingerprint], by="ann")
    assert [one["by"] for one in told(world)["acknowledged_by"]] == ["ann"]


async def test_nothing_is_known(world: AlertWorld) -> None:
    """An alert nobody ever heard of is no alert."""
    with pytest.raises(NotFound, match="it does not fire, and did not in the last day"):
        told(world)


async def test_decisions_are_bounded(world: AlertWorld) -> None:
    """Of each group and notifier the newest 50 are kept, for a day after the last; what repeats itself is one."""
    for i in range(60):
        await world.put(alert(f"A{i:02}", i * 120, slo="x"))
        await world.turn(120)
    await world.turn(6)  # decisions are written a moment later
    about = world.manager.journal.about(alert("A00", slo="x").fingerprint)
    assert len(about) == KEPT_EACH
    assert len(world.store.documents["alert_decision"]) == KEPT_EACH
    await world.kill()
    kept = world.manager.journal.about(alert("A00", slo="x").fingerprint)
    assert [(d.outcome, d.first_at, d.alerts) for d in kept] == [(d.outcome, d.first_at, d.alerts) for d in about]
    await world.put(*(alert(f"A{i:02}", i * 120, 7300, slo="x") for i in range(60)))
    await world.turn(26 * 3600)
    assert world.manager.journal.about(alert("A00", slo="x").fingerprint) == []
    await world.put(alert("B", 100_000, slo="y"))  # what is forgotten goes with the next write
    await world.turn(60)
    await world.manager.stop()
    assert {d["group_key"] for d in world.store.documents["alert_decision"].values()} == {'{}:{slo="y"}'}
