"""Thirty days counted exactly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from app.config import Limits
from app.labels import labels_from
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool
from app.store.state import StateStore
from ingest.batch import MetricBatch
from ingest.writer import Writer
from slo.counting import Counter
from slo.engine import SloEngine
from slo.judge import Policy
from slo.spec import AlertSpec, Component, EventsSli, Query, SloSpec
from slo.watermark import LateSamples
from slo.windows import load_windows
from tests.integration.slo_world import Sink

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 1_760_000_040_000 // DAY * DAY + 13 * HOUR
ERRORS, TOTAL = 'sum(rate(requests_total{code="500"}[{{.window}}]))', "sum(rate(requests_total[{{.window}}]))"
WINDOWS = load_windows()
ALERTS = tuple(
    AlertSpec(severity, severity, severity, rule.conditions)
    for severity in ("page", "ticket")
    for rule in WINDOWS.rules(severity, WINDOWS.period_ms)
)
SPEC = SloSpec("answers", "api", 99.0, (Component(EventsSli(Query(ERRORS), Query(TOTAL)), 99.0),), alerts=ALERTS)
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass
class World:
    """A writer and engines over one store, at a time that is set."""

    pool: Pool
    writer: Writer
    now_ms: int = NOW

    def engine(self) -> SloEngine:
        """A new engine on the same store."""
        late = LateSamples()
        self.pool.written.subscribe(late)
        counter = Counter(PromQLEngine(self.pool, Limits()), None, MINUTE)
        state, policy = StateStore(self.pool), Policy()
        clock = lambda: self.now_ms / 1000  # noqa: E731
        return SloEngine((SPEC,), counter, self.pool, state, Sink(), MINUTE, policy, clock=clock, late=late)

    async def write(self, instance: str, code: str, ts_ms: Ints, values: Floats) -> None:
        """Puts samples of one counter into the store."""
        index = self.writer.series.current
        labels = labels_from({"__name__": "requests_total", "instance": instance, "code": code})
        for first in range(0, len(ts_ms), 50_000):
            part = slice(first, first + 50_000)
            refs = np.full(len(ts_ms[part]), index.ref(labels), np.int32)
            await self.writer.write_metrics(MetricBatch(index, refs, ts_ms[part], values[part]))


@pytest.fixture
async def world(embedded_pool: Pool) -> AsyncIterator[World]:
    """A running writer over an empty store."""
    writer = Writer(embedded_pool, Limits())
    await writer.start()
    yield World(embedded_pool, writer)
    await writer.stop()


def uneven(ts_ms: Ints) -> Floats:
    """Requests a minute: fifty times as many at noon as at midnight."""
    day = (ts_ms % DAY) / DAY
    return np.asarray(np.rint(20 + 980 * np.sin(np.pi * day) ** 2))


def counters(random: np.random.Generator, ts_ms: Ints) -> tuple[Floats, Floats, float, float]:
    """(good, bad) of one exporter that restarts now and then, and the true (good, bad) increase after its first sample.

    A reset shows only where the counter then stands below what it was, so the last restart is far from the one before.
    """
    total = uneven(ts_ms)
    # bad at night, when few requests come: this is what a mean of ratios makes too much of
    bad_up = random.binomial(total.astype(int), np.where((ts_ms % DAY) < 5 * HOUR, 0.06, 0.002)).astype(float)
    good_up = total - bad_up
    resets = np.zeros(len(ts_ms), bool)
    resets[np.cumsum(random.integers(2_000, 6_000, 6))] = True
    return _counted(good_up, resets), _counted(bad_up, resets), float(good_up[1:].sum()), float(bad_up[1:].sum())


def _counted(up: Floats, resets: npt.NDArray[np.bool_]) -> Floats:
    run = np.cumsum(up)
    base = np.where(resets, run - up, 0.0)
    return run - np.maximum.accumulate(base)


async def test_thirty_days_are_the_counters_own_differences(world: World) -> None:
    """With resets, a gap, restarts of both sides and data hours late, the sum of 43,200 minutes misses nothing."""
    random = np.random.default_rng(30)
    begin = NOW - 30 * DAY
    true_good = true_bad = 0.0
    late: list[tuple[str, str, Ints, Floats]] = []
    for instance in ("a", "b", "c"):
        ts = np.arange(begin - HOUR, NOW + 1, MINUTE, dtype=np.int64)
        good, bad, _, _ = counters(random, ts)
        # scrapes that failed for four minutes, in the middle of things
        kept = (ts <= NOW - 9 * DAY) | (ts >= NOW - 9 * DAY + 4 * MINUTE)
        # what an agent kept back for two hours, and what came out of order three days late
        back = (ts > NOW - 5 * HOUR) & (ts <= NOW - 3 * HOUR) if instance == "b" else np.zeros(len(ts), bool)
        back |= (ts > NOW - 3 * DAY) & (ts <= NOW - 3 * DAY + 40 * MINUTE) if instance == "c" else False
        for code, values in (("200", good), ("500", bad)):
            await world.write(instance, code, ts[kept & ~back], values[kept & ~back])
            order = random.permutation(np.flatnonzero(kept & back))
            if len(order):
                late.append((instance, code, ts[order], values[order]))
        inside = ts >= begin
        for values, what in ((good, "good"), (bad, "bad")):
            seen = values[kept]
            step = np.diff(seen)
            step = np.where(step < 0, seen[1:], step)[inside[kept][1:] & (ts[kept][1:] > begin)].sum()
            true_good += step if what == "good" else 0
            true_bad += step if what == "bad" else 0
    engine = world.engine()
    await engine.cycle()
    (before,) = await engine.statuses()
    assert before.total < true_good + true_bad
    await engine.stop()
    engine = world.engine()
    await engine.cycle()
    for part in late:
        await world.write(*part)
    world.now_ms += MINUTE
    await engine.cycle()
    await engine.stop()
    # and a process that takes up what was kept says the same of the thirty days
    for _ in range(2):
        rows = await _rows(world, engine)
        assert rows == (true_bad, true_good + true_bad)
        engine = world.engine()
        await engine.cycle()
        await engine.stop()


async def _rows(world: World, engine: SloEngine) -> tuple[float, float]:
    engine = world.engine()
    await engine.cycle()
    (rows,) = await engine.rows(SPEC, NOW - 30 * DAY, NOW)
    (status,) = await engine.statuses()
    assert status.to_ms == world.now_ms
    shown = (status.bad, status.total)
    (newer,) = await engine.rows(SPEC, NOW, world.now_ms)
    (older,) = await engine.rows(SPEC, NOW - 30 * DAY, NOW - 30 * DAY + world.now_ms - NOW)
    total = rows.total.sum() + newer.total.sum() - older.total.sum()
    assert shown == (total - (rows.good.sum() + newer.good.sum() - older.good.sum()), total)
    await engine.stop()
    return float((rows.total - rows.good).sum()), float(rows.total.sum())
