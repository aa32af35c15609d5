"""Counts of thousands of SLIs in memory: a window of any length is a few sums over columns, exact to the interval.

Time is the same for all of them, so counts stand in matrices, a row (*lane*) an SLI. Intervals (*units*) are kept one
by one for the newest hours, which is where counts still change; before that a *block* of about an hour is one number.
The begin of a long window lies within a block: the units of just these blocks are loaded when it gets there, of the
lanes whose windows begin there. Thirty days of minutes take 20 KB a lane instead of 1.7 MB, and three days cost what an
hour does; lanes that end at different times, as some cannot be counted, cost no more than lanes that end together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slo.measure import Bools, Floats, Ints

_HOUR_MS = 3_600_000
_RECENT_MS = 7 * _HOUR_MS
"""The Workbook's windows of up to six hours lie in it whole, and what comes up to an hour late."""
_FEW = 16

Counts = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Cells:
    """Counts to put somewhere, arrays of (n,): `starts_ms` are starts of units, `lanes` whose they are."""

    lanes: Ints
    starts_ms: Ints
    bad: Floats
    total: Floats


@dataclass(slots=True)
class _Columns:
    """Sums by lane and column. `counted` is how many units are in a cell."""

    bad: Floats
    total: Floats
    counted: Counts

    @classmethod
    def of(cls, lanes: int, columns: int) -> _Columns:
        shape = (lanes, columns)
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(shape, np.uint16))

    def grown(self, lanes: int) -> _Columns:
        # zeros take no memory before somebody writes to them
        new, used = _Columns.of(lanes, self.bad.shape[1]), len(self.bad)
        new.bad[:used], new.total[:used], new.counted[:used] = self.bad, self.total, self.counted
        return new

    def of_lanes(self, lanes: Ints) -> _Columns:
        """Those of some lanes, copied."""
        return _Columns(self.bad[lanes], self.total[lanes], self.counted[lanes])

    def clear(self, lanes: Ints | slice, columns: slice) -> None:
        for array in (self.bad, self.total, self.counted):
            array[lanes, columns] = 0

    def put(self, lanes: Ints, columns: Ints, cells: Cells) -> None:
        self.bad[lanes, columns], self.total[lanes, columns], self.counted[lanes, columns] = cells.bad, cells.total, 1

    def sums(self, lanes: Ints, first: int, last: int) -> tuple[Floats, Floats, Ints]:
        """Over columns [first, last) of a ring."""
        size = self.bad.shape[1]
        found = (np.zeros(len(lanes)), np.zeros(len(lanes)), np.zeros(len(lanes), np.int64))
        for begin, end in _ring(first, last, size):
            found[0][:] += self.bad[lanes, begin:end].sum(axis=1)
            found[1][:] += self.total[lanes, begin:end].sum(axis=1)
            found[2][:] += self.counted[lanes, begin:end].sum(axis=1, dtype=np.int64)
        return found


