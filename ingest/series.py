"""Label sets → series ids, and the caches that make the hot path hot.

A source meets the same label sets over and over. It keeps a dictionary of its own from the raw bytes it sees (a
line's text before the value, a protobuf message's label bytes) to a *ref*: a small integer given out here. What a
ref stands for is kept in arrays, so that a whole batch of refs becomes series ids in one NumPy gather.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from app.labels import METRIC_NAME, Labels

_SEEN_GRAIN_MS = 3_600_000
_GROWTH = 4096


_PLACE_BITS = 10


def label_set_id(labels: Labels) -> int:
    """64 bits of BLAKE2b over the sorted label set: the same series has the same id in every process, for ever.

    The upper ten bits are a hash of the `instance` label alone. Rows are ordered by metric and id, so the series of one
    instance lie together, and a query for one instance reads a stretch of them and not a little of everything.
    """
    # 0xff is in no UTF-8 text, so no two label sets have one encoding
    whole = _hash(b"\xff".join(part.encode() for pair in labels for part in pair))
    place = _hash(next((value for name, value in labels if name == "instance"), "").encode())
    return place >> (64 - _PLACE_BITS) << (64 - _PLACE_BITS) | whole >> _PLACE_BITS


def _hash(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


class SeriesIndex:
    """Refs for label sets: of metrics' series, or of log streams.

    `ref` may be called from any thread. `names` are metric names, indexed by `name_code`; the arrays may be longer
    than there are refs.
    """

    def __init__(self, limit: int = 2_000_000) -> None:
        self._lock = threading.Lock()
        self._limit = limit
        self.labels: list[Labels] = []
        self.names: list[str] = []
        self._refs: dict[Labels, int] = {}
        self._name_codes: dict[str, int] = {}
        self.ids: npt.NDArray[np.uint64] = np.zeros(_GROWTH, np.uint64)
        self.name_code: npt.NDArray[np.int32] = np.zeros(_GROWTH, np.int32)
        # the time range the store has been told this series was seen in: empty at first
        self.told_first_ms: npt.NDArray[np.int64] = np.full(_GROWTH, np.iinfo(np.int64).max, np.int64)
        self.told_last_ms: npt.NDArray[np.int64] = np.full(_GROWTH, np.iinfo(np.int64).min, np.int64)
        # a hash of the exemplar kept last, 0 before the first (see ExemplarRows)
        self.newest_exemplar: npt.NDArray[np.int64] = np.zeros(_GROWTH, np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def ref(self, labels: Labels) -> int:
        """The ref of a canonical label set, a new one the first time it is met."""
        ref = self._refs.get(labels)
        if ref is not None:
            return ref
        with self._lock:
            ref = self._refs.get(labels)
            return self._add(labels) if ref is None else ref

    def _add(self, labels: Labels) -> int:
        ref = len(self.labels)
        if ref == len(self.ids):
            self._grow()
        name = next((value for key, value in labels if key == METRIC_NAME), "")
        code = self._name_codes.get(name)
        if code is None:
            code = self._name_codes[name] = len(self.names)
            self.names.append(name)
        self.ids[ref] = label_set_id(labels)
        self.name_code[ref] = code
        self.labels.append(labels)
        self._refs[labels] = ref
        return ref

    def _grow(self) -> None:
        size = len(self.ids)
        self.ids = np.concatenate([self.ids, np.zeros(size, np.uint64)])
        self.name_code = np.concatenate([self.name_code, np.zeros(size, np.int32)])
        self.told_first_ms = np.concatenate([self.told_first_ms, np.full(size, np.iinfo(np.int64).max, np.int64)])
        self.told_last_ms = np.concatenate([self.told_last_ms, np.full(size, np.iinfo(np.int64).min, np.int64)])
        self.newest_exemplar = np.concatenate([self.newest_exemplar, np.zeros(size, np.int64)])

    @property
    def full(self) -> bool:
        """Whether the index should be replaced by a new one before more label sets are added."""
        return len(self.labels) >= self._limit

    def untold(self, refs: npt.NDArray[np.int32], ts_ms: npt.NDArray[np.int64]) -> list[tuple[int, int, int]]:
        """(ref, first ms, last ms) of the series the store must hear of before these samples are inserted.

        Times are widened to whole hours, so that a steady series is told once an hour.
        """
        news = (ts_ms < self.told_first_ms[refs]) | (ts_ms > self.told_last_ms[refs])
        if not news.any():
            return []
        refs, ts_ms = refs[news], ts_ms[news]
        order = np.argsort(refs, kind="stable")
        refs, ts_ms = refs[order], ts_ms[order]
        unique, starts = np.unique(refs, return_index=True)
        first = np.minimum.reduceat(ts_ms, starts) // _SEEN_GRAIN_MS * _SEEN_GRAIN_MS
        last = (np.maximum.reduceat(ts_ms, starts) // _SEEN_GRAIN_MS + 1) * _SEEN_GRAIN_MS - 1
        return list(zip(unique.tolist(), first.tolist(), last.tolist(), strict=True))

    def told(self, rows: list[tuple[int, int, int]]) -> None:
        """Notes what the store was told, after it was."""
        if rows:
            refs, first, last = (np.array(column) for column in zip(*rows, strict=True))
            self.told_first_ms[refs] = np.minimum(self.told_first_ms[refs], first)
            self.told_last_ms[refs] = np.maximum(self.told_last_ms[refs], last)


K = TypeVar("K")


class RefCache(Generic[K]):
    """A source's dictionary from raw keys to refs, emptied when the index starts anew or the bound is met."""

    def __init__(self, registry: SeriesRegistry, limit: int = 1_000_000) -> None:
        self._registry = registry
        self._limit = limit
        self.index = registry.current
        self.refs: dict[K, int] = {}

    def current_index(self) -> SeriesIndex:
        """The index that refs given now belong to."""
        self.current()
        return self.index

    def current(self) -> dict[K, int]:
        """The dictionary to look keys up in now, empty if what it held is no longer valid."""
        if self.index is not self._registry.current or len(self.refs) > self._limit:
            self.index = self._registry.current
            self.refs = {}
        return self.refs


class SeriesRegistry:
    """Holds the index in force. A full index is replaced whole: batches made before keep their own."""

    def __init__(self, limit: int = 2_000_000, make: Callable[[int], SeriesIndex] = SeriesIndex) -> None:
        self._make = make
        self._limit = limit
        self._index = make(limit)

    @property
    def current(self) -> SeriesIndex:
        """The index to add to; a new one when the last is full."""
        if self._index.full:
            self._index = self._make(self._limit)
        return self._index
