"""Label sets of series, by id: read from the store once, then remembered."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.labels import METRIC_NAME, Labels

_BOUND = 2_000_000
_AT_ONCE = 20_000
"""Series that are asked for by one statement."""


def labels_of_map(metric: list[str], maps: pa.MapArray) -> list[Labels]:
    """Label sets from a column of metric names and one of label maps."""
    offsets = maps.offsets.to_pylist()
    start = offsets[0] if offsets else 0
    pairs = list(zip(maps.keys.to_pylist(), maps.items.to_pylist(), strict=True))
    found: list[Labels] = []
    for i, name in enumerate(metric):
        own = pairs[offsets[i] - start : offsets[i + 1] - start]
        if name:
            own.append((METRIC_NAME, name))
        # not every writer is ours: order and emptiness are made certain here
        found.append(tuple(sorted(pair for pair in own if pair[1])))
    return found


class SeriesCatalog:
    """Remembers label sets by series id. A series id is a hash of its labels, so what is remembered stays true."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[int, Labels] = {}

    def labels(self, ids: npt.NDArray[np.uint64], read: Callable[[list[int]], pa.Table]) -> list[Labels] | None:
        """The label sets of all these series, or None when one of them is not known to the store either.

        `read` gives rows of (series_id, name, pairs) of some ids; it is asked for those that are not remembered.
        """
        # whoever starts anew does so with another dictionary: this one keeps what it has
        known, found = self._known, dict[int, Labels]()
        wanted = ids.tolist()
        new = [i for i in wanted if i not in known]
        for first in range(0, len(new), _AT_ONCE):
            found.update(self._learned(read(new[first : first + _AT_ONCE])))
        try:
            return [known[i] if i in known else found[i] for i in wanted]
        except KeyError:
            return None

    def _learned(self, rows: pa.Table) -> dict[int, Labels]:
        """Remembers rows of (series_id, name, pairs)."""
        found: dict[int, Labels] = {}
        for batch in rows.to_batches():
            labels = labels_of_map(batch.column("name").to_pylist(), batch.column("pairs"))
            found.update(zip(batch.column("series_id").to_pylist(), labels, strict=True))
        with self._lock:
            known = self._known if len(self._known) + len(found) <= _BOUND else {}
            known.update(found)
            self._known = known
        return found
