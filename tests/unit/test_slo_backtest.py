"""The backtest: a plain loop over every interval, in fractions, says the same."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from math import comb
from typing import cast
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.store.slo_events import SloEvents
from app.store.state import StateStore
from slo import backtest as module
from slo.alerts import AlertBook
from slo.backtest import Backtest, backtest
from slo.burn import exact, parts_of
from slo.judge import Policy
from slo.past import Past, first_needed_ms
from slo.period import Calendar, Rolling
from slo.spec import (
    BudgetCondition,
    Budgeting,
    BurnCondition,
    Component,
    Condition,
    NoDataCondition,
    Occurrences,
    RatioTimeslices,
    SloSpec,
    Timeslices,
)
from slo.status import assess
from tests.slo_judging import EVENTS, M, S, alert, counts, slo
from tests.unit.test_slo_alerts import FakeState

STEP = 10 * S
Row = tuple[int, int]
OPS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


@dataclass
class Plain:
    """An SLO's past as dictionaries, judged one evaluation at a time in fractions."""

    spec: SloSpec
    rows: Sequence[dict[int, Row]]
    """(bad, total) by start, a component."""
    maintenance: Sequence[tuple[int, int]]
    known_from: int
    policy: Policy
    begun: list[tuple[str, int, Condition]] = field(default_factory=list)
    ended: list[tuple[str, int]] = field(default_factory=list)

    def out(self, start: int) -> bool:
        """Whether an interval is taken out by maintenance."""
        return any(begin < start + STEP and start < end for begin, end in self.maintenance)

    def units(self, begin: int, end: int) -> list[list[tuple[Fraction, int] | None]]:
        """What there is of each expected unit in [begin, end), by component; None is missing."""
        if isinstance(self.spec.budgeting, Occurrences):
            starts = [s for s in range(begin, end, STEP) if not self.out(s)]
            return [[_fraction(self.row(rows, s)) for s in starts] for rows in self.rows]
        length = self.spec.budgeting.slice_ms
        found = [self.slice(s) for s in range(begin, end, length) if not all(map(self.out, range(s, s + length, STEP)))]
        return [found]

    def row(self, rows: dict[int, Row], start: int) -> Row | None:
        """An interval that is known and counts."""
        return None if start < self.known_from or self.out(start) else rows.get(start)

    def slice(self, begin: int) -> tuple[Fraction, int] | None:
        """How bad a slice was, 0 to 1, and whether it had traffic."""
        budgeting = self.spec.budgeting
        assert not isinstance(budgeting, Occurrences)
        known, missing, traffic = False, Fraction(0), 0
        for component, rows in zip(self.spec.components, self.rows, strict=True):
            inside = [self.row(rows, s) for s in range(begin, begin + budgeting.slice_ms, STEP)]
            there = [row for row in inside if row is not None]
            known |= bool(there)
            bad, total = sum(b for b, _ in there), sum(t for _, t in there)
            if not total:
                continue
            traffic = 1
            if isinstance(budgeting, Timeslices):
                target = exact(component.timeslice_target or budgeting.target)
                missing = max(missing, Fraction(Fraction(total - bad, total) < target))
            else:
                missing += (exact(component.weight) if self.spec.composite else 1) * Fraction(bad, total)
        return (min(missing, Fraction(1)), traffic) if known else None

    def bounds(self, at: int, window: int) -> tuple[int, int]:
        """[from, to) of a window."""
        unit = self.unit
        end = at // unit * unit
        return end - -(-window // unit) * unit, end

    @property
    def unit(self) -> int:
        """The length of an interval, or slice."""
        return STEP if isinstance(self.spec.budgeting, Occurrences) else self.spec.budgeting.slice_ms

    def burn(self, units: list[list[tuple[Fraction, int] | None]], divisor: int | None = None) -> Fraction | None:
        """The burn rate; None without traffic."""
        burn, any_traffic = Fraction(0), False
        for part, one in zip(parts_of(self.spec), units, strict=True):
            bad, total = sum(u[0] for u in one if u), divisor or sum(u[1] for u in one if u)
            if total:
                any_traffic = True
                burn += part.weight * Fraction(bad) / total / part.budget
        return burn if any_traffic else None

    def period(self, at: int) -> tuple[list[list[tuple[Fraction, int] | None]], int | None, int]:
        """The period's units, what its budget is a share of (None: its traffic), and how far back it reaches."""
        if isinstance(self.spec.period, Rolling):
            return self.units(*self.bounds(at, self.spec.period.length_ms)), None, self.spec.period.length_ms
        begin, over = self.spec.period.bounds(at - 1)
        first, last = -(-begin // self.unit) * self.unit, -(-over // self.unit) * self.unit
        end = max(first, at // self.unit * self.unit)
        whole = None if isinstance(self.spec.budgeting, Occurrences) else len(self.units(first, last)[0])
        return self.units(first, end), whole, at - begin

    def undecided(self, units: list[list[tuple[Fraction, int] | None]], reach: int, at: int) -> bool:
        """Whether too little is known."""
        known = [(sum(u is not None for u in one), len(one)) for one in units]
        few = any(not n or k < self.policy.coverage_floor * n for k, n in known)
        return few or at - self.known_from < reach

    def silent(self, at: int, window: int) -> bool:
        """Whether nothing is known of a window."""
        units = self.units(*self.bounds(at, window))
        return at - self.known_from >= window and all(one and not any(one) for one in units)

    def condition(self, condition: Condition, at: int) -> bool | None:
        """Whether a condition holds; None where that cannot be said."""
        if isinstance(condition, NoDataCondition):
            units = self.units(*self.bounds(at, condition.window_ms))
            if not all(units) or at - self.known_from < condition.window_ms:
                return None
            return self.silent(at, condition.window_ms)
        if isinstance(condition, BudgetCondition):
            units, whole, reach = self.period(at)
            used = self.burn(units, whole)
            return None if self.undecided(units, reach, at) else used is not None and used >= condition.consumed
        windows = [self.units(*self.bounds(at, window)) for window in condition.windows_ms]
        if any(self.undecided(u, w, at) for u, w in zip(windows, condition.windows_ms, strict=True)):
            return None
        burns = [self.burn(units) for units in windows]
        if not all(burn is not None and OPS[condition.op](burn, condition.factor) for burn in burns):
            return False
        return self.surely(condition, windows[0])

    def surely(self, condition: BurnCondition, long: list[list[tuple[Fraction, int] | None]]) -> bool:
        """Whether it still holds without what may be chance."""
        if not self.policy.false_alarms or not isinstance(self.spec.budgeting, Occurrences):
            return True
        level = self.policy.false_alarms * condition.long_ms / self.spec.period.length_ms
        kept: list[list[tuple[Fraction, int] | None]] = []
        for part, one in zip(parts_of(self.spec), long, strict=True):
            n, k = sum(u[1] for u in one if u), int(sum(u[0] for u in one if u))
            few = n * condition.factor * part.budget < 10
            p = float(part.budget)
            chance = few and sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1)) >= level
            kept.append([(Fraction(0), u[1]) if u and chance else u for u in one])
        burn = self.burn(kept)
        return burn is not None and OPS[condition.op](burn, condition.factor)

    def run(self, first: int, last: int) -> None:
        """Every evaluation from first to last."""
        for alert_ in self.spec.alerts:
            pending = firing = None
            for at in range(first, last + 1, STEP):
                says = [self.condition(condition, at) for condition in alert_.conditions]
                holding = [c for c, s in zip(alert_.conditions, says, strict=True) if s]
                if alert_.when_no_data:
                    shortest = min(c.short_ms for c in alert_.conditions if isinstance(c, BurnCondition))
                    if not holding and self.silent(at, shortest):
                        holding = [NoDataCondition(shortest)]
                if holding:
                    pending = at if pending is None else pending
                    if firing is None and at - pending >= alert_.for_ms:
                        firing = at
                        fastest = max(holding, key=lambda c: c.factor if isinstance(c, BurnCondition) else Fraction(0))
                        self.begun.append((alert_.key, at, fastest))
                elif None not in says:
                    if firing is not None:
                        self.ended.append((alert_.key, at))
                    pending = firing = None


def _fraction(row: Row | None) -> tuple[Fraction, int] | None:
    return None if row is None else (Fraction(row[0]), row[1])


def events(
    rows: dict[int, Row],
) -> SloEvents:
    """The rows as they are kept."""
    starts = sorted(rows)
    total = np.array([rows[s][1] for s in starts], float)
    return SloEvents(np.array(starts, np.int64), total - np.array([rows[s][0] for s in starts], float), total)


ALERTS = (
    alert(
        BurnCondition((60 * S, 20 * S), Fraction(3)), BurnCondition((125 * S, 30 * S), Fraction(2), "gte"), key="page"
    ),
    alert(BurnCondition((90 * S,), Fraction("1.5")), key="late", for_ms=25 * S, when_no_data=True),
    alert(BudgetCondition(Fraction(1)), key="budget"),
    alert(NoDataCondition(40 * S), key="silent", for_ms=10 * S),
    alert(BurnCondition((60 * S,), Fraction(1, 2), "lt"), key="slow"),
)
PERIODS = (Rolling(200 * S), Calendar(datetime(2026, 1, 1, 0, 0, 7), "UTC", "m", 3))
BUDGETINGS: tuple[Budgeting, ...] = (Occurrences(), Timeslices(30 * S, 0.75), RatioTimeslices(30 * S))
COMPONENTS = (
    (Component(EVENTS, 90.0),),
    (Component(EVENTS, 90.0, 1.0, timeslice_target=0.5), Component(EVENTS, 95.0, 0.5)),
)
N = 60
BASE = 1_767_225_600_000 + 3 * M
ROW = st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 2, 4, 40])).map(lambda r: (min(r), r[1]))
ROWS = st.dictionaries(st.integers(0, N - 1).map(lambda i: BASE + i * STEP), ROW, max_size=N, min_size=N // 3)
RANGE = st.tuples(st.integers(0, 600), st.integers(1, 120)).map(lambda r: (BASE + r[0] * S, BASE + (r[0] + r[1]) * S))
WORLDS = st.builds(
    lambda period, budgeting, components, rows, maintenance, guard, floor, known: Plain(
        replace(slo(*ALERTS, objective=90.0), components=components, budgeting=budgeting, period=period),
        rows[: len(components)],
        maintenance,
        BASE + known * STEP,
        Policy(floor, guard),
    ),
    st.sampled_from(PERIODS),
    st.sampled_from(BUDGETINGS),
    st.sampled_from(COMPONENTS),
    st.lists(ROWS, min_size=2, max_size=2),
    st.lists(RANGE, max_size=2),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from([0.0, 0.5]),
    st.sampled_from([0, 0, 10]),
)


def backtested(world: Plain, first: int, last: int) -> Backtest:
    """What the backtest says."""
    rows = [events(one) for one in world.rows]
    return backtest(world.spec, rows, world.maintenance, first, last, STEP, world.policy, world.known_from, points=9)


@settings(max_examples=60, deadline=None)
@given(WORLDS, st.integers(0, 30), st.sampled_from([7, 1000]))
def test_a_plain_loop_says_the_same(world: Plain, begin: int, part: int) -> None:
    """Whatever the traffic, holes, slices, composites, periods and maintenance: alerts begin and end alike."""
    first, last = BASE + begin * STEP, BASE + N * STEP
    with patch.object(module, "_PART", part):
        found = backtested(world, first, last)
    world.run(first, last)
    assert sorted((a.alert.key, a.starts_ms, str(a.condition)) for a in found.alerts) == sorted(
        (key, at, str(condition)) for key, at, condition in world.begun
    )
    assert sorted((a.alert.key, a.ends_ms) for a in found.alerts if a.ends_ms is not None) == sorted(world.ended)
    for one in found.alerts:
        units, whole, _ = world.period(one.starts_ms)
        used = world.burn(units, whole)
        assert one.budget_left == pytest.approx(float("nan") if used is None else float(1 - used), nan_ok=True)
        if isinstance(one.condition, BurnCondition):
            times = range(one.starts_ms, one.ends_ms or last + 1, STEP)
            burns = [world.burn(world.units(*world.bounds(at, one.condition.long_ms))) for at in times]
            assert one.peak_burn == pytest.approx(float(max(burn for burn in burns if burn is not None)))
        else:
            assert one.peak_burn is None
    open_ = {a.alert.key for a in found.alerts if a.ends_ms is None}
    assert {one.alert.key for one in found.status.alerts if one.firing} == open_


@settings(max_examples=15, deadline=None)
@given(WORLDS, st.integers(0, 30))
def test_the_book_of_the_live_engine_says_the_same(world: Plain, begin: int) -> None:
    """Told one evaluation after the other, alerts begin and end when the backtest says."""
    first, last = BASE + begin * STEP, BASE + N * STEP
    found = backtested(world, first, last)
    book = AlertBook(cast(StateStore, FakeState()), "")
    past = Past(world.spec, [events(one) for one in world.rows], world.maintenance, STEP, world.known_from)
    told: set[tuple[str, int, int | None]] = set()
    for at in range(first, last + 1, STEP):
        book.look(assess([world.spec], past.measured(np.array([at])), world.policy)[0])
        for one in book.alerts():
            if one.ends_at is not None:
                times = (round(t.timestamp() * 1000) for t in (one.starts_at, one.ends_at))
                told.add((dict(one.labels)["sloth_severity"], *times))  # type: ignore[arg-type]
        book.forget_ended()
    told |= {(dict(a.labels)["sloth_severity"], round(a.starts_at.timestamp() * 1000), None) for a in book.alerts()}
    assert {(a.alert.severity, a.starts_ms, a.ends_ms) for a in found.alerts} == told


def test_figures_of_the_range_and_the_series() -> None:
    """The ratio is that of the range asked for, the status that of its end, and what is drawn is bounded."""
    n = 1000
    bad = np.where(np.arange(n) >= 500, 1.0, 0.0)
    spec = slo(alert(BurnCondition((H10 := 600 * S,), Fraction(50))), objective=99.0, period=Rolling(n * STEP))
    rows = counts(bad, np.full(n, 10.0), STEP)
    found = backtest(spec, [rows], [], 400 * STEP, 600 * STEP, STEP, Policy(), 0, points=11)
    assert (found.bad, found.total, found.error_ratio) == (100, 2000, 0.05)
    assert (found.from_ms, found.to_ms) == (400 * STEP, 600 * STEP)
    assert found.series.at_ms.tolist() == [(400 + 20 * i) * STEP for i in range(11)]
    assert found.series.error_ratio[1:].tolist() == pytest.approx([0] * 5 + [0.1] * 5)
    assert found.series.budget_left[0] == 1
    assert found.status.to_ms == 600 * STEP
    assert H10 in {one.window_ms for one in found.status.windows}
    with pytest.raises(ValueError, match="no interval ends"):
        backtest(spec, [rows], [], 401, 402, STEP, Policy(), 0)


@given(st.sampled_from(PERIODS), st.sampled_from(BUDGETINGS), st.integers(0, 1000))
def test_counts_from_what_is_needed_are_enough(period: Rolling | Calendar, budgeting: Budgeting, at: int) -> None:
    """From the first count that is needed on, more history changes nothing: everything is known and decided."""
    spec = slo(*ALERTS, objective=90.0, period=period, budgeting=budgeting)
    at_ms = BASE + at * STEP
    needed = first_needed_ms(spec, at_ms, STEP)
    assert needed % STEP == 0
    starts = np.arange(needed - 100 * STEP, at_ms, STEP, dtype=np.int64)
    rows = SloEvents(starts, np.full(len(starts), 9.0), np.full(len(starts), 10.0))
    enough, more = (Past(spec, [rows], [], STEP, known).measured(np.array([at_ms])) for known in (needed, starts[0]))
    for window in spec.windows_ms:
        assert enough.windows[window][0].coverage[0] == 1
        assert enough.windows[window][0].total == more.windows[window][0].total
    assert enough.period[0].total == more.period[0].total
    # just after a period began no interval has begun in it, so nothing can be said of its budget
    alerts = {one.alert.key: one for one in assess([spec], enough, Policy())[0].alerts}
    assert [key for key, one in alerts.items() if one.held] == ([] if enough.period[0].expected[0] else ["budget"])
