"""Error ratio, burn rate and budget at the edges: no traffic, no budget, exactly at the limit."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo.burn import (
    Part,
    at_least,
    budget_of,
    budget_used,
    burn_rate,
    compare,
    error_ratio,
    exhausted_in_ms,
    overall_ratio,
    parts_of,
    window_of_today,
)
from slo.period import Calendar
from slo.spec import Component, Op, Timeslices
from tests.slo_judging import EVENTS, D, H, M, measured, part, slo, sums

OPS: dict[Op, Callable[[Fraction | float, Fraction | float], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
LIMITS = [
    (objective, factor)
    for objective in (99.9, 99.99, 99.5, 99.0, 95.0, 99.95, 33.3)
    for factor in (Fraction("14.4"), Fraction(6), Fraction(1), Fraction("0.98"))
    if factor * budget_of(objective) < 1
]


@pytest.mark.parametrize(("objective", "factor"), LIMITS)
def test_a_ratio_at_the_limit_does_not_fire(objective: float, factor: Fraction) -> None:
    """An error ratio of exactly factor times budget is not above it, whatever binary fractions say."""
    total = 10_000_000
    bad = factor * budget_of(objective) * total
    assert bad.denominator == 1
    points = sums([float(bad) - 1, float(bad), float(bad) + 1], [total] * 3)
    answers: dict[Op, list[bool]] = {
        "gt": [False, False, True],
        "gte": [False, True, True],
        "lt": [True, False, False],
        "lte": [True, True, False],
    }
    for op, expected in answers.items():
        assert compare(part(objective), [points], factor, op).tolist() == expected


def test_no_traffic_is_undefined() -> None:
    """Without events the ratio is NaN, no comparison holds, and nothing is said of the budget."""
    nothing = sums([0.0], [0.0], 5, 5)
    assert math.isnan(error_ratio(nothing)[0])
    assert math.isnan(burn_rate(part(), [nothing])[0])
    assert math.isnan(budget_used(slo(), measured({}, nothing))[0])
    for op in OPS:
        assert not compare(part(), [nothing], Fraction(1), op)[0]


def test_an_objective_of_100_per_cent_has_no_budget() -> None:
    """One error of a million burns infinitely fast; none is fine."""
    points = sums([1.0, 0.0], [1e6, 1e6])
    assert budget_of(100) == 0
    assert burn_rate(part(100), [points]).tolist() == [math.inf, 0]
    assert compare(part(100), [points], Fraction(6)).tolist() == [True, False]


def test_errors_beyond_the_requests_are_all_of_them() -> None:
    """Errors that were scraped before their requests are at most all, and never fewer than none."""
    points = sums([12.0, -1.0], [10.0, 10.0])
    assert error_ratio(points).tolist() == [1, 0]
    assert compare(part(90), [points], Fraction(10)).tolist() == [False, False]
    assert compare(part(90), [points], Fraction(10), "gte").tolist() == [True, False]


def test_ratios_add_up_to_what_is_meant() -> None:
    """Ten ratios of 0.1 are at the limit of 1 in 10, whether their sum in binary is a little less or more."""
    for bad in (sum([0.1] * 10), 2.9 - 1.9 + 1e-15, 1.0):
        assert not compare(part(90), [sums([bad], [10.0])], Fraction(1))[0]
        assert compare(part(90), [sums([bad], [10.0])], Fraction(1), "gte")[0]
    assert sum([0.1] * 10) < 1 < 2.9 - 1.9 + 1e-15


def test_a_composite_burns_at_the_sum_of_its_parts() -> None:
    """Each component burns against its own objective, times its weight; one without traffic burns nothing."""
    parts = (Part(Fraction(1), budget_of(99)), Part(Fraction(1, 2), budget_of(99.9)))
    first, second = sums([2.0, 2.0, 0.0], [100.0, 100.0, 0.0]), sums([8.0, 0.0, 0.0], [1000.0, 0.0, 0.0])
    rates = burn_rate(parts, [first, second])
    assert rates[:2].tolist() == pytest.approx([2 + 0.5 * 8, 2])
    assert math.isnan(rates[2])
    assert compare(parts, [first, second], Fraction(6)).tolist() == [False, False, False]
    assert compare(parts, [first, second], Fraction(6), "gte").tolist() == [True, False, False]


def test_a_composite_of_occurrences_has_parts_and_one_of_slices_has_one() -> None:
    """Slices of several components are one slice already, against the composite's objective."""
    both = (Component(EVENTS, 99.0, 1.0), Component(EVENTS, 99.9, 0.5))
    spec = slo(components=both)
    assert parts_of(spec) == (Part(Fraction(1), Fraction(1, 100)), Part(Fraction(1, 2), Fraction(1, 1000)))
    assert parts_of(replace(spec, budgeting=Timeslices(M, 0.9))) == (Part(Fraction(1), Fraction(1, 1000)),)
    ratio = overall_ratio(spec, [sums([2.0], [100.0]), sums([8.0], [1000.0])])
    assert ratio[0] == pytest.approx(6 * 0.001)


