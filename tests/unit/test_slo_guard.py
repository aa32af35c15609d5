"""The low-traffic guard: the exact binomial test, and where it is asked."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo.guard import binomial_tail, may_be_chance
from slo.judge import Policy, judge
from slo.spec import BurnCondition, Query, RatioSli
from tests.slo_judging import PAGE_FAST, D, H, M, alert, measured, slo, sums

LEVEL = 0.01 * H / (30 * D)


def exact_tail(k: int, n: int, p: Fraction) -> float:
    """P(X >= k), term by term in fractions."""
    return float(sum((comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(max(k, 0), n + 1)), Fraction(0)))


@pytest.mark.parametrize(
    ("k", "n", "p", "expected"),
    [
        (1, 3, 0.001, 0.002997001),
        (2, 3, 0.001, 2.998e-6),
        (3, 3, 0.001, 1e-9),
        # ten tosses of a coin: 8 heads or more are 56 of 1024
        (8, 10, 0.5, 56 / 1024),
        (0, 10, 0.5, 1.0),
        (11, 10, 0.5, 0.0),
        (1, 10, 0.0, 0.0),
        (10, 10, 1.0, 1.0),
    ],
)
def test_known_tails(k: int, n: int, p: float, expected: float) -> None:
    """The textbook's values."""
    assert binomial_tail(k, n, p) == pytest.approx(expected, rel=1e-12)


@given(st.integers(0, 120), st.data(), st.sampled_from(["0.001", "0.05", "0.0001", "0.3", "0.5", "0.97"]))
def test_tails_are_those_of_fractions(n: int, data: st.DataObject, p: str) -> None:
    """On both sides of the mean the tail is exact to ten digits."""
    k = data.draw(st.integers(0, n + 1))
    assert binomial_tail(k, n, float(p)) == pytest.approx(exact_tail(k, n, Fraction(p)), rel=1e-10, abs=1e-300)


def test_many_trials() -> None:
    """A million trials at one in a million are Poisson's law: P(X >= 1) is 1 - 1/e, to the sixth digit."""
    assert binomial_tail(1, 1_000_000, 1e-6) == pytest.approx(0.6321205588, rel=1e-6)
    assert binomial_tail(10, 1_000_000, 1e-6) == pytest.approx(1.11425e-7, rel=1e-4)


def test_it_acts_below_ten_failures_only() -> None:
    """From 695 requests on, ten failures would be at the threshold of 14.4 times 0.1 %: the ratio decides alone."""
    few, enough = 694, 695
    points = sums([1.0, 1.0], [few, enough])
    assert few * 0.0144 < 10 <= enough * 0.0144
    assert may_be_chance(points, 14.4, 0.001, LEVEL).tolist() == [True, False]


def test_counts_that_are_not_whole_are_rounded() -> None:
    """2.6 of 3.4 are 3 of 3, and less than half a failure is none."""
    points = sums([2.6, 0.4, 7.0], [3.4, 3.0, 3.0])
    assert may_be_chance(points, 14.4, 0.001, LEVEL).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("bad", "total", "fires"),
    [(1, 3, False), (2, 3, True), (1, 1, False), (3, 200, False), (5, 200, True), (10, 600, True), (9, 600, True)],
)
def test_one_failed_of_three_pages_nobody(bad: int, total: int, fires: bool) -> None:
    """At 99.9 % one failure of three is chance and two are not; where the guard is off both page."""
    spec = slo(alert(PAGE_FAST))
    known = measured({H: sums([bad], [total]), 5 * M: sums([1], [1])})
    assert judge(spec, known, Policy())["page"].firing[0] == fires
    assert fires == (exact_tail(bad, total, Fraction(1, 1000)) < LEVEL)
    assert judge(spec, known, Policy(false_alarms=0))["page"].firing[0]


def test_it_is_for_events_that_burn_fast_only() -> None:
    """A measured ratio is no draw from an urn, and a budget that burns slowly is no false alarm."""
    known = measured({H: sums([1], [3]), 5 * M: sums([1], [1])})
    raw = slo(alert(PAGE_FAST), sli=RatioSli(Query("r")))
    assert judge(raw, known, Policy())["page"].firing[0]
    slow = slo(alert(BurnCondition((H,), Fraction(400), "lt")))
    assert judge(slow, known, Policy())["page"].firing[0]
