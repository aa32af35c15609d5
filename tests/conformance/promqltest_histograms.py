"""Native histograms in test scripts: `{{schema:0 sum:5 count:4 buckets:[1 2 1]}}`, sequences, comparison."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from alerting.rules.testing.notation import read_histogram
from app.histogram import CUSTOM_BUCKETS_SCHEMA, Buckets, Histogram, no_buckets
from app.labels import METRIC_NAME, Labels, labels_from
from app.query.promql.histograms.arithmetic import Sum
from app.query.promql.histograms.layout import compact

_SEQUENCE = re.compile(r"^\{\{(.*?)\}\}(?:([-+])\{\{(.*?)\}\})?(?:x(\d+))?$")
_SUFFIX = re.compile(r"^(.*)_(bucket|sum|count)$")


@dataclass(frozen=True, slots=True)
class HistogramPoint:
    """A native histogram among the points; `hinted` when the script names its reset hint."""

    histogram: Histogram
    hinted: bool


def histogram_sequence(text: str) -> list[HistogramPoint]:
    """The histograms of `{{…}}`, `{{…}}x3` or `{{…}}+{{…}}x3`."""
    match = _SEQUENCE.match(text)
    if match is None:
        raise ValueError(f"not a histogram: {text}")
    first, hinted = _histogram(match[1])
    if match[2] is None:
        return [HistogramPoint(first, hinted)] * (int(match[4] or 0) + 1)
    step, hinted = _histogram(match[3])
    points = [HistogramPoint(first, hinted)]
    for _ in range(int(match[4] or 0)):
        total = Sum(points[-1].histogram)
        total.add(step, 1.0 if match[2] == "+" else -1.0)
        points.append(HistogramPoint(total.histogram(), hinted))
    return points


def _histogram(text: str) -> tuple[Histogram, bool]:
    return read_histogram(text), "counter_reset_hint" in text


def same_histogram(expected: HistogramPoint, found: Histogram, equal: Callable[[float, float], bool]) -> bool:
    """Whether a histogram is what a script expects, its numbers by `equal`."""
    a, b = compact(expected.histogram), compact(found)
    return (
        (a.schema, a.zero_threshold, a.custom_values) == (b.schema, b.zero_threshold, b.custom_values)
        and all(map(equal, (a.count, a.sum, a.zero_count), (b.count, b.sum, b.zero_count)))
        and all(
            x.index.tolist() == y.index.tolist() and all(map(equal, x.count.tolist(), y.count.tolist()))
            for x, y in ((a.positive, b.positive), (a.negative, b.negative))
        )
        and (not expected.hinted or a.hint == b.hint)
    )


@dataclass(slots=True)
class _Classic:
    """What the classic series of a histogram say at one time."""

    buckets: dict[float, float]
    sum: float = 0.0
    count: float | None = None


def with_custom_buckets(series: list[tuple[Labels, list[float | None]]]) -> dict[Labels, dict[int, Histogram]]:
    """Classic histograms as native ones with custom buckets, by labels and place in time (util/convertnhcb)."""
    found: dict[Labels, dict[int, _Classic]] = {}
    for labels, points in series:
        own = dict(labels)
        match = _SUFFIX.match(own.get(METRIC_NAME, ""))
        if match is None:
            continue
        bound = own.pop("le", "")
        by_time = found.setdefault(labels_from({**own, METRIC_NAME: match[1]}), {})
        for i, value in enumerate(points):
            if value is None:
                continue
            classic = by_time.setdefault(i, _Classic({}))
            if match[2] == "bucket":
                try:
                    classic.buckets[float(bound)] = value
                except ValueError:
                    continue
            elif match[2] == "sum":
                classic.sum = value
            else:
                classic.count = value
    return {labels: {i: _converted(classic) for i, classic in times.items()} for labels, times in found.items()}


def _converted(classic: _Classic) -> Histogram:
    bounds = sorted(classic.buckets)
    count = classic.count
    if count is None:
        count = classic.buckets[bounds[-1]] if bounds else 0.0
    cumulative = [classic.buckets[bound] for bound in bounds]
    if not bounds or bounds[-1] != math.inf:
        bounds, cumulative = [*bounds, math.inf], [*cumulative, count]
    counts = np.diff([0.0, *cumulative])
    buckets = Buckets(np.arange(len(counts), dtype=np.int32), counts)
    custom = tuple(bounds[:-1])
    return compact(
        Histogram(
            CUSTOM_BUCKETS_SCHEMA, count, classic.sum, positive=buckets, negative=no_buckets(), custom_values=custom
        )
    )
