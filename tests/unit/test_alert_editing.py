"""Messages follow silences and acknowledgements: changed soon, pinging nobody, and over restarts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from alerting.notify.base import NotifyError
from app.errors import NotFound
from tests.alert_world import AlertWorld, alert
from tests.unit.test_alert_silences import silence

CONFIG = """
route: {receiver: team, group_by: [slo], group_wait: 0s, group_interval: 10m, repeat_interval: 12h}
receivers: [{name: team}]
inhibit_rules: [{source_matchers: [alertname=Boss], target_matchers: [alertname!=Boss], equal: [slo]}]
"""


@pytest.fixture
async def world() -> AsyncIterator[AlertWorld]:
    """A started world with a receiver that can change what it said."""
    async with AlertWorld(CONFIG, editing=True) as world:
        yield world


async def test_a_silence_shows_within_two_seconds(world: AlertWorld) -> None:
    """A silence, its expiry and nothing else change the message; nobody is told anew."""
    await world.put(alert("A", slo="x"), alert("B", slo="x"), alert("C", slo="y"))
    await world.turn(100)
    one = await world.manager.silences.set(silence("alertname=A", 0, 3600), "ann")
    await world.turn(2)
    await world.manager.silences.expire(one, "ann")
    await world.turn(2)
    assert [u[1:3] for u in world.editor.updates] == [(["B"], [("A", "silence")]), (["A", "B"], [])]
    assert world.editor.updates[0][0] <= 102
    assert len(world.team.told) == 2


async def test_a_silence_that_begins_and_ends_by_itself_shows(world: AlertWorld) -> None:
    """The message changes at the start and at the end of a silence, not at the next turn of the group."""
    await world.put(alert("A", slo="x"))
    await world.manager.silences.set(silence("slo=x", 60, 200), "ann")
    await world.turn(300)
    assert [u[:3] for u in world.editor.updates] == [(60, [], [("A", "silence")]), (200, ["A"], [])]


async def test_what_was_never_told_is_not_changed(world: AlertWorld) -> None:
    """A group that was silenced from the start has no message."""
    await world.manager.silences.set(silence("slo=x", 0, 3600), "ann")
    await world.put(alert("A", slo="x"))
    await world.turn(1200)
    assert (world.team.told, world.editor.updates) == ([], [])


async def test_inhibition_shows_at_the_groups_turn(world: AlertWorld) -> None:
    """An alert that is inhibited after it was told is shown so when its group is due."""
    await world.put(alert("A", slo="x"), alert("B", slo="x"))
    await world.turn(10)
    await world.put(alert("Boss", 10, slo="x"))
    await world.turn(600)
    assert world.team.told[-1][1] == ["Boss"]
    await world.put(alert("Boss", 10, 620, slo="x"))
    await world.turn(600)
    assert world.team.told[-1][1:] == (["A", "B"], ["Boss"])


async def test_acknowledgement(world: AlertWorld) -> None:
    """It shows soon, by group or by fingerprint, is kept over a kill, and ends with the alert."""
    await world.put(alert("A", slo="x"), alert("B", slo="x"))
    await world.turn(10)
    (group,) = world.manager.groups()
    await world.manager.acknowledge(group_key=group.key, by="ann")
    await world.turn(2)
    assert world.editor.updates[-1][3] == ["ann", "ann"]
    again = await world.manager.acknowledge(fingerprints=[alert("A", slo="x").fingerprint], by="bob")
    assert again == []  # the first one stands
    await world.kill()
    assert [a.by for a in world.manager.groups()[0].acknowledged] == ["ann", "ann"]
    assert len(world.editor.updates) == 1  # shown before the kill: not shown again
    await world.put(alert("A", 0, 20, slo="x"))
    await world.turn(700)
    assert [a.fingerprint for a in world.manager.acknowledgements.all()] == [alert("B", slo="x").fingerprint]
    assert list(world.store.documents["alert_acknowledgement"]) == [alert("B", slo="x").fingerprint]
    assert {e["action"] for e in await world.manager.audit.read()} == {"acknowledged"}
    with pytest.raises(NotFound):
        await world.manager.acknowledge(fingerprints=["0" * 16], by="ann")


async def test_memory_survives(world: AlertWorld) -> None:
    """What the notifier returned comes again with the next message of the group, also after a kill."""
    await world.put(alert("A", slo="x"))
    await world.turn(10)
    await world.kill()
    await world.put(alert("B", 10, slo="x"))
    await world.turn(700)
    (entry,) = world.store.documents["notification"].values()
    assert entry["memory"] == {"ts": "2", "before": "1"}


async def test_a_change_that_fails_is_tried_again(world: AlertWorld) -> None:
    """What may heal is tried again after a moment; what will not is not, until something else changes."""
    await world.put(alert("A", slo="x"))
    await world.turn(10)
    world.editor.update_failures = [NotifyError("busy", "rate_limited", retry=True)]
    await world.manager.silences.set(silence("slo=x", 0, 3600), "ann")
    await world.turn(6)
    assert [u[2] for u in world.editor.updates] == [[("A", "silence")]]
    world.editor.update_failures = [NotifyError("gone", "rejected", retry=False)] * 2
    await world.manager.acknowledge(fingerprints=[alert("A", slo="x").fingerprint], by="ann")
    await world.turn(60)
    assert len(world.editor.update_failures) == 1
    assert len(world.editor.updates) == 1


async def test_an_end_under_a_silence_is_shown_when_the_first_try_failed(world: AlertWorld) -> None:
    """Slack is away when a silenced alert ends: its message is changed at the group's next turn, not left as it was."""
    await world.put(alert("A", slo="x"))
    await world.manager.silences.set(silence("slo=x", 0, 36_000), "ann")
    await world.turn(10)
    world.editor.update_failures = [NotifyError("Slack is away", "server_error", retry=True)]
    await world.put(alert("A", 0, 20, slo="x"))
    await world.turn(1300)
    assert [u[2] for u in world.editor.updates] == [[("A", "silence")], [("A", "silence")]]
    assert world.manager.alerts() == []


async def test_what_fires_again_after_an_end_under_a_silence_is_news(world: AlertWorld) -> None:
    """The message said that it is over, so that its next time is told at once, and not after `repeat_interval`."""
    await world.put(alert("A", slo="x"), alert("B", slo="y"))
    one = await world.manager.silences.set(silence("slo=x", 0, 36_000), "ann")
    await world.turn(10)
    await world.put(alert("A", 0, 20, slo="x"))
    await world.turn(700)
    await world.manager.silences.expire(one, "ann")
    await world.put(alert("A", 720, slo="x"))
    await world.turn(60)
    assert [names for _, names, _ in world.team.told] == [["A"], ["B"], ["A"]]
