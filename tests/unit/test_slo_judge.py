"""Judging: which conditions fire, and where too little is known to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo.judge import HELD, Policy, judge, shape_of
from slo.measure import Measured, Sums
from slo.period import Calendar
from slo.spec import AlertSpec, BudgetCondition, BurnCondition, Component, NoDataCondition
from tests.slo_judging import EVENTS, PAGE_FAST, PAGE_SLOW, D, H, M, alert, measured, slo, sums

BURNS, QUIET = sums([50], [1000], 60, 60), sums([1], [1000], 60, 60)
MISSING = sums([50], [1000], 29, 60)
NO_ROWS = sums([0], [0], 0, 60)
NO_TRAFFIC = sums([0], [0], 60, 60)
OUT = sums([0], [0], 0, 0)


@pytest.mark.parametrize(
    ("long", "short", "firing", "held"),
    [
        (BURNS, BURNS, True, ""),
        (BURNS, QUIET, False, ""),
        (QUIET, BURNS, False, ""),
        (BURNS, NO_TRAFFIC, False, ""),
        (NO_TRAFFIC, NO_TRAFFIC, False, ""),
        (MISSING, BURNS, False, HELD[1]),
        (BURNS, MISSING, False, HELD[1]),
        (BURNS, NO_ROWS, False, HELD[1]),
        (BURNS, OUT, False, HELD[2]),
        (MISSING, OUT, False, HELD[2]),
    ],
)
def test_a_pair_fires_where_both_windows_burn_and_are_known(long: Sums, short: Sums, firing: bool, held: str) -> None:
    """Both have to burn; a window known for less than half, or all in maintenance, leaves the alert as it is."""
    verdict = judge(slo(alert(PAGE_FAST)), measured({H: long, 5 * M: short}), Policy())["page"]
    assert (verdict.firing[0], verdict.held[0], HELD[verdict.why[0]]) == (firing, bool(held), held)


def test_half_is_enough_and_the_floor_can_be_moved() -> None:
    """The floor itself is enough; without a floor whatever is known decides."""
    half = sums([50], [1000], 30, 60)
    spec = slo(alert(PAGE_FAST))
    assert judge(spec, measured({H: half, 5 * M: half}), Policy())["page"].firing[0]
    assert judge(spec, measured({H: MISSING, 5 * M: MISSING}), Policy(coverage_floor=0))["page"].firing[0]
    assert judge(spec, measured({H: half, 5 * M: half}), Policy(coverage_floor=0.6))["page"].held[0]


def test_a_window_whose_history_is_still_read_is_undecided() -> None:
    """An alert waits until everything in its long window was read, and says so."""
    spec, known = slo(alert(PAGE_FAST)), measured({H: BURNS, 5 * M: BURNS}, known_ms=H - 1)
    verdict = judge(spec, known, Policy())["page"]
    assert (verdict.firing[0], verdict.held[0], HELD[verdict.why[0]]) == (False, True, HELD[3])
    assert judge(spec, replace(known, known_ms=np.array([H])), Policy())["page"].firing[0]


def test_one_condition_is_enough_and_the_fastest_is_named() -> None:
    """A condition that fires does so while another is undecided; of two that fire the higher factor is told."""
    both = slo(alert(PAGE_SLOW, PAGE_FAST))
    burning = {H: BURNS, 5 * M: BURNS, 6 * H: BURNS, 30 * M: BURNS}
    assert judge(both, measured(burning), Policy())["page"].condition[0] == 1
    verdict = judge(both, measured(burning | {H: MISSING}), Policy())["page"]
    assert (verdict.firing[0], verdict.condition[0], verdict.held[0]) == (True, 0, False)
    verdict = judge(both, measured(burning | {H: MISSING, 6 * H: QUIET}), Policy())["page"]
    assert (verdict.firing[0], verdict.condition[0], verdict.held[0]) == (False, -1, True)


@pytest.mark.parametrize(("bad", "fires"), [(0.0, False), (899.0, False), (900.0, True), (2000.0, True)])
def test_budget_used(bad: float, fires: bool) -> None:
    """It fires from exactly the share on: 900 of the 1000 errors that a million requests may have."""
    spec = slo(alert(BudgetCondition(Fraction(9, 10))))
    period = sums([bad], [1e6], 30, 30)
    verdict = judge(spec, measured({}, period, known_ms=30 * D), Policy())["page"]
    assert (verdict.firing[0], verdict.held[0]) == (fires, False)
    verdict = judge(spec, measured({}, period, known_ms=30 * D - 1), Policy())["page"]
    assert (verdict.firing[0], verdict.held[0]) == (False, True)


def test_budget_of_a_calendar_period_has_to_be_known_from_its_beginning() -> None:
    """On the third of a month two days and a bit are enough; at midnight of the first it is the month that ends."""
    spec = slo(alert(BudgetCondition(Fraction(1))), period=Calendar(datetime(2026, 1, 1), "UTC", "M"))
    third = int(datetime.fromisoformat("2026-03-03T00:00:00+00:00").timestamp() * 1000)
    for at_ms, known_ms, held in [
        (third, 2 * D, False),
        (third, 2 * D - 1, True),
        (third - 2 * D, 28 * D, False),
        (third - 2 * D, 28 * D - 1, True),
        (third - 2 * D + M, M, False),
    ]:
        known = measured({}, sums([0], [10], 9, 9), known_ms=known_ms, at_ms=at_ms)
        assert judge(spec, known, Policy())["page"].held[0] == held


@pytest.mark.parametrize(
    ("window", "known_ms", "firing", "held"),
    [
        (NO_ROWS, H, True, False),
        (NO_ROWS, H - 1, False, True),
        (NO_TRAFFIC, H, False, False),
        (sums([0], [0], 1, 60), H, False, False),
        (OUT, H, False, True),
    ],
)
def test_no_data(window: Sums, known_ms: int, firing: bool, held: bool) -> None:
    """It fires where nothing at all is known though it was read; requests that do not come are data."""
    verdict = judge(slo(alert(NoDataCondition(H))), measured({H: window}, known_ms=known_ms), Policy())["page"]
    assert (verdict.firing[0], verdict.held[0]) == (firing, held)


def test_an_alert_may_fire_when_there_is_no_data() -> None:
    """`when_no_data` turns the hold of a silent short window into an alert, of no condition."""
    silent = measured({H: BURNS, 5 * M: NO_ROWS})
    quiet, loud = slo(alert(PAGE_FAST)), slo(alert(PAGE_FAST, when_no_data=True))
    assert judge(quiet, silent, Policy())["page"].held[0]
    verdict = judge(loud, silent, Policy())["page"]
    assert (verdict.firing[0], verdict.held[0], verdict.condition[0]) == (True, False, -1)
    assert judge(loud, measured({H: BURNS, 5 * M: MISSING}), Policy())["page"].held[0]


def test_opposite_operators() -> None:
    """A condition may ask for a burn that is slow."""
    spec = slo(alert(BurnCondition((H,), Fraction(2), "lte")))
    for bad, fires in ((1, True), (2, True), (3, False)):
        assert judge(spec, measured({H: sums([bad], [1000])}), Policy())["page"].firing[0] == fires


def test_the_guard_leaves_out_what_may_be_chance_of_a_composite() -> None:
    """One failure of three in a quiet component does not page; the busy component beside it still does."""
    spec = slo(alert(PAGE_FAST), components=(Component(EVENTS, 99.9), Component(EVENTS, 99.9)))
    one, two = sums([1], [3]), sums([20], [1000])
    quiet = Measured(
        np.array([0]), np.array([D]), dict.fromkeys((H, 5 * M), (one, sums([0], [1000]))), (one, two), one.expected
    )
    assert not judge(spec, quiet, Policy())["page"].firing[0]
    assert judge(spec, quiet, Policy(false_alarms=0))["page"].firing[0]
    busy = replace(quiet, windows=dict.fromkeys((H, 5 * M), (one, two)))
    assert judge(spec, busy, Policy())["page"].firing[0]


def test_shapes() -> None:
    """SLOs that differ in name, queries and texts are judged together, others are not."""
    first = slo(alert(PAGE_FAST))
    assert shape_of(first) == shape_of(replace(first, name="x", alerts=(alert(PAGE_FAST, labels=(("a", "b"),)),)))
    assert shape_of(first) != shape_of(replace(first, objective=99.0))
    assert shape_of(first) != shape_of(slo(alert(PAGE_SLOW)))


ALERTS: Sequence[AlertSpec] = (
    alert(PAGE_FAST, PAGE_SLOW, key="page", when_no_data=True),
    alert(BudgetCondition(Fraction(1, 2)), key="budget"),
    alert(NoDataCondition(H), key="silent"),
)
POINT = st.tuples(st.integers(0, 40), st.integers(0, 3000), st.integers(0, 12), st.integers(0, 12))


@given(st.data(), st.integers(1, 12), st.sampled_from([99.9, 99.0, 100.0]))
def test_many_points_at_once_are_judged_as_each_alone(data: st.DataObject, n: int, objective: float) -> None:
    """What is said of a point does not depend on its neighbours."""

    def some_sums() -> Sums:
        points = data.draw(st.lists(POINT, min_size=n, max_size=n))
        bad, total, counted, expected = (np.array([p[i] for p in points]) for i in range(4))
        return Sums(np.minimum(bad, total).astype(float), total.astype(float), np.minimum(counted, expected), expected)

    spec = slo(*ALERTS, objective=objective)
    known_ms = data.draw(st.lists(st.sampled_from([M, H, 6 * H, 30 * D]), min_size=n, max_size=n))
    windows = {window: (some_sums(),) for window in spec.windows_ms}
    every = Measured(np.arange(n) * M, np.array(known_ms), windows, (some_sums(),), np.full(n, 100))
    together = judge(spec, every, Policy())
    for i in range(n):
        alone = judge(spec, every.at(np.array([i])), Policy())
        for key, verdict in together.items():
            one = alone[key]
            assert (verdict.firing[i], verdict.held[i], verdict.condition[i], verdict.why[i]) == (
                one.firing[0],
                one.held[0],
                one.condition[0],
                one.why[0],
            )
