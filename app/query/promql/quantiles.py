"""Quantiles of many small sets at once."""

from __future__ import annotations

import numpy as np

from app.query.vector import Bools, Floats


def quantile_of_rows(rows: Floats, real: Bools, q: Floats) -> Floats:
    """The q-th quantile of the real cells of each row, linear between ranks. NaN counts as the smallest value.

    NaN for a row without real cells or a q of NaN; -Inf for q < 0, +Inf for q > 1.
    """
    counts = real.sum(axis=1)
    nans = (np.isnan(rows) & real).sum(axis=1)
    # sorted, NaN stands in front as -Inf and padding behind as +Inf
    filled = np.where(real, np.where(np.isnan(rows), -np.inf, rows), np.inf)
    ordered = np.sort(filled, axis=1)
    inside = np.clip(np.nan_to_num(q, nan=0.0), 0.0, 1.0)
    rank = inside * (counts - 1)
    lower = np.clip(np.floor(rank), 0, None).astype(np.intp)
    upper = np.minimum(lower + 1, np.maximum(counts - 1, 0))
    weight = rank - np.floor(rank)

    def pick(index: np.ndarray[tuple[int, ...], np.dtype[np.intp]]) -> Floats:
        found = np.take_along_axis(ordered, index[:, None], axis=1)[:, 0] if ordered.shape[1] else np.zeros(len(q))
        return np.where(index < nans, np.nan, found)

    out = pick(lower) * (1 - weight) + pick(upper) * weight
    out = np.where(q < 0, -np.inf, np.where(q > 1, np.inf, out))
    return np.where((counts == 0) | np.isnan(q), np.nan, out)
