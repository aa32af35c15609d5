"""A reload while messages are on their way: nothing is begun to be broken off, and nothing stays open."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from alerting.notify.base import Notification, NotifyError
from tests.alert_world import HandClock, MemoryStore, Recorder, alert, config_of, manager_of


class _Stuck(Recorder):
    """A notifier whose receiver takes everything and does not answer while it is `stuck`."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        self.begun: list[str] = []
        self.stuck = asyncio.Event()

    async def notify(self, notification: Notification) -> Mapping[str, str] | None:
        self.begun += [alert.name for alert in notification.firing]
        await self.stuck.wait()
        return await super().notify(notification)


async def test_what_is_due_while_a_reload_waits_is_told_by_the_new_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message on its way gets a moment; another that is due in it is not begun only to be broken off and doubled."""
    text = "route: {receiver: team, group_by: [alertname], group_wait: 0s}\nreceivers: [{name: team}]\n"
    monkeypatch.setattr("alerting.manager.manager.STOP_GRACE_S", 0.2)
    clock = HandClock()
    before, after = _Stuck(clock), Recorder(clock)
    manager = manager_of(text, MemoryStore(), clock, {"team": [before]})
    await manager.start()
    await manager.put_alerts([alert("A")])
    await asyncio.sleep(0.05)
    reload = asyncio.create_task(manager.reload(config_of(text), {"team": [after]}))
    await asyncio.sleep(0)
    await manager.put_alerts([alert("B")])
    await reload
    await clock.settle(manager)
    await manager.stop()
    assert before.begun == ["A"]
    assert sorted(names[0] for _, names, _ in after.told) == ["A", "B"]


async def test_two_reloads_at_once_leave_no_notifier_open() -> None:
    """A signal and a request at the same moment: what the first one made is closed when the second takes its place."""
    text = "route: {receiver: team, group_wait: 0s}\nreceivers: [{name: team}]\n"
    clock = HandClock()
    closed: list[str] = []

    class Named(_Stuck):
        def __init__(self, name: str) -> None:
            super().__init__(clock)
            self.name = name

        async def close(self) -> None:
            closed.append(self.name)

    first, second, third = (Named(name) for name in "123")
    manager = manager_of(text, MemoryStore(), clock, {"team": [first]})
    await manager.start()
    await manager.put_alerts([alert("A")])
    await asyncio.sleep(0.05)
    asyncio.get_running_loop().call_later(0.05, first.stuck.set)
    await asyncio.gather(*(manager.reload(config_of(text), {"team": [one]}) for one in (second, third)))
    await manager.stop()
    assert sorted(closed) == ["1", "2", "3"]


async def test_what_does_not_work_is_forgotten_with_its_receiver() -> None:
    """A failure that nothing is left to try after stands until the next success, or a reload without the receiver."""
    text = "route: {receiver: a/b, group_wait: 0s, group_interval: 10s}\nreceivers: [{name: a/b}, {name: c}]\n"
    clock = HandClock()
    team = Recorder(clock)
    manager = manager_of(text, MemoryStore(), clock, {"a/b": [team]})
    await manager.start()
    team.failures = [NotifyError("HTTP 403", "rejected", retry=False)]
    await manager.put_alerts([alert("A")])
    await clock.settle(manager)
    assert manager.troubles.found() == {"a/b/slack/0": "rejected: HTTP 403"}
    await clock.turn(manager, 10)
    assert (len(team.told), manager.troubles.found()) == (1, {})

    team.failures = [NotifyError("HTTP 500", "server_error", retry=True)] * 5
    await manager.put_alerts([alert("B", 10)])
    await clock.turn(manager, 14)
    assert manager.troubles.found() == {}  # it is tried again until the group is due anew
    await clock.turn(manager, 6)
    assert manager.troubles.found() == {"a/b/slack/0": "server_error: HTTP 500"}
    manager.troubles.note("a/b/slack/0 charts", "missing_scope")
    await manager.reload(config_of(text), {"a/b": [Recorder(clock)]})
    assert len(manager.troubles.found()) == 2
    await manager.reload(config_of(text.replace("receiver: a/b", "receiver: c")), {"c": [Recorder(clock)]})
    assert manager.troubles.found() == {}
    await manager.stop()
