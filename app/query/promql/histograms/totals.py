"""Sums and means of several histograms."""

from __future__ import annotations

from collections.abc import Sequence

from app.histogram import Histogram
from app.query.promql.histograms.arithmetic import IncompatibleBuckets, Sum, divided


class Incompatible(Exception):
    """Histogram number `at` has custom buckets and the first has not, or the other way round."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


def total(items: Sequence[Histogram]) -> Sum:
    """The sum of one or more. Raises Incompatible."""
    result = Sum(items[0])
    for i, item in enumerate(items[1:], 1):
        _add(result, item, i)
    return result


def mean(items: Sequence[Histogram]) -> Sum:
    """The mean of one or more, also where their sum would not fit into floats. Raises Incompatible."""
    result, overflown = Sum(items[0]), False
    for i, item in enumerate(items[1:], 1):
        n = i + 1
        if not overflown:
            before = result.copy()
            _add(result, item, i)
            overflown = result.overflowed()
            if not overflown:
                continue
            result, reconciled = before, result.reconciled
            result.reconciled = reconciled
            result.divide(i)
        result.scale(i / n)
        _add(result, divided(item, n), i)
    if not overflown:
        result.divide(len(items))
    return result


def counter_collision(items: Sequence[Histogram]) -> bool:
    """Whether one comes after a counter reset and another after none."""
    return {"reset", "not_reset"} <= {item.hint for item in items}


def _add(result: Sum, item: Histogram, at: int) -> None:
    try:
        result.add(item)
    except IncompatibleBuckets as error:
        raise Incompatible(at) from error
