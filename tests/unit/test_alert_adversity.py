"""The alert manager where its surroundings misbehave: a store that hangs, a clock set back, notifiers that break."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from alerting.manager import manager, state
from alerting.manager.stages import AT_ONCE, SendStage
from alerting.manager.state import StateWriter
from alerting.notify.base import Notification, NotifyError
from app.errors import Overloaded, StoreUnavailable
from app.telemetry import ALERT_MAYBE_DOUBLED
from tests.alert_world import START, AlertWorld, HandClock, MemoryStore, Recorder, alert, config_of

CONFIG = """
route: {receiver: team, group_by: [alertname], group_wait: 10s, group_interval: 1m, repeat_interval: 4h}
receivers: [{name: team, slack_configs: [{api_url: 'https://hooks.example/x', channel: c}]}]
"""


SECRET = "xoxb-secret"


class HangingStore(MemoryStore):
    """A store whose writes do not come back until `free` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.free.set()

    def write(self, changes: Mapping[tuple[str, str], Any]) -> int:
        self.free.wait(20)
        return super().write(changes)


class HangingWorld(AlertWorld):
    """A world whose store can hang."""

    def __init__(self) -> None:
        super().__init__(CONFIG)
        self.hanging = self.store = HangingStore()
        self.manager = self._new()


class Broken(Recorder):
    """A notifier with a mistake in it."""

    async def notify(self, notification: Notification) -> Mapping[str, str] | None:
        await super().notify(notification)
        raise ValueError(SECRET)


