"""Silences over time: what they keep unsent, how they change, what is kept of them. Time is turned by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alerting.manager.silences import BadSilence, Limits, NoSuchSilence, Silence
from alerting.matchers import parse_matchers
from app.errors import StoreUnavailable
from tests.alert_world import START, AlertWorld, alert

CONFIG = """
route: {receiver: team, group_by: [slo], group_wait: 0s, group_interval: 1m, repeat_interval: 1h}
receivers: [{name: team}]
"""


def silence(text: str, since_s: float = 0, until_s: float = 3600, silence_id: str = "", **more: Any) -> Silence:
    """A silence with times in seconds after START."""
    begins, ends = START + timedelta(seconds=since_s), START + timedelta(seconds=until_s)
    fields: dict[str, Any] = {"created_by": "ann", "comment": "patching", **more}
    return Silence(silence_id, tuple(parse_matchers(text)), begins, ends, START, **fields)


@pytest.fixture
async def world() -> AsyncIterator[AlertWorld]:
    """A started world."""
    async with AlertWorld(CONFIG) as world:
        yield world


def states(world: AlertWorld) -> list[tuple[str, str]]:
    """Comment and state of every silence, in the order of the list."""
    now = world.clock.now()
    return [(s.comment, s.state(now)) for s in world.manager.silences.all()]


@pytest.mark.parametrize(
    ("text", "kept_back"),
    [
        ("slo=x", ["A"]),
        ('slo=~"x|y"', ["A", "B"]),
        ("slo=~x", ["A"]),
        ("slo!=x", ["B", "C"]),
        ('slo!~"x|y"', ["C"]),
        ('alertname=A, slo=""', []),
        ('alertname=~"[AC]", slo=""', ["C"]),
        ("slo=x, alertname=B", []),
    ],
)
async def test_matchers(world: AlertWorld, text: str, kept_back: list[str]) -> None:
    """All matchers must match; a missing label is empty; regular expressions are anchored."""
    await world.manager.silences.set(silence(text), "ann")
    await world.put(alert("A", slo="x"), alert("B", slo="y"), alert("C"))
    await world.turn(1)
    told = {name for _, firing, _ in world.team.told for name in firing}
    assert {"A", "B", "C"} - told == set(kept_back)


async def test_a_silence_ends_by_itself(world: AlertWorld) -> None:
    """What was kept back is told at the group's next turn after the end."""
    await world.manager.silences.set(silence("slo=x", 0, 90), "ann")
    await world.put(alert("A", slo="x"))
    await world.turn(119)
    assert world.team.told == []
    await world.turn(1)
    assert world.team.told == [(120, ["A"], [])]


async def test_a_silence_begins_by_itself(world: AlertWorld) -> None:
    """A pending silence keeps nothing back; from its start on it does."""
    await world.manager.silences.set(silence("slo=x", 30, 300), "ann")
    await world.put(alert("A", slo="x"))
    await world.turn(10)
    await world.put(alert("B", slo="x"))
    await world.turn(60)
    assert world.team.told == [(0, ["A"], [])]


async def test_resolved_while_silenced(world: AlertWorld) -> None:
    """An alert that ends under a silence is told to nobody and forgotten, as in Alertmanager."""
    await world.put(alert("A", slo="x"))
    await world.manager.silences.set(silence("slo=x", 0, 300), "ann")
    await world.put(alert("A", 0, 10, slo="x"))
    await world.turn(600)
    assert (world.team.told, world.manager.alerts()) == ([(0, ["A"], [])], [])


async def test_update_in_place(world: AlertWorld) -> None:
    """Another end or comment changes the silence; it keeps its id."""
    silences = world.manager.silences
    one = await silences.set(silence("a=b", 0, 100), "ann")
    await world.turn(10)
    assert await silences.set(silence("a=b", 0, 500, one, comment="longer"), "bob") == one
    assert states(world) == [("longer", "active")]
    assert silences.get(one).ends_at == START + timedelta(seconds=500)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(silence("a=c", 0, 100, comment="new"), id="other matchers"),
        pytest.param(silence("a=b", 50, 100, comment="new"), id="another start"),
    ],
)
async def test_what_would_rewrite_history_makes_a_new_one(world: AlertWorld, changed: Silence) -> None:
    """The old silence expires now, so that one can see what it was; the new one has an id of its own."""
    silences = world.manager.silences
    one = await silences.set(silence("a=b", 0, 100), "ann")
    await world.turn(10)
    two = await silences.set(replace(changed, id=one), "ann")
    assert two != one
    assert silences.get(one).ends_at == START + timedelta(seconds=10)
    assert silences.get(two).starts_at >= START + timedelta(seconds=10)


