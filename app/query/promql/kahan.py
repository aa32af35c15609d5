"""Sums that keep the digits plain addition loses, over whole arrays at once (Neumaier's variant, as Prometheus)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from app.query.vector import Floats


def add(total: Floats, lost: Floats, item: Floats) -> tuple[Floats, Floats]:
    """(new total, new lost digits) after adding an item; the sum is their sum."""
    new = total + item
    big = np.abs(total) >= np.abs(item)
    more = np.where(big, (total - new) + item, (item - new) + total)
    # an infinite total has lost nothing, and its difference to itself would be NaN
    return new, np.where(np.isinf(new), 0.0, lost + more)


def group_sums(values: Floats, starts: npt.NDArray[np.intp]) -> Floats:
    """Column sums of consecutive rows: group g has the rows from `starts[g]` to before `starts[g + 1]`.

    Rows are added in pairs, then pairs in pairs; what each addition loses is kept and added at the end.
    """
    totals, lost = values, np.zeros_like(values)
    sizes = np.diff(np.append(starts, len(values)))
    while len(totals) > len(sizes):
        begin = np.concatenate(([0], np.cumsum(sizes)[:-1]))
        rank = np.arange(len(totals)) - np.repeat(begin, sizes)
        even = np.flatnonzero(rank % 2 == 0)
        paired = rank[even] + 1 < np.repeat(sizes, sizes)[even]
        left, right = even[paired], even[paired] + 1
        new, more = add(totals[left], lost[left], totals[right])
        next_totals, next_lost = totals[even], lost[even]
        next_totals[paired], next_lost[paired] = new, more + np.where(np.isinf(new), 0.0, lost[right])
        totals, lost, sizes = next_totals, next_lost, (sizes + 1) // 2
    return totals + lost
