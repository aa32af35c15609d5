"""Sums, differences and multiples of native histograms, and resets between them (float_histogram.go)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from app.histogram import CUSTOM_BUCKETS_SCHEMA, Buckets, Histogram, ResetHint, no_buckets
from app.query.promql import kahan
from app.query.promql.histograms.bounds import upper_bound
from app.query.promql.histograms.layout import (
    Side,
    compact,
    same_index,
    shared_bounds,
    side_of,
    zero_bucket_up_to,
)
from app.query.vector import Floats

_Scale = Callable[[Floats], Floats]


class IncompatibleBuckets(Exception):
    """One histogram has exponential and the other custom buckets."""


class Sum:
    """A histogram others are added to, with the digits the additions lose. `add` changes it; its arrays never change.

    `collided` and `reconciled` tell of any addition so far: one histogram came after a reset and another did not;
    custom bounds differed and were reduced to those both had.
    """

    __slots__ = (
        "collided", "custom_values", "hint", "negative", "positive", "reconciled", "schema", "totals", "totals_lost",
        "zero_threshold",
    )  # fmt: skip

    def __init__(self, h: Histogram) -> None:
        self.schema = h.schema
        self.hint: ResetHint = h.hint
        self.custom_values = h.custom_values
        self.zero_threshold = h.zero_threshold
        self.totals: Floats = np.array([h.count, h.sum, h.zero_count], np.float64)
        self.totals_lost: Floats = np.zeros(3)
        self.positive, self.negative = side_of(h.positive), side_of(h.negative)
        self.collided = self.reconciled = False

    def copy(self) -> Sum:
        """One that goes its own way from here."""
        other = object.__new__(Sum)
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        return other

    def add(self, h: Histogram, sign: float = 1.0) -> None:
        """Adds, or with a sign of -1 subtracts. Raises IncompatibleBuckets."""
        custom = self.schema == CUSTOM_BUCKETS_SCHEMA
        if custom != (h.schema == CUSTOM_BUCKETS_SCHEMA):
            raise IncompatibleBuckets
        self._hinted(h.hint)
        zero_count = 0.0 if custom else self._same_zero_bucket(h)
        item = np.array([h.count, h.sum, zero_count])
        positive, negative = side_of(h.positive), side_of(h.negative)
        if sign != 1.0:
            item, positive, negative = item * sign, positive.scaled(sign), negative.scaled(sign)
        self.totals, self.totals_lost = kahan.add(self.totals, self.totals_lost, item)
        if custom:
            self._add_custom(positive, h.custom_values)
            return
        schema = min(self.schema, h.schema)
        threshold = self.zero_threshold
        self.positive, self.negative = (
            own.reduced(self.schema, schema).plus(added.reduced(h.schema, schema).beyond(schema, threshold))
            for own, added in ((self.positive, positive), (self.negative, negative))
        )
        self.schema = schema

    def scale(self, factor: float) -> None:
        """Everything times `factor`."""
        self.totals, self.totals_lost = self.totals * factor, self.totals_lost * factor
        self.positive, self.negative = self.positive.scaled(factor), self.negative.scaled(factor)

    def divide(self, divisor: float) -> None:
        """Everything by `divisor`, which is not zero."""
        self.totals, self.totals_lost = self.totals / divisor, self.totals_lost / divisor
        self.positive, self.negative = self.positive.divided(divisor), self.negative.divided(divisor)

    def reduce(self, schema: int) -> None:
        """To a schema of lower resolution."""
        self.positive, self.negative = (s.reduced(self.schema, schema) for s in (self.positive, self.negative))
        self.schema = schema

    def overflowed(self) -> bool:
        """Whether any part became infinite."""
        return any(bool(np.isinf(part).any()) for part in (self.totals, self.positive.count, self.negative.count))

    def histogram(self) -> Histogram:
        """The sum as it stands."""
        count, total, zero = (self.totals + self.totals_lost).tolist()
        return Histogram(
            self.schema, count, total, self.zero_threshold, zero, _buckets(self.positive), _buckets(self.negative),
            self.custom_values, self.hint,
        )  # fmt: skip

    def _hinted(self, hint: ResetHint) -> None:
        if hint == self.hint or self.hint == "gauge":
            return
        if hint == "gauge":
            self.hint = "gauge"
            return
        self.collided |= "unknown" not in (hint, self.hint)
        self.hint = "unknown"

    def _same_zero_bucket(self, h: Histogram) -> float:
        """Gives both the same zero bucket; the count of the other's."""
        zero_count, threshold = h.zero_count, h.zero_threshold
        if threshold == self.zero_threshold:
            return zero_count
        positive, negative = side_of(h.positive), side_of(h.negative)
        while threshold != self.zero_threshold:
            if self.zero_threshold > threshold:
                zero_count, threshold = zero_bucket_up_to(
                    self.zero_threshold, h.zero_count, h.schema, positive, negative
                )
            if threshold > self.zero_threshold:
                own, self.zero_threshold = zero_bucket_up_to(
                    threshold, float(self.totals[2]), self.schema, self.positive, self.negative
                )
                self.totals = np.array([*self.totals[:2], own])
                self.positive = self.positive.beyond(self.schema, self.zero_threshold).compact()
                self.negative = self.negative.beyond(self.schema, self.zero_threshold).compact()
            elif not threshold <= self.zero_threshold:
                break  # NaN meets nothing
        return zero_count

    def _add_custom(self, added: Side, bounds: tuple[float, ...]) -> None:
        if bounds == self.custom_values:
            self.positive = self.positive.plus(added)
            return
        self.reconciled = True
        shared = shared_bounds(self.custom_values, bounds)
        self.positive = self.positive.mapped(self.custom_values, shared).plus(added.mapped(bounds, shared)).compact()
        self.custom_values = shared


