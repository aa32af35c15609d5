"""The ledger beside a dictionary: the same sums over any window, whatever came, was replaced, went, or grew old."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slo.ledger import Cells, Ledger
from slo.measure import Ints

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
START = 1_760_000_040_000 // DAY * DAY


def cells(rows: list[tuple[int, int, float, float]]) -> Cells:
    """Of (lane, start, bad, total)."""
    lanes, starts, bad, total = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
    return Cells(np.array(lanes, np.int64), np.array(starts, np.int64), np.array(bad, float), np.array(total, float))


@dataclass
class Both:
    """A ledger, and a dictionary of what was put into it: {(lane, start): (bad, total)}."""

    ledger: Ledger
    end_ms: int
    known: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict)
    lanes: list[int] = field(default_factory=list)

    def advance(self, units: int) -> None:
        """Time goes on."""
        self.end_ms += units * self.ledger.unit_ms
        self.ledger.advance(self.end_ms)

    def put(self, rows: list[tuple[int, int, float, float]]) -> None:
        """Puts recent units; says first which of them are news."""
        found = cells(rows)
        news = [self.known.get((lane, start)) != (bad, total) for lane, start, bad, total in rows]
        assert self.ledger.changes(found).tolist() == news
        self.ledger.put(found)
        self.known |= {(lane, start): (bad, total) for lane, start, bad, total in rows}

    def replace(self, lane: int, from_ms: int, to_ms: int, rows: list[tuple[int, int, float, float]]) -> None:
        """Replaces a time of a lane."""
        self.ledger.replace(np.array([lane]), from_ms, to_ms, cells(rows))
        for start in range(from_ms, to_ms, self.ledger.unit_ms):
            self.known.pop((lane, start), None)
        self.known |= {(lane, start): (bad, total) for lane, start, bad, total in rows}

    def remove(self, lane: int) -> None:
        """Forgets a lane."""
        self.ledger.remove(lane)
        self.lanes.remove(lane)
        self.known = {key: value for key, value in self.known.items() if key[0] != lane}

    def window(self, from_ms: int, to_ms: int, some: list[int] | None = None) -> list[tuple[float, float, int]]:
        """The sums of lanes (all by default) by the ledger, after what it misses was loaded from the dictionary."""
        lanes = np.array(self.lanes if some is None else some, np.int64)
        for at_ms in (from_ms, to_ms):
            block_ms = self.ledger.edge_of(at_ms)
            if block_ms is not None:
                end_ms, missing = block_ms + self.ledger.block_ms, self.ledger.missing(block_ms, lanes)
                rows = [
                    (lane, t, *value)
                    for (lane, t), value in self.known.items()
                    if block_ms <= t < end_ms and lane in missing
                ]
                self.ledger.load(block_ms, missing, cells(rows))
        bad, total, counted = self.ledger.window(lanes, from_ms, to_ms)
        return list(zip(bad.tolist(), total.tolist(), counted.tolist(), strict=True))

    def sums(self, from_ms: int, to_ms: int, lanes: list[int] | None = None) -> list[tuple[float, float, int]]:
        """The same by the dictionary."""
        from_ms = max(from_ms, self.ledger.oldest_ms)
        found = []
        for lane in self.lanes if lanes is None else lanes:
            own = [value for (of, t), value in self.known.items() if of == lane and from_ms <= t < to_ms]
            found.append((sum(bad for bad, _ in own), sum(total for _, total in own), len(own)))
        return found


def both(unit_ms: int = MINUTE, span_ms: int = DAY, lanes: int = 2) -> Both:
    """An empty one."""
    start = START // unit_ms * unit_ms
    made = Both(Ledger(unit_ms, span_ms), start)
    made.lanes = [made.ledger.add() for _ in range(lanes)]
    made.advance(0)
    return made


def draw_rows(
    data: st.DataObject, lane: int, from_ms: int, to_ms: int, unit_ms: int
) -> list[tuple[int, int, float, float]]:
    """Some units of a time, of whole numbers."""
    starts = range(from_ms, to_ms, unit_ms)
    if not starts:
        return []
    places = data.draw(st.lists(st.integers(0, len(starts) - 1), max_size=8, unique=True))
    return [(lane, starts[n], float(n % 7), float(n % 7 + 1)) for n in places]


@settings(deadline=None, max_examples=120)
@given(data=st.data(), unit_ms=st.sampled_from([MINUTE, 5 * MINUTE, 7 * MINUTE, 3 * HOUR]), hours=st.integers(1, 20))
def test_sums_are_those_of_a_dictionary(data: st.DataObject, unit_ms: int, hours: int) -> None:
    """Units are put and replaced, old and new; time goes on by a unit or days; lanes go and come."""
    world = both(unit_ms, hours * HOUR, 4)
    ledger = world.ledger
    for _ in range(data.draw(st.integers(1, 14))):
        what = data.draw(st.sampled_from(["advance", "put", "put", "replace", "replace", "lanes", "window", "edges"]))
        lane = data.draw(st.sampled_from(world.lanes))
        if what == "advance":
            block = ledger.block_ms // unit_ms
            world.advance(data.draw(st.sampled_from([1, 2, block, 3 * block + 1, 9 * block, 100 * block])))
        elif what == "put":
            world.put(draw_rows(data, lane, ledger.recent_from_ms, world.end_ms, unit_ms))
        elif what == "replace":
            first = data.draw(st.integers(ledger.oldest_ms // ledger.block_ms, world.end_ms // ledger.block_ms))
            from_ms = first * ledger.block_ms
            if data.draw(st.booleans()) and from_ms < ledger.recent_from_ms:
                to_ms = min(from_ms + data.draw(st.integers(1, 3)) * ledger.block_ms, ledger.recent_from_ms)
            else:
                to_ms = max(from_ms, world.end_ms)
            world.replace(lane, from_ms, to_ms, draw_rows(data, lane, from_ms, to_ms, unit_ms))
        elif what == "lanes":
            if len(world.lanes) > 1:
                world.remove(lane)
            else:
                world.lanes += [ledger.add() for _ in range(data.draw(st.integers(1, 20)))]
        elif what == "edges":
            some = np.unique(data.draw(st.lists(st.sampled_from(world.lanes), min_size=1)))
            blocks = range(ledger.oldest_ms, ledger.recent_from_ms, ledger.block_ms)
            ledger.keep_edges(dict.fromkeys(blocks[: data.draw(st.integers(0, len(blocks)))], some))
        reach = world.end_ms // unit_ms - ledger.oldest_ms // unit_ms
        ago = sorted(data.draw(st.lists(st.integers(0, reach + 3), min_size=2, max_size=2)))
        from_ms, to_ms = (world.end_ms - n * unit_ms for n in reversed(ago))
        some_lanes = data.draw(st.lists(st.sampled_from(world.lanes), min_size=1, max_size=5))
        assert world.window(from_ms, to_ms, some_lanes) == world.sums(from_ms, to_ms, some_lanes)
        if data.draw(st.booleans()):
            assert world.window(from_ms, to_ms) == world.sums(from_ms, to_ms)
        for one in world.lanes:
            known = [t for of, t in world.known if of == one]
            # what is older than the span may be seen for some hours more
            assert ledger.quiet(one) or known
            assert not ledger.quiet(one) or not any(t >= ledger.oldest_ms for t in known)
    assert len(ledger) == len(world.lanes)


def test_units_are_what_was_put() -> None:
    """In order of their starts, those that were counted, across the end of the ring."""
    world = both()
    starts = [world.end_ms - n * MINUTE for n in range(400, 0, -7)]
    world.put([(world.lanes[0], t, 1.0, float(n)) for n, t in enumerate(starts)])
    found = world.ledger.units(world.lanes[0], world.ledger.recent_from_ms, world.end_ms)
    assert [column.tolist() for column in found] == [
        starts,
        [1.0] * len(starts),
        [float(n) for n in range(len(starts))],
    ]
    assert [len(column) for column in world.ledger.units(world.lanes[1], starts[0], world.end_ms)] == [0, 0, 0]


def test_a_lane_that_is_given_out_again_is_empty() -> None:
    """In the newest units, in blocks, and in blocks that are loaded."""
    world = both(span_ms=2 * DAY, lanes=3)
    lane = world.lanes[1]
    for _ in range(30):
        world.put([(one, world.end_ms - MINUTE, 1.0, 2.0) for one in world.lanes])
        world.advance(60)
    assert world.window(world.end_ms - 20 * HOUR - 7 * MINUTE, world.end_ms)[1][2] > 10
    world.remove(lane)
    assert world.ledger.add() == lane
    world.lanes.append(lane)
    assert world.window(world.end_ms - 20 * HOUR - 7 * MINUTE, world.end_ms)[-1] == (0, 0, 0)
    assert world.ledger.quiet(lane)


def test_units_that_are_loaded_are_replaced_too() -> None:
    """Of lanes that were loaded one after the other, in any order; those of no other are touched."""
    world = both(span_ms=2 * DAY, lanes=4)
    world.advance(20 * 60)
    block_ms = world.ledger.block_of(world.end_ms - 15 * HOUR)
    end_ms, half = block_ms + HOUR, block_ms + HOUR // 2
    for lane in world.lanes:
        world.replace(lane, block_ms, end_ms, [(lane, t, 1.0, lane + 2.0) for t in range(block_ms, end_ms, MINUTE)])
    for some in ([2], [3, 0], [1, 2]):
        assert world.window(half, end_ms, some) == world.sums(half, end_ms, some)
    world.replace(1, block_ms, end_ms, [(1, half + MINUTE, 5.0, 7.0)])
    assert world.window(half, end_ms) == world.sums(half, end_ms)
    assert world.window(half, end_ms, [1]) == [(5, 7, 1)]


@pytest.mark.parametrize("jump", [DAY, 40 * DAY, 4000 * DAY])
def test_a_jump_in_time_forgets_what_is_too_old(jump: int) -> None:
    """After a day the blocks are there; after more than the span nothing is, and it takes no time."""
    world = both(span_ms=2 * DAY)
    world.put([(lane, world.end_ms - n * MINUTE, 1.0, 3.0) for lane in world.lanes for n in range(1, 90)])
    world.advance(jump // MINUTE)
    expected = 89 if jump == DAY else 0
    begin = world.end_ms - 2 * DAY
    assert (
        world.window(begin, world.end_ms) == [(expected, 3 * expected, expected)] * 2 == world.sums(begin, world.end_ms)
    )


def test_lanes_that_end_at_different_times_have_only_their_own_units_loaded() -> None:
    """A thousand that end together, and a hundred that stopped an hour apart: a few units more for each of those."""
    world = both(span_ms=30 * DAY, lanes=1100)
    together, stuck = np.array(world.lanes[:1000], np.int64), world.lanes[1000:]
    world.advance(30 * 24 * 60 + 7)
    ledger = world.ledger
    wanted: dict[int, list[Ints]] = {}
    for lanes, end_ms in [
        (together, world.end_ms),
        *((np.array([one]), world.end_ms - n * HOUR) for n, one in enumerate(stuck)),
    ]:
        for window in (5 * MINUTE, HOUR, 6 * HOUR, DAY, 3 * DAY, 30 * DAY):
            block_ms = ledger.edge_of(end_ms - window)
            if block_ms is not None:
                wanted.setdefault(block_ms, []).append(lanes)
    ledger.keep_edges(needed := {block_ms: np.unique(np.concatenate(lanes)) for block_ms, lanes in wanted.items()})
    for block_ms, lanes in needed.items():
        ledger.load(block_ms, ledger.missing(block_ms, lanes), cells([]))
    loaded = sum(len(edge.lanes) for edge in ledger._edges.values())
    assert len(needed) > 150
    assert loaded <= 3 * 1000 + 6 * 100
    # time goes on, and those that ended together are dropped where only one that stopped is left
    ledger.keep_edges({block_ms: lanes[-1:] for block_ms, lanes in needed.items()})
    assert sum(len(edge.lanes) for edge in ledger._edges.values()) < 2 * len(needed)
