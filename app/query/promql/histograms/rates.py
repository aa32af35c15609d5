"""rate, increase, delta, irate and idelta of native histograms (promql/functions.go, histogramRate)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from app.histogram import CUSTOM_BUCKETS_SCHEMA, Histogram
from app.labels import Labels
from app.query.promql.context import Context
from app.query.promql.histograms import notes
from app.query.promql.histograms.arithmetic import IncompatibleBuckets, Sum, divided, is_reset, multiplied
from app.query.promql.histograms.layout import compact
from app.query.promql.range_functions import extrapolation
from app.query.promql.windows import Windows
from app.query.vector import Histograms, Ints, no_histograms

Which = npt.NDArray[np.intp]


class Rates:
    """Windows of histograms; `labels_of` gives the series of a window. What is found is one histogram a window."""

    def __init__(
        self, context: Context, histograms: Histograms, w: Windows, labels_of: Callable[[int], Labels]
    ) -> None:
        self._context = context
        self._items: list[Histogram] = histograms.tolist()
        self._w = w
        self._labels_of = labels_of
        self._known_resets: dict[int, bool] = {}

    def extrapolated(self, windows: Which, counter: bool, per_second: bool) -> Histograms:
        """The increase within each of some windows, stretched to the whole of it."""
        w, out = self._w, no_histograms((len(self._w.lo),))
        first, increase = np.zeros(len(w.lo)), np.zeros(len(w.lo))
        for i in self._context.make_histograms(windows.tolist()):
            found = self._increase(int(w.lo[i]), int(w.hi[i]), counter, self._labels_of(i))
            if found is not None:
                out[i], first[i], increase[i] = found, self._items[w.lo[i]].count, found.count
        factor = extrapolation(w, first, increase, counter, per_second)
        for i in windows.tolist():
            if out[i] is not None:
                out[i] = multiplied(out[i], float(factor[i]))
        return out

    def exact(self, windows: Which, base: Ints) -> Histograms:
        """What each of some windows went up by since the histogram at `base`, not stretched."""
        out = no_histograms((len(self._w.lo),))
        for i in self._context.make_histograms(windows.tolist()):
            last, end = int(base[i]), int(self._w.hi[i])
            if end - last > 1:
                out[i] = self._increase(last, end, True, self._labels_of(i))
            else:
                out[i] = compact(gauge(multiplied(self._items[last], 0.0)))
        return out

    def instant(self, windows: Which, counter: bool) -> Histograms:
        """The difference of the last two of each of some windows; of a counter, per second."""
        w, out = self._w, no_histograms((len(self._w.lo),))
        for i in self._context.make_histograms(windows.tolist()):
            at = int(w.hi[i]) - 1
            last, before = self._items[at], self._items[at - 1]
            self._check_hints(last, before, counter, self._labels_of(i))
            if counter and self._reset(at):
                found = last
            else:
                total = Sum(last)
                try:
                    total.add(before, -1.0)
                except IncompatibleBuckets:
                    notes.mixed_schemas(self._context, self._labels_of(i))
                    continue
                notes.of_sum(self._context, total, "subtraction", collisions=False)
                found = total.histogram()
            found = compact(gauge(found))
            seconds = float(w.ts_ms[at] - w.ts_ms[at - 1]) / 1000
            out[i] = divided(found, seconds) if counter else found
        return out

    def _check_hints(self, last: Histogram, first: Histogram, counter: bool, labels: Labels) -> None:
        if counter and "gauge" in (last.hint, first.hint):
            notes.not_a_counter(self._context, labels)
        if not counter and not last.hint == first.hint == "gauge":
            notes.not_a_gauge(self._context, labels)

    def _reset(self, at: int) -> bool:
        """Whether there was a reset between a sample and the one before."""
        if at not in self._known_resets:
            self._known_resets[at] = is_reset(self._items[at], self._items[at - 1])
        return self._known_resets[at]

    def _increase(self, lo: int, hi: int, counter: bool, labels: Labels) -> Histogram | None:
        """From the first to the last of two or more samples; None where their buckets cannot be compared."""
        items = self._items
        first, last, between = items[lo], items[hi - 1], items[lo + 1 : hi - 1]
        if counter and any(h.hint == "gauge" for h in items[lo:hi]):
            notes.not_a_counter(self._context, labels)
        if counter and self._reset(lo + 1):
            # nothing of the first sample is left in the second, so that its layout does not matter
            second = items[lo + 1]
            first = Histogram(second.schema, 0.0, 0.0, custom_values=second.custom_values)
        relevant = [first, *(between if counter else ()), last]
        if len({h.schema == CUSTOM_BUCKETS_SCHEMA for h in relevant}) > 1:
            notes.mixed_schemas(self._context, labels)
            return None
        total = Sum(last)
        total.reduce(min(h.schema for h in relevant))
        total.add(first, -1.0)
        notes.of_sum(self._context, total, "subtraction", collisions=False)
        total.reconciled = False
        if counter:
            for at in range(lo + 2, hi):
                if self._reset(at):
                    total.add(items[at - 1])
            notes.of_sum(self._context, total, "addition", collisions=False)
        else:
            self._check_hints(last, first, counter, labels)
        return compact(gauge(total.histogram()))


def gauge(h: Histogram) -> Histogram:
    """The same, marked as a gauge."""
    return Histogram(
        h.schema, h.count, h.sum, h.zero_threshold, h.zero_count, h.positive, h.negative, h.custom_values, "gauge"
    )
