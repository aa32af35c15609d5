"""Silences that come again and again: their times, also over changes of summer time, and the silences they make."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from alerting.manager.recurring import ANNOTATION, NoSuchRecurring, RecurringSilence
from alerting.manager.silences import BadSilence
from alerting.matchers import parse_matchers
from app.errors import StoreUnavailable
from tests.alert_world import START, AlertWorld, alert

CONFIG = """
route: {receiver: team, group_by: [slo], group_wait: 0s, group_interval: 1m, repeat_interval: 24h}
receivers: [{name: team}]
"""


def recurring(rule: str, dtstart: str = "2026-03-01T12:10", *, minutes: float = 20, **more: Any) -> RecurringSilence:
    """A recurring silence; START is 2026-03-01 12:00 UTC, a Sunday."""
    fields: dict[str, Any] = {"timezone": "UTC", "matchers": tuple(parse_matchers("slo=x")), **more}
    begins = datetime.fromisoformat(dtstart)
    return RecurringSilence(
        "", rule, begins, int(minutes * 60), created_by="ann", comment="backups", created_at=START, **fields
    )


@pytest.fixture
async def world() -> AsyncIterator[AlertWorld]:
    """A started world."""
    async with AlertWorld(CONFIG) as world:
        yield world


def times(one: RecurringSilence, after: str, count: int) -> list[str]:
    """The beginnings of the times that end after a moment, in UTC."""
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    return [f"{begins:%m-%d %H:%M}" for begins, _ in islice(one.times(moment), count)]


@pytest.mark.parametrize(
    ("rule", "dtstart", "zone", "after", "told"),
    [
        ("FREQ=DAILY", "03-01T22:00", "UTC", "03-05T00:00", ["03-05 22:00", "03-06 22:00"]),
        ("FREQ=DAILY", "03-01T22:00", "UTC", "03-05T22:05", ["03-05 22:00", "03-06 22:00"]),
        ("RRULE:FREQ=WEEKLY;BYDAY=MO,FR", "03-01T09:00", "UTC", "03-01T00:00", ["03-02 09:00", "03-06 09:00"]),
        ("FREQ=MONTHLY;BYDAY=-1SU", "01-01T09:00", "UTC", "03-01T00:00", ["03-29 09:00", "04-26 09:00"]),
        # New York leaves winter on March 8, Berlin on March 29 and summer on October 25
        ("FREQ=DAILY", "03-01T09:00", "America/New_York", "03-07T00:00", ["03-07 14:00", "03-08 13:00"]),
        ("FREQ=DAILY", "03-01T02:30", "Europe/Berlin", "03-28T00:00", ["03-28 01:30", "03-29 01:30", "03-30 00:30"]),
        ("FREQ=DAILY", "03-01T02:30", "Europe/Berlin", "10-24T00:00", ["10-24 00:30", "10-25 00:30", "10-26 01:30"]),
        ("FREQ=DAILY;COUNT=2", "03-01T22:00", "UTC", "03-01T00:00", ["03-01 22:00", "03-02 22:00"]),
        ("FREQ=DAILY;UNTIL=20260302T230000Z", "03-01T22:00", "UTC", "03-02T00:00", ["03-02 22:00"]),
        ("FREQ=HOURLY;INTERVAL=6", "03-01T01:00", "Asia/Kolkata", "03-01T00:00", ["03-01 01:30", "03-01 07:30"]),
    ],
)
def test_times(rule: str, dtstart: str, zone: str, after: str, told: list[str]) -> None:
    """Times follow the rule by the clock of the zone, on either side of a change of summer time."""
    found = times(recurring(rule, f"2026-{dtstart}", timezone=zone), f"2026-{after}", 3)
    ends = "COUNT" in rule or "UNTIL" in rule
    assert (found if ends else found[: len(told)]) == told


async def test_its_times_are_silences(world: AlertWorld) -> None:
    """While a time lasts there is an ordinary silence; before and after alerts are told."""
    one = await world.manager.recurring.add(recurring("FREQ=DAILY"), "token-a")
    assert world.manager.silences.all() == []
    await world.turn(10 * 60)
    (silence,) = world.manager.silences.all()
    assert (silence.created_by, silence.comment, silence.annotations) == ("ann", "backups", {ANNOTATION: one.id})
    assert (silence.starts_at, silence.ends_at) == (START + timedelta(minutes=10), START + timedelta(minutes=30))
    await world.put(alert("A", 600, slo="x"))
    await world.turn(20 * 60 - 1)
    assert world.team.told == []
    await world.turn(61)
    assert [firing for _, firing, _ in world.team.told] == [["A"]]
    await world.turn(24 * 3600)
    assert len(world.manager.silences.all()) == 2


async def test_it_survives_a_kill(world: AlertWorld) -> None:
    """After a kill in the middle of a time the same silence stands, and not a second one."""
    await world.manager.recurring.add(recurring("FREQ=DAILY"), "token-a")
    await world.turn(15 * 60)
    before = world.manager.silences.all()
    await world.kill()
    await world.turn(60)
    assert (len(before), world.manager.silences.all()) == (1, before)
    assert [r.rule for r in world.manager.recurring.all()] == ["FREQ=DAILY"]


async def test_a_time_somebody_ended_stays_ended(world: AlertWorld) -> None:
    """Who expires the silence of one time ends that one; the next comes all the same."""
    await world.manager.recurring.add(recurring("FREQ=DAILY"), "token-a")
    await world.turn(15 * 60)
    (silence,) = world.manager.silences.all()
    await world.manager.silences.expire(silence.id, "bob")
    await world.kill()
    await world.turn(60)
    assert [s.state(world.clock.now()) for s in world.manager.silences.all()] == ["expired"]
    await world.turn(24 * 3600)
    assert len(world.manager.silences.all()) == 2


async def test_deleted(world: AlertWorld) -> None:
    """Deleting it ends the silence of now, and no other comes; who did it is written down."""
    one = await world.manager.recurring.add(recurring("FREQ=DAILY"), "token-a")
    await world.turn(15 * 60)
    await world.manager.recurring.delete(one.id, "token-b")
    assert [s.state(world.clock.now()) for s in world.manager.silences.all()] == ["expired"]
    await world.turn(48 * 3600)
    assert len(world.manager.silences.all()) == 1
    entries = await world.manager.audit.read(about=one.id)
    assert [(e["action"], e["who"]) for e in entries] == [("deleted", "token-b"), ("created", "token-a")]
    with pytest.raises(NoSuchRecurring):
        await world.manager.recurring.delete(one.id, "token-b")


async def test_next_times(world: AlertWorld) -> None:
    """The time that is now stands first among the next ones."""
    one = await world.manager.recurring.add(recurring("FREQ=DAILY"), "token-a")
    await world.turn(15 * 60)
    coming = world.manager.recurring.coming(one, 2)
    assert [begins for begins, _ in coming] == [START + timedelta(minutes=10), START + timedelta(days=1, minutes=10)]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (recurring("nonsense"), "rrule: "),
        (recurring("FREQ=FORTNIGHTLY"), "rrule: "),
        (recurring("FREQ=WEEKLY;BYDAY=XX"), "rrule: invalid 'BYDAY': XX"),
        (recurring("FREQ=MINUTELY"), "rrule: FREQ must be HOURLY, DAILY"),
        (recurring("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"), "rrule: comes true at no time"),
        (recurring("FREQ=DAILY;UNTIL=20260301T000000Z"), "rrule: comes true at no time"),
        (recurring("FREQ=DAILY;UNTIL=20260401"), "UNTIL values must be specified in UTC"),
        (recurring("DTSTART:20260301T000000Z\nRRULE:FREQ=DAILY"), "one RRULE is wanted"),
        (recurring("FREQ=DAILY", timezone="Mars/Olympus"), "timezone: 'Mars/Olympus'"),
        (recurring("FREQ=DAILY", minutes=0), "duration: "),
        (recurring("FREQ=YEARLY", minutes=50_000), "duration: "),
        (recurring("FREQ=HOURLY", "2020-01-01T00:00"), "dtstart: must be within 60 days"),
        (replace(recurring("FREQ=DAILY"), matchers=()), "at least one matcher required"),
        (recurring("FREQ=DAILY", matchers=tuple(parse_matchers("a=~.*"))), "must not match the empty string"),
    ],
    ids=lambda value: value.rule[:30] if isinstance(value, RecurringSilence) else None,
)
async def test_bad_ones(world: AlertWorld, wanted: RecurringSilence, told: str) -> None:
    """What makes no sense is refused, naming the field, and nothing is kept of it."""
    with pytest.raises(BadSilence, match=told):
        await world.manager.recurring.add(wanted, "ann")
    assert (world.manager.recurring.all(), world.store.documents.get("silence_recurring", {})) == ([], {})


async def test_a_store_that_is_away(world: AlertWorld) -> None:
    """It is not taken while it cannot be kept; a time whose silence cannot be kept is made when it can."""
    world.store.broken = True
    with pytest.raises(StoreUnavailable):
        await world.manager.recurring.add(recurring("FREQ=DAILY"), "ann")
    world.store.broken = False
    await world.manager.recurring.add(recurring("FREQ=DAILY"), "ann")
    world.store.broken = True
    await world.turn(12 * 60)
    world.store.broken = False
    await world.turn(60)
    assert [s.state(world.clock.now()) for s in world.manager.silences.all()] == ["active"]
