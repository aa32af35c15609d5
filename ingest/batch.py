"""The columnar batches that every source produces and the writer takes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from app.store.metrics import Metadata
from ingest.series import SeriesIndex

STALE_NAN_BITS = 0x7FF0000000000002
"""Prometheus's stale marker (model/value/value.go, StaleNaN): a NaN with this bit pattern."""

STALE_NAN = float(np.array([STALE_NAN_BITS], np.uint64).view(np.float64)[0])
"""Stale marker as a float. Put it into arrays through STALE_NAN_BITS: arithmetic may lose the payload."""


@dataclass(frozen=True, slots=True)
class MetricBatch:
    """n samples: `refs` into `index`, milliseconds since the epoch, values. The arrays belong to the batch."""

    index: SeriesIndex
    refs: npt.NDArray[np.int32]
    ts_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    metadata: Sequence[Metadata] = ()

    def __len__(self) -> int:
        return len(self.refs)

    @property
    def size_bytes(self) -> int:
        """Bytes held while it waits."""
        return 20 * len(self.refs)

    def within(self, first_ms: int, last_ms: int) -> MetricBatch:
        """The samples of [first_ms, last_ms]; the batch itself when that is all of them."""
        inside = (self.ts_ms >= first_ms) & (self.ts_ms <= last_ms)
        if inside.all():
            return self
        return MetricBatch(self.index, self.refs[inside], self.ts_ms[inside], self.values[inside], self.metadata)


_sequence = itertools.count(time.time_ns())
"""Numbers for lines in the order they came in, higher in every later process as long as the clock is."""


@dataclass(slots=True)
class LogBatch:
    """n log lines as columns: lists of one length. `refs` into `index` name the stream.

    `ts_ns` is nanoseconds since the epoch; `attributes` hold what is no stream label; `severity` is one of "",
    trace, debug, info, warn, error, fatal; ids are lower-case hex or "". `source` and `seq` name a line uniquely
    where the sender can repeat itself (Kafka); without `seq` the order of `add` is kept.
    """

    index: SeriesIndex
    source: str = ""
    refs: list[int] = field(default_factory=list)
    ts_ns: list[int] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    attributes: list[Mapping[str, str]] = field(default_factory=list)
    severities: list[str] = field(default_factory=list)
    trace_ids: list[str] = field(default_factory=list)
    span_ids: list[str] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)
    size_bytes: int = 0

    def __len__(self) -> int:
        return len(self.refs)

    def add(
        self,
        ref: int,
        ts_ns: int,
        body: str,
        attributes: Mapping[str, str],
        severity: str = "",
        trace_id: str = "",
        span_id: str = "",
        seq: int | None = None,
    ) -> None:
        """Adds one line."""
        self.refs.append(ref)
        self.ts_ns.append(ts_ns)
        self.bodies.append(body)
        self.attributes.append(attributes)
        self.severities.append(severity)
        self.trace_ids.append(trace_id)
        self.span_ids.append(span_id)
        self.seqs.append(next(_sequence) if seq is None else seq)
        self.size_bytes += 100 + len(body) + 60 * len(attributes) + sum(map(len, attributes.values()))
