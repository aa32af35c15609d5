"""The counted past of every SLI: kept up with the data, filled backwards when it is new, taken up after a restart."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from app.errors import WatchhouseError
from app.labels import Labels
from app.store.client import Pool
from app.store.slo_events import KeyedEvents, SloEvents, joined
from app.store.state import StateStore
from app.telemetry import SLO_RECOUNTED
from slo.counting import Counting, Counts, Want
from slo.kept import Kept, cells_of, some_rows
from slo.ledger import Ledger, some_cells
from slo.measure import Bools, Ints
from slo.ranges import Range, merged, within
from slo.spec import Sli
from slo.tally import Tally, group_key
from slo.watermark import LATE_APART_MS

log = logging.getLogger(__name__)
_LATE_MS = 5 * 60_000
_LATE_INTERVALS = 3
_RESTART_MS = 3_600_000
_DEEPER = ((3_600_000, 600_000), (86_400_000, 3_600_000))
"""So much is counted again so often where nobody tells of late samples, in milliseconds."""
_NOTE_EVERY_MS = 3_600_000
_CHUNK_MS = 86_400_000
_MOST_ROWS = 4_000_000
"""Counts that are held at a time, some 100 MB: where there are many SLIs, a day is read in parts."""


class Late(Protocol):
    """Tells of samples that came late."""

    def take(self, final_ms: int) -> dict[str, list[Range]]:
        """[first, last] times of the samples of each metric written since it was asked last, of times before those it
        was told then. From now on those before `final_ms` are late.
        """

    def watch(self, metrics: frozenset[str]) -> None:
        """Looks at these metrics from now on."""


class Tallies:
    """All tallies over one ledger. Every method but the look-ups may block; not safe for two threads at once."""

    def __init__(self, counter: Counting, pool: Pool, state: StateStore, interval_ms: int, late: Late | None) -> None:
        self.interval_ms = interval_ms
        self.ledger = Ledger(interval_ms, _CHUNK_MS)
        self._counter = counter
        self._kept = Kept(pool, state, interval_ms)
        self._late = late
        self._late_ms = max(_LATE_MS, _LATE_INTERVALS * interval_ms)
        self._tallies: dict[str, Tally] = {}
        self._fresh: list[Tally] = []
        self.turns = 0
        """How many groups came and went so far."""

    def adopt(self, wanted: Iterable[tuple[str, Sli, tuple[str, ...], int]]) -> dict[str, Tally]:
        """Works on these (key, SLI, grouping, milliseconds looked back) from now on; the others are forgotten."""
        before, self._tallies = self._tallies, {}
        for key, sli, grouping, needed_ms in wanted:
            tally = self._tallies.get(key) or before.pop(key, None)
            if tally is None:
                tally = Tally(key, sli, grouping, self._counter.metrics(sli))
                self._fresh.append(tally)
            if key not in self._tallies:
                tally.needed_ms = 0
                self._tallies[key] = tally
            tally.needed_ms = max(tally.needed_ms, needed_ms)
        for tally in before.values():
            for lane in tally.groups.values():
                self.ledger.remove(lane)
        self._fresh = [tally for tally in self._fresh if self._tallies.get(tally.key) is tally]
        if self._late is not None:
            self._late.watch(frozenset[str]().union(*(tally.metrics or () for tally in self._tallies.values())))
        self._reach(max((tally.needed_ms for tally in self._tallies.values()), default=0))
        return self._tallies

    def load(self) -> None:
        """Takes up what an earlier process noted and kept: the newest day at once, the rest while filling."""
        if not self._fresh:
            return
        notes = self._kept.notes()
        self._take_newest([tally for tally in self._fresh if not tally.new or self._take_up(tally, notes)])
        self._fresh = []

    def catch_up(self, end_ms: int) -> None:
        """Counts up to `end_ms`, and again what may have changed since: the last minutes, and where samples came late.

        A tally that is new begins with the newest day. One that cannot be counted keeps its counts and its error.
        """
        self.ledger.advance(end_ms)
        self._hear(end_ms)
        wants: dict[int, list[Tally]] = {}
        late: dict[Range, list[Tally]] = {}
        for tally in self._tallies.values():
            start = self._begin(tally, end_ms)
            for begin, end in self._late_of(tally, start):
                if begin >= self.ledger.recent_from_ms and end >= start - LATE_APART_MS:
                    # a little more is no reason for one more query
                    start = begin
                else:
                    late.setdefault((begin, end), []).append(tally)
            wants.setdefault(start, []).append(tally)
        for start, tallies in wants.items():
            for begin, end in self._parts(start, end_ms, tallies):
                for part, answers in self._counted(tallies, begin, end):
                    self._merge(part, answers, begin, end)
                # one without this part would have a hole
                tallies = [tally for tally in tallies if tally.error is None]
        self._recount(late)
        due = [t for t in self._tallies.values() if t.to_ms - t.noted_to_ms >= _NOTE_EVERY_MS]
        self._forget_groups(due)
        self._kept.note(due)

    def fill(self) -> bool:
        """Reads or counts an older chunk of those that lie furthest ahead; whether there was any."""
        behind = [t for t in self._tallies.values() if not t.complete and not t.new and t.error is None]
        if not behind:
            return False
        newest = max(tally.from_ms for tally in behind)
        wave = [tally for tally in behind if tally.from_ms == newest]
        stored = [tally for tally in wave if tally.stored_from_ms < newest]
        if stored:
            start = max(newest - self._part_ms(stored), *(t.stored_from_ms for t in stored))
            self._take(stored, start, newest)
            for tally in stored:
                tally.from_ms = start
            return True
        needed_ms = min(tally.to_ms - tally.needed_ms for tally in wave)
        start = self.ledger.block_of(max(newest - self._part_ms(wave), needed_ms))
        for part, answers in self._counted(wave, start, newest):
            if not self._store(part, answers):
                continue
            for tally, counts in zip(part, answers, strict=True):
                self._replace(tally, counts, start, newest)
                tally.from_ms = tally.stored_from_ms = start
        self._kept.note([tally for tally in wave if tally.error is None])
        return True

    def rows_of(self, wanted: Sequence[tuple[Tally, Labels]], from_ms: int, to_ms: int) -> list[SloEvents]:
        """The kept counts of each group that start in [from_ms, to_ms), where they were counted."""
        return self._kept.rows_of(wanted, from_ms, to_ms)

    def load_block(self, block_ms: int, lanes: Ints) -> None:
        """Loads the intervals of an old block for some lanes that are `missing`."""
        wanted = set(lanes.tolist())
        groups = ((t, group) for t in self._tallies.values() for group, lane in t.groups.items() if lane in wanted)
        _, cells = self._kept.cells_of(groups, block_ms, block_ms + self.ledger.block_ms)
        self.ledger.load(block_ms, lanes, cells)

    def _reach(self, span_ms: int) -> None:
        if span_ms <= self.ledger.span_ms:
            return
        self.ledger = Ledger(self.interval_ms, span_ms)
        for tally in self._tallies.values():
            tally.groups = {group: self.ledger.add() for group in tally.groups}
            if not tally.new:
                tally.restarted, tally.from_ms = True, tally.to_ms
        # everything is taken up again from what is kept: a longer reach is rare, and comes with a reload
        fresh = {tally.key for tally in self._fresh}
        self._fresh += [tally for tally in self._tallies.values() if not tally.new and tally.key not in fresh]

    def _take_newest(self, tallies: Sequence[Tally]) -> None:
        """Puts the newest day that is kept of each into the ledger."""
        self.ledger.advance(max((tally.to_ms for tally in tallies), default=0))
        alike: dict[int, list[Tally]] = {}
        for tally in tallies:
            alike.setdefault(self.ledger.block_of(tally.to_ms), []).append(tally)
        for block_ms, those in alike.items():
            start = self.ledger.block_of(block_ms - _CHUNK_MS)
            for begin, end in self._parts(start, max(tally.to_ms for tally in those), those):
                self._take(those, begin, end)
            for tally in those:
                tally.from_ms = max(tally.stored_from_ms, start)
                tally.changed(tally.from_ms, tally.to_ms)

    def _take(self, tallies: Sequence[Tally], from_ms: int, to_ms: int) -> None:
        """Puts what is kept of [from_ms, to_ms) into the ledger."""
        lanes, cells = self._kept.cells_of(((t, group) for t in tallies for group in t.groups), from_ms, to_ms)
        self.ledger.replace(lanes, from_ms, to_ms, cells)

    def _take_up(self, tally: Tally, notes: Mapping[str, dict[str, Any]]) -> bool:
        groups = self._kept.take_up(tally, notes)
        for group in groups or ():
            self._lane(tally, group)
        return groups is not None

    def _begin(self, tally: Tally, end_ms: int) -> int:
        if tally.new or tally.to_ms < end_ms - max(tally.needed_ms, _CHUNK_MS):
            return self.ledger.block_of(end_ms - max(1, min(tally.needed_ms, _CHUNK_MS)))
        late_ms = max(self._late_ms, _RESTART_MS if tally.restarted else 0)
        if self._late is None or tally.metrics is None:
            # others write to the store, and nobody tells what
            late_ms = max([late_ms, *(ms for ms, every in _DEEPER if end_ms % every < self.interval_ms)])
        start = max(tally.from_ms, tally.to_ms - -(-late_ms // self.interval_ms) * self.interval_ms)
        return start if start >= self.ledger.recent_from_ms else self.ledger.block_of(start)

    def _hear(self, end_ms: int) -> None:
        """Notes the intervals that late samples reached with the tallies that read them."""
        if self._late is None:
            return
        heard = self._late.take(end_ms - self._late_ms)
        reached = {metric: [self._reached(first, last) for first, last in times] for metric, times in heard.items()}
        for tally in self._tallies.values() if reached else ():
            for metric in tally.metrics or ():
                if metric in reached:
                    tally.came_late(reached[metric])

    def _reached(self, first_ms: int, last_ms: int) -> Range:
        """[from, to) of the intervals that samples from a first to a last time may change."""
        unit_ms = self.interval_ms
        # the increase up to the next sample changes too; a gap of more than five minutes ends a counter's count
        return first_ms // unit_ms * unit_ms - unit_ms, (last_ms + _LATE_MS) // unit_ms * unit_ms + unit_ms

    def _late_of(self, tally: Tally, start_ms: int) -> list[Range]:
        """[from, to) of counted intervals before `start_ms` that late samples reached; whole blocks of old ones."""
        if tally.new:
            return []
        recent_ms, ledger = self.ledger.recent_from_ms, self.ledger
        found = within(tally.late, tally.from_ms, start_ms)
        return merged(
            (begin, end)
            if begin >= recent_ms
            else (ledger.block_of(begin), min(ledger.block_of(end - 1) + ledger.block_ms, tally.to_ms))
            for begin, end in found
        )

    def _part_ms(self, tallies: Sequence[Tally]) -> int:
        """How much of their time may be held at once: whole blocks, a day at most."""
        lanes = sum(max(1, len(tally.groups)) for tally in tallies)
        most_ms = min(_CHUNK_MS, _MOST_ROWS // max(1, lanes) * self.interval_ms)
        return max(self.ledger.block_ms, self.ledger.block_of(most_ms))

    def _parts(self, from_ms: int, to_ms: int, tallies: Sequence[Tally]) -> Iterator[tuple[int, int]]:
        """[from, to) in parts that may be held at once, which meet at the starts of blocks."""
        while from_ms < to_ms:
            part_ms, block_ms = self._part_ms(tallies), self.ledger.block_ms
            # a little more is no reason for one more query
            end_ms = to_ms if to_ms - from_ms <= part_ms + 2 * block_ms else self.ledger.block_of(from_ms + part_ms)
            yield from_ms, end_ms
            from_ms = end_ms

    def _counted(self, tallies: Sequence[Tally], from_ms: int, to_ms: int) -> list[tuple[list[Tally], list[Counts]]]:
        """The tallies that could be counted and their counts; the others keep the error."""
        if from_ms >= to_ms:
            return []
        answers = self._counter.count([Want(t.sli, t.grouping, from_ms, to_ms, tuple(t.groups)) for t in tallies])
        well: list[Tally] = []
        counts: list[Counts] = []
        for tally, answer in zip(tallies, answers, strict=True):
            if isinstance(answer, WatchhouseError):
                tally.error = _said(answer)
                continue
            tally.error = None
            well.append(tally)
            counts.append(answer)
        return [(well, counts)] if well else []

    def _store(self, tallies: Sequence[Tally], answers: Sequence[Counts]) -> bool:
        keyed = [
            (group_key(t, g), rows) for t, counts in zip(tallies, answers, strict=True) for g, rows in counts.items()
        ]
        return self._keep(tallies, joined([key for key, _ in keyed], [rows for _, rows in keyed]))

    def _keep(self, tallies: Sequence[Tally], rows: KeyedEvents) -> bool:
        """Whether counts could be kept; else their tallies have the error, and nothing may be known of them."""
        try:
            self._kept.keep(rows)
        except WatchhouseError as error:
            for tally in tallies:
                tally.error = _said(error)
            return False
        return True

    def _merge(self, tallies: Sequence[Tally], answers: Sequence[Counts], from_ms: int, end_ms: int) -> None:
        """Takes up the newest counts. What changed is kept first: what is only in memory would miss after a restart."""
        old_ms = self.ledger.recent_from_ms
        owners = [
            (t, group, rows) for t, counts in zip(tallies, answers, strict=True) for group, rows in counts.items()
        ]
        keys = [group_key(tally, group) for tally, group, _ in owners]
        rows = joined(keys, [rows for _, _, rows in owners])
        lanes = np.array([self._lane(tally, group) for tally, group, _ in owners], np.int64)
        cells = cells_of(rows, lanes)
        recent = cells.starts_ms >= old_ms
        changed = ~recent
        changed[recent] = self.ledger.changes(some_cells(cells, recent))
        if not self._keep(tallies, some_rows(rows, changed)):
            return
        self.ledger.put(some_cells(cells, recent & changed))
        if from_ms < old_ms:
            every = np.array([lane for t in tallies for lane in t.groups.values()], np.int64)
            self.ledger.replace(every, from_ms, min(old_ms, end_ms), some_cells(cells, ~recent))
        self._look_for_late(owners, rows, changed)
        for tally in tallies:
            if tally.new or tally.to_ms < from_ms:
                tally.from_ms = tally.stored_from_ms = from_ms
                tally.changed(from_ms, end_ms)
            tally.to_ms, tally.restarted = max(tally.to_ms, end_ms), False
            tally.from_ms = max(tally.from_ms, self.ledger.oldest_ms)

    def _look_for_late(
        self, owners: Sequence[tuple[Tally, Labels, SloEvents]], rows: KeyedEvents, changed: Bools
    ) -> None:
        places = np.flatnonzero(changed)
        codes, starts = rows.codes[places], rows.events.starts_ms[places]
        edges = np.flatnonzero(np.diff(codes, prepend=-1, append=-1))
        firsts, lasts = edges[:-1], edges[1:] - 1
        found = (codes[firsts].tolist(), starts[firsts].tolist(), starts[lasts].tolist())
        for code, start, last in zip(*found, strict=True):
            tally = owners[code][0]
            tally.changed(start, last + self.interval_ms)
            if start < tally.to_ms:
                SLO_RECOUNTED.inc()

    def _recount(self, late: Mapping[Range, list[Tally]]) -> None:
        """Counts intervals again that late samples reached. What fails is tried again; the newest counts are well."""
        failed: set[str] = set()
        for (from_ms, to_ms), tallies in late.items():
            left = well = [tally for tally in tallies if tally.error is None]
            for begin, end in self._parts(from_ms, to_ms, left):
                for part, answers in self._counted(left, begin, end):
                    if begin >= self.ledger.recent_from_ms:
                        self._merge(part, answers, begin, end)
                    else:
                        self._replace_all(part, answers, begin, end)
                left = [tally for tally in left if tally.error is None]
            for tally in well:
                if tally.error is not None:
                    log.warning("late samples of an SLO could not be counted, it is tried again: %s", tally.error)
                    tally.error = None
                    failed.add(tally.key)
        for tally in self._tallies.values():
            if tally.late and tally.error is None and tally.key not in failed:
                # what is kept but not taken up yet is counted again once it is
                tally.late = within(tally.late, tally.stored_from_ms, tally.from_ms)

    def _replace_all(self, tallies: Sequence[Tally], answers: Sequence[Counts], from_ms: int, to_ms: int) -> None:
        if not self._store(tallies, answers):
            return
        for tally, counts in zip(tallies, answers, strict=True):
            self._replace(tally, counts, from_ms, to_ms)
            tally.changed(from_ms, to_ms)
            SLO_RECOUNTED.inc((to_ms - from_ms) // self.interval_ms)

    def _replace(self, tally: Tally, counts: Counts, from_ms: int, to_ms: int) -> None:
        for group in counts:
            self._lane(tally, group)
        for group, lane in tally.groups.items():
            rows = counts.get(group)
            lanes = np.array([lane])
            cells = cells_of(joined([""], [] if rows is None else [rows]), lanes)
            self.ledger.replace(lanes, from_ms, to_ms, cells)

    def _lane(self, tally: Tally, group: Labels) -> int:
        lane = tally.groups.get(group)
        if lane is None:
            lane = tally.groups[group] = self.ledger.add()
            tally.noted_to_ms = 0 if tally.grouping else tally.noted_to_ms
            self.turns += 1
        return lane

    def _forget_groups(self, tallies: Sequence[Tally]) -> None:
        """Forgets groups that had no event for as long as anybody looks back: they are gone."""
        for tally in tallies:
            for group, lane in list(tally.groups.items()) if tally.grouping and tally.complete else ():
                if self.ledger.quiet(lane):
                    self.ledger.remove(lane)
                    del tally.groups[group]
                    self.turns += 1


def _said(error: WatchhouseError) -> str:
    return str(error) or type(error).__name__
