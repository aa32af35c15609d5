"""Raw samples cut into windows: for each series and step the samples in (t - range, t]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from app.query.result import Samples
from app.query.vector import Bools, Floats, Ints

_CHUNK_CELLS = 4_000_000
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows one after another, series by series. Window w has the samples from `lo[w]` to before `hi[w]`.

    `ends_ms` is the time each window ends at, `asked_ms` the time it is evaluated for (later by the offset);
    `series_start[w]` is where the samples of its series begin.
    """

    ts_ms: Ints
    values: Floats
    lo: Ints
    hi: Ints
    ends_ms: Ints
    asked_ms: Ints
    series_start: Ints
    range_ms: int

    @property
    def counts(self) -> Ints:
        """Samples in each window."""
        return self.hi - self.lo

    @property
    def some(self) -> Bools:
        """Which windows have a sample."""
        return self.hi > self.lo

    def at(self, positions: Ints) -> Floats:
        """Values at positions; any value where a position lies outside (of an empty window)."""
        return _gather(self.values, positions)

    def time_at(self, positions: Ints) -> Ints:
        """Times at positions, otherwise as `at`."""
        return _gather(self.ts_ms, positions)

    def columns(self, first: int = 0) -> Iterator[tuple[npt.NDArray[np.intp], Ints]]:
        """(windows that have a k-th sample, its positions) for k from `first` on."""
        counts = self.counts
        active = np.flatnonzero(counts > first)
        k = first
        while len(active):
            yield active, self.lo[active] + k
            k += 1
            active = active[counts[active] > k]

    def sums_over_pairs(self, of_pair: Floats) -> Floats:
        """For each window the sum of `of_pair[i]` over its samples but the first; `of_pair[i]` is about i - 1 and i."""
        return sums_between(of_pair, self.lo + 1, self.hi)

    def padded(self, windows: npt.NDArray[np.intp]) -> tuple[Floats, Bools]:
        """The samples of some windows as rows of a rectangle, and which cells are samples."""
        counts = self.counts[windows]
        width = np.arange(int(counts.max(initial=0)))
        real = width[None, :] < counts[:, None]
        positions = np.where(real, self.lo[windows][:, None] + width[None, :], 0)
        return self.at(positions), real

    def chunks(self, windows: npt.NDArray[np.intp]) -> Iterator[npt.NDArray[np.intp]]:
        """The windows in parts that are not too large to be padded."""
        ordered = windows[np.argsort(self.counts[windows], kind="stable")]
        start = 0
        while start < len(ordered):
            # counts grow, so that a part is padded to little more than it holds
            size = len(ordered) - start
            while size > 1 and size * int(self.counts[ordered[start + size - 1]]) > _CHUNK_CELLS:
                size = (size + 1) // 2
            yield ordered[start : start + size]
            start += size


def sums_between(items: Floats, lo: Ints, hi: Ints) -> Floats:
    """sum(items[lo:hi]) for each pair, added up anew each time: differences of running sums would lose digits."""
    out = np.zeros(len(lo))
    some = np.flatnonzero(hi > lo)
    if len(some) and bool(items.any()):
        # reduceat takes alternating starts and ends; the sums from an end to the next start are thrown away
        edges = np.empty(2 * len(some), np.intp)
        edges[0::2], edges[1::2] = lo[some], hi[some]
        out[some] = np.add.reduceat(np.append(items, 0.0), edges)[0::2]
    return out


def recut(windows: Windows, samples: Samples) -> Windows:
    """The same windows over other samples of the same series."""
    steps = len(windows.lo) // max(1, len(samples))
    return cut(samples, windows.ends_ms[:steps], windows.range_ms, windows.asked_ms[:steps])


def cut(samples: Samples, times_ms: Ints, range_ms: int, asked_ms: Ints | None = None) -> Windows:
    """The windows that end at `times_ms`, `range_ms` long, of every series; `asked_ms` are as many times."""
    n, steps = len(samples), len(times_ms)
    starts = samples.offsets[:-1]
    shape = n * steps
    ends = np.tile(times_ms, n)
    asked = ends if asked_ms is None else np.tile(asked_ms, n)
    if not len(samples.ts_ms):
        zeros = np.zeros(shape, np.int64)
        return Windows(samples.ts_ms, samples.values, zeros, zeros, ends, asked, zeros, range_ms)
    # one search for all series: each gets a stretch of numbers of its own, as long as the times there are
    base = int(samples.ts_ms.min())
    span = int(samples.ts_ms.max()) - base + 2
    series = np.repeat(np.arange(n, dtype=np.int64), np.diff(samples.offsets))
    keys = series * span + (samples.ts_ms - base)
    own = (np.arange(n, dtype=np.int64) * span)[:, None]
    upper = own + np.clip(times_ms - base, -1, span - 1)[None, :]
    lower = own + np.clip(times_ms - range_ms - base, -1, span - 1)[None, :]
    hi = np.searchsorted(keys, upper.ravel(), side="right")
    lo = np.searchsorted(keys, lower.ravel(), side="right")
    return Windows(
        samples.ts_ms,
        samples.values,
        lo.astype(np.int64),
        hi.astype(np.int64),
        ends,
        asked,
        np.repeat(starts, steps),
        range_ms,
    )


def _gather(source: npt.NDArray[T], positions: Ints) -> npt.NDArray[T]:
    if not len(source):
        return np.zeros(positions.shape, source.dtype)
    return source[np.clip(positions, 0, len(source) - 1)]
