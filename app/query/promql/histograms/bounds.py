"""Where the buckets of native histograms begin and end (model/histogram/generic.go)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np
import numpy.typing as npt

from app.histogram import CUSTOM_BUCKETS_SCHEMA, Histogram
from app.query.vector import Floats, Ints

Index = npt.NDArray[np.int32]
_FINEST = 8
_LARGEST = np.finfo(np.float64).max
# by how many units in the last place, and one, the bounds everybody uses fall short of 2^(k/256 - 1)
_SHORT = (
    "1111112111211111112311222222222211211121122211221122102211221122"
    "1111112222332132112111211112111111121011213311221222112121332222"
    "2121223322322122222222323233323311221121223321332233212232332232"
    "2243223233433343333333444455435422322333324422333243223333543344"
)


@functools.lru_cache(maxsize=_FINEST + 1)
def _fractions(schema: int) -> Floats:
    """The bounds in [0.5, 1)."""
    if schema < _FINEST:
        return _fractions(_FINEST)[:: 1 << (_FINEST - schema)]
    with localcontext() as context:
        context.prec = 50
        exact = [float(Decimal(2) ** (Decimal(k) / len(_SHORT) - 1)) for k in range(len(_SHORT))]
    return np.array(exact) - (np.array([int(digit) for digit in _SHORT]) - 1) * 2.0**-53


def upper_bounds(schema: int, index: Index, custom_values: tuple[float, ...] = ()) -> Floats:
    """The upper bound of each bucket, in absolute terms; the lower bound of a bucket is the upper of the one before."""
    if schema == CUSTOM_BUCKETS_SCHEMA:
        edges: Floats = np.array([-np.inf, *custom_values, np.inf])
        return edges[np.clip(index + 1, 0, len(edges) - 1)]
    wide = index.astype(np.int64)
    if schema < 0:
        exponent, fraction = (wide << -schema) + 1, np.full(len(wide), 0.5)
    else:
        exponent, fraction = (wide >> schema) + 1, _fractions(schema)[wide & ((1 << schema) - 1)]
    with np.errstate(over="ignore"):
        bounds = np.ldexp(fraction, np.clip(exponent, -2000, 2000).astype(np.int32))
    # the last bucket of numbers ends at the largest there is; infinities are in the bucket behind it
    return np.where((fraction == 0.5) & (exponent == 1025), _LARGEST, bounds)


@functools.lru_cache(maxsize=65_536)
def upper_bound(schema: int, index: int) -> float:
    """The upper bound of one exponential bucket."""
    return float(upper_bounds(schema, np.array([index], np.int32))[0])


@dataclass(frozen=True, slots=True)
class Spread:
    """All buckets from the lowest to the highest, the zero bucket among them, each from `lower` to `upper`.

    `rule` says which ends belong to a bucket: 0 the upper, 1 the lower, 2 none, 3 both.
    """

    lower: Floats
    upper: Floats
    count: Floats
    rule: Ints


def spread(h: Histogram, overlapping: bool = False) -> Spread:
    """The buckets of a histogram; unless `overlapping`, those the zero bucket cuts begin or end at its threshold."""
    positive = upper_bounds(h.schema, h.positive.index, h.custom_values)
    before = upper_bounds(h.schema, h.positive.index - 1, h.custom_values)
    if h.schema == CUSTOM_BUCKETS_SCHEMA:
        return Spread(before, positive, h.positive.count, np.where(h.positive.index == 0, 3, 0))
    negative = -upper_bounds(h.schema, h.negative.index[::-1])
    after = -upper_bounds(h.schema, h.negative.index[::-1] - 1)
    zero = [h.zero_threshold] if h.zero_count > 0 else []
    if not overlapping:
        before, after = np.maximum(before, h.zero_threshold), np.minimum(after, -h.zero_threshold)
    return Spread(
        np.concatenate((negative, np.negative(zero), before)),
        np.concatenate((after, zero, positive)),
        np.concatenate((h.negative.count[::-1], [h.zero_count] if zero else [], h.positive.count)),
        np.concatenate(
            (np.ones(len(negative), np.int64), [3] if zero else [], np.zeros(len(positive), np.int64))
        ).astype(np.int64),
    )
