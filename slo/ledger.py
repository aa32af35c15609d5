"""The counts of one SLO in memory: any window of any length is two look-ups and two subtractions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from app.store.slo_events import SloEvents
from slo.burn import Sums

_Index = npt.NDArray[np.bool_] | npt.NDArray[np.intp]


class Ledger:
    """Counts by interval, ordered by start, with running sums beside them. Not safe for two threads at once."""

    def __init__(self, interval_ms: int) -> None:
        self.interval_ms = interval_ms
        self._set(SloEvents(np.empty(0, np.int64), np.empty(0), np.empty(0)))

    def __len__(self) -> int:
        return len(self._rows.starts_ms)

    def changes(self, events: SloEvents) -> SloEvents:
        """Those of some counts that are not here, or different here."""
        if not len(self) or not len(events.starts_ms):
            return events
        at = np.minimum(np.searchsorted(self._rows.starts_ms, events.starts_ms), len(self) - 1)
        same = (
            (self._rows.starts_ms[at] == events.starts_ms)
            & (self._rows.good[at] == events.good)
            & (self._rows.total[at] == events.total)
        )
        return _take(events, ~same)

    def merge(self, events: SloEvents) -> None:
        """Adds counts, in order of start; an interval that is here already is replaced."""
        if not len(events.starts_ms):
            return
        old = _take(self._rows, ~np.isin(self._rows.starts_ms, events.starts_ms))
        joined = _join(old, events)
        self._set(_take(joined, np.argsort(joined.starts_ms, kind="stable")))

    def drop_before(self, start_ms: int) -> None:
        """Forgets intervals that start before a time. The sums are built anew, so they never grow stale."""
        gone = int(np.searchsorted(self._rows.starts_ms, start_ms))
        # a little at a time would copy everything in each cycle
        if gone > max(16, len(self) // 50):
            self._set(_take(self._rows, np.arange(gone, len(self))))

    def window(self, from_ms: int, to_ms: int) -> Sums:
        """The sums of the intervals that start in [from_ms, to_ms), both epoch-aligned."""
        first, last = np.searchsorted(self._rows.starts_ms, (from_ms, to_ms))
        return Sums(
            float(self._bad[last] - self._bad[first]),
            float(self._total[last] - self._total[first]),
            int(last - first),
            (to_ms - from_ms) // self.interval_ms,
        )

    def _set(self, rows: SloEvents) -> None:
        self._rows = rows
        # counts are whole numbers far below 2^53, so running sums and their differences are exact
        self._bad = np.concatenate([[0.0], np.cumsum(rows.total - rows.good)])
        self._total = np.concatenate([[0.0], np.cumsum(rows.total)])


def _take(rows: SloEvents, index: _Index) -> SloEvents:
    return SloEvents(rows.starts_ms[index], rows.good[index], rows.total[index])


def _join(first: SloEvents, second: SloEvents) -> SloEvents:
    return SloEvents(
        np.concatenate([first.starts_ms, second.starts_ms]),
        np.concatenate([first.good, second.good]),
        np.concatenate([first.total, second.total]),
    )