async def test_an_expired_silence_is_not_revived(world: AlertWorld) -> None:
    """A change of an expired silence makes a new one and leaves the old one as it was."""
    silences = world.manager.silences
    one = await silences.set(silence("a=b", 0, 100), "ann")
    await world.turn(200)
    two = await silences.set(silence("a=b", 0, 900, one, comment="again"), "ann")
    assert states(world) == [("again", "active"), ("patching", "expired")]
    assert silences.get(one).ends_at == START + timedelta(seconds=100)
    assert silences.get(two).starts_at == START + timedelta(seconds=200)


async def test_a_pending_silence_is_moved(world: AlertWorld) -> None:
    """The start of one that has not begun may change; expiring it ends it before it began."""
    silences = world.manager.silences
    one = await silences.set(silence("a=b", 100, 200), "ann")
    assert await silences.set(silence("a=b", 150, 300, one), "ann") == one
    await silences.expire(one, "ann")
    assert silences.get(one).starts_at == silences.get(one).ends_at == START
    await silences.expire(one, "ann")  # again changes nothing
    assert states(world) == [("patching", "expired")]


async def test_order(world: AlertWorld) -> None:
    """Active ones by their end, pending ones by their start, expired ones last, the newest of them first."""
    for name, since, until in (("a2", 0, 900), ("a1", 0, 800), ("p2", 700, 900), ("p1", 600, 900)):
        await world.manager.silences.set(silence("a=b", since, until, comment=name), "ann")
    for name, until in (("e2", 10), ("e1", 20)):
        await world.manager.silences.set(silence("a=b", 0, until, comment=name), "ann")
    await world.turn(60)
    assert [name for name, _ in states(world)] == ["a1", "a2", "p1", "p2", "e1", "e2"]


async def test_silences_survive_a_kill(world: AlertWorld) -> None:
    """What was answered is kept: silences with all they have, and who did what."""
    one = await world.manager.silences.set(silence('a!~"x.*"', 0, 900, annotations={"ticket": "T-1"}), "token-a")
    await world.manager.silences.expire(await world.manager.silences.set(silence("c=d"), "token-b"), "token-c")
    before = world.manager.silences.all()
    await world.kill()
    assert world.manager.silences.all() == before
    assert world.manager.silences.get(one).annotations == {"ticket": "T-1"}
    entries = await world.manager.audit.read()
    assert [(e["action"], e["who"]) for e in entries] == [
        ("expired", "token-c"), ("created", "token-b"), ("created", "token-a"),
    ]  # fmt: skip
    assert [e["who"] for e in await world.manager.audit.read(about=one)] == ["token-a"]
    assert entries[0]["before"]["matchers"] == ['c="d"']


async def test_forgotten_after_the_retention(world: AlertWorld) -> None:
    """An expired silence is kept for 120 hours after its end."""
    one = await world.manager.silences.set(silence("a=b", 0, 60), "ann")
    await world.turn(119 * 3600)
    assert world.manager.silences.get(one).id == one
    await world.turn(3 * 3600)
    with pytest.raises(NoSuchSilence):
        world.manager.silences.get(one)
    assert world.store.documents["silence"] == {}


async def test_limits() -> None:
    """More silences than the limit, or a larger one, are refused with both figures."""
    async with AlertWorld(CONFIG, silence_limits=Limits(most=2, most_bytes=1000)) as world:
        silences = world.manager.silences
        one = await silences.set(silence("a=b"), "ann")
        with pytest.raises(BadSilence, match=r"exceeded maximum size: \d+ bytes \(limit: 1000 bytes\)"):
            await silences.set(silence("a=b", comment="x" * 1000), "ann")
        await silences.set(silence("a=c"), "ann")
        with pytest.raises(BadSilence, match=r"exceeded maximum number of silences: 2 \(limit: 2\)"):
            await silences.set(silence("a=d"), "ann")
        assert await silences.set(silence("a=b", 0, 7200, one), "ann") == one


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (silence('a=""'), "must not match the empty string"),
        (silence("a=~.*"), "must not match the empty string"),
        (silence('a=~"x*", b=""'), "must not match the empty string"),
        (silence("a=b", 100, 50), "end time must not be before start time"),
        (replace(silence("a=b"), matchers=()), "at least one matcher required"),
    ],
    ids=str,
)
async def test_bad_silences(world: AlertWorld, wanted: Silence, told: str) -> None:
    """What makes no sense is refused, and nothing is kept of it."""
    with pytest.raises(BadSilence, match=told):
        await world.manager.silences.set(wanted, "ann")
    assert (world.manager.silences.all(), await world.manager.audit.read()) == ([], [])


async def test_a_store_that_is_away_takes_no_silence(world: AlertWorld) -> None:
    """What could not be kept does not hold: its author is told so."""
    world.store.broken = True
    with pytest.raises(StoreUnavailable):
        await world.manager.silences.set(silence("slo=x"), "ann")
    world.store.broken = False
    await world.put(alert("A", slo="x"))  # another write goes through
    assert world.manager.silences.all() == []
    await world.kill()
    assert world.manager.silences.all() == []
