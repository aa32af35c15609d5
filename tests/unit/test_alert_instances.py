"""Several alert managers on one store: nothing is told twice, nothing is lost, and what may be doubled is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from alerting.manager.manager import AlertManager, Sharing
from alerting.notify.base import Notification, NotifyError
from app.alert import Alert
from app.telemetry import REGISTRY
from tests.alert_world import HandClock, MemoryStore, Recorder, alert, manager_of
from tests.unit.test_alert_silences import silence

CONFIG = """
route: {receiver: team, group_by: [slo], group_wait: 10s, group_interval: 5m, repeat_interval: 10m}
receivers: [{name: team}]
"""


def doubled() -> float:
    """Messages that may have been doubled so far."""
    labels = {"integration": "slack"}
    return REGISTRY.get_sample_value("watchhouse_alert_notifications_maybe_doubled_total", labels) or 0.0


class Hanging(Recorder):
    """A receiver that takes the message and answers only when it is let go."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        self.go = asyncio.Event()

    async def notify(self, notification: Notification) -> Mapping[str, str] | None:
        await super().notify(notification)
        await self._clock.wait(None, self.go)
        return None


class Cluster:
    """Managers on one store and one clock, all with the same receiver."""

    def __init__(self, receiver: Callable[[HandClock], Recorder] = Recorder, *, shared: bool = True) -> None:
        self.clock = HandClock()
        self.store = MemoryStore(self.clock)
        self.team = receiver(self.clock)
        self.managers: list[AlertManager] = []
        self._shared = shared

    async def start(self, name: str = "") -> AlertManager:
        """Starts another one; `name` goes before the rest of its id, and so says when it tells."""
        sharing = Sharing(self._shared, 15)
        manager = manager_of(CONFIG, self.store, self.clock, {"team": [self.team]}, sharing=sharing)
        manager.peers.id = f"{name}{manager.peers.id}"
        await manager.start()
        self.managers.append(manager)
        await self.clock.settle(*self.managers)
        return manager

    async def put(self, *alerts: Alert, to: AlertManager | None = None) -> None:
        """Alerts come to one of them, or to all."""
        for manager in [to] if to else self.managers:
            await manager.put_alerts(list(alerts))
        await self.clock.settle(*self.managers)

    async def turn(self, seconds: float) -> None:
        """Time goes on."""
        await self.clock.turn(self.managers, seconds)

    async def kill(self, manager: AlertManager) -> None:
        """What SIGKILL leaves of one."""
        self.managers.remove(manager)
        for task in manager.tasks():
            task.cancel()
        await asyncio.gather(*manager.tasks(), return_exceptions=True)


@asynccontextmanager
async def cluster(*args: Any, **kwargs: Any) -> AsyncIterator[Cluster]:
    """A cluster whose managers are stopped at the end."""
    world = Cluster(*args, **kwargs)
    yield world
    for manager in world.managers:
        await manager.stop()


async def test_two_instances_tell_once() -> None:
    """Both are sent the same alerts; each state is told once, through firing, joining, repeating and resolving."""
    async with cluster() as world:
        await world.start("a")
        await world.start("b")
        await world.put(alert("A", slo="x"))
        await world.turn(100)
        await world.put(alert("B", 100, slo="x"))
        await world.turn(1200)
        await world.put(alert("A", 0, 1290, slo="x"), alert("B", 100, 1290, slo="x"))
        await world.turn(400)
        told = [(firing, resolved) for _, firing, resolved in world.team.told]
    assert told == [(["A"], []), (["A", "B"], []), (["A", "B"], []), ([], ["A", "B"])]
    assert world.store.documents["alert"] == {}


async def test_an_alert_that_one_was_told_of_is_known_to_both() -> None:
    """What is posted to one instance is told by the other one too, when the first is gone for good."""
    async with cluster() as world:
        await world.start("a")
        second = await world.start("b")
        await world.put(alert("A", slo="x"), to=second)
        await world.turn(3)
        await world.kill(second)
        await world.turn(60)
        assert [firing for _, firing, _ in world.team.told] == [["A"]]


@pytest.mark.parametrize("which", [0, 1])
async def test_when_one_is_gone_the_other_tells(which: int) -> None:
    """Whichever is killed before it told, the other one does; nothing is doubled."""
    before = doubled()
    async with cluster() as world:
        managers = [await world.start("a"), await world.start("b")]
        await world.turn(5)
        await world.put(alert("A", slo="x"))
        await world.kill(managers[which])
        await world.turn(120)
        await world.put(alert("A", 0, 130, slo="x"))
        await world.turn(400)
    assert [(f, r) for _, f, r in world.team.told] == [(["A"], []), ([], ["A"])]
    assert doubled() == before


async def test_killed_while_it_sent() -> None:
    """The receiver had the message and its answer was never seen: the other one tells again, and counts it."""
    before = doubled()
    async with cluster(Hanging) as world:
        first = await world.start("a")
        await world.start("b")
        await world.turn(5)
        await world.put(alert("A", slo="x"))
        await world.turn(12)
        assert len(world.team.told) == 1
        await world.kill(first)
        assert isinstance(world.team, Hanging)
        world.team.go.set()
        await world.turn(120)
    assert [f for _, f, _ in world.team.told] == [["A"], ["A"]]
    assert doubled() == before + 1
    assert world.store.documents["notification_sending"] == {}


