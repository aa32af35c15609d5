"""The low-traffic guard: whether so many failures among so few requests may be chance.

Of three requests at night one fails: that is 333 times the budget of 99.9 %, and says nothing about the service. Where
fewer than ten failures would reach an alert's threshold (`total * factor * B < 10`) a long window's failures count only
if a service that just meets its objective would hardly ever show as many.

Ten is the bound below which a binomial count is not to be treated as normally distributed (n * p >= 10 in the usual
textbook rule; OpenIntro Statistics, 4th ed., 6.1.1): there a ratio no longer speaks for itself, and the exact
distribution is asked instead. With X failures of `total` requests, each failing with probability B = 1 - objective, the
failures count if

    P(X >= bad | total, B) < false_alarms * long / period

A period has period / long windows of the length of the long one that do not overlap. By Bonferroni's inequality the
chance that any of them raises a false alarm is at most the sum of theirs, so at most `false_alarms` a period. For 30
days, an hour and 0.01 one window may be wrong with 0.01 / 720 = 0.000014. One failed of three at 99.9 % has a
probability of 0.003, two of three 0.000003. From ten failures at the threshold on, the ratio alone decides.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from slo.measure import Bools, Sums

ENOUGH = 10
_CACHED = 65_536
_NEGLIGIBLE = 1e-17


def may_be_chance(sums: Sums, factor: float, budget: float, level: float) -> Bools:
    """Where the failures of a window may be chance, (n,): too few to reach a limit surely, and not below `level`.

    `budget` is the share of failures that is allowed. Counts that are not whole are rounded to the nearest.
    """
    few = sums.total * factor * budget < ENOUGH
    chance = np.zeros(len(few), bool)
    at = np.flatnonzero(few)
    if len(at):
        total = np.rint(np.maximum(sums.total[at], 0.0))
        bad = np.clip(np.rint(sums.bad[at]), 0.0, total)
        pairs, back = np.unique(np.column_stack([bad, total]), axis=0, return_inverse=True)
        verdicts = [binomial_tail(int(k), int(n), budget) >= level for k, n in pairs.tolist()]
        chance[at] = np.array(verdicts)[back.reshape(-1)]
    return chance


@lru_cache(_CACHED)
def binomial_tail(k: int, n: int, p: float) -> float:
    """P(X >= k) of n trials that succeed with probability p, each term of it from the one before.

    The sum is taken on the side of k that is away from the mean, where terms only get smaller.
    """
    if k <= 0:
        return 1.0
    if k > n or p <= 0:
        return 0.0
    if p >= 1:
        return 1.0
    if k > n * p:
        return min(1.0, _sum_from(k, n, p))
    # X < k is n - X > n - k, of trials that fail with 1 - p
    return max(0.0, 1.0 - _sum_from(n - k + 1, n, 1 - p))


def _sum_from(k: int, n: int, p: float) -> float:
    log_choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    term = math.exp(log_choose + k * math.log(p) + (n - k) * math.log1p(-p))
    total, odds = 0.0, p / (1 - p)
    while k <= n and term > total * _NEGLIGIBLE:
        total += term
        term *= (n - k) / (k + 1) * odds
        k += 1
    return total
