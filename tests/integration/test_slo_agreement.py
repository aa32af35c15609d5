"""The live engine and a backtest of the same counts say the same, evaluation by evaluation."""

from __future__ import annotations

from dataclasses import astuple, replace
from datetime import datetime
from fractions import Fraction

import numpy as np
import pytest

from app.store.client import Pool
from app.store.slo_events import SloEvents
from slo.backtest import backtest
from slo.judge import Policy
from slo.past import first_needed_ms
from slo.period import Calendar, Rolling
from slo.spec import (
    AlertSpec,
    BudgetCondition,
    BurnCondition,
    Component,
    EventsSli,
    Query,
    RatioTimeslices,
    SloSpec,
    Timeslices,
)
from tests.integration.slo_world import HOUR, MINUTE, NOW, Counted, World

ALERTS = (
    AlertSpec("page", "Fast", "page", (BurnCondition((HOUR, 5 * MINUTE), Fraction(3)),)),
    AlertSpec(
        "ticket", "Slow", "ticket", (BurnCondition((9 * HOUR, 40 * MINUTE), Fraction("1.2")),), for_ms=3 * MINUTE
    ),
    AlertSpec("budget-60", "Used", "ticket", (BudgetCondition(Fraction(6, 10)),)),
)
BASE = SloSpec(
    "s",
    "shop",
    90.0,
    (Component(EventsSli(Query("bad"), Query("all")), 90.0),),
    alerts=ALERTS,
    period=Rolling(12 * HOUR),
)
TWO = (
    Component(EventsSli(Query("bad"), Query("all")), 90.0, weight=0.5, name="a"),
    Component(EventsSli(Query("bad2"), Query("all2")), 80.0, name="b"),
)
SPECS = {
    "occurrences": BASE,
    "timeslices": replace(BASE, budgeting=Timeslices(5 * MINUTE, 0.9)),
    "timeslices_no_part_of_an_hour": replace(BASE, budgeting=Timeslices(7 * MINUTE, 0.9)),
    "ratio_timeslices": replace(BASE, budgeting=RatioTimeslices(10 * MINUTE)),
    "calendar": replace(BASE, period=Calendar(datetime(2025, 1, 1), "Asia/Kathmandu", "d")),
    "calendar_timeslices": replace(
        BASE, period=Calendar(datetime(2025, 1, 1), "Europe/Berlin", "d"), budgeting=Timeslices(5 * MINUTE, 0.9)
    ),
    "composite": replace(BASE, components=TWO),
    "composite_timeslices": replace(BASE, components=TWO, budgeting=Timeslices(5 * MINUTE, 0.9)),
}
EVALUATIONS = 7 * 60
BEFORE = 26 * HOUR


def random_minutes(counted: Counted, seed: int) -> None:
    """Good hours and bad ones, quiet ones, and gaps."""
    random = np.random.default_rng(seed)
    t = NOW - BEFORE
    while t < NOW + EVALUATIONS * MINUTE:
        length = int(random.integers(3, 90)) * MINUTE
        kind = random.random()
        share = float(random.choice([0.0, 0.02, 0.1, 0.3, 0.6]))
        for minute in range(t + MINUTE, t + length + MINUTE, MINUTE):
            total = int(random.integers(0, 4)) if kind < 0.2 else int(random.integers(50, 1000))
            if kind < 0.9:
                counted.minutes[minute] = (float(random.binomial(total, share)), float(total))
        t += length


def rows_of(counted: Counted, from_ms: int, to_ms: int) -> SloEvents:
    """All counts of a time, without the engine."""
    known = sorted(t for t in counted.minutes if from_ms + MINUTE <= t <= to_ms)
    bad = np.array([counted.minutes[t][0] or 0.0 for t in known])
    total = np.array([counted.minutes[t][1] for t in known])
    return SloEvents(np.array(known, np.int64) - MINUTE, total - bad, total)


@pytest.mark.parametrize(
    ("name", "maintained"),
    [*((name, n % 2 == 1) for n, name in enumerate(SPECS)), ("occurrences", True), ("ratio_timeslices", False)],
)
async def test_live_and_backtest_agree(embedded_pool: Pool, name: str, maintained: bool) -> None:
    """Minute by minute over seven hours with restarts: the same alerts, begun and ended at the same evaluations."""
    spec, policy, seed = SPECS[name], Policy(), sum(map(ord, name)) + maintained
    world = World(embedded_pool)
    random_minutes(world.counted, seed)
    every = dict(world.counted.minutes)
    ranges = [(NOW - 3 * HOUR, NOW - 2 * HOUR), (NOW + 4 * HOUR + 10_000, NOW + 5 * HOUR - 1)] if maintained else []
    engine = world.engine(spec, policy=policy)
    live: dict[tuple[str, int], int | None] = {}
    for begin, end in ranges:
        await engine.add_maintenance(begin, end, by="test")
    for n in range(EVALUATIONS):
        world.now_ms = NOW + n * MINUTE
        world.counted.minutes = {t: v for t, v in every.items() if t <= world.now_ms}
        if n in (133, 333):
            await engine.stop()
            engine = world.engine(spec, policy=policy)
        world.sink.puts.clear()
        await engine.cycle()
        for alert in world.sink.puts[-1] if world.sink.puts else []:
            began = round(alert.starts_at.timestamp() * 1000)
            live[alert.name, began] = None if alert.ends_at is None else round(alert.ends_at.timestamp() * 1000)
    (status,) = await engine.statuses()
    await engine.stop()
    needed = first_needed_ms(spec, NOW, MINUTE)
    rows = [rows_of(world.counted, needed, world.now_ms) for _ in spec.components]
    told = backtest(spec, rows, ranges, NOW, world.now_ms, MINUTE, policy, needed)
    replayed = {(one.alert.name, one.starts_ms): one.ends_ms for one in told.alerts}
    assert replayed == live
    assert len(live) > 2
    # sums of ratios differ in their last digit by the order they were added in
    assert [*astuple(status.budget)] == pytest.approx([*astuple(told.status.budget)], nan_ok=True)
    for one, other in zip(status.windows, told.status.windows, strict=True):
        assert astuple(one) == pytest.approx(astuple(other), nan_ok=True)
