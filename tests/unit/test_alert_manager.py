"""The alert manager over time: what is told when, and what is never told twice. Time is turned by hand."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from alerting.manager.manager import AlertManager
from alerting.notify.base import NotifyError
from app.alert import Alert
from app.errors import Overloaded, StoreUnavailable
from tests.alert_world import HandClock, MemoryStore, Recorder, alert, manager_of

CONFIG = """
route: {receiver: team, group_by: [slo], group_wait: 30s, group_interval: 5m, repeat_interval: 1h}
receivers: [{name: team}]
"""


class World:
    """A manager with one receiver, and the means to kill and restart it."""

    def __init__(self, text: str = CONFIG, *, send_resolved: bool = True) -> None:
        self.text = text
        self.clock = HandClock()
        self.store = MemoryStore()
        self.team = Recorder(self.clock, send_resolved=send_resolved)
        self.manager: AlertManager = self._new()

    def _new(self) -> AlertManager:
        return manager_of(self.text, self.store, self.clock, {"team": [self.team]})

    async def put(self, *alerts: Alert) -> None:
        await self.manager.put_alerts(list(alerts))
        await self.clock.settle(self.manager)

    async def turn(self, seconds: float) -> None:
        await self.clock.turn(self.manager, seconds)

    async def kill(self) -> None:
        """What SIGKILL leaves: the store, and nothing of the process."""
        for task in self.manager.tasks():
            task.cancel()
        self.manager = self._new()
        await self.manager.start()
        await self.clock.settle(self.manager)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A started world."""
    world = World()
    await world.manager.start()
    yield world
    await world.manager.stop()


async def started(text: str = CONFIG, *, send_resolved: bool = True) -> World:
    """A started world of another kind."""
    world = World(text, send_resolved=send_resolved)
    await world.manager.start()
    return world


async def test_a_group_waits_for_company(world: World) -> None:
    """Alerts that come within group_wait are told together, at its end."""
    await world.put(alert("A", slo="x"))
    await world.turn(20)
    await world.put(alert("B", 20, slo="x"))
    assert world.team.told == []
    await world.turn(10)
    assert world.team.told == [(30, ["A", "B"], [])]


async def test_an_old_alert_does_not_wait(world: World) -> None:
    """An alert that started longer ago than group_wait is told at once."""
    await world.put(alert("A", -31, slo="x"))
    assert world.team.told == [(0, ["A"], [])]


async def test_groups_are_told_apart(world: World) -> None:
    """Alerts with other group labels make another message."""
    await world.put(alert("A", slo="x"), alert("A", slo="y"))
    await world.turn(30)
    assert world.team.told == [(30, ["A"], []), (30, ["A"], [])]


async def test_an_alert_that_joins_is_told_after_group_interval(world: World) -> None:
    """What joins a told group waits for the group's next turn; a turn without news is silent."""
    await world.put(alert("A", slo="x"))
    await world.turn(30 + 300)
    await world.put(alert("B", 330, slo="x"))
    await world.turn(299)
    assert world.team.told == [(30, ["A"], [])]
    await world.turn(1)
    assert world.team.told[1:] == [(630, ["A", "B"], [])]


async def test_what_goes_on_is_repeated(world: World) -> None:
    """An unchanged group is told again once repeat_interval is over, at the group's next turn."""
    await world.put(alert("A", slo="x"))
    await world.turn(2 * 3600 + 1200)
    assert [at for at, _, _ in world.team.told] == [30, 30 + 3900, 30 + 2 * 3900]


async def test_numbers_in_annotations_are_no_news(world: World) -> None:
    """An alert whose description changes at each evaluation is told once, and again with repeat_interval only."""
    for minute in range(60):
        await world.put(replace(alert("A", slo="x"), annotations=(("description", f"burns at {minute}×"),)))
        await world.turn(60)
    assert world.team.told == [(30, ["A"], [])]


async def test_a_resolved_alert_is_told_once_and_forgotten(world: World) -> None:
    """The resolution is told at the group's next turn; then nothing of the alert is left."""
    await world.put(alert("A", slo="x"))
    await world.turn(100)
    await world.put(alert("A", 0, 90, slo="x"))
    await world.turn(7200)
    assert world.team.told == [(30, ["A"], []), (330, [], ["A"])]
    assert world.manager.alerts() == []
    assert world.manager.groups() == []
    assert world.store.documents["alert"] == {}


async def test_an_alert_ends_when_its_end_comes(world: World) -> None:
    """An end in the future counts once it has come, though nobody says so again."""
    await world.put(alert("A", 0, 200, slo="x"))
    await world.turn(400)
    assert world.team.told == [(30, ["A"], []), (330, [], ["A"])]


async def test_one_of_two_resolved(world: World) -> None:
    """While others fire, the resolved one is named once."""
    await world.put(alert("A", slo="x"), alert("B", slo="x"))
    await world.turn(60)
    await world.put(alert("A", 0, 50, slo="x"))
    await world.turn(1000)
    assert world.team.told == [(30, ["A", "B"], []), (330, ["B"], ["A"])]


