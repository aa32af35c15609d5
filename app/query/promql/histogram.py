"""Quantiles of classic histograms (promql/quantile.go, BucketQuantile)."""

from __future__ import annotations

import numpy as np

from app.labels import METRIC_NAME, Labels
from app.query.promql.context import Context
from app.query.vector import Bools, Floats, Vector, empty, unnamed

_SMALL = 1e-12
"""Differences of this relative size between buckets are rounding, not samples."""


def histogram_quantile(q: Floats, vector: Vector, context: Context) -> Vector:
    """The q-th quantile of each group of `le` buckets; `q` has a value for each step."""
    groups: dict[Labels, list[tuple[float, int]]] = {}
    for i, labels in enumerate(vector.labels):
        bound = _bound(labels, context)
        if bound is not None:
            rest = tuple(p for p in labels if p[0] != "le")
            groups.setdefault(rest, []).append((bound, i))
    _check(q, context)
    if not groups:
        return empty(vector.steps)
    values = np.full((len(groups), vector.steps), np.nan)
    present = np.zeros((len(groups), vector.steps), bool)
    for row, buckets in enumerate(groups.values()):
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
                values[row, steps] = _quantiles(q[steps], bounds[there], counts, context)
    return unnamed(Vector(list(groups), values, present).compact())


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


def _check(q: Floats, context: Context) -> None:
    bad = ~((q >= 0) & (q <= 1))
    if bad.any():
        context.warn(f"quantile value should be between 0 and 1, got {_go(float(q[bad][0]))}")


def _go(value: float) -> str:
    return "NaN" if value != value else f"{value:g}".replace("inf", "Inf")


def _alike(here: Bools) -> list[np.ndarray[tuple[int, ...], np.dtype[np.intp]]]:
    if bool((here == here[:, :1]).all()):
        return [np.arange(here.shape[1])]
    _, kind = np.unique(here, axis=1, return_inverse=True)
    return [np.flatnonzero(kind.ravel() == k) for k in range(int(kind.max()) + 1)]


def _quantiles(q: Floats, bounds: Floats, counts: Floats, context: Context) -> Floats:
    """`counts` is [buckets, steps], cumulative, ordered by bound."""
    if bounds[-1] != np.inf:
        return np.where(q < 0, -np.inf, np.where(q > 1, np.inf, np.nan))
    starts = np.flatnonzero(np.append(True, bounds[1:] != bounds[:-1]))
    bounds, counts = bounds[starts], np.add.reduceat(counts, starts, axis=0)
    counts = _monotonic(counts, context)
    out = _interpolated(q, bounds, counts) if len(bounds) > 1 else np.full(len(q), np.nan)
    out = np.where((counts[-1] == 0) | np.isnan(counts[-1]) | np.isnan(q), np.nan, out)
    return np.where(q < 0, -np.inf, np.where(q > 1, np.inf, out))


def _monotonic(counts: Floats, context: Context) -> Floats:
    previous, fixed, forced = counts[0], counts.copy(), False
    for i in range(1, len(counts)):
        change = np.abs(counts[i] - previous)
        same = (counts[i] == previous) | (change <= _SMALL * (np.abs(counts[i]) + np.abs(previous)))
        forced = forced or bool(((counts[i] < previous) & ~same).any())
        fixed[i] = np.where(same | (counts[i] < previous), previous, counts[i])
        previous = fixed[i]
    if forced:
        context.inform("input to histogram_quantile needed to be fixed for monotonicity")
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
