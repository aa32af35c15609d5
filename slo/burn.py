"""Error ratio, burn rate and budget: pure functions of counts and time, over n points at once.

Whether a limit is passed is decided on exact fractions: an error ratio of exactly factor * budget does not fire, which
binary floating point would get wrong ((100 - 99.9) / 100 is less than 0.001).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from slo.measure import Bools, Floats, Measured, Sums
from slo.period import DAY_MS, Rolling
from slo.spec import Occurrences, Op, SloSpec

_OPS: dict[Op, Callable[[Any, Any], Any]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
# far more than floats are off, so that whatever is further from the limit is decided by them
_NEAR = 1e-9


@dataclass(frozen=True, slots=True)
class Part:
    """What one `Sums` adds to a burn rate: `weight` times its error ratio over its budget, a share of its events."""

    weight: Fraction
    budget: Fraction


def exact(number: float) -> Fraction:
    """A number as it is written in decimals: 99.9 is 999/10."""
    return Fraction(repr(float(number)))


def budget_of(objective: float) -> Fraction:
    """The share of events that may be bad under an objective in per cent, as exact as it is written."""
    return 1 - exact(objective) / 100


def parts_of(spec: SloSpec) -> tuple[Part, ...]:
    """What the `Sums` of an SLO count for.

    A composite that budgets occurrences burns at the rate of each component against its own objective, times its
    weight (OpenSLO, "Composite SLO"). Everything else is one against the SLO's objective.
    """
    if spec.composite and isinstance(spec.budgeting, Occurrences):
        return tuple(Part(exact(c.weight), budget_of(c.objective)) for c in spec.components)
    return (Part(Fraction(1), budget_of(spec.objective)),)


def error_ratio(sums: Sums) -> Floats:
    """Bad by total, within 0 and 1; NaN without traffic: that is undefined, and not 100 % good. (n,)."""
    none = np.full(len(sums.total), np.nan)
    return np.asarray(np.divide(_bad(sums), sums.total, out=none, where=sums.total > 0))


def burn_rate(parts: Sequence[Part], sums: Sequence[Sums]) -> Floats:
    """How many times faster than allowed the budget is used, NaN without traffic, (n,).

    Without a budget any error burns infinitely fast. A component without traffic burns nothing where another has some.
    """
    ratios = [error_ratio(one) for one in sums]
    rate = np.zeros(len(ratios[0]))
    for part, ratio in zip(parts, ratios, strict=True):
        if part.budget:
            rate += np.nan_to_num(ratio, nan=0.0) * float(part.weight / part.budget)
        else:
            rate[ratio > 0] = np.inf
    rate[~_traffic(sums)] = np.nan
    return rate


def overall_ratio(spec: SloSpec, sums: Sequence[Sums]) -> Floats:
    """The error ratio of all of an SLO, (n,). A composite's burn rate says which one it has against its objective."""
    if len(sums) == 1:
        return error_ratio(sums[0])
    with np.errstate(invalid="ignore"):  # no budget, and none of it used
        return burn_rate(parts_of(spec), sums) * float(budget_of(spec.objective))


def compare(parts: Sequence[Part], sums: Sequence[Sums], factor: Fraction, op: Op = "gt") -> Bools:
    """Where the burn rate is `op` the factor, exactly, (n,). Without traffic it is not.

    Sums that are not whole (of ratios) are as good as floats are: within a billionth of the limit they are at it.
    """
    rate, limit = burn_rate(parts, sums), float(factor)
    found = np.asarray(_OPS[op](rate, limit))
    near = np.flatnonzero(np.abs(rate - limit) <= _NEAR * limit)
    if len(near):
        rows = np.column_stack([column[near] for one in sums for column in (_bad(one), one.total)])
        unique, back = np.unique(rows, axis=0, return_inverse=True)
        answers = [bool(_OPS[op](_exact_burn(parts, row, factor), factor)) for row in unique.tolist()]
        found[near] = np.array(answers)[back.reshape(-1)]
    return found


def at_least(good: Floats, total: Floats, target: Fraction) -> Bools:
    """Where good by total is at least a target, exactly, (n,). Without traffic it is not."""
    none = np.zeros(len(total), np.int64)
    # what is "bad" here is what a slice's target asks for
    return compare((Part(Fraction(1), Fraction(1)),), (Sums(good, total, none, none),), target, "gte")


def of_period(spec: SloSpec, measured: Measured) -> tuple[Sums, ...]:
    """The period's sums, with what its budget is a share of as their total.

    That is what there was so far. In time slices of a period of the calendar it is all of the period's slices, so that
    a bad one costs the same on the first day as on the last.
    """
    if isinstance(spec.period, Rolling) or isinstance(spec.budgeting, Occurrences):
        return measured.period
    whole = measured.period_length.astype(np.float64)
    return tuple(replace(one, total=whole) for one in measured.period)


def budget_used(spec: SloSpec, measured: Measured) -> Floats:
    """The share of the period's budget that is used, above 1 when overspent; NaN without traffic, (n,)."""
    return burn_rate(parts_of(spec), of_period(spec, measured))


def exhausted_in_ms(left: float, burn: float, period_ms: int) -> int | None:
    """Milliseconds until what is left is used up at a burn rate: 0 when it is already, None when that never comes."""
    if left <= 0:
        return 0
    if math.isnan(left) or math.isnan(burn) or burn <= 0:
        return None
    return 0 if math.isinf(burn) else round(left * period_ms / burn)


def window_of_today(windows_ms: Sequence[int]) -> int | None:
    """The window today's burn is taken from: a day, else the longest below it, else the shortest there is."""
    within = [window for window in windows_ms if window <= DAY_MS]
    return max(within) if within else min(windows_ms, default=None)


def _bad(sums: Sums) -> Floats:
    # errors scraped a moment before their requests may be more than those, or fewer than none
    return np.clip(sums.bad, 0.0, np.maximum(sums.total, 0.0))


def _traffic(sums: Sequence[Sums]) -> Bools:
    return np.asarray(np.any([one.total > 0 for one in sums], axis=0))


def _exact_burn(parts: Sequence[Part], row: list[float], near: Fraction) -> Fraction:
    """The burn rate of sums (bad, total, bad, total …) that is near a factor."""
    if not all(number.is_integer() for number in row):
        return near
    burn = Fraction(0)
    for part, bad, total in zip(parts, row[::2], row[1::2], strict=True):
        if total > 0 and bad > 0:
            burn += part.weight * Fraction(bad) / (Fraction(total) * part.budget)
    return burn
