"""The counted past of every SLI: kept up with the data, filled backwards when it is new, taken up after a restart."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from app.errors import WatchhouseError
from app.labels import Labels
from app.store.client import Pool
from app.store.slo_events import KeyedEvents, SloEvents, insert_events, joined, read_events
from app.store.state import StateStore
from app.telemetry import SLO_RECOUNTED
from slo.counting import Counting, Counts, Want
from slo.ledger import Cells, Ledger
from slo.spec import Sli

log = logging.getLogger(__name__)
STATE_KIND = "slo"
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

    def take(self, final_ms: int) -> dict[str, tuple[int, int]]:
        """First and last time of the samples of each metric written since it was asked last, of times before those it
        was told then. From now on those before `final_ms` are late.
        """

    def watch(self, metrics: frozenset[str]) -> None:
        """Looks at these metrics from now on."""


@dataclass(slots=True)
class Tally:
    """Counts of one SLI over [from_ms, to_ms), a range without holes. `stored_from_ms` is where those kept begin."""

    key: str
    sli: Sli
    grouping: tuple[str, ...]
    metrics: frozenset[str] | None
    from_ms: int = 0
    to_ms: int = 0
    stored_from_ms: int = 0
    noted_to_ms: int = 0
    needed_ms: int = 0
    """How far back the SLOs that use it look."""
    restarted: bool = False
    groups: dict[Labels, int] = field(default_factory=dict)
    """The lane of each group in the ledger; () without grouping."""
    error: str | None = None
    late: tuple[int, int] | None = None
    """First and last time of samples that came late and are not counted yet."""
    changed_from_ms: int | None = None
    """The start of the oldest interval that changed since somebody looked."""

    @property
    def new(self) -> bool:
        """Whether nothing was counted yet."""
        return self.to_ms == 0

    @property
    def known_ms(self) -> int:
        """How far back from `to_ms` everything that is there was counted."""
        return self.to_ms - self.from_ms

    @property
    def complete(self) -> bool:
        """Whether it reaches back as far as anybody looks."""
        return not self.new and self.known_ms >= self.needed_ms

    def came_late(self, from_ms: int, to_ms: int) -> None:
        """Notes that samples came late."""
        self.late = (min(from_ms, self.late[0]), max(to_ms, self.late[1])) if self.late else (from_ms, to_ms)

    def changed(self, from_ms: int) -> None:
        """Notes that an interval changed."""
        self.changed_from_ms = from_ms if self.changed_from_ms is None else min(self.changed_from_ms, from_ms)


class Tallies:
    """All tallies over one ledger. Every method but the look-ups may block; not safe for two threads at once."""

    def __init__(self, counter: Counting, pool: Pool, state: StateStore, interval_ms: int, late: Late | None) -> None:
        self.interval_ms = interval_ms
        self.ledger = Ledger(interval_ms, _CHUNK_MS)
        self._counter = counter
        self._pool = pool
        self._state = state
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
        notes = self._state.get_all(STATE_KIND)
        self._take_newest([t for t in self._fresh if not t.new or self._note_of(t, notes.get(self._state_key(t)))])
        self._fresh = []

    def catch_up(self, end_ms: int) -> None:
        """Counts up to `end_ms`, and again what may have changed since: the last minutes, and where samples came late.

        A tally that is new begins with the newest day. One that cannot be counted keeps its counts and its error.
        """
        self.ledger.advance(end_ms)
        self._hear(end_ms)
        wants: dict[int, list[Tally]] = {}
        old: dict[tuple[int, int], list[Tally]] = {}
        for tally in self._tallies.values():
            start = self._begin(tally, end_ms)
            late = self._late_of(tally, start)
            if late is not None and late[0] >= self.ledger.recent_from_ms:
                start = late[0]
            elif late is not None:
                old.setdefault(late, []).append(tally)
            wants.setdefault(start, []).append(tally)
        for start, tallies in wants.items():
            for begin, end in self._parts(start, end_ms, tallies):
                for part, answers in self._counted(tallies, begin, end):
                    self._merge(part, answers, begin, end)
                # one without this part would have a hole
                tallies = [tally for tally in tallies if tally.error is None]
        for (start, end), tallies in old.items():
            self._recount([t for t in tallies if t.error is None], start, end)
        due = [t for t in self._tallies.values() if t.to_ms - t.noted_to_ms >= _NOTE_EVERY_MS]
        self._forget_groups(due)
        self._note(due)

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
        self._note([tally for tally in wave if tally.error is None])
        return True

    def rows(self, tally: Tally, group: Labels, from_ms: int, to_ms: int) -> SloEvents:
        """The kept counts of one group that start in [from_ms, to_ms)."""
        return self.rows_of([(tally, group)], from_ms, to_ms)[0]

    def rows_of(self, wanted: Sequence[tuple[Tally, Labels]], from_ms: int, to_ms: int) -> list[SloEvents]:
        """The kept counts of each group that start in [from_ms, to_ms), where they were counted."""
        keys = [group_key(tally, group) for tally, group in wanted]
        found = read_events(self._pool, sorted(set(keys)), self.interval_ms, from_ms, to_ms).by_key()
        empty = SloEvents(np.empty(0, np.int64), np.empty(0), np.empty(0))
        return [found.get(key, empty) for key in keys]

    def load_block(self, block_ms: int) -> None:
        """Loads the intervals of an old block for all lanes."""
        lanes = {group_key(t, group): lane for t in self._tallies.values() for group, lane in t.groups.items()}
        keys = sorted(lanes)
        rows = read_events(self._pool, keys, self.interval_ms, block_ms, block_ms + self.ledger.block_ms)
        self.ledger.load(block_ms, _cells(rows, np.array([lanes[key] for key in keys], np.int64)))

    def note_all(self) -> None:
        """Notes how far every tally is, for the next process."""
        self._note([tally for tally in self._tallies.values() if not tally.new])

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
                tally.changed(tally.from_ms)

    def _note_of(self, tally: Tally, note: dict[str, Any] | None) -> bool:
        if not note:
            return False
        tally.stored_from_ms, tally.to_ms = int(note["from_ms"]), int(note["to_ms"])
        tally.noted_to_ms, tally.restarted = tally.to_ms, True
        # until its counts are in the ledger nothing is known
        tally.from_ms = tally.to_ms
        for group in note.get("groups", [[]]):
            self._lane(tally, tuple((str(name), str(value)) for name, value in group))
        return True

    def _take(self, tallies: Sequence[Tally], from_ms: int, to_ms: int) -> None:
        """Puts what is kept of [from_ms, to_ms) into the ledger."""
        lanes = {group_key(t, group): lane for t in tallies for group, lane in t.groups.items()}
        keys = sorted(lanes)
        numbers = np.array([lanes[key] for key in keys], np.int64)
        rows = read_events(self._pool, keys, self.interval_ms, from_ms, to_ms)
        self.ledger.replace(numbers, from_ms, to_ms, _cells(rows, numbers))

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
        """Notes the samples that came late with the tallies that read them."""
        if self._late is None:
            return
        heard = self._late.take(end_ms - self._late_ms)
        for tally in self._tallies.values() if heard else ():
            for metric in tally.metrics or ():
                if metric in heard:
                    tally.came_late(*heard[metric])

    def _late_of(self, tally: Tally, start_ms: int) -> tuple[int, int] | None:
        """[from, to) of counted intervals before `start_ms` that samples reached which came late."""
        if tally.late is None or tally.new:
            return None
        start = self._reached_ms(tally, tally.late[0])
        # the increase up to the next sample changes too; a gap of more than five minutes ends a counter's count
        end = min(start_ms, (tally.late[1] + _LATE_MS) // self.interval_ms * self.interval_ms + self.interval_ms)
        return (start, end) if start < end else None

    def _reached_ms(self, tally: Tally, at_ms: int) -> int:
        """The first counted interval that a sample may change."""
        return max(tally.from_ms, at_ms // self.interval_ms * self.interval_ms - self.interval_ms)

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
            insert_events(self._pool, self.interval_ms, rows)
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
        cells = _cells(rows, lanes)
        recent = cells.starts_ms >= old_ms
        changed = ~recent
        changed[recent] = self.ledger.changes(_some(cells, recent))
        if not self._keep(tallies, _kept(rows, changed)):
            return
        self.ledger.put(_some(cells, recent & changed))
        if from_ms < old_ms:
            every = np.array([lane for t in tallies for lane in t.groups.values()], np.int64)
            self.ledger.replace(every, from_ms, min(old_ms, end_ms), _some(cells, ~recent))
        self._look_for_late(owners, rows, changed)
        for tally in tallies:
            if tally.new or tally.to_ms < from_ms:
                tally.from_ms = tally.stored_from_ms = from_ms
                tally.changed(from_ms)
            tally.to_ms, tally.restarted = max(tally.to_ms, end_ms), False
            if tally.late is not None and self._reached_ms(tally, tally.late[0]) >= from_ms:
                tally.late = None
            tally.from_ms = max(tally.from_ms, self.ledger.oldest_ms)

    def _look_for_late(
        self, owners: Sequence[tuple[Tally, Labels, SloEvents]], rows: KeyedEvents, changed: np.ndarray[Any, Any]
    ) -> None:
        places = np.flatnonzero(changed)
        codes, starts = rows.codes[places], rows.events.starts_ms[places]
        firsts = np.flatnonzero(np.diff(codes, prepend=-1))
        for code, start in zip(codes[firsts].tolist(), starts[firsts].tolist(), strict=True):
            tally = owners[code][0]
            tally.changed(start)
            if start < tally.to_ms:
                SLO_RECOUNTED.inc()

    def _recount(self, tallies: list[Tally], from_ms: int, to_ms: int) -> None:
        """Counts old blocks again that late samples reached. What fails is tried again; the newest counts are well."""
        if not tallies:
            return
        stop = min(self.ledger.block_of(to_ms - 1) + self.ledger.block_ms, *(tally.to_ms for tally in tallies))
        left = tallies
        for start, end in self._parts(self.ledger.block_of(from_ms), stop, tallies):
            for part, answers in self._counted(left, start, end):
                if not self._store(part, answers):
                    continue
                for tally, counts in zip(part, answers, strict=True):
                    self._replace(tally, counts, start, end)
                    tally.changed(start)
                    SLO_RECOUNTED.inc((end - start) // self.interval_ms)
            left = [tally for tally in left if tally.error is None]
        for tally in tallies:
            if tally.error is None:
                tally.late = None
            else:
                log.warning("late samples of an SLO could not be counted, it is tried again: %s", tally.error)
                tally.error = None

    def _replace(self, tally: Tally, counts: Counts, from_ms: int, to_ms: int) -> None:
        for group in counts:
            self._lane(tally, group)
        for group, lane in tally.groups.items():
            rows = counts.get(group)
            lanes = np.array([lane])
            cells = _cells(joined([""], [] if rows is None else [rows]), lanes)
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

    def _note(self, tallies: Sequence[Tally]) -> None:
        if not tallies:
            return
        notes = {
            self._state_key(t): {
                "from_ms": t.stored_from_ms,
                "to_ms": t.to_ms,
                "groups": [[list(pair) for pair in group] for group in t.groups],
            }
            for t in tallies
        }
        try:
            self._state.put(STATE_KIND, notes)
        except WatchhouseError as error:
            # the next process would only count more again
            log.error("how far SLOs are counted could not be noted: %s", error)
            return
        for tally in tallies:
            tally.noted_to_ms = tally.to_ms

    def _state_key(self, tally: Tally) -> str:
        return f"{tally.key}/{self.interval_ms}"


def group_key(tally: Tally, group: Labels) -> str:
    """The name the counts of a group are kept under."""
    return tally.key + json.dumps(group, separators=(",", ":")) if tally.grouping else tally.key


def _said(error: WatchhouseError) -> str:
    return str(error) or type(error).__name__


def _cells(rows: KeyedEvents, lanes: np.ndarray[Any, np.dtype[np.int64]]) -> Cells:
    events = rows.events
    return Cells(lanes[rows.codes], events.starts_ms, events.total - events.good, events.total)


def _some(cells: Cells, kept: np.ndarray[Any, Any]) -> Cells:
    return Cells(cells.lanes[kept], cells.starts_ms[kept], cells.bad[kept], cells.total[kept])


def _kept(rows: KeyedEvents, kept: np.ndarray[Any, Any]) -> KeyedEvents:
    events = rows.events
    return KeyedEvents(
        rows.keys, rows.codes[kept], SloEvents(events.starts_ms[kept], events.good[kept], events.total[kept])
    )
