"""Sloth's generated rules, evaluated by our PromQL over a month of samples, beside the SLO engine's exact figures.

`rate` knows in a window only what lies between its first and its last scrape, and stretches that to the window. A ratio
of two such rates is therefore that of the window without its first scrape interval: exact where no request came in it,
and off by what did elsewhere. The number for the period is a mean of ratios, off by how uneven traffic is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pytest

from app.alert import Alert
from app.config import Limits
from app.durations import parse_duration_ms
from app.labels import labels_from
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool
from app.store.state import StateStore
from ingest.batch import MetricBatch
from ingest.writer import Writer
from slo.counting import Counter
from slo.engine import SloEngine
from slo.judge import Policy
from slo.status import SloStatus
from slo.watermark import LateSamples
from tests.integration.slo_world import Sink
from tests.sloth_rules import Rule, our_specs, sloth_rules

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 1_760_000_040_000 // DAY * DAY + 13 * HOUR
UNALIGNED = NOW - 3 * HOUR
EVERY = 5 * MINUTE
"""How often Sloth's rules are evaluated over the month."""
SHORT = [parse_duration_ms(text) for text in ("5m", "30m", "1h", "2h", "6h", "1d", "3d")]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Counted:
    """One counter as it was scraped: times and values, (n,)."""

    ts_ms: Ints
    values: Floats

    @cached_property
    def run(self) -> Floats:
        """All increases up to each sample, resets included, (n,)."""
        step = np.diff(self.values)
        return np.concatenate([[0.0], np.cumsum(np.where(step < 0, self.values[1:], step))])

    def increase(self, to_ms: Ints, window_ms: int) -> Floats:
        """Its own difference over (to - window, to], from the last sample before it, (n,)."""
        first, last = (np.searchsorted(self.ts_ms, at, side="right") - 1 for at in (to_ms - window_ms, to_ms))
        return np.asarray(self.run[last] - self.run[np.maximum(first, 0)])

    def stretched(self, to_ms: Ints, window_ms: int) -> Floats:
        """What Prometheus's `increase` makes of it over (to - window, to], (n,): promql/functions.go, extrapolatedRate.

        There are two samples or more in each.
        """
        first = np.searchsorted(self.ts_ms, to_ms - window_ms, side="right")
        last = np.searchsorted(self.ts_ms, to_ms, side="right") - 1
        begin, end = self.ts_ms[first], self.ts_ms[last]
        up, sampled = self.run[last] - self.run[first], (end - begin).astype(float)
        before, after, apart = begin - (to_ms - window_ms), to_ms - end, sampled / (last - first)
        before = np.where(before >= 1.1 * apart, apart / 2, before)
        # a counter was not below 0 before its first sample
        zero = np.divide(sampled * self.values[first], up, out=np.full(len(up), np.inf), where=up > 0)
        after = np.where(after >= 1.1 * apart, apart / 2, after)
        return np.asarray(up * (sampled + np.minimum(before, zero) + after) / sampled)


