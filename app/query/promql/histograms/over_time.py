"""Range functions where there are native histograms among the samples (promql/functions.go).

Most functions take only floats, or only histograms, of a window; what they do with a mix is told in a note.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from app.histogram import Histogram
from app.query.promql.context import Context
from app.query.promql.histograms import notes
from app.query.promql.histograms.arithmetic import is_reset, same
from app.query.promql.histograms.rates import Rates
from app.query.promql.histograms.totals import Incompatible, counter_collision, mean, total
from app.query.promql.range_functions import RANGE_FUNCTIONS, counted_from
from app.query.promql.windows import Windows, recut
from app.query.result import Samples
from app.query.vector import Bools, Floats, Histograms, Vector, is_histogram, no_histograms

_BY_TIME = frozenset({"count_over_time", "present_over_time", "ts_of_first_over_time", "ts_of_last_over_time"})
EDGES = frozenset({"first_over_time", "last_over_time"})
"""Functions that give a sample as it is."""
HINTED = frozenset({"avg_over_time", "sum_over_time"})
"""Functions to whose results the reset hints of histograms matter; the rates look for resets themselves."""
_RATES = frozenset({"rate", "increase", "delta"})
_INSTANT_RATES = frozenset({"irate", "idelta"})
_TOTALS = {"sum_over_time": total, "avg_over_time": mean}
_PAIRS: Mapping[str, Callable[[Histogram, Histogram], bool]] = {
    "changes": lambda now, before: not same(now, before),
    "resets": is_reset,
}


def unhinted(histograms: Histograms) -> Histograms:
    """Histograms of a subquery: whether there was a reset before one says nothing of the one before it there."""
    found = histograms.copy()
    for i, h in enumerate(found.tolist()):
        if h is not None and h.hint in ("reset", "not_reset"):
            found[i] = replace(h, hint="unknown")
    return found


def over_time(context: Context, name: str, samples: Samples, w: Windows, parameters: Sequence[Floats]) -> Vector:
    """A range function over windows of `samples`, histograms among them; a row for each series."""
    assert samples.histograms is not None
    found = _OverTime(context, samples, samples.histograms, w)
    if name in _BY_TIME:
        values, present = RANGE_FUNCTIONS[name](w)
        return found.vector(values, present)
    if name in EDGES:
        return found.at(w.lo if name == "first_over_time" else w.hi - 1)
    if name in _PAIRS:
        return found.vector(found.pairs(name), w.some)
    values, present = RANGE_FUNCTIONS[name](found.float_windows, *parameters)
    if name in _RATES:
        return found.rates(name, values, present)
    if name == "increase_exact":
        return found.exact(values, present)
    if name in _INSTANT_RATES:
        return found.instant_rates(name, values, present)
    if name in _TOTALS:
        return found.totals(name, values, present)
    found.ignored()
    return found.vector(values, present)


class _OverTime:
    """Windows of merged samples, and the same windows of the floats among them."""

    def __init__(self, context: Context, samples: Samples, histograms: Histograms, w: Windows) -> None:
        self._context = context
        self._labels = samples.labels
        self._w = w
        self._all = histograms
        self._native = is_histogram(histograms)
        self._steps = len(w.lo) // max(1, len(samples))
        ends = np.concatenate(([0], np.cumsum(~self._native)))
        floats = Samples(
            samples.labels, ends[samples.offsets], samples.ts_ms[~self._native], samples.values[~self._native]
        )
        self.float_windows = recut(w, floats)
        self._out = no_histograms((len(w.lo),))

    def vector(self, values: Floats, present: Bools) -> Vector:
        """The answer, with the histograms found so far."""
        shape = (len(self._labels), self._steps)
        histograms = self._out.reshape(shape) if is_histogram(self._out).any() else None
        return Vector(self._labels, values.reshape(shape), present.reshape(shape), histograms)

    def at(self, positions: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Vector:
        """The samples at positions."""
        some = self._w.some
        self._out[some] = self._all[positions[some]]
        return self.vector(self._w.at(positions), some)

    def pairs(self, name: str) -> Floats:
        """For each window, how many samples differ from the one before them in the way of `_PAIRS`."""
        items, native, values = self._all.tolist(), self._native, self._w.values
        before = np.concatenate((values[:1], values[:-1]))
        changed = (before != values) & ~(np.isnan(before) & np.isnan(values))
        counts = changed if name == "changes" else values < before
        for i in np.flatnonzero(native | np.append(False, native[:-1])).tolist():
            both = i > 0 and native[i] and native[i - 1]
            counts[i] = _PAIRS[name](items[i], items[i - 1]) if both else True
        return self._w.sums_over_pairs(counts.astype(np.float64))

    def rates(self, name: str, values: Floats, present: Bools) -> Vector:
        """rate, increase or delta."""
        pure = self._without_mixed(present)
        rates = Rates(self._context, self._all, self._w, lambda i: self._labels[i // self._steps])
        self._out = rates.extrapolated(
            pure[self._w.counts[pure] >= 2], counter=name != "delta", per_second=name == "rate"
        )
        return self.vector(values, present | is_histogram(self._out))

    def exact(self, values: Floats, present: Bools) -> Vector:
        """increase_exact."""
        pure = self._without_mixed(present)
        w, base = self._w, counted_from(self._w)
        rates = Rates(self._context, self._all, w, lambda i: self._labels[i // self._steps])
        # a float before histograms is nothing they could be counted from
        self._out = rates.exact(pure, np.where(self._native[np.clip(base, 0, None)], base, w.lo))
        return self.vector(values, present | is_histogram(self._out))

    def instant_rates(self, name: str, values: Floats, present: Bools) -> Vector:
        """irate or idelta, of the last two samples of each window."""
        w = self._w
        enough = w.counts >= 2
        last, before = (self._native[np.clip(w.hi - back, 0, None)] & enough for back in (1, 2))
        for i in np.flatnonzero(last != before).tolist():
            notes.mixed_in_range(self._context, self._labels[i // self._steps])
        rates = Rates(self._context, self._all, w, lambda i: self._labels[i // self._steps])
        self._out = rates.instant(np.flatnonzero(last & before), counter=name == "irate")
        return self.vector(values, (present & ~last & ~before) | is_histogram(self._out))

    def totals(self, name: str, values: Floats, present: Bools) -> Vector:
        """sum_over_time or avg_over_time."""
        for i in self._context.make_histograms(self._without_mixed(present).tolist()):
            items = self._all[self._w.lo[i] : self._w.hi[i]].tolist()
            try:
                result = _TOTALS[name](items)
            except Incompatible:
                notes.mixed_schemas(self._context, self._labels[i // self._steps])
                continue
            if counter_collision(items):
                notes.collided(self._context, "aggregation")
            notes.of_sum(self._context, result, "aggregation", collisions=False)
            self._out[i] = result.histogram()
        return self.vector(values, present | is_histogram(self._out))

    def ignored(self) -> None:
        """Tells of histograms beside floats."""
        for row in self._series(self._mixed()):
            notes.ignored_in_range(self._context, self._labels[row])

    def _mixed(self) -> Bools:
        floats = self.float_windows.counts
        return (floats > 0) & (floats < self._w.counts)

    def _without_mixed(self, present: Bools) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
        """The windows of histograms alone; those that are mixed are told of and have no answer."""
        mixed = self._mixed()
        present &= ~mixed
        for row in self._series(mixed):
            notes.mixed_in_range(self._context, self._labels[row])
        return np.flatnonzero((self.float_windows.counts == 0) & self._w.some)

    def _series(self, windows: Bools) -> list[int]:
        return [int(row) for row in np.unique(np.flatnonzero(windows) // self._steps)]