async def test_over_before_it_was_told(world: World) -> None:
    """An alert that ends within group_wait is told to nobody, and forgotten."""
    await world.put(alert("A", slo="x"))
    await world.turn(10)
    await world.put(alert("A", 0, 5, slo="x"))
    await world.turn(1000)
    assert world.team.told == []
    assert world.manager.alerts() == []


async def test_a_resolution_nobody_waits_for_is_not_kept(world: World) -> None:
    """Evaluators may say over and over that an alert is over; it costs no write."""
    writes = world.store.writes
    await world.put(alert("A", 0, 0, slo="x"))
    assert (world.store.writes, world.manager.alerts()) == (writes, [])


async def test_firing_again_is_news(world: World) -> None:
    """An alert that was told as resolved and fires again is told again."""
    await world.put(alert("A", slo="x"))
    await world.turn(60)
    await world.put(alert("A", 0, 50, slo="x"))
    await world.turn(300)
    await world.put(alert("A", 360, slo="x"))
    await world.turn(300)
    assert [(firing, resolved) for _, firing, resolved in world.team.told] == [(["A"], []), ([], ["A"]), (["A"], [])]


async def test_an_alert_keeps_its_start(world: World) -> None:
    """An evaluator that lost its memory says a later start; the first one stays."""
    await world.put(alert("A", -10, slo="x"))
    await world.put(alert("A", 5, slo="x"))
    assert world.manager.alerts()[0].alert.starts_at == alert("A", -10).starts_at


async def test_without_send_resolved() -> None:
    """A receiver that wants no resolutions gets none, and is told when the alert fires again."""
    world = await started(send_resolved=False)
    await world.put(alert("A", slo="x"))
    await world.turn(60)
    await world.put(alert("A", 0, 50, slo="x"))
    await world.turn(600)
    await world.put(alert("A", 660, slo="x"))
    await world.turn(600)
    assert [(firing, resolved) for _, firing, resolved in world.team.told] == [(["A"], []), (["A"], [])]
    await world.manager.stop()


async def test_an_alert_may_want_its_end_untold(world: World) -> None:
    """The end of such an alert is in no message, repeats no other, and when it fires again that is told."""
    quiet: dict[str, object] = {"tell_resolved": False}
    await world.put(replace(alert("A", slo="x"), facts=quiet), alert("B", slo="x"))
    await world.turn(60)
    await world.put(replace(alert("A", 0, 50, slo="x"), facts=quiet))
    await world.turn(600)
    await world.put(alert("B", 0, 650, slo="x"))
    await world.turn(600)
    await world.put(replace(alert("A", 1260, slo="x"), facts=quiet))
    await world.turn(600)
    told = [(firing, resolved) for _, firing, resolved in world.team.told]
    assert told == [(["A", "B"], []), ([], ["B"]), (["A"], [])]


async def test_a_restart_tells_nothing_twice(world: World) -> None:
    """After a kill at any quiet moment the same state is not told again."""
    await world.put(alert("A", slo="x"))
    await world.turn(40)
    for _ in range(5):
        await world.kill()
        await world.put(alert("A", slo="x"))
        await world.turn(301)
    assert world.team.told == [(30, ["A"], [])]


async def test_a_restart_loses_no_alert(world: World) -> None:
    """An alert that was taken and not told before a kill is told after it."""
    await world.put(alert("A", slo="x"))
    await world.turn(10)
    await world.kill()
    await world.turn(60)
    assert [firing for _, firing, _ in world.team.told] == [["A"]]


async def test_a_restart_loses_no_resolution(world: World) -> None:
    """An alert that was resolved and not told before a kill is told after it, and only once."""
    await world.put(alert("A", slo="x"))
    await world.turn(40)
    await world.put(alert("A", 0, 40, slo="x"))
    await world.kill()
    await world.turn(400)
    await world.kill()
    await world.turn(400)
    assert world.team.told == [(30, ["A"], []), (40, [], ["A"])]


async def test_resolved_while_down(world: World) -> None:
    """An evaluator may say after a restart that an alert ended meanwhile; it is told."""
    await world.put(alert("A", slo="x"))
    await world.turn(40)
    await world.kill()
    await world.put(alert("A", 0, 35, slo="x"))
    await world.turn(400)
    assert [(firing, resolved) for _, firing, resolved in world.team.told] == [(["A"], []), ([], ["A"])]


async def test_the_repeat_interval_goes_on_over_a_restart(world: World) -> None:
    """The time since the last message counts, not since the start."""
    await world.put(alert("A", slo="x"))
    await world.turn(3000)
    await world.kill()
    await world.turn(2000)
    assert [round(at) for at, _, _ in world.team.told] == [30, 3900]


async def test_a_killed_send_is_sent_again(world: World) -> None:
    """A message whose answer was never seen is sent again after the restart."""
    world.team.failures = [NotifyError("x", "timeout", retry=True)]
    await world.put(alert("A", slo="x"))
    await world.turn(30)
    assert (len(world.team.attempts), world.team.told) == (1, [])
    await world.kill()
    await world.turn(30)
    assert [firing for _, firing, _ in world.team.told] == [["A"]]