@dataclass(frozen=True)
class Shop:
    """What was scraped of the shop: its counters by code, and its probe."""

    good: tuple[Counted, ...]
    bad: tuple[Counted, ...]
    probe: Counted

    def exact(self, to_ms: int, window_ms: int) -> float:
        """The share of all requests of a window that failed."""
        return float(self._ratio(Counted.increase, np.array([to_ms]), window_ms)[0])

    def stretched(self, to_ms: int, window_ms: int) -> float:
        """The same by Prometheus's rate."""
        return float(self._ratio(Counted.stretched, np.array([to_ms]), window_ms)[0])

    def mean(self, to_ms: int, window_ms: int) -> float:
        """The mean of Prometheus's ratios of five minutes, as Sloth makes that of a period."""
        ends = np.arange(to_ms - window_ms + EVERY, to_ms + 1, EVERY)
        return float(self._ratio(Counted.stretched, ends, 5 * MINUTE).mean())

    def minutes(self, to_ms: int, window_ms: int) -> float:
        """The mean of the ratios of every minute that had requests."""
        ends = np.arange(to_ms - window_ms + MINUTE, to_ms + 1, MINUTE)
        return float(np.nanmean(self._ratio(Counted.increase, ends, MINUTE)))

    def unreachable(self, to_ms: int, window_ms: int) -> float:
        """The share of probes without an answer."""
        first, last = np.searchsorted(self.probe.ts_ms, (to_ms - window_ms, to_ms), side="right")
        return 1 - float(self.probe.values[first:last].mean())

    def _ratio(self, of: Callable[[Counted, Ints, int], Floats], to_ms: Ints, window_ms: int) -> Floats:
        bad, good = (sum(of(one, to_ms, window_ms) for one in counters) for counters in (self.bad, self.good))
        with np.errstate(invalid="ignore"):
            return np.asarray(bad / (bad + good))


def shop() -> Shop:
    """31 days, a scrape a minute, two exporters: uneven traffic, restarts, failed scrapes, a bad last hour.

    No request comes in the first minute of any window that ends at `NOW`.
    """
    random = np.random.default_rng(16)
    ts = np.arange(NOW - 31 * DAY, NOW + 1, MINUTE, dtype=np.int64)
    idle = np.isin(ts, [NOW - window + MINUTE for window in (*SHORT, 28 * DAY, 30 * DAY)])
    good, bad = [], []
    for instance, restarts in enumerate(((20 * DAY, 40 * HOUR, 330 * MINUTE), (9 * DAY, 26 * HOUR, 45 * MINUTE))):
        # fifty times as many at noon as at midnight, and bad at night, when few requests come
        total = np.where(idle, 0, np.rint(20 + 980 * np.sin(np.pi * (ts % DAY) / DAY) ** 2)).astype(int)
        share = np.where(ts > NOW - 70 * MINUTE, 0.3, np.where((ts % DAY) < 5 * HOUR, 0.06, 0.002))
        failed = random.binomial(total, share).astype(float)
        resets = np.isin(ts, [NOW - ago for ago in restarts])
        kept = np.ones(len(ts), bool)
        for ago in (17 * DAY + 3 * MINUTE, 50 * HOUR, 4 * HOUR + 7 * MINUTE, 22 * MINUTE):
            kept[(ts > NOW - ago - (2 + instance) * MINUTE) & (ts <= NOW - ago)] = False
        good.append(_scraped(ts, total - failed, resets, kept))
        bad.append(_scraped(ts, failed, resets, kept))
    up = (random.random(len(ts)) > np.where(ts > NOW - 2 * HOUR, 0.2, 0.0005)).astype(float)
    there = random.random(len(ts)) > 0.02
    return Shop(tuple(good), tuple(bad), Counted(ts[there], up[there]))


def _scraped(ts_ms: Ints, up: Floats, resets: Bools, kept: Bools) -> Counted:
    """Counters that begin far from 0: near it a rate is stretched less."""
    run = 1e6 + np.cumsum(up)
    values = run - np.maximum.accumulate(np.where(resets, run - up, 0.0))
    return Counted(ts_ms[kept], values[kept])


