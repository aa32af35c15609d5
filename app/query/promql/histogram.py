"""Histograms by their classic `le` buckets or native: what is asked of each at every step (promql/quantile.go)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from app.histogram import Histogram
from app.labels import METRIC_NAME, Labels, labels_from
from app.query.promql.context import Context
from app.query.promql.format import format_general
from app.query.promql.histograms import notes
from app.query.promql.histograms.shape import fraction, quantile
from app.query.vector import Bools, Floats, Vector, empty, merged, stacked, unnamed

Index = npt.NDArray[np.intp]
_SMALL = 1e-12
"""Differences of this relative size between buckets are rounding, not samples."""


OfClassic = Callable[[Index, Floats, Floats, Labels], Floats]
"""(steps, bounds, cumulative counts [buckets, steps], the labels of its series) to a value for each step."""
Forced = Callable[[Floats, Floats], None]
"""Hears (bounds, by how much the count of each bucket [buckets, steps] was below the one before)."""
OfNative = Callable[[Histogram, int, Labels], float]
"""(histogram, step, the labels of its series) to a value."""


def histogram_quantile(q: Floats, vector: Vector, context: Context) -> Vector:
    """The q-th quantile of each histogram; `q` has a value for each step."""
    return unnamed(quantiles(q, vector, context))


def histogram_quantiles(vector: Vector, label: str, asked: Sequence[Floats], context: Context) -> Vector:
    """The quantiles of each histogram, told apart by `label`; each of `asked` has a value for each step."""
    found: list[Vector] = []
    for q in asked:
        of_q = quantiles(q, vector, context)
        for value in np.unique(q).tolist():
            text = _open_metrics(value)
            named = [labels_from({**dict(labels), label: text}) for labels in of_q.labels]
            here = np.isnan(q) if value != value else q == value
            found.append(of_q.relabelled(named).where(of_q.present & here[None, :]).compact())
    return unnamed(stacked(found)) if found else empty(vector.steps)


def _open_metrics(value: float) -> str:
    """A float as OpenMetrics writes it: whole numbers end in `.0`."""
    text = format_general(value)
    return text if value != value or text.endswith("Inf") or "." in text or "e" in text else f"{text}.0"


def quantiles(q: Floats, vector: Vector, context: Context) -> Vector:
    """As `histogram_quantile`, with the metrics' names and `q` as it is."""

    def of_native(h: Histogram, step: int, labels: Labels) -> float:
        found, note = quantile(float(q[step]), h)
        notes.of_shape(context, labels, note)
        return found

    def of_classic(steps: Index, bounds: Floats, counts: Floats, labels: Labels) -> Floats:
        return _quantiles(q[steps], bounds, counts, partial(notes.forced_monotonic, context, labels, steps))

    return each_histogram(vector, context, of_classic, of_native)


def histogram_fraction(low: Floats, high: Floats, vector: Vector, context: Context) -> Vector:
    """The fraction of observations between two values of each histogram; these have a value for each step."""

    def of_native(h: Histogram, step: int, labels: Labels) -> float:
        found, note = fraction(float(low[step]), float(high[step]), h)
        notes.of_shape(context, labels, note)
        return found

    def of_classic(steps: Index, bounds: Floats, counts: Floats, labels: Labels) -> Floats:
        return bucket_fractions(low[steps], high[steps], bounds, counts)

    return unnamed(each_histogram(vector, context, of_classic, of_native))


def each_histogram(vector: Vector, context: Context, of_classic: OfClassic, of_native: OfNative) -> Vector:
    """A value for each histogram at each step; of one that is there both ways, nothing."""
    native, classic = vector.native, _classic(vector.floats(), context, of_classic)
    if vector.histograms is None or not native.any():
        return classic
    found = np.zeros(vector.values.shape)
    row_of = {labels: row for row, labels in enumerate(classic.labels)}
    for row, labels in enumerate(vector.labels):
        other = row_of.get(labels)
        if other is not None and bool((both := native[row] & classic.present[other]).any()):
            notes.mixed_classic_native(context, labels)
            native[row] &= ~both
            classic.present[other] &= ~both
        for step in context.make_histograms(np.flatnonzero(native[row]).tolist()):
            found[row, step] = of_native(vector.histograms[row, step], step, labels)
    return merged(stacked([classic, Vector(vector.labels, found, native)]).compact())


def _classic(vector: Vector, context: Context, of_classic: OfClassic) -> Vector:
    groups: dict[Labels, list[tuple[float, int]]] = {}
    for i, labels in enumerate(vector.labels):
        bound = _bound(labels, context)
        if bound is not None:
            rest = tuple(p for p in labels if p[0] != "le")
            groups.setdefault(rest, []).append((bound, i))
    if not groups:
        return empty(vector.steps)
    values = np.full((len(groups), vector.steps), np.nan)
    present = np.zeros((len(groups), vector.steps), bool)
    for row, (labels, buckets) in enumerate(groups.items()):
        buckets.sort()
        bounds = np.array([bound for bound, _ in buckets])
        rows = [i for _, i in buckets]
        here = vector.present[rows]
        present[row] = here.any(axis=0)
        # steps at which the same buckets are there are worked out together
        for steps in _alike(here):
            there = here[:, steps[0]]
            if there.any():
                counts = vector.values[rows][there][:, steps]
                values[row, steps] = of_classic(steps, bounds[there], counts, labels)
    return Vector(list(groups), values, present).compact()


