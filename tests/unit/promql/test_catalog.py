"""Labels of series by id: what is remembered, and asked for again when it was forgotten."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from app.query.promql import catalog
from app.query.promql.catalog import SeriesCatalog

KINDS = pa.schema([("series_id", pa.uint64()), ("name", pa.string()), ("pairs", pa.map_(pa.string(), pa.string()))])


class Store:
    """Rows of series 0 to 99, and what was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def read(self, ids: list[int]) -> pa.Table:
        """The rows of these ids that there are."""
        self.asked.append(ids)
        there = [i for i in ids if i < 100]
        return pa.table(
            {"series_id": there, "name": ["m"] * len(there), "pairs": [[("i", str(i))] for i in there]}, KINDS
        )


def labels(*ids: int) -> list[tuple[tuple[str, str], ...]]:
    """What the labels of these series are."""
    return [(("__name__", "m"), ("i", str(i))) for i in ids]


def test_only_what_is_not_known_is_asked_for() -> None:
    """Each id once, in the order of the query; the answer has an entry for each id."""
    known, store = SeriesCatalog(), Store()
    assert known.labels(np.array([3, 1], np.uint64), store.read) == labels(3, 1)
    assert known.labels(np.array([1, 2, 3], np.uint64), store.read) == labels(1, 2, 3)
    assert store.asked == [[3, 1], [2]]


def test_a_series_the_store_does_not_know_is_told() -> None:
    """None, and not the labels of the others alone."""
    assert SeriesCatalog().labels(np.array([1, 200], np.uint64), Store().read) is None


def test_what_was_forgotten_on_the_way_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past its bound the catalog starts anew, in the middle of a query too, which is answered all the same."""
    monkeypatch.setattr(catalog, "_BOUND", 10)
    monkeypatch.setattr(catalog, "_AT_ONCE", 2)
    known, store = SeriesCatalog(), Store()
    assert known.labels(np.arange(8, dtype=np.uint64), store.read) == labels(*range(8))
    assert known.labels(np.arange(4, 13, dtype=np.uint64), store.read) == labels(*range(4, 13))
    assert max(map(len, store.asked)) == 2
