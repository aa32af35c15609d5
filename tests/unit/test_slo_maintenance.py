"""Maintenance: whose budget it is taken from, what is refused, what survives, and who did it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadQuery, StoreError
from app.labels import Labels
from app.store.state import StateStore
from slo.maintenance import AUDIT_KIND, STATE_KIND, MaintenanceBook
from slo.spec import SloSpec
from tests.slo_judging import D, H, slo


@dataclass
class FakeState:
    """A state store in a dictionary that keeps only what JSON keeps; writes of some kinds fail."""

    documents: dict[tuple[str, str], str] = field(default_factory=dict)
    broken: tuple[str, ...] = ()

    def put(self, kind: str, documents: Mapping[str, Any]) -> None:
        """As StateStore.put."""
        self._check(kind)
        self.documents |= {(kind, key): json.dumps(value) for key, value in documents.items()}

    def delete(self, kind: str, keys: Sequence[str]) -> None:
        """As StateStore.delete."""
        self._check(kind)
        for key in keys:
            self.documents.pop((kind, key), None)

    def get_all(self, kind: str) -> dict[str, Any]:
        """As StateStore.get_all."""
        return {key: json.loads(value) for (of, key), value in sorted(self.documents.items()) if of == kind}

    def _check(self, kind: str) -> None:
        if kind in self.broken:
            raise StoreError("away")


@dataclass
class World:
    """A book over a state store at a time that is set."""

    state: FakeState = field(default_factory=FakeState)
    now_ms: int = 100 * D

    def book(self) -> MaintenanceBook:
        """A book of a new process."""
        book = MaintenanceBook(cast(StateStore, self.state), lambda: self.now_ms / 1000)
        book.load()
        return book


def spec(service: str, name: str, group: Labels = ()) -> SloSpec:
    """An SLO, or one of its groups."""
    whole = SloSpec(name, service, 99.9, slo().components, grouping=tuple(label for label, _ in group))
    return whole.of_group(group) if group else whole


SHOP, OTHER, API = spec("shop", "availability"), spec("shop", "latency"), spec("api", "availability")
PATHS = [spec("shop", "paths", (("path", path),)) for path in ("/a", "/b")]
EVERY = [SHOP, OTHER, API, *PATHS]


def test_whose_budget_it_is() -> None:
    """Of SLOs by id, of a group or of all groups of a spec, of a service, of all; each has the union, in order."""
    book = World().book()
    book.add(5 * H, 6 * H, slos=(SHOP.id, PATHS[0].id))
    book.add(1 * H, 2 * H, slos=("shop-paths",))
    book.add(3 * H, 4 * H, service="shop")
    book.add(0, H)
    everybody, service, paths, two = (0, H), (3 * H, 4 * H), (H, 2 * H), (5 * H, 6 * H)
    assert book.ranges(EVERY) == {
        SHOP.id: (everybody, service, two),
        OTHER.id: (everybody, service),
        API.id: (everybody,),
        PATHS[0].id: (everybody, paths, service, two),
        PATHS[1].id: (everybody, paths, service),
    }
    assert World().book().ranges(EVERY) == {}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 50),
            st.integers(1, 9),
            st.one_of(
                st.lists(st.sampled_from([*(one.id for one in EVERY), "shop-paths"]), min_size=1, max_size=3),
                st.sampled_from(["shop", "api", ""]),
            ),
        ),
        max_size=8,
    )
)
def test_ranges_are_those_of_every_maintenance_that_names_the_slo(
    wanted: list[tuple[int, int, list[str] | str]],
) -> None:
    """Found by name as if each was looked at for each SLO."""
    book = World().book()
    for begin, length, whose in wanted:
        target: dict[str, Any] = {"service": whose} if isinstance(whose, str) else {"slos": tuple(whose)}
        book.add(begin * H, (begin + length) * H, **target)
    found = book.ranges(EVERY)
    for one in EVERY:
        ids = {one.id, f"{one.service}-{one.name}"}
        own = [
            (begin * H, (begin + length) * H)
            for begin, length, whose in wanted
            if (whose in ("", one.service) if isinstance(whose, str) else ids & set(whose))
        ]
        assert sorted(found.get(one.id, ())) == sorted(own)
        assert (one.id in found) == bool(own)


def test_a_process_after_it_knows_all_of_it() -> None:
    """What was added, changed and removed, and its audit with what it said before and after."""
    world = World()
    book = world.book()
    first = book.add(0, H, slos=(SHOP.id,), reason="database moved", by="ann")
    world.now_ms += 1000
    second = book.add(H, 2 * H, service="api", by="bob")
    changed = book.change(first.id, to_ms=2 * H, by="cy", reason="it took longer")
    assert (changed.to_ms, changed.reason, changed.created_by) == (2 * H, "it took longer", "ann")
    book.change(first.id, from_ms=-H)
    book.remove(second.id, by="dee", reason="was none")
    later = world.book()
    assert later.all() == book.all() == [book.get(first.id)]
    assert (later.all()[0].from_ms, later.all()[0].slos, later.all()[0].reason) == (-H, (SHOP.id,), "it took longer")
    assert later.get(second.id) is None
    entries = later.audit()
    told = [(entry.action, entry.maintenance, entry.by, entry.reason) for entry in entries]
    assert told == [
        ("removed", second.id, "dee", "was none"),
        ("changed", first.id, "", ""),
        ("changed", first.id, "cy", "it took longer"),
        ("created", second.id, "bob", ""),
        ("created", first.id, "ann", "database moved"),
    ]
    assert entries[0].after is None
    assert entries[0].before == json.loads(json.dumps(asdict(second)))
    assert entries[1].before == entries[2].after
    assert entries[-1].before is None
    assert [entry.at_ms for entry in entries] == [world.now_ms] * 4 + [world.now_ms - 1000]
    assert later.audit(limit=2, offset=1) == entries[1:3]


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "whose", "told"),
    [
        (H, H, {}, "must end after it begins"),
        (2 * H, H, {}, "must end after it begins"),
        (0, 366 * D + 1, {}, "366 days"),
        (0, H, {"slos": ("a",), "service": "b"}, "either slos or a service"),
    ],
)
def test_what_is_refused_changes_nothing(from_ms: int, to_ms: int, whose: dict[str, Any], told: str) -> None:
    """Neither when it is added nor when one is changed to it; the audit has no entry."""
    world = World()
    book = world.book()
    with pytest.raises(BadQuery, match=told):
        book.add(from_ms, to_ms, **whose)
    assert world.state.documents == {}
    one = book.add(0, H)
    before = dict(world.state.documents)
    with pytest.raises(BadQuery, match=told):
        book.change(one.id, from_ms=from_ms, to_ms=to_ms, **whose)
    assert (book.all(), world.state.documents) == ([one], before)
    book.change(one.id, to_ms=366 * D)


def test_one_that_is_not_there_cannot_be_changed_or_removed() -> None:
    """And nothing is written of it."""
    world = World()
    book = world.book()
    with pytest.raises(KeyError):
        book.change("none", to_ms=H)
    with pytest.raises(KeyError):
        book.remove("none")
    assert world.state.documents == {}


def test_there_are_not_endlessly_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused, until one is removed."""
    monkeypatch.setattr("slo.maintenance._MOST", 2)
    book = World().book()
    one = book.add(0, H)
    book.add(0, H)
    with pytest.raises(BadQuery, match="there are 2 maintenances already"):
        book.add(0, H)
    book.remove(one.id)
    book.add(0, H)
    assert len(book.all()) == 2


@pytest.mark.parametrize("kind", [AUDIT_KIND, STATE_KIND])
def test_where_the_store_is_away_budgets_are_as_they_were(kind: str) -> None:
    """What cannot be accounted for, or not be kept, is not done: in memory and in the store it is as before."""
    world = World()
    book = world.book()
    one = book.add(0, H, service="shop")
    world.state.broken = (kind,)
    with pytest.raises(StoreError):
        book.add(2 * H, 3 * H)
    with pytest.raises(StoreError):
        book.change(one.id, to_ms=2 * H)
    with pytest.raises(StoreError):
        book.remove(one.id)
    assert book.all() == [one] == world.book().all()
    world.state.broken = ()
    book.remove(one.id)
    assert book.all() == [] == world.book().all()
