"""Aggregations of series that come in parts: which group each series is in, and the groups' sums so far."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from app.labels import Labels
from app.query.promql import kernel_groups
from app.query.promql.aggregate import group_key
from app.query.promql.ast import Grouping
from app.query.promql.kernel_leaves import Ids, Rows
from app.query.vector import Ints, Vector

_REMEMBERED_BYTES = 32 * 2**20
"""Ids and group numbers together; the groupings of some two million series."""
_WHAT = {
    "sum": kernel_groups.SUM,
    "avg": kernel_groups.SUM,
    "min": kernel_groups.LEAST,
    "max": kernel_groups.MOST,
    "count": kernel_groups.MEMBERS,
    "group": kernel_groups.MEMBERS,
}


class GroupIndex:
    """Remembers which group each of many series is in: the same ids have the same labels for ever."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[Grouping, bytes], tuple[Ints, list[Labels]]] = {}
        self._bytes = 0

    def of(self, ids: Ids, grouping: Grouping, labels: Callable[[], list[Labels]]) -> tuple[Ints, list[Labels]]:
        """(the number of each series' group, the groups); `labels` is asked only when these ids are new."""
        if not grouping.labels and not grouping.without:
            return np.zeros(len(ids), np.int64), [()]
        key = (grouping, ids.tobytes())
        found = self._known.get(key)
        if found is None:
            numbers: dict[Labels, int] = {}
            of_row = [numbers.setdefault(group_key(row, grouping), len(numbers)) for row in labels()]
            found = np.array(of_row, np.int64), list(numbers)
            with self._lock:
                if key not in self._known:
                    self._known[key] = found
                    self._bytes += 2 * len(key[1])
                while self._bytes > _REMEMBERED_BYTES:
                    oldest = next(iter(self._known))
                    del self._known[oldest]
                    self._bytes -= 2 * len(oldest[1])
        return found


class Groups:
    """One aggregation under way over `steps` steps."""

    def __init__(self, op: str, steps: int) -> None:
        self._op = op
        self._numbers: dict[Labels, int] = {}
        self._total = np.zeros((0, steps))
        self._lost = np.zeros((0, steps))
        self._members = np.zeros((0, steps), np.int64)

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, rows: Rows, group: Ints, names: list[Labels]) -> None:
        """Adds series; `group` gives for each the number of its group in `names`."""
        numbers = np.array([self._numbers.setdefault(name, len(self._numbers)) for name in names], np.int64)
        more = len(self._numbers) - len(self._total)
        if more:
            fresh = np.zeros((more, self._total.shape[1]))
            self._total = np.concatenate((self._total, fresh))
            self._lost = np.concatenate((self._lost, fresh))
            self._members = np.concatenate((self._members, fresh.astype(np.int64)))
        kernel_groups.gathered(
            rows.values, rows.present, numbers[group], _WHAT[self._op], self._total, self._lost, self._members
        )

    def result(self) -> Vector | None:
        """A row for each group; None where a mean's sum left the range of floats, which needs another way."""
        present = self._members > 0
        if self._op in ("count", "group"):
            values = self._members.astype(np.float64) if self._op == "count" else np.ones_like(self._total)
        elif self._op == "avg":
            n = np.maximum(self._members, 1)
            values = self._total / n + self._lost / n
            if bool((np.isinf(self._total) & present).any()):
                return None
        else:
            values = self._total + self._lost
        return Vector(list(self._numbers), values, present).compact()
