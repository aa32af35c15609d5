"""All SLOs over their tallies: which counts belong to which, and what is known of many at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.labels import Labels
from app.store.slo_events import SloEvents
from slo.budgeting import Units, unit_of, units_of, windows_of
from slo.judge import shape_of
from slo.ledger import Cells, Ledger
from slo.measure import Ints, Measured, Sums
from slo.period import Calendar, spans
from slo.ranges import Range, merged, within
from slo.removed import Removed, removed_intervals, removed_slices
from slo.spec import Occurrences, SloSpec, sli_key
from slo.tallies import Tallies
from slo.tally import Tally

_DAY_MS = 86_400_000
_MOST_ROWS = 4_000_000
"""Counts that are read from the store at once, some 100 MB."""

Ranges = Sequence[tuple[int, int]]


@dataclass(slots=True)
class Watched:
    """One SLO: its tally and lane by component. `own` is a ledger of slices, or one without what maintenance takes."""

    spec: SloSpec
    tallies: tuple[Tally, ...]
    removed: Ranges = ()
    own: Ledger | None = None
    lanes: tuple[int, ...] = ()
    own_from_ms: int | None = None
    """Where what `own` holds begins; None before it was derived."""
    own_to_ms: int = 0
    """Where it ends."""
    cut: Removed | None = None
    judged_ms: int = 0
    """The newest moment its alerts were judged at; 0 for never."""

    @property
    def to_ms(self) -> int:
        """The end of the newest interval that all of its tallies have counted; 0 for none."""
        return min(tally.to_ms for tally in self.tallies)

    @property
    def from_ms(self) -> int:
        """Where what is known begins."""
        begin = max(tally.from_ms for tally in self.tallies)
        return begin if self.own is None else max(begin, self.to_ms if self.own_from_ms is None else self.own_from_ms)

    @property
    def error(self) -> str | None:
        """Why it could not be counted last time."""
        return next((tally.error for tally in self.tallies if tally.error), None)


@dataclass(frozen=True, slots=True)
class Batch:
    """SLOs of one shape whose counts end at the same time, and what is known of them, a point each."""

    watched: list[Watched]
    measured: Measured

    @property
    def specs(self) -> list[SloSpec]:
        """Their specs, in the order of the points."""
        return [one.spec for one in self.watched]


def looked_back_ms(spec: SloSpec, interval_ms: int) -> int:
    """How far back the counts of an SLO are needed."""
    period = spec.period
    # the longest that a quarter or year with its changes of the clock can be
    longest = period.length_ms + period.length_ms // 14 + _DAY_MS if isinstance(period, Calendar) else period.length_ms
    unit_ms = unit_of(spec, interval_ms)
    return max(longest, *windows_of(spec, interval_ms)) + unit_ms


class Board:
    """All SLOs, groups spread out. Methods that read the store block; not safe for two threads at once."""

    def __init__(self, tallies: Tallies) -> None:
        self._tallies = tallies
        self._interval_ms = tallies.interval_ms
        self._specs: list[SloSpec] = []
        self._slos: dict[str, Watched] = {}
        self._own: dict[tuple[int, int], Ledger] = {}
        self._shapes: list[list[Watched]] | None = None
        self._by_key: Mapping[str, Tally] = {}
        self._turns = -1
        self._of_groups: dict[tuple[str, Labels], SloSpec] = {}

    def adopt(self, specs: Sequence[SloSpec], removed: Mapping[str, Ranges]) -> None:
        """Watches these SLOs from now on; `removed` are the maintenance ranges by SLO id."""
        self._specs = list(specs)
        self._by_key = self._tallies.adopt(
            (
                sli_key(component.sli, spec.grouping),
                component.sli,
                spec.grouping,
                looked_back_ms(spec, self._interval_ms),
            )
            for spec in specs
            for component in spec.components
        )
        self._own, self._of_groups = {}, {}
        judged = {one.spec.id: one.judged_ms for one in self._slos.values()}
        self._spread(removed, {})
        for one in self._slos.values():
            one.judged_ms = judged.get(one.spec.id, 0)

    def refresh(self, removed: Mapping[str, Ranges]) -> None:
        """Takes up groups that were seen for the first time, and maintenance that changed."""
        if self._tallies.turns != self._turns or any(
            tuple(removed.get(one.spec.id, ())) != tuple(one.removed) for one in self._slos.values()
        ):
            self._spread(removed, dict(self._slos))

    def all(self) -> list[Watched]:
        """Every SLO, in the order of the files."""
        return list(self._slos.values())

    def get(self, slo: str) -> Watched | None:
        """The SLO of an id."""
        return self._slos.get(slo)

    def derive(self) -> None:
        """Brings the slices, and counts without maintenance, up to what changed in the tallies. Blocks."""
        wanted: dict[tuple[int, int], list[Watched]] = {}
        bounds: list[tuple[Watched, int, int]] = []
        for one in self._slos.values():
            if one.own is None or not one.to_ms:
                continue
            changed = [span for tally in one.tallies for span in tally.changes]
            first_ms, end_ms = self._own_bounds(one, one.own)
            for span in _stale(one, one.own, first_ms, end_ms, changed):
                wanted.setdefault(span, []).append(one)
            bounds.append((one, first_ms, end_ms))
        for (from_ms, to_ms), slos in wanted.items():
            for one, units in self._units(slos, from_ms, to_ms):
                for lane, part in zip(one.lanes, units, strict=True):
                    assert one.own is not None
                    lanes = np.full(len(part.starts_ms), lane)
                    cells = Cells(lanes, part.starts_ms, part.bad, part.total)
                    one.own.replace(np.array([lane]), from_ms, to_ms, cells)
        for one, first_ms, end_ms in bounds:
            one.own_from_ms, one.own_to_ms = first_ms, end_ms
        for tally in self._by_key.values():
            tally.changes = []

    def batches(self, slos: Iterable[Watched] | None = None, at_ms: int | None = None) -> list[Batch]:
        """What is known of SLOs (all by default) that were counted; those of a shape together. Blocks.

        At a moment before the newest count they are measured by what is known now.
        """
        groups = self._grouped() if slos is None else _by_shape(slos)
        found: list[tuple[int, list[Watched]]] = []
        for group in groups:
            ends = {end for end in (one.to_ms for one in group) if end}
            found += [(at_ms or end, [one for one in group if one.to_ms == end]) for end in sorted(ends)]
        self._load_edges(found, everything=slos is None)
        return [Batch(group, self._measured(group, end)) for end, group in found]

    def rows(self, slo: Watched, from_ms: int, to_ms: int) -> list[SloEvents]:
        """The kept counts by component that start in [from_ms, to_ms). Blocks."""
        return self._tallies.rows_of([(tally, slo.spec.group) for tally in slo.tallies], from_ms, to_ms)

    def _grouped(self) -> list[list[Watched]]:
        if self._shapes is None:
            self._shapes = _by_shape(self._slos.values())
        return self._shapes

    def _spread(self, removed: Mapping[str, Ranges], before: dict[str, Watched]) -> None:
        """Spreads groups out; what is as `before` goes on. Whoever looks meanwhile sees all of before."""
        slos: dict[str, Watched] = {}
        for spec in self._specs:
            for one in self._of(spec):
                ranges = tuple(removed.get(one.id, ()))
                old = before.pop(one.id, None)
                if old is not None and old.spec is one and tuple(old.removed) == ranges:
                    slos[one.id] = old
                    continue
                slos[one.id] = self._watched(one, spec, ranges)
                if old is not None:
                    slos[one.id].judged_ms = old.judged_ms
                    if old.own is not None:
                        _release(old)
        for old in before.values():
            if old.own is not None:
                _release(old)
        self._slos, self._shapes, self._turns = slos, None, self._tallies.turns
        self._of_groups = {key: spec for key, spec in self._of_groups.items() if spec.id in slos}

    def _of(self, spec: SloSpec) -> list[SloSpec]:
        if not spec.grouping:
            return [spec]
        groups = sorted(self._by_key[sli_key(spec.components[0].sli, spec.grouping)].groups)
        found = []
        for group in groups:
            one = self._of_groups.get((spec.id, group))
            if one is None:
                one = self._of_groups[spec.id, group] = spec.of_group(group)
            found.append(one)
        return found

    def _watched(self, spec: SloSpec, parent: SloSpec, removed: tuple[tuple[int, int], ...]) -> Watched:
        tallies = tuple(self._by_key[sli_key(c.sli, parent.grouping)] for c in parent.components)
        one = Watched(spec, tallies, removed)
        plain = isinstance(spec.budgeting, Occurrences)
        if plain and not removed:
            return one
        unit_ms = unit_of(spec, self._interval_ms)
        reach_ms = max(tally.needed_ms for tally in tallies)
        one.own = self._own.setdefault((unit_ms, reach_ms), Ledger(unit_ms, reach_ms))
        one.lanes = tuple(one.own.add() for _ in (tallies if plain else tallies[:1]))
        one.cut = (
            removed_intervals(removed, self._interval_ms)
            if plain
            else removed_slices(removed, self._interval_ms, unit_ms)
        )
        return one

    def _own_bounds(self, one: Watched, ledger: Ledger) -> tuple[int, int]:
        """[from, to) of what can be known of the units of an SLO."""
        unit_ms, end_ms = ledger.unit_ms, one.to_ms // ledger.unit_ms * ledger.unit_ms
        ledger.advance(max(end_ms, unit_ms))
        begin_ms = max(tally.from_ms for tally in one.tallies)
        # a slice must be known whole, and older ones go in by whole blocks
        first_ms = -(-begin_ms // ledger.block_ms) * ledger.block_ms
        if first_ms >= ledger.recent_from_ms:
            first_ms = -(-begin_ms // unit_ms) * unit_ms
        return first_ms, end_ms

    def _units(self, slos: Sequence[Watched], from_ms: int, to_ms: int) -> Iterator[tuple[Watched, Sequence[Units]]]:
        for one, rows in self._rows(slos, from_ms, to_ms):
            out = removed_intervals(one.removed, self._interval_ms)
            kept = [_where(part, ~out.contains(part.starts_ms)) for part in rows]
            yield one, units_of(one.spec, kept, self._interval_ms)[0]

    def _rows(self, slos: Sequence[Watched], from_ms: int, to_ms: int) -> Iterator[tuple[Watched, list[SloEvents]]]:
        """The counts of each by component: recent ones from memory, others from the store, many SLOs at once."""
        recent = from_ms >= self._tallies.ledger.recent_from_ms
        at_once = max(1, _MOST_ROWS * self._interval_ms // (to_ms - from_ms))
        for first in range(0, len(slos), at_once):
            part = slos[first : first + at_once]
            wanted = [(tally, one.spec.group) for one in part for tally in one.tallies]
            found = iter(
                [self._recent(tally, group, from_ms, to_ms) for tally, group in wanted]
                if recent
                else self._tallies.rows_of(wanted, from_ms, to_ms)
            )
            yield from ((one, [next(found) for _ in one.tallies]) for one in part)

    def _recent(self, tally: Tally, group: Labels, from_ms: int, to_ms: int) -> SloEvents:
        starts, bad, total = self._tallies.ledger.units(tally.groups[group], from_ms, to_ms)
        return SloEvents(starts, total - bad, total)

    def _lanes(self, group: Sequence[Watched]) -> list[Ints]:
        first = group[0]
        if first.own is not None:
            return [np.array([one.lanes[n] for one in group]) for n in range(len(first.lanes))]
        return [np.array([one.tallies[n].groups[one.spec.group] for one in group]) for n in range(len(first.tallies))]

    def _measured(self, group: Sequence[Watched], at_ms: int) -> Measured:
        first = group[0]
        ledger = first.own or self._tallies.ledger
        lanes = self._lanes(group)
        at = np.full(len(group), at_ms, np.int64)
        end_ms = at_ms // ledger.unit_ms * ledger.unit_ms

        def sums(from_ms: int, to_ms: int) -> tuple[Sums, ...]:
            expected = self._expected(group, ledger, from_ms, to_ms)
            return tuple(Sums(*ledger.window(lane, from_ms, to_ms), expected) for lane in lanes)

        begin_ms, over_ms = self._period(first, ledger, at_ms)
        return Measured(
            at,
            at - np.array([one.from_ms for one in group], np.int64),
            {w: sums(_back(end_ms, w, ledger), end_ms) for w in windows_of(first.spec, self._interval_ms)},
            sums(begin_ms, max(begin_ms, end_ms)),
            self._expected(group, ledger, begin_ms, over_ms),
        )

    def _period(self, one: Watched, ledger: Ledger, at_ms: int) -> tuple[int, int]:
        unit_ms, period = ledger.unit_ms, one.spec.period
        if isinstance(period, Calendar):
            begin, over = (int(edge[0]) for edge in spans(period, np.array([at_ms])))
            return -(-begin // unit_ms) * unit_ms, -(-over // unit_ms) * unit_ms
        end_ms = at_ms // unit_ms * unit_ms
        return _back(end_ms, period.length_ms, ledger), end_ms

    def _expected(self, group: Sequence[Watched], ledger: Ledger, from_ms: int, to_ms: int) -> Ints:
        expected = np.full(len(group), (to_ms - from_ms) // ledger.unit_ms)
        if group[0].own is not None:
            begin, end = np.array([from_ms]), np.array([to_ms])
            expected -= np.array([int(one.cut.count(begin, end)[0]) if one.cut else 0 for one in group])
        return expected

    def _load_edges(self, groups: Sequence[tuple[int, Sequence[Watched]]], *, everything: bool) -> None:
        """Loads the units in which windows begin and end; drops all others if these groups are everything."""
        wanted: dict[int, tuple[Ledger, dict[int, list[Ints]]]] = {}
        for at_ms, group in groups:
            ledger = group[0].own or self._tallies.ledger
            _, blocks = wanted.setdefault(id(ledger), (ledger, {}))
            end_ms = at_ms // ledger.unit_ms * ledger.unit_ms
            times = {end_ms, *(_back(end_ms, w, ledger) for w in windows_of(group[0].spec, self._interval_ms))}
            times.add(self._period(group[0], ledger, at_ms)[0])
            lanes = self._lanes(group)
            for block_ms in {block for block in map(ledger.edge_of, times) if block is not None}:
                blocks.setdefault(block_ms, []).extend(lanes)
        for ledger, blocks in wanted.values():
            needed = {block_ms: np.unique(np.concatenate(lanes)) for block_ms, lanes in sorted(blocks.items())}
            if everything:
                ledger.keep_edges(needed)
            for block_ms, some in needed.items():
                self._load(ledger, block_ms, ledger.missing(block_ms, some))

    def _load(self, ledger: Ledger, block_ms: int, lanes: Ints) -> None:
        if not len(lanes):
            return
        if ledger is self._tallies.ledger:
            self._tallies.load_block(block_ms, lanes)
            return
        parts: list[Cells] = []
        wanted = set(lanes.tolist())
        derived = [
            one
            for one in self._slos.values()
            if one.own is ledger and one.own_from_ms is not None and not wanted.isdisjoint(one.lanes)
        ]
        for one, units in self._units(derived, block_ms, block_ms + ledger.block_ms):
            for lane, part in zip(one.lanes, units, strict=True):
                parts.append(Cells(np.full(len(part.starts_ms), lane), part.starts_ms, part.bad, part.total))
        ledger.load(block_ms, lanes, _all_cells(parts))


def _by_shape(slos: Iterable[Watched]) -> list[list[Watched]]:
    found: dict[object, list[Watched]] = {}
    for one in slos:
        found.setdefault((id(one.own), shape_of(one.spec)), []).append(one)
    return list(found.values())


def _stale(one: Watched, ledger: Ledger, from_ms: int, to_ms: int, changed: Sequence[Range]) -> list[Range]:
    """The spans of [from, to) in which what an SLO's own ledger holds is not what its tallies do."""
    if one.own_from_ms is None:
        return [(from_ms, to_ms)] if from_ms < to_ms else []
    # a slice that is over without its last intervals is a slice
    spans_ms = [*changed, (one.own_to_ms, to_ms)] if to_ms > one.own_to_ms else [*changed]
    if from_ms < one.own_from_ms:
        # history that was read since
        spans_ms.append((from_ms, one.own_from_ms))
    return within(merged(_outward(begin, end, ledger) for begin, end in spans_ms), from_ms, to_ms)


def _outward(from_ms: int, to_ms: int, ledger: Ledger) -> Range:
    """The units that a time touches; whole blocks of old ones."""
    begin_ms = ledger.block_ms if from_ms < ledger.recent_from_ms else ledger.unit_ms
    end_ms = ledger.block_ms if to_ms <= ledger.recent_from_ms else ledger.unit_ms
    return from_ms // begin_ms * begin_ms, -(-to_ms // end_ms) * end_ms


def _release(one: Watched) -> None:
    assert one.own is not None
    for lane in one.lanes:
        one.own.remove(lane)


def _back(end_ms: int, length_ms: int, ledger: Ledger) -> int:
    return end_ms - -(-length_ms // ledger.unit_ms) * ledger.unit_ms


def _where(rows: SloEvents, kept: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> SloEvents:
    return SloEvents(rows.starts_ms[kept], rows.good[kept], rows.total[kept])


def _all_cells(parts: Sequence[Cells]) -> Cells:
    if not parts:
        return Cells(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0))
    return Cells(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("lanes", "starts_ms", "bad", "total"))
    )
