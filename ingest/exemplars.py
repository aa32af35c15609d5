"""Exemplars on their way in: what a series' value was an example of, a trace for one.

The rules are Prometheus's (model/exemplar/exemplar.go, tsdb/exemplar.go): an exemplar with too many label characters
is not taken, and one that is the newest of its series already is not kept again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from app.labels import Labels, labels_from
from app.telemetry import DROPPED_EXEMPLARS
from ingest.series import SeriesIndex

MAX_LABEL_CHARACTERS = 128
"""What the names and values of an exemplar's labels may have together."""

Reason = Literal["too_long", "malformed", "out_of_bounds"]
"""Why an exemplar is not taken."""


@dataclass(frozen=True, slots=True)
class ExemplarRows:
    """Exemplars: `refs` into the batch's index, milliseconds since the epoch, values, labels.

    `timed` is false for those whose time is not their sender's but when they were read.
    """

    refs: npt.NDArray[np.int32]
    ts_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    labels: Sequence[Labels]
    timed: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def joined(cls, parts: Sequence[ExemplarRows]) -> ExemplarRows:
        """All of some rows, which refer to one index."""
        parts = [part for part in parts if len(part)]
        if len(parts) < 2:
            return parts[0] if parts else NO_EXEMPLARS
        return cls(
            np.concatenate([part.refs for part in parts]),
            np.concatenate([part.ts_ms for part in parts]),
            np.concatenate([part.values for part in parts]),
            [labels for part in parts for labels in part.labels],
            np.concatenate([part.timed for part in parts]),
        )

    def within(self, first_ms: int, last_ms: int) -> ExemplarRows:
        """Those of [first_ms, last_ms]; the others are counted."""
        if not len(self):
            return self
        inside = (self.ts_ms >= first_ms) & (self.ts_ms <= last_ms)
        DROPPED_EXEMPLARS.labels("out_of_bounds").inc(len(self) - int(np.count_nonzero(inside)))
        return self._where(inside)

    def news(self, index: SeriesIndex) -> ExemplarRows:
        """Those that are not what the newest of their series is already."""
        if not len(self):
            return self
        marks = index.newest_exemplar[self.refs].tolist()
        newest: dict[int, int] = {}
        new = np.ones(len(self), np.bool_)
        for i, (ref, mark) in enumerate(zip(self.refs.tolist(), self._marks(), strict=True)):
            new[i] = newest.get(ref, marks[i]) != mark
            newest[ref] = mark
        return self._where(new)

    def kept(self, index: SeriesIndex) -> None:
        """Notes them as the newest of their series, after they are in the store."""
        index.newest_exemplar[self.refs] = self._marks()

    def _marks(self) -> list[int]:
        times = [
            ts_ms if timed else None for ts_ms, timed in zip(self.ts_ms.tolist(), self.timed.tolist(), strict=True)
        ]
        return list(map(hash, zip(self.labels, self.values.tolist(), times, strict=True)))

    def _where(self, wanted: npt.NDArray[np.bool_]) -> ExemplarRows:
        if wanted.all():
            return self
        labels = [labels for labels, kept in zip(self.labels, wanted.tolist(), strict=True) if kept]
        return ExemplarRows(self.refs[wanted], self.ts_ms[wanted], self.values[wanted], labels, self.timed[wanted])

    @property
    def size_bytes(self) -> int:
        """Bytes held while they wait."""
        return sum(150 + 250 * len(labels) for labels in self.labels)


NO_EXEMPLARS = ExemplarRows(
    np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64), (), np.empty(0, np.bool_)
)


@dataclass(slots=True)
class Exemplars:
    """Exemplars as a source reads them, one by one; true when there was any, taken or not."""

    _rows: list[tuple[int, int, float, Labels, bool]] = field(default_factory=list)
    _dropped: Counter[Reason] = field(default_factory=Counter)

    def add(self, ref: int, ts_ms: int, value: float, labels: Iterable[tuple[str, str]], *, timed: bool = True) -> None:
        """Takes one, or drops it when its labels are too long."""
        canonical = labels_from(labels)
        if fits(canonical):
            self._rows.append((ref, ts_ms, value, canonical, timed))
        else:
            self.drop("too_long")

    def add_messages(self, ref: int, messages: Iterable[Any]) -> None:
        """Takes `Exemplar` messages of remote write 1.0."""
        for message in messages:
            try:
                labels = [(label.name.decode(), label.value.decode()) for label in message.labels]
            except UnicodeDecodeError:
                self.drop("malformed")
            else:
                self.add(ref, message.timestamp, message.value, labels)

    def __bool__(self) -> bool:
        return bool(self._rows or self._dropped)

    def drop(self, reason: Reason) -> None:
        """Does not take one."""
        self._dropped[reason] += 1

    def rows(self) -> ExemplarRows:
        """Those that were taken; the others are counted now. To be called once."""
        for reason, count in self._dropped.items():
            DROPPED_EXEMPLARS.labels(reason).inc(count)
        if not self._rows:
            return NO_EXEMPLARS
        refs, ts_ms, values, labels, timed = zip(*self._rows, strict=True)
        return ExemplarRows(
            np.array(refs, np.int32),
            np.array(ts_ms, np.int64),
            np.array(values, np.float64),
            labels,
            np.array(timed, np.bool_),
        )


def fits(labels: Labels) -> bool:
    """Whether an exemplar's labels are short enough to be taken."""
    return sum(len(name) + len(value) for name, value in labels) <= MAX_LABEL_CHARACTERS
