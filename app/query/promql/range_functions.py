"""Range functions on windows of raw samples: the array path, and the only one of functions the engine lacks.

Each takes windows and scalar parameters (one value a window) and gives values and presence, one a window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from app.query.promql import kahan, kernels
from app.query.promql.quantiles import quantile_of_rows
from app.query.promql.regression import deriv, predict_linear
from app.query.promql.windows import Windows, sums_between
from app.query.vector import Bools, Floats, Ints

RangeFunction = Callable[..., tuple[Floats, Bools]]


def _count(w: Windows) -> tuple[Floats, Bools]:
    return w.counts.astype(np.float64), w.some


def _last(w: Windows) -> tuple[Floats, Bools]:
    return w.at(w.hi - 1), w.some


def _first(w: Windows) -> tuple[Floats, Bools]:
    return w.at(w.lo), w.some


def _present(w: Windows) -> tuple[Floats, Bools]:
    return np.ones(len(w.lo)), w.some


def _sum(w: Windows) -> tuple[Floats, Bools]:
    total, lost = np.zeros(len(w.lo)), np.zeros(len(w.lo))
    for active, positions in w.columns():
        total[active], lost[active] = kahan.add(total[active], lost[active], w.values[positions])
    return total + lost, w.some


def _avg(w: Windows) -> tuple[Floats, Bools]:
    total, some = _sum(w)
    mean = total / np.maximum(w.counts, 1)
    overflown = np.flatnonzero(np.isinf(mean) & some)
    for i in overflown.tolist():
        mean[i] = kernels.mean_of(w.values, int(w.lo[i]), int(w.hi[i]))
    return mean, some


def _extreme(pick: Callable[..., Floats]) -> RangeFunction:
    def function(w: Windows) -> tuple[Floats, Bools]:
        best = w.at(w.lo).copy()
        for active, positions in w.columns(1):
            best[active] = pick(best[active], w.values[positions])
        return best, w.some

    return function


def _variance(w: Windows) -> tuple[Floats, Bools]:
    n = len(w.lo)
    mean, mean_lost, squares, squares_lost = (np.zeros(n) for _ in range(4))
    for k, (active, positions) in enumerate(w.columns(), 1):
        item = w.values[positions]
        delta = item - (mean[active] + mean_lost[active])
        mean[active], mean_lost[active] = kahan.add(mean[active], mean_lost[active], delta / k)
        again = item - (mean[active] + mean_lost[active])
        squares[active], squares_lost[active] = kahan.add(squares[active], squares_lost[active], delta * again)
    return (squares + squares_lost) / np.maximum(w.counts, 1), w.some


def _deviation(w: Windows) -> tuple[Floats, Bools]:
    variance, some = _variance(w)
    return np.sqrt(variance), some


def _quantile(w: Windows, q: Floats) -> tuple[Floats, Bools]:
    out, some = np.zeros(len(w.lo)), w.some
    for chunk in w.chunks(np.flatnonzero(some)):
        out[chunk] = quantile_of_rows(*w.padded(chunk), q[chunk])
    return out, some


def _mad(w: Windows) -> tuple[Floats, Bools]:
    out, some = np.zeros(len(w.lo)), w.some
    for chunk in w.chunks(np.flatnonzero(some)):
        rows, real = w.padded(chunk)
        half = np.full(len(chunk), 0.5)
        median = quantile_of_rows(rows, real, half)
        found = quantile_of_rows(np.abs(rows - median[:, None]), real, half)
        out[chunk] = np.where((np.isnan(rows) & real).any(axis=1), np.nan, found)
    return out, some


def _pairs(w: Windows) -> tuple[Floats, Floats]:
    """(sample before, sample) for each sample; pairs across series mean nothing and are in no window."""
    return np.concatenate((w.values[:1], w.values[:-1])), w.values


def _changes(w: Windows) -> tuple[Floats, Bools]:
    before, now = _pairs(w)
    changed = (before != now) & ~(np.isnan(before) & np.isnan(now))
    return w.sums_over_pairs(changed.astype(np.float64)), w.some


def _resets(w: Windows) -> tuple[Floats, Bools]:
    before, now = _pairs(w)
    return w.sums_over_pairs((now < before).astype(np.float64)), w.some


def _extrapolated(counter: bool, per_second: bool) -> RangeFunction:
    """promql/functions.go, extrapolatedRate: the increase between first and last sample, stretched to the window."""

    def function(w: Windows) -> tuple[Floats, Bools]:
        first = w.at(w.lo)
        result = w.at(w.hi - 1) - first
        if counter:
            before, now = _pairs(w)
            result = result + w.sums_over_pairs(np.where(now < before, before, 0.0))
        return result * extrapolation(w, first, result, counter, per_second), w.counts >= 2

    return function


def extrapolation(w: Windows, first: Floats, result: Floats, counter: bool, per_second: bool) -> Floats:
    """What to multiply the increase `result` between first and last sample with; `first` is a counter's start."""
    first_ms, last_ms = w.time_at(w.lo), w.time_at(w.hi - 1)
    to_start = (first_ms - (w.ends_ms - w.range_ms)) / 1000
    to_end = (w.ends_ms - last_ms) / 1000
    sampled = (last_ms - first_ms) / 1000
    average = sampled / np.maximum(w.counts - 1, 1)
    threshold = average * 1.1
    to_start = np.where(to_start >= threshold, average / 2, to_start)
    if counter:
        to_zero = np.where((result > 0) & (first >= 0), sampled * (first / result), to_start)
        to_start = np.where(to_zero < to_start, to_zero, to_start)
    to_end = np.where(to_end >= threshold, average / 2, to_end)
    factor = np.where(sampled != 0, (sampled + to_start + to_end) / sampled, 1.0)
    return factor / (w.range_ms / 1000) if per_second else factor