@dataclass
class World:
    """A store with the shop's samples, in which rules are recorded."""

    shop: Shop
    pool: Pool
    writer: Writer

    async def write(self, labels: dict[str, str], ts_ms: Ints, values: Floats) -> None:
        """Puts samples of one series into the store."""
        index = self.writer.series.current
        refs = np.full(len(ts_ms), index.ref(labels_from(labels)), np.int32)
        await self.writer.write_metrics(MetricBatch(index, refs, ts_ms, values))

    async def figures(self, period: str, at_ms: int) -> tuple[dict[str, SloStatus], list[Alert]]:
        """What our engine says at a time, by SLO id, and the alerts it told."""
        late, sink = LateSamples(), Sink()
        self.pool.written.subscribe(late)
        engine = SloEngine(
            our_specs(period),
            Counter(PromQLEngine(self.pool, Limits()), None, MINUTE),
            self.pool,
            StateStore(self.pool),
            sink,
            MINUTE,
            Policy(),
            clock=lambda: at_ms / 1000,
            late=late,
        )
        await engine.cycle()
        statuses = {status.spec.id: status for status in await engine.statuses()}
        await engine.stop()
        return statuses, [alert for alert in sink.puts[-1] if alert.ends_at is None] if sink.puts else []

    async def record(self, rules: Sequence[Rule], at_ms: int) -> dict[str, float]:
        """Evaluates and records the rules in their order, as Prometheus does; the values by name."""
        promql = PromQLEngine(self.pool, Limits())
        found: dict[str, float] = {}
        for rule in rules:
            result = promql.instant(rule.expr, at_ms)
            assert len(result.values) <= 1
            if len(result.values) and not rule.alerts:
                found[rule.name] = float(result.values[0, 0])
                await self.write(rule.labels | {"__name__": rule.name}, np.array([at_ms]), result.values[0])
        return found

    def firing(self, rules: Sequence[Rule], at_ms: int) -> list[dict[str, str]]:
        """The labels of Sloth's alerts that fire on what was recorded."""
        promql = PromQLEngine(self.pool, Limits())
        return [
            dict(labels) | rule.labels | {"alertname": rule.name}
            for rule in rules
            if rule.alerts
            for labels in promql.instant(rule.expr, at_ms).labels
        ]


@pytest.fixture
async def world(embedded_pool: Pool) -> AsyncIterator[World]:
    """The shop's month in a store."""
    writer = Writer(embedded_pool, Limits())
    await writer.start()
    world = World(shop(), embedded_pool, writer)
    for code, counters in (("200", world.shop.good), ("503", world.shop.bad)):
        for n, one in enumerate(counters):
            labels = {"__name__": "http_requests_total", "job": "shop", "instance": f"shop-{n}", "code": code}
            await world.write(labels, one.ts_ms, one.values)
    probe = world.shop.probe
    await world.write({"__name__": "probe_success", "job": "shop"}, probe.ts_ms, probe.values)
    yield world
    await writer.stop()


def windows(status: SloStatus) -> dict[int, float]:
    """The error ratio of each window."""
    return {window.window_ms: window.error_ratio for window in status.windows}


def ratio(recorded: dict[str, float], window_ms: int) -> float:
    """What Sloth recorded of a window."""
    return next(
        v for k, v in recorded.items() if k.startswith(RATIO) and parse_duration_ms(k[len(RATIO) :]) == window_ms
    )


RATIO = "slo:sli_error:ratio_rate"


@pytest.mark.parametrize(("period", "at_ms"), [("30d", UNALIGNED), ("30d", NOW), ("28d", NOW)])
async def test_short_windows_agree_and_the_period_is_a_mean_of_ratios(world: World, period: str, at_ms: int) -> None:
    """At a time when rate() is exact every short window is the same to the last bit or two, and so is every alert.

    At another it is off by the first scrape interval of the window, no less and no more. The period is the mean of the
    recorded 5m ratios, 30d and 28d alike; ours is the share of all requests.
    """
    rules = sloth_rules(period)
    ours, told = await world.figures(period, at_ms)
    for slo, status in ours.items():
        await _month(world, rules[slo], at_ms, period)
        recorded = await world.record(rules[slo], at_ms)
        CHECKS[slo](world.shop, status, recorded, at_ms)
        fires = world.firing(rules[slo], at_ms)
        assert fires == [dict(a.labels) for a in told if dict(a.labels)["sloth_id"] == slo]
        assert bool(fires) == (at_ms == NOW and slo != "shop-answers")