def multiplied(h: Histogram, factor: float) -> Histogram:
    """Every count and the sum times `factor`; a negative factor makes a gauge."""
    return _scaled(h, lambda values: values * factor, "gauge" if factor < 0 else h.hint)


def divided(h: Histogram, divisor: float) -> Histogram:
    """As `multiplied`; a division by zero leaves no buckets."""
    if divisor == 0:
        h = replace(h, positive=no_buckets(), negative=no_buckets())
    return _scaled(h, lambda values: np.divide(values, divisor), "gauge" if divisor < 0 else h.hint)


def is_reset(h: Histogram, before: Histogram) -> bool:
    """Whether a counter was reset between `before` and `h`: any count fell, or the layout became finer."""
    if h.hint in ("reset", "not_reset"):
        return h.hint == "reset"
    if h.count < before.count:
        return True
    if h.schema == CUSTOM_BUCKETS_SCHEMA:
        if before.schema != CUSTOM_BUCKETS_SCHEMA:
            return True
        now, then = side_of(h.positive), side_of(before.positive)
        if h.custom_values != before.custom_values:
            shared = shared_bounds(h.custom_values, before.custom_values)
            now, then = now.mapped(h.custom_values, shared), then.mapped(before.custom_values, shared)
        return _fell(now, then)
    if h.schema > before.schema or h.zero_threshold < before.zero_threshold:
        return True
    if (h.schema, h.zero_threshold) == (before.schema, before.zero_threshold) and _alike(h, before):
        return (
            h.zero_count < before.zero_count
            or bool((h.positive.count < before.positive.count).any())
            or bool((h.negative.count < before.negative.count).any())
        )
    positive, negative = side_of(before.positive), side_of(before.negative)
    zero_count = before.zero_count
    if h.zero_threshold != before.zero_threshold:
        zero_count, threshold = zero_bucket_up_to(
            h.zero_threshold, before.zero_count, before.schema, positive, negative
        )
        if threshold != h.zero_threshold:
            return True
    if h.zero_count < zero_count:
        return True
    return any(
        _fell(
            side_of(now).beyond(h.schema, h.zero_threshold),
            then.reduced(before.schema, h.schema).beyond(h.schema, h.zero_threshold),
        )
        for now, then in ((h.positive, positive), (h.negative, negative))
    )


def _alike(a: Histogram, b: Histogram) -> bool:
    """Whether both have the same buckets, none of them within the zero bucket; as nearly all neighbours have."""
    return all(
        same_index(x.index, y.index) and (not len(x.index) or upper_bound(a.schema, int(x.index[0])) > a.zero_threshold)
        for x, y in ((a.positive, b.positive), (a.negative, b.negative))
    )


def same(a: Histogram, b: Histogram) -> bool:
    """Whether two histograms have the same layout and counts to the last bit; hints and empty buckets do not count."""
    a, b = compact(a), compact(b)
    return (
        (a.schema, a.zero_threshold, a.custom_values) == (b.schema, b.zero_threshold, b.custom_values)
        and _bits(a.count, a.sum, a.zero_count) == _bits(b.count, b.sum, b.zero_count)
        and all(
            x.index.tobytes() == y.index.tobytes() and x.count.tobytes() == y.count.tobytes()
            for x, y in ((a.positive, b.positive), (a.negative, b.negative))
        )
    )


def _bits(*values: float) -> bytes:
    return np.array(values, np.float64).tobytes()


def _scaled(h: Histogram, scale: _Scale, hint: ResetHint) -> Histogram:
    count, total, zero = scale(np.array([h.count, h.sum, h.zero_count])).tolist()
    positive, negative = (Buckets(side.index, scale(side.count)) for side in (h.positive, h.negative))
    return Histogram(h.schema, count, total, h.zero_threshold, zero, positive, negative, h.custom_values, hint)


def _buckets(side: Side) -> Buckets:
    return Buckets(side.index, side.count + side.lost)


def _fell(now: Side, then: Side) -> bool:
    if not len(then.index):
        return False
    if not len(now.index):
        return bool(then.count.any())
    position = np.minimum(np.searchsorted(now.index, then.index), len(now.index) - 1)
    there = now.index[position] == then.index
    return bool(np.where(there, now.count[position] < then.count, then.count != 0).any())
