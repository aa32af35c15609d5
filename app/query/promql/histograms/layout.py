"""Bucket layouts brought together: schemas, zero buckets and custom bounds (model/histogram/float_histogram.go).

A side is (index, count, lost): ascending bucket numbers, what is in them, and the digits the additions so far lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.histogram import CUSTOM_BUCKETS_SCHEMA, Buckets, Histogram
from app.query.promql import kahan
from app.query.promql.histograms.bounds import Index, upper_bound, upper_bounds
from app.query.vector import Floats


@dataclass(frozen=True, slots=True)
class Side:
    """The buckets of one side; see the module."""

    index: Index
    count: Floats
    lost: Floats

    def compact(self) -> Side:
        """Without empty buckets."""
        some = (self.count != 0) | (self.lost != 0)
        return self if bool(some.all()) else Side(self.index[some], self.count[some], self.lost[some])

    def scaled(self, factor: float) -> Side:
        """Every count times `factor`."""
        return Side(self.index, self.count * factor, self.lost * factor)

    def divided(self, divisor: float) -> Side:
        """Every count by `divisor`."""
        return Side(self.index, self.count / divisor, self.lost / divisor)

    def reduced(self, schema: int, target: int) -> Side:
        """At the lower resolution of schema `target`."""
        if schema == target or not len(self.index):
            return self
        wider = ((self.index - 1) >> (schema - target)) + 1
        starts = np.flatnonzero(np.append(True, wider[1:] != wider[:-1]))
        return Side(wider[starts], np.add.reduceat(self.count, starts), np.add.reduceat(self.lost, starts))

    def beyond(self, schema: int, threshold: float) -> Side:
        """Without the buckets that lie within the zero bucket."""
        # bounds ascend, and nearly always the first bucket lies outside already
        if threshold <= 0 or not len(self.index) or upper_bound(schema, int(self.index[0])) > threshold:
            return self
        outside = upper_bounds(schema, self.index) > threshold
        return Side(self.index[outside], self.count[outside], self.lost[outside])

    def plus(self, other: Side) -> Side:
        """Bucket by bucket; keeps what the additions lose."""
        if not len(other.index):
            return self
        if same_index(self.index, other.index):
            return Side(self.index, *kahan.add(self.count, self.lost, other.count))
        index = np.union1d(self.index, other.index)
        count, lost = np.zeros(len(index)), np.zeros(len(index))
        own, added = np.searchsorted(index, self.index), np.searchsorted(index, other.index)
        count[own], lost[own] = self.count, self.lost
        count[added], lost[added] = kahan.add(count[added], lost[added], other.count)
        return Side(index, count, lost)

    def mapped(self, bounds: tuple[float, ...], target: tuple[float, ...]) -> Side:
        """Custom buckets brought to fewer bounds: each goes into the first bucket that reaches its own upper bound."""
        upper = upper_bounds(CUSTOM_BUCKETS_SCHEMA, self.index, bounds)
        into = np.searchsorted(np.array(target), upper)
        count, lost = np.zeros(len(target) + 1), np.zeros(len(target) + 1)
        for i, position in enumerate(into.tolist()):
            at = slice(position, position + 1)
            for part in (self.count, self.lost):
                count[at], lost[at] = kahan.add(count[at], lost[at], part[i : i + 1])
        return Side(np.arange(len(count), dtype=np.int32), count, lost).compact()


def same_index(a: Index, b: Index) -> bool:
    """Whether two sides have the same buckets."""
    return a is b or (len(a) == len(b) and bool((a == b).all()))


def side_of(buckets: Buckets) -> Side:
    """Buckets as a side that has lost nothing."""
    return Side(buckets.index, buckets.count, np.zeros(len(buckets.count)))


def shared_bounds(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    """The custom bounds both have."""
    other = set(b)
    return tuple(bound for bound in a if bound in other)


def zero_bucket_up_to(
    threshold: float, zero_count: float, schema: int, positive: Side, negative: Side
) -> tuple[float, float]:
    """(count, threshold) of a zero bucket widened to `threshold`, or to the end of a populated bucket it would cut."""
    sides = [
        (upper_bounds(schema, side.index - 1), upper_bounds(schema, side.index), side) for side in (positive, negative)
    ]
    while True:
        total, before = zero_count, threshold
        for lower, upper, side in sides:
            inside = int((lower < threshold).sum())
            total += float((side.count[:inside] + side.lost[:inside]).sum())
            if inside and upper[inside - 1] > threshold and side.count[inside - 1] != 0:
                threshold = float(upper[inside - 1])
        if threshold == before:
            return total, threshold


def compact(h: Histogram) -> Histogram:
    """Without empty buckets."""
    if bool(h.positive.count.all()) and bool(h.negative.count.all()):
        return h
    return Histogram(
        h.schema, h.count, h.sum, h.zero_threshold, h.zero_count, _some(h.positive), _some(h.negative),
        h.custom_values, h.hint,
    )  # fmt: skip


def _some(buckets: Buckets) -> Buckets:
    some = buckets.count != 0
    return Buckets(buckets.index[some], buckets.count[some])
