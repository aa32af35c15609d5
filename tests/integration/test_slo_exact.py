"""Counting with the real PromQL engine: what is counted is the counters' own difference, to the last request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from app.alert import Alert
from app.config import Limits
from app.labels import labels_from
from app.query.logql.engine import LogQLEngine
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool
from app.store.state import StateStore
from ingest.batch import MetricBatch
from ingest.writer import Writer
from slo.counting import Counter
from slo.engine import SloEngine
from slo.judge import Policy
from slo.spec import AlertSpec, BurnCondition, Component, EventsSli, Query, RatioSli, Sli, SloSpec
from slo.watermark import LateSamples

MINUTE, HOUR = 60_000, 3_600_000
NOW = 1_760_000_040_000 // MINUTE * MINUTE
ERRORS = Query('sum(rate(http_requests_total{code=~"5.."}[{{.window}}]))')
TOTAL = Query("sum(rate(http_requests_total[{{.window}}]))")
ALERT = AlertSpec("page", "ShopDown", "page", (BurnCondition((HOUR, 5 * MINUTE), Fraction("14.4")),))


def slo(sli: Sli, objective: float = 99.9, **fields: Any) -> SloSpec:
    """An SLO with one alert."""
    return SloSpec("availability", "shop", objective, (Component(sli, objective),), alerts=(ALERT,), **fields)


SPEC = slo(EventsSli(ERRORS, TOTAL))
Sample = tuple[str, str, int, float]
"""(instance, code, milliseconds, value)"""


@dataclass
class Sink:
    """Keeps the last hand-over."""

    alerts: list[Alert] = field(default_factory=list)

    async def put_alerts(self, alerts: list[Alert]) -> None:
        """As AlertSink."""
        self.alerts = alerts


@dataclass
class World:
    """A writer and engines over one store, at a time that is set."""

    pool: Pool
    writer: Writer
    now_ms: int = NOW
    sink: Sink = field(default_factory=Sink)

    def engine(self, spec: SloSpec = SPEC, interval_ms: int = MINUTE) -> SloEngine:
        """A new engine on the same store."""
        late = LateSamples()
        self.pool.written.subscribe(late)
        return SloEngine(
            [spec],
            Counter(PromQLEngine(self.pool, Limits()), LogQLEngine(self.pool, Limits()), interval_ms),
            self.pool,
            StateStore(self.pool),
            self.sink,
            interval_ms,
            Policy(coverage_floor=0),
            clock=lambda: self.now_ms / 1000,
            late=late,
        )

    async def write(self, samples: list[Sample]) -> None:
        """Puts samples into the store, in the order given."""
        index = self.writer.series.current
        refs = [
            index.ref(labels_from({"__name__": "http_requests_total", "instance": i, "code": c}))
            for i, c, _, _ in samples
        ]
        ts, values = np.array([s[2] for s in samples], np.int64), np.array([s[3] for s in samples])
        await self.writer.write_metrics(MetricBatch(index, np.array(refs, np.int32), ts, values))


@pytest.fixture
async def world(embedded_pool: Pool) -> AsyncIterator[World]:
    """A running writer over an empty store."""
    writer = Writer(embedded_pool, Limits())
    await writer.start()
    yield World(embedded_pool, writer)
    await writer.stop()


async def test_two_hours_with_an_hour_of_errors_page_at_once(world: World) -> None:
    """Counters with 20 % errors in the last hour, then the SLO: a page in the first cycle, with exact counts."""
    samples: list[Sample] = []
    for n, t in enumerate(range(NOW - 2 * HOUR, NOW + 1, 15_000)):
        bad = max(0, n - 240)
        samples += [("a", "200", t, 10.0 * n - 2 * bad), ("a", "500", t, 2.0 * bad)]
    await world.write(samples)
    engine = world.engine()
    await engine.cycle()
    (status,) = await engine.statuses()
    assert status.error is None
    assert (status.bad, status.total) == (480, 4800)
    page = world.sink.alerts[0]
    assert (page.name, page.facts["long_burn"]) == ("ShopDown", pytest.approx(200))
    await engine.stop()


@pytest.mark.parametrize("seed", range(4))
async def test_sums_are_the_counters_own_differences(world: World, seed: int) -> None:
    """With resets, gaps, uneven times, late samples and restarts on both sides, nothing is lost or counted twice."""
    random = np.random.default_rng(seed)
    samples: list[Sample] = []
    expected = {"200": 0, "500": 0}
    for instance in ("a", "b", "c"):
        value = {"200": float(random.integers(0, 10**9)), "500": 0.0}
        t = NOW - 2 * HOUR + int(random.integers(0, 15_000))
        first = True
        while t <= NOW + 10 * MINUTE:
            # a reset shows only where the counter then stands below what it was
            reset = random.random() < 0.02 and value["200"] >= 1000 and value["500"] >= 30
            for code in value:
                up = int(random.integers(0, 1000 if code == "200" else 30))
                value[code] = float(up) if reset else value[code] + up
                expected[code] += 0 if first else up
                samples.append((instance, code, t, value[code]))
            first = False
            # mostly a scrape each 15 s, now and then a gap of up to four minutes
            t += (
                int(random.integers(15_000, 240_000)) if random.random() < 0.03 else 15_000 - int(random.integers(0, 9))
            )
    late = [s for s in samples if random.random() < 0.2 and s[2] > NOW - 3 * MINUTE]
    kept_back = set(late)
    await world.write([s for s in samples if s[2] <= NOW and s not in kept_back])
    engine = world.engine()
    await engine.cycle()
    for minute in range(1, 12):
        world.now_ms = NOW + minute * MINUTE
        due = [s for s in samples if world.now_ms - MINUTE < s[2] <= world.now_ms and s not in kept_back]
        # what is late comes up to three minutes after its time, and out of order
        due += [s for s in late if s[2] + 3 * MINUTE <= world.now_ms < s[2] + 4 * MINUTE]
        if due:
            await world.write([due[i] for i in random.permutation(len(due))])
        if random.random() < 0.3:
            await engine.stop()
            engine = world.engine()
        await engine.cycle()
    world.now_ms += 3 * MINUTE
    await world.write([s for s in late if s[2] + 3 * MINUTE > NOW + 11 * MINUTE] or samples[-1:])
    await engine.cycle()
    (status,) = await engine.statuses()
    assert status.error is None
    assert (status.bad, status.total) == (expected["500"], expected["500"] + expected["200"])
    await engine.stop()
    # a fresh reading of all of it says the same
    again = world.engine(SPEC)
    await again.cycle()
    found = (await again.statuses())[0]
    assert (found.bad, found.total) == (status.bad, status.total)
    await again.stop()


async def test_errors_that_are_absent_are_none(world: World) -> None:
    """Without an error series every request was good; without any series there is no row at all."""
    await world.write([("a", "200", t, t / 1000) for t in range(NOW - 30 * MINUTE, NOW + 1, 15_000)])
    engine = world.engine()
    await engine.cycle()
    (status,) = await engine.statuses()
    assert (status.bad, status.total) == (0, 1800)
    assert world.sink.alerts == []
    await engine.stop()


async def test_a_ratio_weighs_each_interval_the_same(world: World) -> None:
    """A ready-made ratio is a mean over the intervals that have one."""
    samples: list[Sample] = []
    for n, t in enumerate(range(NOW - 10 * MINUTE, NOW + 1, 30_000)):
        samples += [("a", "200", t, 10.0 * n), ("a", "500", t, 5.0 * max(0, n - 10))]
    await world.write(samples)
    ratio = 'sum(rate(http_requests_total{code="500"}[{{.window}}])) / sum(rate(http_requests_total[{{.window}}]))'
    engine = world.engine(slo(RatioSli(Query(ratio)), 90.0))
    await engine.cycle()
    (status,) = await engine.statuses()
    # ten minutes count; in the last five a third of all requests is bad
    assert status.total == 10
    assert status.error_ratio == pytest.approx(5 * (1 / 3) / 10)
    await engine.stop()


async def test_short_intervals_for_a_demo(world: World) -> None:
    """Ten-second intervals of a counter that is read every five seconds add up as well."""
    await world.write([("a", "200", t, (t - NOW) / 1000 + 10_000) for t in range(NOW - HOUR, NOW + 1, 5_000)])
    engine = world.engine(interval_ms=10_000)
    await engine.cycle()
    (status,) = await engine.statuses()
    assert status.total == 3600
    world.now_ms += 10_000
    await world.write([("a", "200", world.now_ms, 10_010.0)])
    await engine.cycle()
    assert (await engine.statuses())[0].total == 3610
    await asyncio.gather(engine.stop(), engine.stop())