async def test_a_store_that_hangs_delays_a_message_by_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the store is told that it does not answer; receivers are told, also of the group's next news.

    What hung is written in the end, and a restart finds nothing that may have been doubled.
    """
    monkeypatch.setattr(state, "PATIENCE_S", 0.05)
    doubled = ALERT_MAYBE_DOUBLED.labels("slack")._value.get()
    world = HangingWorld()
    async with world:
        world.hanging.free.clear()
        with pytest.raises(StoreUnavailable, match="not answered"):
            await world.manager.put_alerts([alert("A", i="1")])
        await world.turn(11)
        with pytest.raises(StoreUnavailable):
            await world.manager.put_alerts([alert("A", i="2")])
        await world.turn(60)
        assert [(at, firing) for at, firing, _ in world.team.told] == [(10, ["A"]), (70, ["A", "A"])]
        world.hanging.free.set()
        await world.put(alert("B"))
        await world.turn(11)
        await world.kill()
        await world.put(alert("A", 0, 70, i="1"))
        await world.turn(600)
        assert len(world.team.told) == 4
    assert ALERT_MAYBE_DOUBLED.labels("slack")._value.get() == doubled


async def test_a_mistake_in_a_notifier_is_a_failure_as_any_other(caplog: pytest.LogCaptureFixture) -> None:
    """It is written down why nothing came, it is tried again when the group is due, and what it says is not told."""
    world = AlertWorld(CONFIG)
    world.team = Broken(world.clock)
    world.manager = world._new()
    async with world:
        await world.put(alert("A"))
        await world.turn(71)
        (first, second) = world.manager.journal.about(alert("A").fingerprint)
        assert (first.outcome, first.why) == ("failed", "internal: ValueError")
        assert SECRET not in caplog.text
        assert (second.first_at - first.first_at).total_seconds() == 60
        assert not world.manager._claims._notes['team/slack/0|{}:{alertname="A"}'][world.manager.peers.id]["sending"]


async def test_a_clock_set_back_holds_nothing_up() -> None:
    """A group that waits is told of an interval later, however far the clock was set back."""
    async with AlertWorld(CONFIG) as world:
        await world.put(alert("A", i="1"))
        await world.turn(11)
        world.clock.pass_by(-86_400)
        await world.put(alert("A", i="2"))
        await world.turn(61)
        assert [firing for _, firing, _ in world.team.told] == [["A"], ["A", "A"]]


async def test_past_the_bound_known_alerts_still_end() -> None:
    """A call with new alerts too many is refused for those only."""
    async with AlertWorld(CONFIG, max_alerts=2) as world:
        await world.put(alert("A"), alert("B"))
        await world.turn(11)
        with pytest.raises(Overloaded, match="1 new alerts are refused: at most 2"):
            await world.put(alert("A", 0, 12), alert("C"))
        await world.turn(120)
        assert [resolved for _, _, resolved in world.team.told if resolved] == [["A"]]


async def test_ends_nobody_takes_leave_room_for_new_alerts(caplog: pytest.LogCaptureFixture) -> None:
    """A receiver that is gone for good does not fill the table: what ended first gives way, and that is said."""
    async with AlertWorld(CONFIG, max_alerts=2) as world:
        for n in range(4):
            world.team.failures = []
            now_s = (world.clock.now() - START).total_seconds()
            await world.put(alert(f"A{n}", now_s))
            await world.turn(11)
            world.team.failures = [NotifyError("gone", "rejected", retry=False)] * 9
            await world.put(alert(f"A{n}", now_s, now_s + 11))
            await world.turn(120)
        assert [k.alert.name for k in world.manager.alerts()] == ["A2", "A3"]
        assert sorted(g.labels[0][1] for g in world.manager.groups()) == ["A2", "A3"]
        assert "new ones need their room" in caplog.text
        await world.kill()
        assert len(world.manager.alerts()) == 2


async def test_a_document_that_is_no_json_spoils_no_other() -> None:
    """It is left out, its writer is told so, and the next write succeeds."""
    store = MemoryStore()
    writer = StateWriter(store)
    with pytest.raises(TypeError):
        await writer.write("alert", {"a": {"x": "\ud800"}, "b": {}})
    await writer.write("alert", {"c": {}})
    assert sorted(store.documents["alert"]) == ["b", "c"]
    writer.close()


async def test_a_message_that_got_no_turn_in_time_is_made_anew() -> None:
    """Behind others to a slow receiver until its group is due again: nothing is sent of what held long ago."""
    world = AlertWorld(CONFIG)
    claims = world.manager._claims
    stage = SendStage(world.team, world.clock, asyncio.Event(), claims, "team/slack/0")
    now = world.clock.now()
    notification = Notification("g", (), "team", (alert("A"),), now, 0, now + timedelta(minutes=1))
    for _ in range(AT_ONCE):
        await stage._slots.acquire()
    sending = asyncio.ensure_future(stage(notification))
    await asyncio.sleep(0)
    world.clock.pass_by(60)
    stage._slots.release()
    with pytest.raises(NotifyError, match="all the time of the group's turn"):
        await sending
    assert not world.team.attempts


class Held(Recorder):
    """A receiver that takes messages and does not answer."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        self.begun: list[str] = []

    async def notify(self, notification: Notification) -> Mapping[str, str] | None:
        self.begun += [a.name for a in notification.firing]
        await asyncio.Event().wait()
        return None


async def test_nothing_is_begun_while_a_reload_waits_for_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes meanwhile is told by the new configuration, and not begun, cut off, and told twice."""
    monkeypatch.setattr(manager, "STOP_GRACE_S", 0.2)
    world = AlertWorld(CONFIG)
    before, after = Held(world.clock), Recorder(world.clock)
    world.team = before
    world.manager = world._new()
    async with world:
        await world.manager.put_alerts([alert("A", -60)])
        while before.begun != ["A"]:
            await asyncio.sleep(0.001)
        reload = asyncio.ensure_future(world.manager.reload(config_of(CONFIG), {"team": [after]}))
        await asyncio.sleep(0.02)
        await world.manager.put_alerts([alert("B", -60)])
        await reload
        await world.clock.settle(world.manager)
        assert before.begun == ["A"]
        assert sorted(firing[0] for _, firing, _ in after.told) == ["A", "B"]
