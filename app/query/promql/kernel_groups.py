"""The compiled loop of aggregations: series on the grid are added to their groups."""

from __future__ import annotations

import math

from app.query.promql.kernels import add, kernel
from app.query.vector import Bools, Floats, Ints

SUM, LEAST, MOST, MEMBERS = 0, 1, 2, 3


@kernel
def gathered(
    values: Floats, present: Bools, group: Ints, what: int, total: Floats, lost: Floats, members: Ints
) -> None:
    """Adds series to their groups: `group` [series] indexes `total`, `lost` and `members`, [groups, steps]."""
    for s in range(values.shape[0]):
        g = group[s]
        for k in range(values.shape[1]):
            if not present[s, k]:
                continue
            x = values[s, k]
            if what == SUM:
                total[g, k], lost[g, k] = add(total[g, k], lost[g, k], x)
            elif what != MEMBERS:
                best = total[g, k]
                better = x < best if what == LEAST else x > best
                if members[g, k] == 0 or better or math.isnan(best):
                    total[g, k] = x
            members[g, k] += 1


@kernel
def picked(
    values: Floats, present: Bools, starts: Ints, rows: Ints, out: Ints, total: Floats, lost: Floats, some: Bools
) -> None:
    """Adds the series `rows[starts[i]:starts[i + 1]]`, in this order, to the sum `out[i]`.

    `total`, `lost` and `some` (whether a series was there) are [sums, steps].
    """
    for i in range(len(out)):
        g = out[i]
        for j in range(starts[i], starts[i + 1]):
            s = rows[j]
            for k in range(values.shape[1]):
                if present[s, k]:
                    total[g, k], lost[g, k] = add(total[g, k], lost[g, k], values[s, k])
                    some[g, k] = True
