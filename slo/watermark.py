"""Which samples came late: after the intervals they belong to were counted for the last time of their own accord."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_UNKNOWN_MS = 3_600_000


class LateSamples:
    """A `WriteListener` that keeps, of the metrics that are watched, from when to when late samples reach.

    An insert whose samples are all new costs one look for the smallest of its times.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: frozenset[str] = frozenset()
        self._late: dict[str, tuple[int, int]] = {}
        self._final_ms = 0

    def watch(self, metrics: frozenset[str]) -> None:
        """Looks at these metrics from now on."""
        with self._lock:
            self._watched = metrics

    def take(self, final_ms: int) -> dict[str, tuple[int, int]]:
        """(first, last) time of late samples by metric since the last call; from now on those up to `final_ms` are."""
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
                own = ts_ms[codes == code]
                self._note(names[code], int(own.min()), int(own.max()))

    def anything_written(self) -> None:
        """As `app.store.written.WriteListener`: the last hour of everything may have changed."""
        for name in self._watched:
            self._note(name, self._final_ms - _UNKNOWN_MS, self._final_ms)

    def _note(self, name: str, first_ms: int, last_ms: int) -> None:
        with self._lock:
            old = self._late.get(name)
            self._late[name] = (first_ms, last_ms) if old is None else (min(old[0], first_ms), max(old[1], last_ms))
