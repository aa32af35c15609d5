"""Documents of the state store, on both transports: what is written is read, and others see what changed."""

from __future__ import annotations

from app.store.client import Pool
from app.store.state import StateStore


def test_documents_of_several_kinds(store_pool: Pool) -> None:
    """One write changes documents of several kinds; None forgets one; the newest version wins."""
    state = StateStore(store_pool)
    state.write({("a", "1"): {"n": 1}, ("a", "2"): {"n": 2}, ("b", "1"): ["x"]})
    state.write({("a", "1"): None, ("a", "2"): {"n": 3}})
    assert state.get_all("a") == {"2": {"n": 3}}
    assert state.get("a", ["1", "2", "3"]) == {"2": {"n": 3}}
    assert state.get("b", []) == {}
    assert state.get_all("b") == {"1": ["x"]}


def test_what_changed_since(store_pool: Pool) -> None:
    """Another process sees what was written after a version: the newest of each document, what is gone as None."""
    mine, theirs = StateStore(store_pool), StateStore(store_pool)
    before = mine.write({("a", "old"): 0})
    first = mine.write({("a", "1"): 1, ("a", "2"): 2})
    last = mine.write({("a", "1"): None, ("c", "9"): 9})
    assert theirs.changed(["a", "b"], before) == [("a", "2", 2, first), ("a", "1", None, last)]
    assert theirs.changed(["a"], last) == []
