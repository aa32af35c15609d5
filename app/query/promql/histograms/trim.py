"""The operators `</` and `>/`: what lies above, or below, a value is cut off (TrimBuckets of Prometheus)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from app.histogram import CUSTOM_BUCKETS_SCHEMA, Buckets, Histogram
from app.query.promql.histograms.bounds import upper_bounds
from app.query.promql.histograms.layout import compact
from app.query.promql.histograms.shape import part_below

Kept = tuple[float, float]
"""(how many observations stay, where their middle is taken to be)."""


def trimmed(h: Histogram, value: float, below: bool) -> Histogram:
    """Only what is below `value`, or else above it. A histogram nothing is cut off from stays as it is."""
    custom = h.schema == CUSTOM_BUCKETS_SCHEMA
    count = total = 0.0
    changed = False
    sides: list[Buckets] = []
    for side, positive in ((h.positive, True), (h.negative, False)):
        upper = upper_bounds(h.schema, side.index, h.custom_values)
        lower = upper_bounds(h.schema, side.index - 1, h.custom_values)
        if not positive:
            lower, upper = -upper, -lower
        kept_counts = []
        for low, high, inside in zip(lower.tolist(), upper.tolist(), side.count.tolist(), strict=True):
            kept, middle = (0.0, 0.0) if inside == 0 else _kept(low, high, inside, value, below, positive, custom)
            changed |= kept != inside
            kept_counts.append(kept)
            count, total = count + kept, total + middle * kept if kept else total
        sides.append(Buckets(side.index, np.array(kept_counts, np.float64)))
    zero_count = h.zero_count
    if zero_count > 0:
        low = 0.0 if h.positive.count.any() and not h.negative.count.any() else -h.zero_threshold
        high = 0.0 if h.negative.count.any() and not h.positive.count.any() else h.zero_threshold
        zero_count, middle = _kept_of_zero(low, high, h.zero_count, value, below)
        changed |= zero_count != h.zero_count
        count, total = count + zero_count, total + middle * zero_count
    if not changed:
        return h
    cut = replace(h, count=count, sum=total, zero_count=zero_count, positive=sides[0], negative=sides[1])
    return compact(cut)


def _kept(low: float, high: float, inside: float, value: float, below: bool, positive: bool, custom: bool) -> Kept:
    if (high <= value) if below else (low >= value):
        return inside, _middle(low, high, positive, custom)
    if (low >= value) if below else (high <= value):
        return 0.0, 0.0
    if low == -math.inf or high == math.inf:
        return _kept_of_endless(low, high, inside, value, below)
    under = inside * part_below(value, low, high, custom)
    if below:
        return under, _middle(low, value, positive, custom)
    return inside - under, _middle(value, high, positive, custom)


def _kept_of_endless(low: float, high: float, inside: float, value: float, below: bool) -> Kept:
    """A bucket without a lower or an upper end, the value somewhere in it: how observations lie is not known."""
    if low == -math.inf:
        known = 0 < high < math.inf
        if below:
            if value > 0 and known:
                return inside * value / high, value / 2
            return (inside, value) if high <= 0 else (0.0, 0.0)
        if value >= 0 and known:
            return inside * (1 - value / high), (value + high) / 2
        return 0.0, 0.0
    return (0.0, 0.0) if below else (inside, value)


def _kept_of_zero(low: float, high: float, inside: float, value: float, below: bool) -> Kept:
    if (value >= high and value > low) if below else value <= low:
        return inside, (low + high) / 2
    if value <= low or value >= high:
        return 0.0, 0.0
    if below:
        return inside * ((value - low) / (high - low)), (low + value) / 2
    return inside * ((high - value) / (high - low)), (value + high) / 2


def _middle(low: float, high: float, positive: bool, linear: bool) -> float:
    if math.isinf(low):
        return 0.0 if math.isinf(high) else high / 2 if high > 0 else high
    if math.isinf(high):
        return low
    if linear:
        return (low + high) / 2
    middle = math.sqrt(abs(low * high))
    return middle if positive else -middle
