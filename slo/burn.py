"""Error ratio, burn rate and budget: pure functions of counts and time.

Whether an alert fires is decided on exact fractions: an error ratio of exactly factor * budget does not fire, which
binary floating point would get wrong ((100 - 99.9) / 100 is less than 0.001).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from slo.windows import BurnPair


@dataclass(frozen=True, slots=True)
class Sums:
    """Events of a window. `counted` of the `expected` intervals in it are known."""

    bad: float
    total: float
    counted: int
    expected: int

    @property
    def coverage(self) -> float:
        """The share of the window that is known, 0 to 1."""
        return self.counted / self.expected if self.expected else 0.0


@dataclass(frozen=True, slots=True)
class PairBurn:
    """What a pair of windows showed. Burn rates are NaN where there was no traffic.

    `known` is false while the history of its long window is still being read; such a pair never fires.
    """

    pair: BurnPair
    long_burn: float
    short_burn: float
    firing: bool
    known: bool = True


def budget_of(objective: float) -> Fraction:
    """The share of events that may be bad under an objective in per cent, as exact as it is written."""
    return 1 - Fraction(repr(float(objective))) / 100


def error_ratio(sums: Sums) -> float:
    """Bad by total, within 0 and 1; NaN without traffic: that is undefined, and not 100 % good."""
    return min(1.0, max(0.0, sums.bad / sums.total)) if sums.total > 0 else math.nan


def burn_rate(ratio: float, budget: Fraction) -> float:
    """How many times faster than allowed the budget is used. Without a budget any error burns infinitely fast."""
    if budget == 0:
        return ratio if math.isnan(ratio) or ratio == 0 else math.inf
    return ratio / float(budget)


def budget_left(period: Sums, budget: Fraction) -> float:
    """The share of the period's budget that is left, negative when overspent; NaN without traffic."""
    return 1 - burn_rate(error_ratio(period), budget)


def exhausted_in_ms(left: float, burn: float, period_ms: int) -> int | None:
    """Milliseconds until what is left is used up at a burn rate: 0 when it is already, None when that never comes."""
    if left <= 0:
        return 0
    if math.isnan(left) or math.isnan(burn) or burn <= 0:
        return None
    return 0 if math.isinf(burn) else round(left * period_ms / burn)


def exceeds(sums: Sums, limit: Fraction) -> bool:
    """Whether bad by total is strictly above a limit. Without traffic it is not."""
    return sums.total > 0 and Fraction(sums.bad) > limit * Fraction(sums.total)


def judge(
    pairs: Sequence[BurnPair], budget: Fraction, window: Callable[[int], Sums], known_ms: int
) -> tuple[PairBurn, ...]:
    """Every pair at one moment. `window` gives the sums of the last so many milliseconds, of which `known_ms` are read.

    A pair fires when both its windows burn faster than its factor.
    """
    return tuple(_judge(pair, budget, window(pair.long_ms), window(pair.short_ms), known_ms) for pair in pairs)


def _judge(pair: BurnPair, budget: Fraction, long: Sums, short: Sums, known_ms: int) -> PairBurn:
    limit = pair.factor * budget
    known = pair.long_ms <= known_ms
    return PairBurn(
        pair,
        burn_rate(error_ratio(long), budget),
        burn_rate(error_ratio(short), budget),
        known and exceeds(long, limit) and exceeds(short, limit),
        known,
    )
