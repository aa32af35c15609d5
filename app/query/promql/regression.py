"""Straight lines through windows of samples (promql/functions.go, linearRegression)."""

from __future__ import annotations

import numpy as np

from app.query.promql import kahan
from app.query.promql.windows import Windows
from app.query.vector import Bools, Floats, Ints


def _line(w: Windows, intercept_ms: Ints) -> tuple[Floats, Floats]:
    """(slope per second, value at `intercept_ms`) of each window; windows of one sample mean nothing."""
    n = len(w.lo)
    sums = [(np.zeros(n), np.zeros(n)) for _ in range(4)]
    first = w.at(w.lo)
    constant = np.ones(n, bool)
    for active, positions in w.columns():
        y = w.values[positions]
        x = (w.ts_ms[positions] - intercept_ms[active]) / 1000
        constant[active] &= y == first[active]
        for (total, lost), item in zip(sums, (x, y, x * y, x * x), strict=True):
            total[active], lost[active] = kahan.add(total[active], lost[active], item)
    sum_x, sum_y, sum_xy, sum_xx = (total + lost for total, lost in sums)
    count = np.maximum(w.counts, 1)
    slope = (sum_xy - sum_x * sum_y / count) / (sum_xx - sum_x * sum_x / count)
    intercept = sum_y / count - slope * sum_x / count
    flat = np.where(np.isinf(first), np.nan, 0.0)
    return np.where(constant, flat, slope), np.where(constant, first + flat, intercept)


def deriv(w: Windows) -> tuple[Floats, Bools]:
    """The slope, per second."""
    slope, _ = _line(w, w.time_at(w.lo))
    return slope, w.counts >= 2


def predict_linear(w: Windows, seconds: Floats) -> tuple[Floats, Bools]:
    """Where the line will be `seconds` after the time of evaluation, which an offset does not move."""
    slope, intercept = _line(w, w.asked_ms)
    return slope * seconds + intercept, w.counts >= 2