async def test_the_second_waits_for_one_that_is_sending() -> None:
    """A receiver that answers slowly is told once: the other instance waits for the first one's answer."""
    async with cluster(Hanging) as world:
        await world.start("a")
        await world.start("b")
        await world.turn(5)
        await world.put(alert("A", slo="x"))
        await world.turn(90)  # far past the peer timeout
        assert len(world.team.told) == 1
        assert isinstance(world.team, Hanging)
        world.team.go.set()
        await world.turn(320)
        assert len(world.team.told) == 1


async def test_both_begin_at_once() -> None:
    """Two that tell at the same moment, without the wait between them, still tell once."""
    async with cluster() as world:
        first = await world.start("a")
        second = await world.start("b")
        for manager in (first, second):
            manager.peers._timeout_s = 0.0
        await world.turn(5)
        await world.put(*(alert("A", slo=str(i)) for i in range(20)))
        await world.turn(400)
        assert len(world.team.told) == 20


async def test_silences_are_shared() -> None:
    """A silence that one took holds for the other within two seconds, and so does its end."""
    async with cluster() as world:
        first = await world.start("a")
        second = await world.start("b")
        await world.turn(5)
        one = await second.silences.set(silence("slo=x"), "ann")
        await world.turn(2)
        assert [s.id for s in first.silences.all()] == [one]
        await first.silences.expire(one, "bob")
        await world.turn(2)
        assert second.silences.get(one).state(world.clock.now()) == "expired"


async def test_one_that_comes_later_waits_until_it_is_seen() -> None:
    """A new instance tells nothing before the others know of it; the status says so meanwhile."""
    async with cluster() as world:
        first = await world.start("b")
        assert (first.peers.status, first.peers.others()) == ("ready", [])
        await world.put(alert("A", slo="x"))
        await world.turn(9)
        second = await world.start("a")
        assert second.peers.status == "settling"
        await world.put(alert("A", slo="x"))
        await world.turn(2)
        assert first.peers.others() == [second.peers.id]
        await world.turn(400)
        assert (second.peers.status, len(world.team.told)) == ("ready", 1)


async def test_one_that_stops_is_not_waited_for() -> None:
    """An instance that ends says so: the second one tells at once from then on."""
    async with cluster() as world:
        first = await world.start("a")
        second = await world.start("b")
        await world.turn(5)
        world.managers.remove(first)
        await first.stop()
        await world.turn(2)
        assert second.peers.others() == []
        await world.put(alert("A", slo="x"))
        await world.turn(11)
        assert [at for at, _, _ in world.team.told] == [17.0]


async def test_a_store_that_is_away_makes_nobody_dead() -> None:
    """While nothing can be read the other one may live: when the store is back it is still known."""
    async with cluster() as world:
        first = await world.start("a")
        second = await world.start("b")
        await world.turn(5)
        world.store.broken = True
        await world.turn(300)
        world.store.broken = False
        await world.turn(2)
        assert first.peers.others() == [second.peers.id]
        await world.put(alert("A", slo="x"))
        await world.turn(60)
        assert len(world.team.told) == 1


@pytest.mark.parametrize("shared", [False, True])
async def test_killed_between_sending_and_noting(shared: bool) -> None:
    """Alone, a restart tells again what nobody knows of, and counts it; what was noted is not told again."""
    before = doubled()
    async with cluster(Hanging, shared=shared) as world:
        first = await world.start()
        await world.put(alert("A", slo="x"))
        await world.turn(11)
        await world.kill(first)
        assert isinstance(world.team, Hanging)
        world.team.go.set()
        await world.start()
        await world.put(alert("A", slo="x"))
        await world.turn(200)
        assert doubled() == before + 1
        await world.kill(world.managers[0])
        await world.start()
        await world.turn(200)
    assert len(world.team.told) == 2
    assert doubled() == before + 1


async def test_a_timeout_may_double() -> None:
    """A second attempt after one whose answer never came is counted; after an answer that said no it is not."""
    before = doubled()
    async with cluster(shared=False) as world:
        await world.start()
        world.team.failures = [NotifyError("500", "server_error", retry=True)]
        await world.put(alert("A", slo="x"))
        await world.turn(60)
        assert doubled() == before
        world.team.failures = [NotifyError("no answer", "timeout", retry=True)]
        await world.put(alert("A", slo="y"))
        await world.turn(60)
        assert doubled() == before + 1
    assert world.store.documents["notification_sending"] == {}


async def test_a_timeout_without_an_end_is_remembered() -> None:
    """When no attempt was answered before the service stopped, the message after the next start counts as a second."""
    before = doubled()
    async with cluster(shared=False) as world:
        first = await world.start()
        world.team.failures = [NotifyError("no answer", "timeout", retry=True)] * 1000
        await world.put(alert("A", slo="x"))
        await world.turn(30)
        world.managers.remove(first)
        await first.stop()
        world.team.failures = []
        await world.start()
        await world.turn(60)
    assert (len(world.team.told), doubled()) == (1, before + 1)


async def test_writes_are_few() -> None:
    """A thousand messages at once cost a handful of inserts, not one each."""
    async with cluster(shared=False) as world:
        await world.start()
        await world.put(*(alert("A", slo=str(i)) for i in range(1000)))
        before = world.store.writes
        await world.turn(11)
        assert len(world.team.told) == 1000
        assert world.store.writes - before <= 10
