"""What outlives the process: the counts of every SLI, and notes of how far they reach."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from app.errors import WatchhouseError
from app.labels import Labels
from app.store.client import Pool
from app.store.slo_events import KeyedEvents, SloEvents, insert_events, no_events, read_events
from app.store.state import StateStore
from slo.ledger import Cells
from slo.measure import Bools, Ints
from slo.tally import Tally, group_key

log = logging.getLogger(__name__)
STATE_KIND = "slo"


class Kept:
    """Counts and notes of tallies in the store. Every method blocks."""

    def __init__(self, pool: Pool, state: StateStore, interval_ms: int) -> None:
        self._pool = pool
        self._state = state
        self._interval_ms = interval_ms

    def keep(self, rows: KeyedEvents) -> None:
        """Keeps counts; those of the same intervals are replaced. Raises StoreError."""
        insert_events(self._pool, self._interval_ms, rows)

    def rows_of(self, wanted: Sequence[tuple[Tally, Labels]], from_ms: int, to_ms: int) -> list[SloEvents]:
        """The counts of each group that start in [from_ms, to_ms), where they were counted. Raises StoreError."""
        keys = [group_key(tally, group) for tally, group in wanted]
        found = self._read(sorted(set(keys)), from_ms, to_ms).by_key()
        empty = no_events()
        return [found.get(key, empty) for key in keys]

    def cells_of(self, wanted: Iterable[tuple[Tally, Labels]], from_ms: int, to_ms: int) -> tuple[Ints, Cells]:
        """The lane of each group, and their counts that start in [from_ms, to_ms). Raises StoreError."""
        lanes = {group_key(tally, group): tally.groups[group] for tally, group in wanted}
        keys = sorted(lanes)
        numbers = np.array([lanes[key] for key in keys], np.int64)
        return numbers, cells_of(self._read(keys, from_ms, to_ms), numbers)

    def notes(self) -> Mapping[str, dict[str, Any]]:
        """What an earlier process noted; see `take_up`. Raises StoreError."""
        return self._state.get_all(STATE_KIND)

    def take_up(self, tally: Tally, notes: Mapping[str, dict[str, Any]]) -> list[Labels] | None:
        """Goes on where an earlier process was; its groups, or None where nothing was noted.

        Until its counts are in the ledger nothing is known.
        """
        note = notes.get(self._state_key(tally))
        if not note:
            return None
        tally.stored_from_ms, tally.to_ms = int(note["from_ms"]), int(note["to_ms"])
        tally.noted_to_ms, tally.restarted = tally.to_ms, True
        tally.from_ms = tally.to_ms
        return [tuple((str(name), str(value)) for name, value in group) for group in note.get("groups", [[]])]

    def note(self, tallies: Sequence[Tally]) -> None:
        """Notes how far tallies are. Where that fails the next process only counts more again."""
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
            log.error("how far SLOs are counted could not be noted: %s", error)
            return
        for tally in tallies:
            tally.noted_to_ms = tally.to_ms

    def _read(self, keys: Sequence[str], from_ms: int, to_ms: int) -> KeyedEvents:
        return read_events(self._pool, keys, self._interval_ms, from_ms, to_ms)

    def _state_key(self, tally: Tally) -> str:
        return f"{tally.key}/{self._interval_ms}"


def cells_of(rows: KeyedEvents, lanes: Ints) -> Cells:
    """Counts as they go into a ledger; `lanes` are those of the keys, (keys,)."""
    events = rows.events
    return Cells(lanes[rows.codes], events.starts_ms, events.total - events.good, events.total)


def some_rows(rows: KeyedEvents, kept: Bools) -> KeyedEvents:
    """Those of `kept`, (n,)."""
    events = rows.events
    return KeyedEvents(
        rows.keys, rows.codes[kept], SloEvents(events.starts_ms[kept], events.good[kept], events.total[kept])
    )
