"""Native histograms as text, as Prometheus writes them: `{count:4, sum:5, [-0.001,0.001]:1, (0.5,1]:3}`."""

from __future__ import annotations

from app.histogram import Histogram
from app.query.promql.format import format_general
from app.query.promql.histograms.bounds import spread

_ENDS = {0: "(]", 1: "[)", 2: "()", 3: "[]"}


def text_of(h: Histogram) -> str:
    """Count, sum and every bucket that is not empty, from the lowest."""
    parts = [f"count:{format_general(h.count)}", f"sum:{format_general(h.sum)}"]
    buckets = spread(h, overlapping=True)
    columns = [column.tolist() for column in (buckets.lower, buckets.upper, buckets.count, buckets.rule)]
    for lower, upper, count, rule in zip(*columns, strict=True):
        if count:
            ends = f"{format_general(lower)},{format_general(upper)}"
            parts.append(f"{_ENDS[rule][0]}{ends}{_ENDS[rule][1]}:{format_general(count)}")
    return "{" + ", ".join(parts) + "}"