async def _month(world: World, rules: Sequence[Rule], at_ms: int, period: str) -> None:
    """Records the 5m ratios of the period before."""
    rule = rules[0]
    assert rule.name == f"{RATIO}5m"
    promql = PromQLEngine(world.pool, Limits())
    begin_ms = at_ms - parse_duration_ms(period) + EVERY
    result = promql.range(rule.expr, begin_ms, at_ms - EVERY, EVERY)
    there = result.present[0]
    ts = np.arange(begin_ms, at_ms, EVERY, dtype=np.int64)
    await world.write(rule.labels | {"__name__": rule.name}, ts[there], result.values[0][there])


def _events(shop: Shop, status: SloStatus, sloth: dict[str, float], at_ms: int) -> None:
    found = windows(status)
    assert sorted(found) == SHORT
    for window, mine in found.items():
        exact, stretched = shop.exact(at_ms, window), shop.stretched(at_ms, window)
        theirs = ratio(sloth, window)
        assert mine == exact
        assert theirs == pytest.approx(stretched, rel=1e-12)
        if at_ms == NOW:
            assert theirs == pytest.approx(mine, rel=1e-12)
        else:
            # without the first scrape interval of the window
            assert theirs == pytest.approx(shop.exact(at_ms, window - MINUTE), rel=1e-12)
            assert theirs != pytest.approx(mine, rel=1e-6)
    length_ms = status.spec.period.length_ms
    exact = shop.exact(at_ms, length_ms)
    mean = shop.mean(at_ms, length_ms)
    assert status.error_ratio == exact
    assert ratio(sloth, length_ms) == pytest.approx(mean, rel=1e-9)
    assert mean - exact > 0.004
    # the same budget is overspent for one and not for the other
    assert sloth["slo:period_error_budget_remaining:ratio"] == pytest.approx(1 - mean / 0.01, rel=1e-9)
    assert status.budget.left == pytest.approx(1 - exact / 0.01, rel=1e-9)
    assert sloth["slo:current_burn_rate:ratio"] == pytest.approx(ratio(sloth, 5 * MINUTE) / 0.01, rel=1e-12)


def _probe(shop: Shop, status: SloStatus, sloth: dict[str, float], at_ms: int) -> None:
    """Every probe weighs the same, so a mean is exact: over short windows by either, over the period by ours alone."""
    found = windows(status)
    for window, mine in found.items():
        exact = shop.unreachable(at_ms, window)
        assert mine == pytest.approx(exact, abs=1e-12)
        assert ratio(sloth, window) == pytest.approx(exact, abs=1e-12)
    length_ms = status.spec.period.length_ms
    steps = range(at_ms - length_ms + EVERY, at_ms + 1, EVERY)
    mean = np.mean([shop.unreachable(t, 5 * MINUTE) for t in steps])
    assert status.error_ratio == pytest.approx(shop.unreachable(at_ms, length_ms), abs=1e-12)
    assert ratio(sloth, length_ms) == pytest.approx(mean, rel=1e-9)
    # scrapes that failed weigh nothing for us, and leave more weight to the others of their five minutes for Sloth
    assert mean != pytest.approx(status.error_ratio, rel=1e-4)


def _ready_made(shop: Shop, status: SloStatus, sloth: dict[str, float], at_ms: int) -> None:
    """A ready-made ratio gives no events: ours is the mean of the minutes, Sloth's that of rates over the window."""
    length_ms = status.spec.period.length_ms
    assert status.error_ratio == pytest.approx(shop.minutes(at_ms, length_ms), rel=1e-9)
    assert ratio(sloth, HOUR) == pytest.approx(shop.stretched(at_ms, HOUR), rel=1e-12)
    mean = shop.mean(at_ms, length_ms)
    assert ratio(sloth, length_ms) == pytest.approx(mean, rel=1e-9)


CHECKS = {"shop-availability": _events, "shop-reachable": _probe, "shop-answers": _ready_made}
