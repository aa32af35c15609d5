"""Prometheus's notation of series: `m{a="b"} 1+2x3 _ stale {{schema:0 sum:5 count:4 buckets:[1 2 1]}}`.

The grammar is that of promql/parser (lex.go, generated_parser.y) and promql/promqltest/README.md.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import get_args

import numpy as np

from alerting.rules.group import STALE
from app.errors import BadQuery
from app.histogram import CUSTOM_BUCKETS_SCHEMA, Buckets, Histogram, ResetHint
from app.labels import Labels, MatchOp, labels_from
from app.query.promql.ast import Selector
from app.query.promql.format import format_general
from app.query.promql.histograms.arithmetic import Sum
from app.query.promql.histograms.layout import compact
from app.query.promql.parse import parse
from app.query.promql.quote import quoted

Point = float | Histogram | None
"""A sample, or None where there is none."""

_NUMBER = r"(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)"
_WORD = r"(?:[iI][nN][fF]|[nN][aA][nN])"
_MISSING = re.compile(r"_(?:x(\d+))?")
_REPEATED = re.compile(rf"([+-]?{_NUMBER})(?:([+-]{_NUMBER})(?=x))?(?:x(\d+))?")
_ALONE = re.compile(rf"([+-]?{_WORD})")
_HISTOGRAM = re.compile(r"\{\{(.*?)\}\}(?:([-+])\{\{(.*?)\}\}(?=x))?(?:x(\d+))?", re.DOTALL)
_ITEM = re.compile(r"\{\{.*?\}\}(?:[-+]\{\{.*?\}\})?\S*|\S+", re.DOTALL)
_FIELD = re.compile(r"(\w+):(\[[^\]]*\]|\S+)")
_FIELDS = {
    "schema",
    "sum",
    "count",
    "z_bucket",
    "z_bucket_w",
    "custom_values",
    "buckets",
    "offset",
    "n_buckets",
    "n_offset",
    "counter_reset_hint",
}


def read_metric(text: str) -> Labels:
    """The labels of `name{a="b"}`. Raises BadQuery."""
    stripped = text.strip()
    if re.fullmatch(r"\{\s*\}", stripped):
        return ()
    node = parse(stripped)
    if not isinstance(node, Selector) or len(node.alternatives) != 1 or node.offset_ms or node.at is not None:
        raise BadQuery(f"not a series: {text!r}")
    matchers = node.alternatives[0]
    if any(m.op is not MatchOp.EQUAL for m in matchers):
        raise BadQuery(f"not a series: {text!r} (labels are given with =)")
    return labels_from([(m.name, m.value) for m in matchers])


def read_points(text: str) -> list[Point]:
    """The samples of a sequence. Raises BadQuery naming the item that is none."""
    points: list[Point] = []
    for item in _ITEM.findall(text):
        points += _points(item)
    return points


def _points(item: str) -> list[Point]:
    if match := _MISSING.fullmatch(item):
        # of nothing there are as many as are said, of anything else one more
        return [None] * (1 if match[1] is None else int(match[1]))
    if item == "stale":
        return [STALE]
    if match := _ALONE.fullmatch(item):
        return [float(match[1])]
    if match := _REPEATED.fullmatch(item):
        value, step = float(match[1]), float(match[2] or 0)
        found: list[Point] = []
        for _ in range(int(match[3] or 0) + 1):
            found.append(value)
            value += step
        return found
    if match := _HISTOGRAM.fullmatch(item):
        return _histograms(match)
    raise BadQuery(f"not a sample of a series: {item!r}")


def _histograms(match: re.Match[str]) -> list[Point]:
    first, times = read_histogram(match[1]), int(match[4] or 0)
    if match[2] is None:
        return [first] * (times + 1)
    step = read_histogram(match[3])
    found: list[Point] = [first]
    last = first
    for _ in range(times):
        total = Sum(last)
        total.add(step, 1.0 if match[2] == "+" else -1.0)
        last = replace(total.histogram(), hint=step.hint)
        found.append(last)
    return found


def read_histogram(text: str) -> Histogram:
    """The histogram whose fields these are. Raises BadQuery."""
    fields = dict(_FIELD.findall(text))
    left = _FIELD.sub("", text).strip()
    unknown = set(fields) - _FIELDS
    if left or unknown:
        raise BadQuery(f"not a field of a histogram: {left or min(unknown)!r}")
    hint = next((known for known in get_args(ResetHint) if known == fields.get("counter_reset_hint", "unknown")), None)
    if hint is None:
        raise BadQuery(f"not a counter_reset_hint: {fields['counter_reset_hint']!r}")
    try:
        return Histogram(
            schema=int(fields.get("schema", "0")),
            count=float(fields.get("count", "0")),
            sum=float(fields.get("sum", "0")),
            zero_threshold=float(fields.get("z_bucket_w", "0")),
            zero_count=float(fields.get("z_bucket", "0")),
            positive=_buckets(fields.get("buckets", "[]"), fields.get("offset", "0")),
            negative=_buckets(fields.get("n_buckets", "[]"), fields.get("n_offset", "0")),
            custom_values=tuple(_numbers(fields.get("custom_values", "[]"))),
            hint=hint,
        )
    except ValueError:
        raise BadQuery(f"not a histogram: {{{{{text}}}}}") from None


def _numbers(text: str) -> list[float]:
    return [float(item) for item in text.strip("[]").split()]


def _buckets(counts: str, offset: str) -> Buckets:
    values = np.array(_numbers(counts), np.float64)
    return Buckets(np.arange(len(values), dtype=np.int32) + np.int32(int(offset)), values)


def write_histogram(histogram: Histogram) -> str:
    """A histogram in the same notation (FloatHistogram.TestExpression)."""
    h = compact(histogram)
    numbers = {"schema": h.schema, "count": h.count, "sum": h.sum, "z_bucket": h.zero_count}
    parts = [f"{name}:{format_general(float(value))}" for name, value in numbers.items() if value]
    if h.zero_threshold:
        parts.append(f"z_bucket_w:{format_general(h.zero_threshold)}")
    if h.schema == CUSTOM_BUCKETS_SCHEMA:
        parts.append(f"custom_values:[{' '.join(map(format_general, h.custom_values))}]")
    if h.hint != "unknown":
        parts.append(f"counter_reset_hint:{h.hint}")
    for prefix, side in (("", h.positive), ("n_", h.negative)):
        if len(side.index):
            first, last = int(side.index[0]), int(side.index[-1])
            counts = np.zeros(last - first + 1)
            counts[side.index - first] = side.count
            if first:
                parts.append(f"{prefix}offset:{first}")
            parts.append(f"{prefix}buckets:[{' '.join(map(format_general, counts.tolist()))}]")
    return "{{" + " ".join(parts) + "}}"


def write_labels(labels: Labels) -> str:
    """Labels as Go prints them, the metric's name among them: `{__name__="m", a="b"}`."""
    return "{" + ", ".join(f"{name}={quoted(value)}" for name, value in labels) + "}"