def test_slices_of_a_calendar_are_a_share_of_the_whole_period() -> None:
    """A bad slice on the first day costs the same as on the last; events are a share of those so far."""
    month = Calendar(datetime(2026, 1, 1), "UTC", "M")
    known = replace(measured({}, sums([3.0], [100.0], 100, 100)), period_length=np.array([3000]))
    slices = slo(objective=99.0, period=month, budgeting=Timeslices(M, 0.9))
    assert budget_used(slices, known)[0] == pytest.approx(3 / 30)
    assert budget_used(slo(objective=99.0, period=month), known)[0] == pytest.approx(3)
    assert budget_used(slo(objective=99.0, budgeting=Timeslices(M, 0.9)), known)[0] == pytest.approx(3)


@pytest.mark.parametrize(
    ("left", "burn", "expected"),
    [
        (1.0, 1.0, 30_000),
        (0.5, 10.0, 1_500),
        (0.0, 10.0, 0),
        (-2.0, 0.0, 0),
        (0.5, 0.0, None),
        (1.0, math.inf, 0),
        (1.0, math.nan, None),
        (math.nan, 1.0, None),
    ],
)
def test_time_to_exhaustion(left: float, burn: float, expected: int | None) -> None:
    """What is left lasts left * period / burn; nothing left lasts no time, no burn lasts for ever."""
    assert exhausted_in_ms(left, burn, 30_000) == expected


@pytest.mark.parametrize(
    ("windows", "expected"), [([M, H, D, 3 * D], D), ([M, H], H), ([2 * D, 3 * D], 2 * D), ([], None)]
)
def test_todays_burn_is_that_of_a_day(windows: list[int], expected: int | None) -> None:
    """A day, or the longest window there is below one."""
    assert window_of_today(windows) == expected


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=30),
    st.fractions(0, 1, max_denominator=200),
)
def test_at_least_is_exact(events: list[tuple[int, int]], target: Fraction) -> None:
    """Good by total is compared as the fraction it is."""
    good, total = (np.array([e[i] for e in events], float) for i in (0, 1))
    total = np.maximum(good, total)
    expected = [t > 0 and Fraction(int(g), int(t)) >= target for g, t in zip(good, total, strict=True)]
    assert at_least(good, total, target).tolist() == expected


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5000)), min_size=1, max_size=40),
    st.sampled_from([99.9, 99.0, 95.0, 100.0]),
    st.sampled_from([Fraction("14.4"), Fraction(6), Fraction(1), Fraction(28, 30)]),
    st.sampled_from(["gt", "gte", "lt", "lte"]),
)
def test_comparing_is_exact(events: list[tuple[int, int]], objective: float, factor: Fraction, op: Op) -> None:
    """Whatever the numbers, the answer is that of fractions."""
    bad = [min(b, t) for b, t in events]
    limit = factor * budget_of(objective)
    compared = OPS[op]
    if not limit:
        # without a budget any error burns faster than anything, and none is no burn at all
        expected = [t > 0 and compared(math.inf if b else 0, factor) for b, (_, t) in zip(bad, events, strict=True)]
    else:
        expected = [t > 0 and compared(Fraction(b, t), limit) for b, (_, t) in zip(bad, events, strict=True)]
    assert compare(part(objective), [sums(bad, [t for _, t in events])], factor, op).tolist() == expected
