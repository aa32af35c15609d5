"""What a native histogram says about its observations: quantiles, fractions, spread (promql/quantile.go).

Within a bucket observations are taken to lie evenly: on a logarithmic scale in an exponential bucket, on a linear one
in the zero bucket and in custom buckets.
"""

from __future__ import annotations

import math

import numpy as np

from app.histogram import CUSTOM_BUCKETS_SCHEMA, Histogram
from app.query.promql import kahan
from app.query.promql.histograms.bounds import Spread, spread

NAN_RESULT = "input to histogram_quantile has NaN observations, result is NaN"
NAN_SKEW = "input to histogram_quantile has NaN observations, result is skewed higher"
NAN_EXCLUDED = "input to histogram_fraction has NaN observations, which are excluded from all fractions"


def count_of(h: Histogram) -> float:
    """How many observations."""
    return h.count


def sum_of(h: Histogram) -> float:
    """Their sum."""
    return h.sum


def average(h: Histogram) -> float:
    """Their mean."""
    return float(np.divide(h.sum, h.count))


def variance(h: Histogram) -> float:
    """Their variance, each taken to be in the middle of its bucket; 0 in the zero bucket."""
    buckets = spread(h)
    some = buckets.count != 0
    lower, upper, count = buckets.lower[some], buckets.upper[some], buckets.count[some]
    if h.schema == CUSTOM_BUCKETS_SCHEMA:
        middle = (upper + lower) / 2
    else:
        middle = np.where((lower <= 0) & (upper >= 0), 0.0, np.copysign(np.sqrt(upper * lower), upper))
    delta = middle - average(h)
    total = lost = np.zeros(1)
    for item in count * delta * delta:
        total, lost = kahan.add(total, lost, item)
    return float(np.divide(total[0] + lost[0], h.count))


def deviation(h: Histogram) -> float:
    """The square root of the variance."""
    return float(np.sqrt(variance(h)))


def quantile(q: float, h: Histogram) -> tuple[float, str]:
    """(the q-th quantile, a note about NaN observations or nothing)."""
    if q < 0 or q > 1:
        return math.copysign(math.inf, q), ""
    if h.count == 0 or math.isnan(q):
        return math.nan, ""
    odd = math.isnan(h.sum)
    forward = odd or q < 0.5
    rank = q * h.count if forward else (1 - q) * h.count
    lower, upper, inside, count, total = _bucket_of(rank, spread(h), forward)
    custom = h.schema == CUSTOM_BUCKETS_SCHEMA
    if not custom and lower < 0 < upper:
        lower, upper = _one_sided(lower, upper, h)
    elif custom and lower == -math.inf:
        if upper <= 0:
            return upper, ""
        lower = 0.0
    elif custom and upper == math.inf:
        return lower, ""
    count = min(count, h.count)
    if count < rank:
        return (math.nan, NAN_RESULT) if odd else (upper, "")
    rank = rank - (count - inside) if forward else count - rank
    note = NAN_SKEW if odd and total < h.count else ""
    part = float(np.divide(rank, inside))
    if custom or lower <= 0 <= upper:
        return lower + (upper - lower) * part, note
    low, high = np.log2(abs(lower)), np.log2(abs(upper))
    if lower > 0:
        return float(np.exp2(low + (high - low) * part)), note
    return -float(np.exp2(high + (low - high) * (1 - part))), note


def _bucket_of(rank: float, buckets: Spread, forward: bool) -> tuple[float, float, float, float, float]:
    """(lower, upper, count) of the bucket the rank is in, the count up to its end, and that of all buckets."""
    way = slice(None) if forward else slice(None, None, -1)
    lower, upper, count = buckets.lower[way], buckets.upper[way], buckets.count[way]
    if not len(count):
        return 0.0, 0.0, 0.0, 0.0, 0.0
    so_far = np.cumsum(count)
    reached = (so_far >= rank) & (count != 0)
    k = int(reached.argmax()) if bool(reached.any()) else len(count) - 1
    return float(lower[k]), float(upper[k]), float(count[k]), float(so_far[k]), float(so_far[-1])


def _one_sided(lower: float, upper: float, h: Histogram) -> tuple[float, float]:
    """The zero bucket of a histogram that has only positive, or only negative buckets, ends at zero."""
    if not len(h.negative.index) and len(h.positive.index):
        return 0.0, upper
    if not len(h.positive.index) and len(h.negative.index):
        return lower, 0.0
    return lower, upper


def fraction(low: float, high: float, h: Histogram) -> tuple[float, str]:
    """(the fraction of observations between two values, a note about NaN observations or nothing)."""
    if h.count == 0 or math.isnan(low) or math.isnan(high):
        return math.nan, ""
    if low >= high:
        return 0.0, ""
    buckets = spread(h)
    count, note = h.count, ""
    if math.isnan(h.sum):
        count = float(buckets.count.sum())
        note = NAN_EXCLUDED if count < h.count else ""
    ranks = [min(rank, count) for rank in (_rank_below(value, buckets, h) for value in (low, high))]
    return (ranks[1] - ranks[0]) / h.count, note


def _rank_below(value: float, buckets: Spread, h: Histogram) -> float:
    custom = h.schema == CUSTOM_BUCKETS_SCHEMA
    rank = 0.0
    rows = zip(buckets.lower.tolist(), buckets.upper.tolist(), buckets.count.tolist(), strict=True)
    for lower, upper, count in rows:
        zero = lower <= 0 <= upper
        if zero:
            lower, upper = _one_sided(lower, upper, h)
        if lower >= value:
            return rank
        if lower < value < upper:
            # nothing is known of how observations lie in a bucket without end
            part = 1.0 if lower == -math.inf else part_below(value, lower, upper, custom or zero)
            return float(rank + count * part)
        rank += count
    return math.inf


def part_below(value: float, lower: float, upper: float, linear: bool) -> float:
    """Which part of a bucket's observations lies below a value inside it."""
    if linear:
        return float(np.divide(value - lower, upper - lower))
    low, high, at = (float(np.log2(abs(x))) for x in (lower, upper, value))
    return float(np.divide(at - low, high - low)) if value > 0 else 1 - float(np.divide(at - high, low - high))