async def test_retries_back_off_and_heed_what_is_asked(world: World) -> None:
    """Attempts come further and further apart, and never earlier than the receiver asked for."""
    world.team.failures = [
        NotifyError("x", "server_error", retry=True),
        NotifyError("x", "rate_limited", retry=True, retry_after_s=40),
        NotifyError("x", "timeout", retry=True),
    ]
    await world.put(alert("A", -60, slo="x"))
    await world.turn(120)
    assert world.team.attempts == [0, 1, 41, 45]
    assert len(world.team.told) == 1


async def test_retries_end_with_the_groups_interval(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A receiver that stays away is tried until the group is due again, and the error is logged once."""
    world.team.failures = [NotifyError("away", "unreachable", retry=True) for _ in range(30)]
    with caplog.at_level(logging.ERROR):
        await world.put(alert("A", -60, slo="x"))
        await world.turn(299)
    assert world.team.attempts == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]
    assert [r.getMessage().count("unreachable: away") for r in caplog.records] == [1]


async def test_a_refusal_is_final_for_this_turn(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """What would not heal is not retried before the group is due again; the same refusal is logged once."""
    world.team.failures = [NotifyError("400 invalid_blocks", "rejected", retry=False) for _ in range(3)]
    with caplog.at_level(logging.ERROR):
        await world.put(alert("A", -60, slo="x"))
        await world.turn(1000)
    assert world.team.attempts == [0, 300, 600, 900]
    assert len(caplog.records) == 1
    assert world.team.told == [(900, ["A"], [])]


async def test_a_resolution_waits_for_a_receiver_that_is_away(world: World) -> None:
    """An alert that ends while its receiver is away is still told as resolved."""
    await world.put(alert("A", -60, slo="x"))
    world.team.failures = [NotifyError("no", "rejected", retry=False)]
    await world.put(alert("A", -60, 10, slo="x"))
    await world.turn(700)
    assert [(firing, resolved) for _, firing, resolved in world.team.told] == [(["A"], []), ([], ["A"])]


async def test_inhibited_alerts_stay_unsent() -> None:
    """A target is not told while its source fires, and is when the source is over."""
    world = await started(
        "route: {receiver: team, group_by: [alertname], group_wait: 0s, group_interval: 1m}\n"
        "receivers: [{name: team}]\n"
        "inhibit_rules: [{source_matchers: [sev=page], target_matchers: [sev=ticket], equal: [slo]}]\n"
    )
    await world.put(
        alert("P", slo="x", sev="page"), alert("T", slo="x", sev="ticket"), alert("O", slo="y", sev="ticket")
    )
    await world.turn(60)
    assert sorted(firing for _, firing, _ in world.team.told) == [["O"], ["P"]]
    ticket = next(k.alert for k in world.manager.alerts() if k.alert.name == "T")
    assert list(world.manager.status_of(ticket).inhibited_by) == [alert("P", slo="x", sev="page").fingerprint]
    await world.put(alert("P", 0, 60, slo="x", sev="page"))
    await world.turn(60)
    assert (120, ["T"], []) in world.team.told
    await world.manager.stop()


async def test_a_store_that_is_away_delays_no_message(world: World) -> None:
    """The caller hears that the state was not kept; receivers are told all the same, and the state is kept later."""
    world.store.broken = True
    with pytest.raises(StoreUnavailable):
        await world.manager.put_alerts([alert("A", -60, slo="x")])
    await world.clock.settle(world.manager)
    assert world.team.told == [(0, ["A"], [])]
    world.store.broken = False
    await world.put(alert("A", -60, slo="x"))
    await world.kill()
    await world.turn(600)
    assert len(world.team.told) == 1


async def test_too_many_alerts_are_refused(world: World) -> None:
    """Past the bound new alerts are refused, all of the call, and the message names the bound."""
    manager = world.manager
    manager._known._max_alerts = 2
    await world.put(alert("A", slo="x"), alert("B", slo="x"))
    with pytest.raises(Overloaded, match="at most 2"):
        await manager.put_alerts([alert("A", slo="x"), alert("C", slo="x")])
    assert len(manager.alerts()) == 2


async def test_one_receiver_does_not_depend_on_another() -> None:
    """Of two ways to tell a receiver, each is told once, whatever becomes of the other."""
    world = World()
    other = Recorder(world.clock)
    world.manager = manager_of(CONFIG, world.store, world.clock, {"team": [world.team, other]})
    await world.manager.start()
    world.team.failures = [NotifyError("no", "rejected", retry=False)]
    await world.put(alert("A", -60, slo="x"))
    await world.turn(1000)
    assert (world.team.told, other.told) == ([(300, ["A"], [])], [(0, ["A"], [])])
    await world.manager.stop()


async def test_stop_does_not_wait_for_retries(world: World) -> None:
    """A receiver that is away does not hold the end up; its message is told after the next start."""
    world.team.failures = [NotifyError("away", "unreachable", retry=True) for _ in range(3)]
    await world.put(alert("A", -60, slo="x"))
    await world.manager.stop()
    await world.manager.stop()
    world.team.failures = []
    await world.kill()
    assert [firing for _, firing, _ in world.team.told] == [["A"]]
