"""Loops over samples, compiled by Numba: windows of raw samples in, a grid of values out.

Samples come as `ts` (int64 ms) and `values`, series after series; series i has those from `offsets[i]` to before
`offsets[i + 1]`, ascending in time. A window is (end - window, end], for `steps` ends from `first` on, `step` ms apart.
Results are written to `out` and `present`, [series, steps]. All release the interpreter's lock.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from app.query.vector import Bools, Floats, Ints
from app.store.metrics import STALE_NAN_BITS

_F = TypeVar("_F", bound=Callable[..., Any])
BASELINE_MS = 300_000
"""How far before a window `increase_exact` looks for the sample to count from."""


def kernel(function: _F) -> _F:
    """Compiles a function when it is first called, and keeps the machine code on disk where that can be written."""
    for cache in (True, False):
        try:
            return cast(_F, numba.njit(nogil=True, cache=cache, error_model="numpy")(function))
        except RuntimeError:
            # no folder for the code can be written: it is compiled anew by each process
            continue
    return function


@kernel
def tidy(
    times: Any,
    values: Floats,
    offsets: Ints,
    order: Ints,
    base: int,
    keep_stale: bool,
    ts_out: Ints,
    values_out: Floats,
) -> Ints:
    """Copies samples in order, each time once (the largest value counts), stale markers left out unless they are kept.

    `times` are ms after `base`, in any order; `order` is the order of the series in the copies. Gives the offsets in
    the copies, whose first part is used.
    """
    bits = values.view(np.int64)
    new_offsets = np.zeros(len(offsets), np.int64)
    n = 0
    for row in range(len(order)):
        start = n
        a, b = offsets[order[row]], offsets[order[row] + 1]
        ascending = True
        for i in range(a + 1, b):
            if times[i] <= times[i - 1]:
                ascending = False
                break
        if ascending:
            for i in range(a, b):
                if keep_stale or bits[i] != STALE_NAN_BITS:
                    ts_out[n] = base + np.int64(times[i])
                    values_out[n] = values[i]
                    n += 1
        else:
            for j in np.argsort(times[a:b], kind="mergesort"):
                i = a + j
                at = base + np.int64(times[i])
                if not keep_stale and bits[i] == STALE_NAN_BITS:
                    continue
                if n > start and ts_out[n - 1] == at:
                    if values[i] > values_out[n - 1] or math.isnan(values_out[n - 1]):
                        values_out[n - 1] = values[i]
                    continue
                ts_out[n] = at
                values_out[n] = values[i]
                n += 1
        new_offsets[row + 1] = n
    return new_offsets


@kernel
def extrapolated(
    ts: Ints,
    values: Floats,
    offsets: Ints,
    first: int,
    step: int,
    steps: int,
    window: int,
    counter: bool,
    per_second: bool,
    out: Floats,
    present: Bools,
) -> None:
    """rate, increase and delta as promql/functions.go has them (extrapolatedRate)."""
    for s in range(len(offsets) - 1):
        lo = hi = offsets[s]
        b = offsets[s + 1]
        # pairs inside the window where the counter went down
        resets = 0
        for k in range(steps):
            end = first + k * step
            while hi < b and ts[hi] <= end:
                if hi > lo and values[hi] < values[hi - 1]:
                    resets += 1
                hi += 1
            while lo < hi and ts[lo] <= end - window:
                lo += 1
                if lo < hi and values[lo] < values[lo - 1]:
                    resets -= 1
            gaps = hi - lo - 1
            if gaps < 1:
                if hi == lo:
                    resets = 0
                present[s, k] = False
                out[s, k] = 0.0
                continue
            earliest = values[lo]
            result = values[hi - 1] - earliest
            if counter and resets > 0:
                for i in range(lo + 1, hi):
                    if values[i] < values[i - 1]:
                        result += values[i - 1]
            to_start = np.float64(ts[lo] - (end - window)) / 1000.0
            to_end = np.float64(end - ts[hi - 1]) / 1000.0
            sampled = np.float64(ts[hi - 1] - ts[lo]) / 1000.0
            average = sampled / gaps
            threshold = average * 1.1
            if to_start >= threshold:
                to_start = average / 2
            if counter and result > 0 and earliest >= 0:
                to_zero = sampled * (earliest / result)
                if to_zero < to_start:
                    to_start = to_zero
            if to_end >= threshold:
                to_end = average / 2
            factor = (sampled + to_start + to_end) / sampled
            if per_second:
                factor /= window / 1000.0
            out[s, k] = result * factor
            present[s, k] = True


@kernel
def increased(
    ts: Ints, values: Floats, offsets: Ints, first: int, step: int, steps: int, window: int, out: Floats, present: Bools
) -> None:
    """increase_exact: from the last sample before the window, if it is near, to the last one in it; no extrapolation.

    Samples begin BASELINE_MS before the first window.
    """
    for s in range(len(offsets) - 1):
        a = lo = hi = offsets[s]
        b = offsets[s + 1]
        # pairs inside the window where the counter went down
        resets = 0
        for k in range(steps):
            end = first + k * step
            while hi < b and ts[hi] <= end:
                if hi > lo and values[hi] < values[hi - 1]:
                    resets += 1
                hi += 1
            while lo < hi and ts[lo] <= end - window:
                lo += 1
                if lo < hi and values[lo] < values[lo - 1]:
                    resets -= 1
            if hi == lo:
                present[s, k] = False
                out[s, k] = 0.0
                continue
            base = lo - 1 if lo > a and ts[lo - 1] > end - window - BASELINE_MS else lo
            result = values[hi - 1] - values[base]
            if resets > 0 or values[lo] < values[base]:
                for i in range(base + 1, hi):
                    if values[i] < values[i - 1]:
                        result += values[i - 1]
            out[s, k] = result
            present[s, k] = True


@kernel
def last_two(
    ts: Ints,
    values: Floats,
    offsets: Ints,
    first: int,
    step: int,
    steps: int,
    window: int,
    per_second: bool,
    out: Floats,
    present: Bools,
) -> None:
    """irate (`per_second`) and idelta: from the last two samples of the window."""
    for s in range(len(offsets) - 1):
        a = hi = offsets[s]
        b = offsets[s + 1]
        for k in range(steps):
            end = first + k * step
            while hi < b and ts[hi] <= end:
                hi += 1
            if hi - a < 2 or ts[hi - 2] <= end - window:
                present[s, k] = False
                out[s, k] = 0.0
                continue
            now, before = values[hi - 1], values[hi - 2]
            change = now if per_second and now < before else now - before
            if per_second:
                change /= np.float64(ts[hi - 1] - ts[hi - 2]) / 1000.0
            out[s, k] = change
            present[s, k] = True


@kernel
def newest(
    ts: Ints,
    values: Floats,
    offsets: Ints,
    first: int,
    step: int,
    steps: int,
    window: int,
    seconds: bool,
    out: Floats,
    present: Bools,
) -> None:
    """The last sample of the window, or its time in `seconds`; nothing where that is a stale marker."""
    bits = values.view(np.int64)
    for s in range(len(offsets) - 1):
        a = hi = offsets[s]
        b = offsets[s + 1]
        for k in range(steps):
            end = first + k * step
            while hi < b and ts[hi] <= end:
                hi += 1
            some = hi > a and ts[hi - 1] > end - window and bits[hi - 1] != STALE_NAN_BITS
            present[s, k] = some
            if not some:
                out[s, k] = 0.0
            elif seconds:
                out[s, k] = ts[hi - 1] / 1000.0
            else:
                out[s, k] = values[hi - 1]


COUNT, CHANGES, RESETS = 0, 1, 2


@kernel
def counted(
    ts: Ints,
    values: Floats,
    offsets: Ints,
    first: int,
    step: int,
    steps: int,
    window: int,
    what: int,
    out: Floats,
    present: Bools,
) -> None:
    """How many samples, changes or resets there are in the window."""
    for s in range(len(offsets) - 1):
        lo = hi = offsets[s]
        b = offsets[s + 1]
        pairs = 0
        for k in range(steps):
            end = first + k * step
            while hi < b and ts[hi] <= end:
                if hi > lo:
                    pairs += _counts(values[hi - 1], values[hi], what)
                hi += 1
            while lo < hi and ts[lo] <= end - window:
                lo += 1
                if lo < hi:
                    pairs -= _counts(values[lo - 1], values[lo], what)
            present[s, k] = hi > lo
            out[s, k] = hi - lo if what == COUNT else pairs


@kernel
def _counts(before: float, now: float, what: int) -> int:
    if what == RESETS:
        return 1 if now < before else 0
    if what == CHANGES:
        return 1 if before != now and not (math.isnan(before) and math.isnan(now)) else 0
    return 0


@kernel
def extreme(
    ts: Ints,
    values: Floats,
    offsets: Ints,
    first: int,
    step: int,
    steps: int,
    window: int,
    largest: bool,
    out: Floats,
    present: Bools,
) -> None:
    """The largest or smallest value of the window; NaN only where there is nothing else."""
    widest = 0
    for s in range(len(offsets) - 1):
        widest = max(widest, offsets[s + 1] - offsets[s])
    # positions of candidates, each better than all that come after it: the front one is the answer
    queue = np.empty(widest, np.int64)
    for s in range(len(offsets) - 1):
        lo = hi = offsets[s]
        b = offsets[s + 1]
        front = back = 0
        for k in range(steps):
            end = first + k * step
            while hi < b and ts[hi] <= end:
                x = values[hi]
                if not math.isnan(x):
                    while back > front and (values[queue[back - 1]] <= x if largest else values[queue[back - 1]] >= x):
                        back -= 1
                    queue[back] = hi
                    back += 1
                hi += 1
            while lo < hi and ts[lo] <= end - window:
                lo += 1
            while front < back and queue[front] < lo:
                front += 1
            present[s, k] = hi > lo
            out[s, k] = values[queue[front]] if front < back else np.nan


@kernel
def summed(
    ts: Ints,
    values: Floats,
    offsets: Ints,
    first: int,
    step: int,
    steps: int,
    window: int,
    mean: bool,
    out: Floats,
    present: Bools,
) -> None:
    """The sum or mean of the window, compensated (Neumaier), without adding each sample once for every window.

    The window is two stretches: `older` holds the sums from each of its samples to its end, worked out once; `newer`
    grows by what comes in. When the older stretch is used up, the newer one becomes it.
    """
    widest = 0
    for s in range(len(offsets) - 1):
        widest = max(widest, offsets[s + 1] - offsets[s])
    older, older_lost = np.empty(widest + 1), np.empty(widest + 1)
    for s in range(len(offsets) - 1):
        a = lo = hi = middle = offsets[s]
        b = offsets[s + 1]
        newer = newer_lost = 0.0
        odd = 0  # values in the window that are no finite numbers
        for k in range(steps):
            end = first + k * step
            while hi < b and ts[hi] <= end:
                x = values[hi]
                if math.isfinite(x):
                    newer, newer_lost = add(newer, newer_lost, x)
                else:
                    odd += 1
                hi += 1
            while lo < hi and ts[lo] <= end - window:
                if not math.isfinite(values[lo]):
                    odd -= 1
                lo += 1
            if lo >= middle:
                total = lost = 0.0
                older[hi - a] = older_lost[hi - a] = 0.0
                for i in range(hi - 1, lo - 1, -1):
                    if math.isfinite(values[i]):
                        total, lost = add(total, lost, values[i])
                    older[i - a], older_lost[i - a] = total, lost
                middle = hi
                newer = newer_lost = 0.0
            n = hi - lo
            present[s, k] = n > 0
            if n == 0:
                out[s, k] = 0.0
                continue
            total, lost = newer, newer_lost
            if lo < middle:
                total, lost = add(total, lost + older_lost[lo - a], older[lo - a])
            result = total / n + lost / n if mean else total + lost
            if odd > 0 or not math.isfinite(result):
                result = mean_of(values, lo, hi) if mean else _sum_of(values, lo, hi)
            out[s, k] = result


@kernel
def add(total: float, lost: float, x: float) -> tuple[float, float]:
    """A sum and what it has lost so far, after one more (Neumaier; kahanSumInc in Prometheus)."""
    new = total + x
    if math.isinf(new):
        return new, 0.0
    if abs(total) >= abs(x):
        return new, lost + ((total - new) + x)
    return new, lost + ((x - new) + total)


@kernel
def _sum_of(values: Floats, lo: int, hi: int) -> float:
    total = lost = 0.0
    for i in range(lo, hi):
        total, lost = add(total, lost, values[i])
    return total + lost


@kernel
def mean_of(values: Floats, lo: int, hi: int) -> float:
    """The mean by the sum, or by a running mean where the sum overflows."""
    total = lost = 0.0
    n = 0
    for i in range(lo, hi):
        n += 1
        new, more = add(total, lost, values[i])
        if n > 1 and math.isinf(new):
            return _running_mean(values, i, hi, total / (n - 1), lost / (n - 1), n - 1)
        total, lost = new, more
    return total / n + lost / n


@kernel
def _running_mean(values: Floats, lo: int, hi: int, mean: float, lost: float, n: int) -> float:
    for i in range(lo, hi):
        n += 1
        q = (n - 1) / n
        mean, lost = add(q * mean, q * lost, values[i] / n)
    return mean + lost