def _instant(per_second: bool) -> RangeFunction:
    def function(w: Windows) -> tuple[Floats, Bools]:
        last, before = w.at(w.hi - 1), w.at(w.hi - 2)
        interval = (w.time_at(w.hi - 1) - w.time_at(w.hi - 2)) / 1000
        if per_second:
            return np.where(last < before, last, last - before) / interval, w.counts >= 2
        return last - before, w.counts >= 2

    return function


def _time_of(pick: Callable[[Floats, Floats], Bools]) -> RangeFunction:
    def function(w: Windows) -> tuple[Floats, Bools]:
        best, where = w.at(w.lo).copy(), w.lo.copy()
        for active, positions in w.columns(1):
            item = w.values[positions]
            better = pick(item, best[active]) | np.isnan(best[active])
            best[active] = np.where(better, item, best[active])
            where[active] = np.where(better, positions, where[active])
        return w.time_at(where) / 1000, w.some

    return function


def _smoothed(w: Windows, smoothing: Floats, trend_factor: Floats) -> tuple[Floats, Bools]:
    level, trend = w.at(w.lo).copy(), w.at(w.lo + 1) - w.at(w.lo)
    previous = level.copy()
    for k, (active, positions) in enumerate(w.columns(1), 1):
        s, t = smoothing[active], trend_factor[active]
        if k > 1:
            # the trend the last level left behind
            trend[active] = t * (level[active] - previous[active]) + (1 - t) * trend[active]
        previous[active] = level[active]
        level[active] = s * w.values[positions] + (1 - s) * (level[active] + trend[active])
    return level, w.counts >= 2


def _increase_exact(w: Windows) -> tuple[Floats, Bools]:
    """What the counter itself went up by, not extrapolated: adjacent windows add up to the counter's own increase.

    The last sample before the window, at most BASELINE_MS back, is what its first sample is counted from; without
    one the first sample counts nothing.
    """
    before, now = _pairs(w)
    first = counted_from(w)
    resets = sums_between(np.where(now < before, before, 0.0), first + 1, w.hi)
    return w.at(w.hi - 1) - w.at(first) + resets, w.some


def counted_from(w: Windows) -> Ints:
    """The position of the sample that `increase_exact` counts each window from."""
    previous = w.lo - 1
    based = (previous >= w.series_start) & (w.time_at(previous) > w.ends_ms - w.range_ms - kernels.BASELINE_MS)
    return np.where(based, previous, w.lo)


RANGE_FUNCTIONS: Mapping[str, RangeFunction] = {
    "avg_over_time": _avg,
    "changes": _changes,
    "count_over_time": _count,
    "delta": _extrapolated(counter=False, per_second=False),
    "deriv": deriv,
    "double_exponential_smoothing": _smoothed,
    "first_over_time": _first,
    "idelta": _instant(per_second=False),
    "increase": _extrapolated(counter=True, per_second=False),
    "increase_exact": _increase_exact,
    "irate": _instant(per_second=True),
    "last_over_time": _last,
    "mad_over_time": _mad,
    "max_over_time": _extreme(np.fmax),
    "min_over_time": _extreme(np.fmin),
    "predict_linear": predict_linear,
    "present_over_time": _present,
    "quantile_over_time": _quantile,
    "rate": _extrapolated(counter=True, per_second=True),
    "resets": _resets,
    "stddev_over_time": _deviation,
    "stdvar_over_time": _variance,
    "sum_over_time": _sum,
    "ts_of_first_over_time": lambda w: (w.time_at(w.lo) / 1000, w.some),
    "ts_of_last_over_time": lambda w: (w.time_at(w.hi - 1) / 1000, w.some),
    "ts_of_max_over_time": _time_of(np.greater_equal),
    "ts_of_min_over_time": _time_of(np.less_equal),
}
KEEPS_NAME = frozenset({"last_over_time", "first_over_time"})
"""Range functions whose result is still the metric."""