def _bound(labels: Labels, context: Context) -> float | None:
    own = dict(labels)
    text = own.get("le", "")
    try:
        return float(text)
    except ValueError:
        context.warn(
            f'bucket label "le" is missing or has a malformed value of "{text}"'
            f' for metric name "{own.get(METRIC_NAME, "")}"'
        )
        return None


def check_quantile(q: Floats, context: Context) -> None:
    """Warns of a quantile that is none."""
    bad = ~((q >= 0) & (q <= 1))
    if bad.any():
        context.warn(f"quantile value should be between 0 and 1, got {_go(float(q[bad][0]))}")


def _go(value: float) -> str:
    return "NaN" if value != value else f"{value:g}".replace("inf", "Inf")


def _alike(here: Bools) -> list[Index]:
    if bool((here == here[:, :1]).all()):
        return [np.arange(here.shape[1])]
    _, kind = np.unique(here, axis=1, return_inverse=True)
    return [np.flatnonzero(kind.ravel() == k) for k in range(int(kind.max()) + 1)]


def _quantiles(q: Floats, bounds: Floats, counts: Floats, forced: Forced) -> Floats:
    """`counts` is [buckets, steps], cumulative, ordered by bound; `forced` hears of those that were not."""
    if bounds[-1] != np.inf:
        return np.where(q < 0, -np.inf, np.where(q > 1, np.inf, np.nan))
    bounds, counts = _coalesced(bounds, counts)
    counts = _monotonic(bounds, counts, forced)
    out = _interpolated(q, bounds, counts) if len(bounds) > 1 else np.full(len(q), np.nan)
    out = np.where((counts[-1] == 0) | np.isnan(counts[-1]) | np.isnan(q), np.nan, out)
    return np.where(q < 0, -np.inf, np.where(q > 1, np.inf, out))


def _coalesced(bounds: Floats, counts: Floats) -> tuple[Floats, Floats]:
    starts = np.flatnonzero(np.append(True, bounds[1:] != bounds[:-1]))
    return bounds[starts], np.add.reduceat(counts, starts, axis=0)


def bucket_fractions(low: Floats, high: Floats, bounds: Floats, counts: Floats) -> Floats:
    """The fraction of observations between `low` and `high`; `counts` as in `_quantiles`."""
    if bounds[-1] != np.inf:
        return np.full(len(low), np.nan)
    bounds, counts = _coalesced(bounds, counts)
    total = counts[-1]
    found = (_ranks_below(high, bounds, counts) - _ranks_below(low, bounds, counts)) / total
    found = np.where(low >= high, 0.0, found)
    result: Floats = np.where((total == 0) | np.isnan(low) | np.isnan(high), np.nan, found)
    return result


def _ranks_below(value: Floats, bounds: Floats, counts: Floats) -> Floats:
    """How many observations lie below a value, evenly spread within each bucket; a bucket without end counts none."""
    rank, done = counts[-1].copy(), np.zeros(len(value), bool)
    lower, before = (0.0 if bounds[0] > 0 else -np.inf), np.zeros(len(value))
    for upper, count in zip(bounds.tolist(), counts, strict=True):
        at_start = ~done & (lower >= value)
        inside = ~done & ~at_start & (value < upper)
        within = count if lower == -np.inf else before + (count - before) * (value - lower) / (upper - lower)
        rank = np.where(at_start, before, np.where(inside, within, rank))
        done |= at_start | inside
        lower, before = upper, count
    result: Floats = np.minimum(rank, counts[-1])
    return result


def _monotonic(bounds: Floats, counts: Floats, forced: Forced) -> Floats:
    previous, fixed, drops = counts[0], counts.copy(), np.zeros_like(counts)
    for i in range(1, len(counts)):
        change = np.abs(counts[i] - previous)
        same = (counts[i] == previous) | (change <= _SMALL * (np.abs(counts[i]) + np.abs(previous)))
        drops[i] = np.where((counts[i] < previous) & ~same, previous - counts[i], 0.0)
        fixed[i] = np.where(same | (counts[i] < previous), previous, counts[i])
        previous = fixed[i]
    if drops.any():
        forced(bounds, drops)
    return fixed


def _interpolated(q: Floats, bounds: Floats, counts: Floats) -> Floats:
    steps = np.arange(len(q))
    rank = q * counts[-1]
    reached = counts[:-1] >= rank[None, :]
    b = np.where(reached.any(axis=0), reached.argmax(axis=0), len(bounds) - 1)
    below = np.maximum(b - 1, 0)
    start = np.where(b > 0, bounds[below], 0.0)
    before = np.where(b > 0, counts[below, steps], 0.0)
    width, inside = bounds[b] - start, counts[b, steps] - before
    out = start + width * ((rank - before) / inside)
    out = np.where((b == 0) & (bounds[0] <= 0), bounds[0], out)
    result: Floats = np.where(b == len(bounds) - 1, bounds[-2], out)
    return result
