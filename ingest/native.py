"""Native histograms as senders write them, checked and made our own (Prometheus: model/histogram, Validate)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, get_args

import numpy as np

from app.histogram import CUSTOM_BUCKETS_SCHEMA, Buckets, Histogram, ResetHint, no_buckets

MIN_SCHEMA, MAX_SCHEMA = -4, 8
_KNOWN_SCHEMAS = range(-9, 53)
"""Schemas the format has a meaning for; those above MAX_SCHEMA are taken at its resolution."""
_HINTS: tuple[ResetHint, ...] = get_args(ResetHint)
_MAX_INDEX = 2**31 - 2
_MAX_BUCKETS = 100_000


def from_remote_write(message: Any) -> Histogram:
    """The histogram of a remote write `Histogram` message. Raises ValueError saying what is wrong with it."""
    schema = message.schema
    custom = schema == CUSTOM_BUCKETS_SCHEMA
    if not custom and (schema not in _KNOWN_SCHEMAS or schema < MIN_SCHEMA):
        raise ValueError(f"its schema is {schema}, not {MIN_SCHEMA} to {MAX_SCHEMA} or {CUSTOM_BUCKETS_SCHEMA}")
    floats = message.WhichOneof("count") == "count_float"
    positive, negative = (
        _side(name, spans, counts if floats else _absolute(deltas), custom)
        for name, spans, deltas, counts in (
            ("positive", message.positive_spans, message.positive_deltas, message.positive_counts),
            ("negative", message.negative_spans, message.negative_deltas, message.negative_counts),
        )
    )
    zero_floats = message.WhichOneof("zero_count") == "zero_count_float"
    hint = message.reset_hint
    h = Histogram(
        schema,
        float(message.count_float if floats else message.count_int),
        message.sum,
        message.zero_threshold,
        float(message.zero_count_float if zero_floats else message.zero_count_int),
        positive,
        negative,
        tuple(message.custom_values),
        _HINTS[hint] if 0 <= hint < len(_HINTS) else "unknown",
    )
    observations = float(positive.count.sum() + negative.count.sum()) + h.zero_count
    check(h, None if floats else observations)
    return reduced(h)


def check(h: Histogram, observations: float | None) -> None:
    """Raises ValueError for a histogram that makes no sense; `observations` is what integer buckets have together."""
    if h.schema == CUSTOM_BUCKETS_SCHEMA:
        _check_custom(h)
    elif h.custom_values:
        raise ValueError("it has custom bounds, which an exponential schema does not use")
    for name, side in (("positive", h.positive), ("negative", h.negative)):
        if bool((side.count < 0).any()):
            raise ValueError(f"a {name} bucket has a negative count")
    if h.count < 0 or h.zero_count < 0:
        raise ValueError("it has a negative count")
    if math.isnan(h.zero_threshold) or h.zero_threshold < 0:
        raise ValueError(f"its zero threshold is {h.zero_threshold}")
    # observations of NaN are in the count, in no bucket, and make the sum NaN
    if observations is not None and (observations > h.count or (observations < h.count and not math.isnan(h.sum))):
        raise ValueError(f"its count is {h.count:.0f}, and its buckets have {observations:.0f} observations")


def reduced(h: Histogram) -> Histogram:
    """At MAX_SCHEMA, where its schema is finer."""
    if h.schema <= MAX_SCHEMA:
        return h
    finer = h.schema - MAX_SCHEMA
    positive, negative = (merged(side.index, side.count, finer) for side in (h.positive, h.negative))
    return Histogram(
        MAX_SCHEMA, h.count, h.sum, h.zero_threshold, h.zero_count, positive, negative, h.custom_values, h.hint
    )


def merged(index: Any, count: Any, finer: int) -> Buckets:
    """Buckets of a schema finer by `finer` steps, brought together; `index` ascends."""
    if not len(index):
        return no_buckets()
    wider = ((np.asarray(index, np.int64) - 1) >> finer) + 1
    starts = np.flatnonzero(np.append(True, wider[1:] != wider[:-1]))
    return Buckets(wider[starts].astype(np.int32), np.add.reduceat(np.asarray(count, np.float64), starts))


def _absolute(deltas: Iterable[int]) -> list[int]:
    count, found = 0, []
    for delta in deltas:
        count += delta
        found.append(count)
    return found


def _side(name: str, spans: Sequence[Any], counts: Sequence[float], custom: bool) -> Buckets:
    """The buckets of spans. Raises ValueError."""
    needed = sum(span.length for span in spans)
    if needed != len(counts):
        raise ValueError(f"its {name} spans have {needed} buckets, and there are {len(counts)} counts")
    if needed > _MAX_BUCKETS:
        raise ValueError(f"it has {needed} {name} buckets, more than {_MAX_BUCKETS}")
    index: list[int] = []
    at = 0
    for i, span in enumerate(spans):
        if span.offset < 0 and (i or custom):
            raise ValueError(f"{name} span {i + 1} has the offset {span.offset}")
        at += span.offset
        index += range(at, at + span.length)
        at += span.length
    if index and (index[0] < -_MAX_INDEX or index[-1] > _MAX_INDEX):
        raise ValueError(f"its {name} buckets are numbered {index[0]} to {index[-1]}")
    return Buckets(np.array(index, np.int32), np.array(counts, np.float64))


def _check_custom(h: Histogram) -> None:
    bounds = h.custom_values
    if any(math.isnan(bound) for bound in bounds):
        raise ValueError("one of its custom bounds is NaN")
    if any(a >= b for a, b in itertools.pairwise(bounds)):
        raise ValueError("its custom bounds do not ascend")
    if bounds and bounds[-1] == math.inf:
        raise ValueError("its last custom bound is +Inf, which is never listed")
    if len(h.positive.index) and h.positive.index[-1] > len(bounds):
        raise ValueError(f"it has {len(bounds)} custom bounds, too few for bucket {h.positive.index[-1]}")
    if h.zero_count or h.zero_threshold or len(h.negative.index):
        raise ValueError("it has custom bounds, and a zero bucket or negative buckets")
