"""The columnar batches that every source produces and the writer takes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from app.histogram import Histogram
from app.store.metrics import STALE_NAN_BITS, Metadata
from ingest.exemplars import NO_EXEMPLARS, ExemplarRows
from ingest.series import SeriesIndex

STALE_NAN = float(np.array([STALE_NAN_BITS], np.uint64).view(np.float64)[0])
"""Stale marker as a float. Put it into arrays through STALE_NAN_BITS: arithmetic may lose the payload."""


@dataclass(frozen=True, slots=True)
class HistogramRows:
    """Native histogram samples: `refs` into the batch's index, milliseconds since the epoch, the histograms."""

    refs: npt.NDArray[np.int32]
    ts_ms: npt.NDArray[np.int64]
    items: Sequence[Histogram]

    def __len__(self) -> int:
        return len(self.items)

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, Histogram]]) -> HistogramRows:
        """From (ref, milliseconds, histogram)."""
        if not rows:
            return NO_HISTOGRAMS
        refs, ts_ms, items = zip(*rows, strict=True)
        return cls(np.array(refs, np.int32), np.array(ts_ms, np.int64), items)

    def within(self, first_ms: int, last_ms: int) -> HistogramRows:
        """Those of [first_ms, last_ms]."""
        inside = (self.ts_ms >= first_ms) & (self.ts_ms <= last_ms)
        if inside.all():
            return self
        items = [h for h, kept in zip(self.items, inside.tolist(), strict=True) if kept]
        return HistogramRows(self.refs[inside], self.ts_ms[inside], items)

    @property
    def size_bytes(self) -> int:
        """Bytes held while they wait."""
        return sum(
            200 + 12 * (len(h.positive.index) + len(h.negative.index)) + 32 * len(h.custom_values) for h in self.items
        )


NO_HISTOGRAMS = HistogramRows(np.empty(0, np.int32), np.empty(0, np.int64), ())


@dataclass(frozen=True, slots=True)
class MetricBatch:
    """n samples: `refs` into `index`, milliseconds since the epoch, values. The arrays belong to the batch.

    Native histograms and exemplars are beside them, and count in its length.
    """

    index: SeriesIndex
    refs: npt.NDArray[np.int32]
    ts_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    metadata: Sequence[Metadata] = ()
    histograms: HistogramRows = NO_HISTOGRAMS
    exemplars: ExemplarRows = NO_EXEMPLARS

    def __len__(self) -> int:
        return len(self.refs) + len(self.histograms) + len(self.exemplars)

    @property
    def size_bytes(self) -> int:
        """Bytes held while it waits."""
        return 20 * len(self.refs) + self.histograms.size_bytes + self.exemplars.size_bytes

    @classmethod
    def joined(cls, batches: Sequence[MetricBatch]) -> MetricBatch:
        """One batch of several, at least one, that share an index."""
        if len(batches) == 1:
            return batches[0]
        histograms = [b.histograms for b in batches if len(b.histograms)]
        return cls(
            batches[0].index,
            np.concatenate([b.refs for b in batches]),
            np.concatenate([b.ts_ms for b in batches]),
            np.concatenate([b.values for b in batches]),
            list(dict.fromkeys(m for b in batches for m in b.metadata)),
            HistogramRows(
                np.concatenate([h.refs for h in histograms]),
                np.concatenate([h.ts_ms for h in histograms]),
                [item for h in histograms for item in h.items],
            )
            if histograms
            else NO_HISTOGRAMS,
            ExemplarRows.joined([b.exemplars for b in batches]),
        )

    def within(self, first_ms: int, last_ms: int) -> MetricBatch:
        """The samples of [first_ms, last_ms]; the batch itself when that is all of them."""
        inside = (self.ts_ms >= first_ms) & (self.ts_ms <= last_ms)
        histograms = self.histograms.within(first_ms, last_ms)
        exemplars = self.exemplars.within(first_ms, last_ms)
        if inside.all() and histograms is self.histograms and exemplars is self.exemplars:
            return self
        return MetricBatch(
            self.index,
            self.refs[inside],
            self.ts_ms[inside],
            self.values[inside],
            self.metadata,
            histograms,
            exemplars,
        )


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
