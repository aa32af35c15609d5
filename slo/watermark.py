"""Which samples came late: after the intervals they belong to were counted for the last time of their own accord."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from slo.ranges import Range, fewest, merged

LATE_APART_MS = 3_600_000
"""Late samples nearer than an hour are one range: what is older than some hours is counted again by the hour anyway."""
LATE_RANGES = 16
"""So many ranges of late samples are kept apart; of more the nearest become one."""
_UNKNOWN_MS = 3_600_000


class LateSamples:
    """A `WriteListener` that keeps, of the metrics that are watched, at which times late samples are.

    An insert whose samples are all new costs one look for the smallest of its times.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: frozenset[str] = frozenset()
        self._late: dict[str, list[Range]] = {}
        self._final_ms = 0

    def watch(self, metrics: frozenset[str]) -> None:
        """Looks at these metrics from now on."""
        with self._lock:
            self._watched = metrics

    def take(self, final_ms: int) -> dict[str, list[Range]]:
        """[first, last] times of late samples by metric since the last call, in order, `LATE_RANGES` at most.

        From now on those up to `final_ms` are late.
        """
        with self._lock:
            self._final_ms = final_ms
            taken, self._late = self._late, {}
        return taken

    def written(self, names: Sequence[str], codes: npt.NDArray[np.integer], ts_ms: npt.NDArray[np.int64]) -> None:
        """As `app.store.written.WriteListener`."""
        final_ms, watched = self._final_ms, self._watched
        if not watched or not len(ts_ms) or int(ts_ms.min()) > final_ms:
            return
        # a sample at the end of an interval belongs to it
        late = ts_ms <= final_ms
        codes, ts_ms = codes[late], ts_ms[late]
        for code in np.unique(codes).tolist():
            if names[code] in watched:
                self._note(names[code], _ranges(ts_ms[codes == code]))

    def anything_written(self) -> None:
        """As `app.store.written.WriteListener`: the last hour of everything may have changed."""
        for name in self._watched:
            self._note(name, [(self._final_ms - _UNKNOWN_MS, self._final_ms)])

    def _note(self, name: str, ranges: list[Range]) -> None:
        with self._lock:
            self._late[name] = fewest(merged([*self._late.get(name, ()), *ranges], LATE_APART_MS), LATE_RANGES)


def _ranges(ts_ms: npt.NDArray[np.int64]) -> list[Range]:
    """[first, last] of samples that are not far apart. Any order, (n,), n above 0."""
    ts_ms = np.sort(ts_ms)
    ends = np.flatnonzero(np.diff(ts_ms) > LATE_APART_MS)
    firsts, lasts = ts_ms[[0, *(ends + 1)]], ts_ms[[*ends, -1]]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))