@dataclass(slots=True)
class _Edge:
    """The units of a block, of some lanes: `lanes` in order, each once, (n,), at least one; `columns` (n, units)."""

    lanes: Ints
    columns: _Columns

    def places(self, lanes: Ints) -> tuple[Ints, Bools]:
        """The rows of lanes, and which of them are there at all."""
        rows = np.minimum(np.searchsorted(self.lanes, lanes), len(self.lanes) - 1)
        return rows, np.asarray(self.lanes[rows] == lanes)

    def only(self, lanes: Ints) -> _Edge:
        """That of some of its lanes, in order, each once."""
        rows, there = self.places(lanes)
        return _Edge(lanes[there], self.columns.of_lanes(rows[there]))

    def with_more(self, other: _Edge) -> _Edge:
        """This one and another, which has other lanes."""
        lanes = np.concatenate([self.lanes, other.lanes])
        order = np.argsort(lanes)
        mine, others = self.columns, other.columns
        columns = _Columns(
            np.concatenate([mine.bad, others.bad]),
            np.concatenate([mine.total, others.total]),
            np.concatenate([mine.counted, others.counted]),
        )
        return _Edge(lanes[order], columns.of_lanes(order))

    def replace(self, lanes: Ints, first_unit: int, unit_ms: int, cells: Cells) -> None:
        """`cells` are all there is of some lanes."""
        rows, there = self.places(lanes)
        self.columns.clear(rows[there], slice(None))
        rows, there = self.places(cells.lanes)
        self.columns.put(rows[there], cells.starts_ms[there] // unit_ms - first_unit, some_cells(cells, there))


class Ledger:
    """Counts of all lanes up to one time. Not safe for two threads at once.

    `unit_ms` is the length of a unit, `span_ms` how far back windows reach. Whoever has the counts must give them for
    whole blocks before `recent_from_ms`, and unit by unit after it.
    """

    def __init__(self, unit_ms: int, span_ms: int, end_ms: int = 0) -> None:
        self.unit_ms = unit_ms
        self.span_ms = span_ms
        self.block_ms = -(-_HOUR_MS // unit_ms) * unit_ms
        self._per_block = self.block_ms // unit_ms
        self._recent_blocks = -(-_RECENT_MS // self.block_ms) + 1
        self._block_count = -(-span_ms // self.block_ms) + 2
        self._recent = _Columns.of(0, self._recent_blocks * self._per_block)
        self._blocks = _Columns.of(0, self._block_count)
        self._edges: dict[int, _Edge] = {}
        self._newest = end_ms // self.block_ms
        self._used = 0
        self._free: list[int] = []

    def __len__(self) -> int:
        return self._used - len(self._free)

    @property
    def recent_from_ms(self) -> int:
        """The start of the oldest block whose units are kept one by one."""
        return (self._newest - self._recent_blocks + 1) * self.block_ms

    @property
    def oldest_ms(self) -> int:
        """The start of the oldest block that is kept."""
        return (self._newest - self._block_count + 1) * self.block_ms

    def block_of(self, at_ms: int) -> int:
        """The start of the block a time lies in."""
        return at_ms // self.block_ms * self.block_ms

    def add(self) -> int:
        """A new, empty lane."""
        if self._free:
            return self._free.pop()
        if self._used == len(self._recent.bad):
            size = max(_FEW, 2 * self._used)
            self._recent, self._blocks = self._recent.grown(size), self._blocks.grown(size)
        self._used += 1
        return self._used - 1

    def remove(self, lane: int) -> None:
        """Forgets a lane; its number is given out again."""
        lanes = np.array([lane])
        for columns in (self._recent, self._blocks):
            columns.clear(lanes, slice(None))
        for edge in self._edges.values():
            rows, there = edge.places(lanes)
            edge.columns.clear(rows[there], slice(None))
        self._free.append(lane)

    def advance(self, end_ms: int) -> None:
        """Time goes on: units that end at or before `end_ms` can be put. What is too old goes into blocks, or away."""
        newest = (end_ms - self.unit_ms) // self.block_ms
        if newest - self._newest > self._block_count + self._recent_blocks:
            # all of it is too old, or nothing was there yet
            lanes = len(self._recent.bad)
            self._recent = _Columns.of(lanes, self._recent_blocks * self._per_block)
            self._blocks = _Columns.of(lanes, self._block_count)
        else:
            for block in range(self._newest + 1, newest + 1):
                self._begin(block)
        self._newest = max(self._newest, newest)

    def put(self, cells: Cells) -> None:
        """Puts units that start at or after `recent_from_ms`; those that are there are replaced."""
        units = cells.starts_ms // self.unit_ms
        self._recent.put(cells.lanes, units % self._recent.bad.shape[1], cells)

    def changes(self, cells: Cells) -> npt.NDArray[np.bool_]:
        """Which cells are not there yet, or different there, (n,). All start at or after `recent_from_ms`."""
        at = (cells.lanes, cells.starts_ms // self.unit_ms % self._recent.bad.shape[1])
        return np.asarray(
            (self._recent.counted[at] == 0)
            | (self._recent.bad[at] != cells.bad)
            | (self._recent.total[at] != cells.total)
        )

    def replace(self, lanes: Ints, from_ms: int, to_ms: int, cells: Cells) -> None:
        """`cells` are all there is of some lanes in [from_ms, to_ms), which are starts of blocks before
        `recent_from_ms` and of units after it. What is older than the oldest block is dropped.
        """
        from_ms = max(from_ms, self.oldest_ms)
        recent_ms = self.recent_from_ms
        for block_ms in range(from_ms, min(to_ms, recent_ms), self.block_ms):
            self._replace_block(lanes, block_ms // self.block_ms, _within(cells, block_ms, block_ms + self.block_ms))
        if to_ms > recent_ms:
            first, last = max(from_ms, recent_ms) // self.unit_ms, to_ms // self.unit_ms
            for begin, end in _ring(first, last, self._recent.bad.shape[1]):
                self._recent.clear(lanes, slice(begin, end))
            self.put(_within(cells, max(from_ms, recent_ms), to_ms))

    def quiet(self, lane: int) -> bool:
        """Whether a lane has no event at all."""
        return not self._recent.total[lane].any() and not self._blocks.total[lane].any()

    def edge_of(self, at_ms: int) -> int | None:
        """The start of the block whose units a window needs that begins (or ends) there; None for none."""
        if at_ms >= self.recent_from_ms or at_ms < self.oldest_ms or at_ms % self.block_ms == 0:
            return None
        return self.block_of(at_ms)

    def missing(self, block_ms: int, lanes: Ints) -> Ints:
        """Those of some lanes whose units of a block are not loaded, in order, each once."""
        edge = self._edges.get(block_ms // self.block_ms)
        return np.unique(lanes if edge is None else lanes[~edge.places(lanes)[1]])

    def load(self, block_ms: int, lanes: Ints, cells: Cells) -> None:
        """Takes up the units of a block, all there are of some lanes, which are `missing`."""
        if not len(lanes):
            return
        block = block_ms // self.block_ms
        new = _Edge(lanes, _Columns.of(len(lanes), self._per_block))
        new.replace(lanes, block * self._per_block, self.unit_ms, cells)
        old = self._edges.get(block)
        self._edges[block] = new if old is None else old.with_more(new)

    def keep_edges(self, wanted: Mapping[int, Ints]) -> None:
        """Drops loaded units but those of these lanes, in order and each once, by the start of the block."""
        kept: dict[int, _Edge] = {}
        for block, edge in self._edges.items():
            lanes = wanted.get(block * self.block_ms)
            if lanes is not None and edge.places(lanes)[1].any():
                kept[block] = edge if len(edge.lanes) <= 2 * len(lanes) else edge.only(lanes)
        self._edges = kept

    def window(self, lanes: Ints, from_ms: int, to_ms: int) -> tuple[Floats, Floats, Ints]:
        """(bad, total, counted) of the units that start in [from_ms, to_ms), each (n,) for n lanes.

        Both are starts of units, and what is `missing` of their `edge_of` must be loaded. What is older than the oldest
        block is not there.
        """
        first, last = max(from_ms, self.oldest_ms) // self.unit_ms, to_ms // self.unit_ms
        recent = self.recent_from_ms // self.unit_ms
        parts = []
        if last > recent:
            parts.append(self._recent.sums(lanes, max(first, recent), last))
        if first < min(last, recent):
            parts += self._old(lanes, first, min(last, recent))
        if not parts:
            return np.zeros(len(lanes)), np.zeros(len(lanes)), np.zeros(len(lanes), np.int64)
        bad, total, counted = (sum(part[i] for part in parts) for i in range(3))
        return np.asarray(bad), np.asarray(total), np.asarray(counted)

    def units(self, lane: int, from_ms: int, to_ms: int) -> tuple[Ints, Floats, Floats]:
        """(starts, bad, total) of the counted units of a lane that start in [from_ms, to_ms), not before the recent."""
        starts = np.arange(from_ms // self.unit_ms, to_ms // self.unit_ms)
        at = starts % self._recent.bad.shape[1]
        kept = self._recent.counted[lane, at] > 0
        at = at[kept]
        return starts[kept] * self.unit_ms, self._recent.bad[lane, at], self._recent.total[lane, at]

    def _old(self, lanes: Ints, first: int, last: int) -> list[tuple[Floats, Floats, Ints]]:
        size = self._per_block
        begin, end = -(-first // size), last // size
        if begin > end:
            return [self._edge(lanes, first, last)]
        parts = [self._blocks.sums(lanes, begin, end)] if begin < end else []
        if first < begin * size:
            parts.append(self._edge(lanes, first, begin * size))
        if end * size < last:
            parts.append(self._edge(lanes, end * size, last))
        return parts

    def _edge(self, lanes: Ints, first: int, last: int) -> tuple[Floats, Floats, Ints]:
        block = first // self._per_block
        edge = self._edges[block]
        return edge.columns.sums(edge.places(lanes)[0], first - block * self._per_block, last - block * self._per_block)

    def _begin(self, block: int) -> None:
        """Makes room for a block: the one whose place it takes becomes one number."""
        size = self._per_block
        leaving = block - self._recent_blocks
        at = slice(block % self._recent_blocks * size, (block % self._recent_blocks + 1) * size)
        column, recent, blocks = leaving % self._block_count, self._recent, self._blocks
        blocks.bad[:, column] = recent.bad[:, at].sum(axis=1)
        blocks.total[:, column] = recent.total[:, at].sum(axis=1)
        blocks.counted[:, column] = recent.counted[:, at].sum(axis=1)
        recent.clear(slice(None), at)

    def _replace_block(self, lanes: Ints, block: int, cells: Cells) -> None:
        column = block % self._block_count
        self._blocks.clear(lanes, slice(column, column + 1))
        np.add.at(self._blocks.bad[:, column], cells.lanes, cells.bad)
        np.add.at(self._blocks.total[:, column], cells.lanes, cells.total)
        np.add.at(self._blocks.counted[:, column], cells.lanes, 1)
        if block in self._edges:
            self._edges[block].replace(lanes, block * self._per_block, self.unit_ms, cells)


def _within(cells: Cells, from_ms: int, to_ms: int) -> Cells:
    return some_cells(cells, (cells.starts_ms >= from_ms) & (cells.starts_ms < to_ms))


def some_cells(cells: Cells, kept: Bools) -> Cells:
    """Those of `kept`, (n,)."""
    return Cells(cells.lanes[kept], cells.starts_ms[kept], cells.bad[kept], cells.total[kept])


def _ring(first: int, last: int, size: int) -> list[tuple[int, int]]:
    """The places of [first, last) in a ring, as one or two ranges. There are at most `size` of them."""
    if first >= last:
        return []
    begin, length = first % size, last - first
    if begin + length <= size:
        return [(begin, begin + length)]
    return [(begin, size), (0, begin + length - size)]
