"""What is told of an SLO: budget in all its units, burn rates, components, alerts and why they are held."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from fractions import Fraction

import numpy as np
import pytest

from slo.judge import HELD, Policy
from slo.measure import Measured
from slo.period import Calendar
from slo.spec import BudgetCondition, Component, Timeslices
from slo.state import AlertState
from slo.status import assess, unknown, with_alerts
from tests.slo_judging import EVENTS, PAGE_FAST, PAGE_SLOW, D, H, M, alert, measured, slo, sums


def test_budget_in_per_cent_events_and_minutes() -> None:
    """99.9 % of 30 days are 43.2 minutes; with a quarter of the allowed errors made, three quarters are left of all."""
    spec = replace(slo(alert(PAGE_FAST)), sla=99.5)
    day = sums([500], [1e6], 1440, 1440)
    windows = {H: sums([0], [10], 30, 60), 5 * M: sums([0], [0], 5, 5), D: day}
    found = assess([spec], measured(windows, sums([250], [1e6], 20, 40)), Policy())[0]
    assert found.budget.left == pytest.approx(0.75)
    assert found.budget.events == 750
    assert found.budget.minutes == pytest.approx(0.75 * 43.2)
    # today's burn is 0.5: three quarters last 1.5 periods
    assert found.budget.exhausted_in_ms == pytest.approx(45 * D)
    assert found.sla_left == pytest.approx(1 - 0.05)
    assert (found.bad, found.total, found.error_ratio, found.coverage) == (250, 1e6, 0.00025, 0.5)
    assert [(w.window_ms, w.coverage) for w in found.windows] == [(5 * M, 1), (H, 0.5), (D, 1)]
    assert math.isnan(found.windows[0].burn)
    assert found.windows[2].burn == pytest.approx(0.5)


def test_no_budget_at_all() -> None:
    """At 100 % one error in a million overspends without bound, and costs so many minutes of the period."""
    found = assess([slo(objective=100.0)], measured({}, sums([1], [1e6])), Policy())[0]
    assert (found.budget.left, found.budget.events, found.budget.exhausted_in_ms) == (-math.inf, -1, 0)
    assert found.budget.minutes == pytest.approx(-43_200 / 1e6)


def test_nothing_known_is_nothing_said() -> None:
    """Without traffic every figure is NaN and nothing runs out."""
    found = assess([slo()], measured({}, sums([0], [0], 5, 5)), Policy())[0]
    assert all(math.isnan(x) for x in (found.error_ratio, found.budget.left, found.budget.events, found.budget.minutes))
    assert found.budget.exhausted_in_ms is None
    assert unknown(slo()).to_ms is None
    assert unknown(slo()).failed("no").error == "no"


def test_a_calendar_period_has_its_own_length_and_end() -> None:
    """February of 28 days has 28 days' minutes; a budget that outlasts its month is not exhausted."""
    spec = slo(alert(PAGE_FAST), period=Calendar(datetime(2026, 1, 1), "UTC", "M"))
    at_ms = int(datetime.fromisoformat("2026-02-15T00:00:00+00:00").timestamp() * 1000)
    for bad, expected in ((0.3, None), (5.0, round(0.75 * 28 * D / 5))):
        day = sums([bad], [1000], 60, 60)
        windows = {H: day, 5 * M: day, D: day}
        found = assess([spec], measured(windows, sums([0.25], [1000]), at_ms=at_ms), Policy())[0]
        assert found.budget.minutes == pytest.approx(0.75 * 0.001 * 28 * 1440)
        assert found.budget.exhausted_in_ms == (None if expected is None else pytest.approx(expected, abs=1))


def test_slices_left_are_slices() -> None:
    """Of a month of 28 days in minutes at 99 % 403.2 bad slices are allowed, three of which are used."""
    spec = slo(objective=99.0, period=Calendar(datetime(2026, 1, 1), "UTC", "M"), budgeting=Timeslices(M, 0.9))
    known = replace(measured({}, sums([3], [100], 100, 100)), period_length=np.array([28 * 1440]))
    at_ms = int(datetime.fromisoformat("2026-02-03T00:00:00+00:00").timestamp() * 1000)
    found = assess([spec], replace(known, at_ms=np.array([at_ms])), Policy())[0]
    assert found.budget.events == pytest.approx(403.2 - 3)
    assert found.budget.minutes == pytest.approx(403.2 - 3)
    assert found.error_ratio == 0.03


def test_a_composite_shows_its_components() -> None:
    """Its ratio is what its burn comes to under its own objective; events of several SLIs are not added."""
    both = (Component(EVENTS, 99.0, 1.0, "front"), Component(EVENTS, 99.9, 0.5, "back"))
    spec = slo(alert(PAGE_FAST), components=both)
    period = (sums([2], [1000]), sums([1], [1000], 1, 2))
    known = Measured(np.array([0]), np.array([40 * D]), {}, period, np.array([1]))
    windows = dict.fromkeys(spec.windows_ms, period)
    found = assess([spec], replace(known, windows=windows), Policy())[0]
    assert found.budget.left == pytest.approx(1 - (0.2 + 0.5))
    assert found.error_ratio == pytest.approx(0.0007)
    assert found.coverage == 0.5
    assert math.isnan(found.total)
    assert math.isnan(found.budget.events)
    assert [(c.name, c.objective, c.bad, c.error_ratio) for c in found.components] == [
        ("front", 99.0, 2, 0.002),
        ("back", 99.9, 1, 0.001),
    ]


def test_alerts_with_their_conditions() -> None:
    """Each condition has the burn of its windows, whether it holds, and else why it cannot be told."""
    spec = slo(alert(PAGE_FAST, PAGE_SLOW), alert(BudgetCondition(Fraction(1)), key="gone"))
    burns, unread = sums([100], [1000], 60, 60), sums([100], [1000], 1, 60)
    known = measured({H: burns, 5 * M: burns, 6 * H: unread, 30 * M: burns}, burns, known_ms=29 * D)
    found = assess([spec], known, Policy())[0]
    page, gone = found.alerts
    assert [(c.firing, c.held) for c in page.conditions] == [
        (True, ""),
        (False, "1.67 % of the 6h window is known, 50 % are wanted; decided from 00:03 UTC on at the earliest"),
    ]
    assert page.conditions[0].burns == pytest.approx((100, 100))
    assert (page.fires, page.held, page.condition) == (True, "", 0)
    assert (gone.fires, gone.held, gone.conditions[0].burns) == (False, HELD[3], ())
    assert not found.complete

    class States:
        """Who knows that the page fires and the other waits."""

        def state(self, slo: str, key: str) -> AlertState:
            """As `slo.status.States`."""
            return AlertState(5, 9) if key == "page" else AlertState(7)

    page, gone = with_alerts(found, States()).alerts
    assert (page.firing, page.pending, page.since_ms) == (True, False, 9)
    assert (gone.firing, gone.pending, gone.since_ms) == (False, True, None)
    assert found.alert("gone") is not None
    assert found.alert("x") is None


def test_one_status_an_slo() -> None:
    """Several SLOs of a shape are assessed at once, each with its own numbers and name."""
    specs = [replace(slo(), name=str(i)) for i in range(2)]
    found = assess(specs, measured({}, sums([0, 1], [10, 10])), Policy())
    assert [(one.spec.name, one.error_ratio) for one in found] == [("0", 0), ("1", 0.1)]
    assert assess([], measured({}, sums([], [])), Policy()) == []
