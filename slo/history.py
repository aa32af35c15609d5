"""The counted past of one SLO: read from the store, kept up with the data, filled backwards when it is new."""

from __future__ import annotations

from typing import Any

from app.store.client import Pool
from app.store.slo_events import SloEvents, insert_events, read_events
from app.store.state import StateStore
from slo.burn import Sums
from slo.counting import QueryEngine, count
from slo.ledger import Ledger
from slo.spec import DAY_MS, SloSpec

STATE_KIND = "slo"
_LATE_MS = 5 * 60_000
_LATE_INTERVALS = 3
_NOTE_EVERY_MS = 3_600_000


class History:
    """Counts of [from_ms, to_ms), a range without holes, in memory and in the store. Every method may block."""

    def __init__(self, spec: SloSpec, interval_ms: int, pool: Pool, state: StateStore, max_points: int) -> None:
        self.spec = spec
        self.interval_ms = interval_ms
        self.from_ms = self.to_ms = 0
        self._pool = pool
        self._state = state
        self._ledger = Ledger(interval_ms)
        # a day at a time: quick enough that the newest is there at once, and few queries for a month
        self._chunk_ms = min(max_points, max(1, DAY_MS // interval_ms)) * interval_ms
        self._noted_to_ms = 0

    @property
    def state_key(self) -> str:
        """The name of what is noted about it: void, like its counts, when a query or the interval changes."""
        return f"{self.spec.events_key}/{self.interval_ms}"

    @property
    def new(self) -> bool:
        """Whether nothing was counted yet."""
        return self.to_ms == 0

    @property
    def known_ms(self) -> int:
        """How far back from `to_ms` everything that is there was counted."""
        return self.to_ms - self.from_ms

    def load(self, note: dict[str, Any] | None) -> None:
        """Takes up what an earlier process noted and kept."""
        if not note:
            return
        self.from_ms, self.to_ms = int(note["from_ms"]), int(note["to_ms"])
        self._noted_to_ms = self.to_ms
        rows = read_events(self._pool, self.spec.events_key, self.interval_ms, self.from_ms, self.to_ms)
        self._ledger.merge(rows)

    def catch_up(self, engine: QueryEngine, end_ms: int) -> None:
        """Counts up to `end_ms`, and the last minutes again: samples come late, and counters are read after restarts.

        A history that is new or older than the period begins with the newest chunk.
        """
        oldest = end_ms - self._rounded(self.spec.period_ms)
        if self.new or self.to_ms < oldest:
            start = max(oldest, end_ms - self._chunk_ms)
            self._count(engine, start, end_ms)
            self.from_ms = start
        else:
            late = self._rounded(max(_LATE_MS, _LATE_INTERVALS * self.interval_ms))
            start = max(self.from_ms, self.to_ms - late)
            for chunk_end in range(end_ms, start, -self._chunk_ms):
                self._count(engine, max(start, chunk_end - self._chunk_ms), chunk_end)
            self.from_ms = max(self.from_ms, oldest)
        self.to_ms = max(self.to_ms, end_ms)
        self._ledger.drop_before(oldest)
        if self.to_ms - self._noted_to_ms >= _NOTE_EVERY_MS:
            self.note()

    @property
    def complete(self) -> bool:
        """Whether the whole period was counted."""
        return not self.new and self.known_ms >= self.spec.period_ms

    def fill(self, engine: QueryEngine) -> None:
        """Counts one older chunk, the next one back from what is counted."""
        start = max(self.to_ms - self._rounded(self.spec.period_ms), self.from_ms - self._chunk_ms)
        self._count(engine, start, self.from_ms)
        self.from_ms = start
        self.note()

    def note(self) -> None:
        """Makes the counted range known to the next process, which counts again only what came after."""
        if not self.new:
            self._state.put(STATE_KIND, {self.state_key: {"from_ms": self.from_ms, "to_ms": self.to_ms}})
            self._noted_to_ms = self.to_ms

    def window(self, length_ms: int) -> Sums:
        """The sums of the newest so many milliseconds, rounded up to whole intervals."""
        return self._ledger.window(self.to_ms - self._rounded(length_ms), self.to_ms)

    def _count(self, engine: QueryEngine, from_ms: int, to_ms: int) -> None:
        if from_ms >= to_ms:
            return
        events = count(engine, self.spec.sli, self.interval_ms, from_ms, to_ms)
        changed: SloEvents = self._ledger.changes(events)
        # kept first: what is only in memory would be missing after a restart
        insert_events(self._pool, self.spec.events_key, self.interval_ms, changed)
        self._ledger.merge(changed)

    def _rounded(self, length_ms: int) -> int:
        return -(-length_ms // self.interval_ms) * self.interval_ms
