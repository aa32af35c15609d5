"""What surrounds an SLO engine in tests: a counted past, a sink, and a clock that is set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from app.alert import Alert
from app.errors import QueryFailed, StoreError, WatchhouseError
from app.labels import Labels
from app.store.client import Pool
from app.store.slo_events import SloEvents, no_events, read_events
from app.store.state import StateStore
from slo.counting import Counts, Want
from slo.engine import SloEngine
from slo.judge import Policy
from slo.spec import AlertSpec, BurnCondition, Component, EventsSli, Query, Sli, SloSpec, sli_key
from slo.watermark import LateSamples

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 1_760_000_040_000 // MINUTE * MINUTE
ANY_COVERAGE = Policy(coverage_floor=0.0)
SLI = EventsSli(Query("sum(rate(bad[{{.window}}]))"), Query("sum(rate(all[{{.window}}]))"))
PAGE = AlertSpec(
    "page",
    "ShopDown",
    "page",
    (
        BurnCondition((HOUR, 5 * MINUTE), Fraction("14.4")),
        BurnCondition((6 * HOUR, 30 * MINUTE), Fraction(6)),
    ),
)
TICKET = AlertSpec(
    "ticket",
    "ShopSlow",
    "ticket",
    (BurnCondition((DAY, 2 * HOUR), Fraction(3)), BurnCondition((3 * DAY, 6 * HOUR), Fraction(1))),
)


def slo(sli: Sli = SLI, alerts: tuple[AlertSpec, ...] = (PAGE, TICKET), **fields: Any) -> SloSpec:
    """An SLO of 99.9 % over 30 days."""
    objective = fields.pop("objective", 99.9)
    named = {"name": "availability", "service": "shop", **fields}
    return SloSpec(objective=objective, components=(Component(sli, objective),), alerts=alerts, **named)


SPEC = slo()


@dataclass
class Counted:
    """A counter that knows what happened in the minute that ends at a time: (bad, total), the same for all SLIs.

    Of queries that say `none` it knows nothing. It counts a day a step.
    """

    minutes: dict[int, tuple[float | None, float]] = field(default_factory=dict)
    asked: list[tuple[Sli, int, int]] = field(default_factory=list)
    broken: str = ""
    groups: dict[Labels, float] = field(default_factory=lambda: {(): 1.0})
    """How many times as much each group has."""
    before: Callable[[], None] = lambda: None
    """Called in the engine's thread before each answer."""

    def span(self, from_ms: int, to_ms: int, bad: float | None, total: float) -> None:
        """Says what happened in every minute of a time."""
        for t in range(from_ms + MINUTE, to_ms + MINUTE, MINUTE):
            self.minutes[t] = (bad, total)

    def metrics(self, sli: Sli) -> frozenset[str] | None:
        """As the real one."""
        return frozenset({"requests"})

    def with_interval(self, interval_ms: int) -> Counted:
        """As the real one."""
        assert interval_ms == MINUTE
        return self

    def count(self, wants: Sequence[Want]) -> list[Counts | WatchhouseError]:
        """As the real one."""
        self.before()
        return [self._count(want) for want in wants]

    def _count(self, want: Want) -> Counts | WatchhouseError:
        text = repr(want.sli)
        if self.broken and self.broken in text:
            return QueryFailed("it is broken")
        self.asked.append((want.sli, want.from_ms, want.to_ms))
        if "none" in text:
            return {(): no_events()}
        first, last = want.from_ms + MINUTE, want.to_ms + MINUTE
        known = sorted(t for t in self.minutes if first <= t < last)
        starts = np.array([t - MINUTE for t in known], np.int64)
        bad = np.array([self.minutes[t][0] or 0.0 for t in known], float)
        total = np.array([self.minutes[t][1] for t in known], float)
        groups = self.groups if want.grouping else {(): 1.0}
        return {group: SloEvents(starts, (total - bad) * times, total * times) for group, times in groups.items()}


@dataclass
class Sink:
    """Keeps every hand-over of alerts."""

    puts: list[list[Alert]] = field(default_factory=list)
    broken: bool = False
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def put_alerts(self, alerts: list[Alert]) -> None:
        """As AlertSink."""
        if self.broken:
            raise StoreError("no")
        self.puts.append(alerts)
        self.came.set()

    def states(self) -> dict[str, bool]:
        """Whether each alert of the last hand-over fires."""
        return {alert.name: alert.ends_at is None for alert in self.puts[-1]} if self.puts else {}


@dataclass
class World:
    """Everything around an engine; `engine` makes a new one, as after a restart."""

    pool: Pool
    counted: Counted = field(default_factory=Counted)
    sink: Sink = field(default_factory=Sink)
    now_ms: int = NOW

    def engine(self, *specs: SloSpec, policy: Policy = ANY_COVERAGE) -> SloEngine:
        """A new engine on the same store."""
        late = LateSamples()
        self.pool.written.subscribe(late)
        return SloEngine(
            specs or (SPEC,),
            self.counted,
            self.pool,
            StateStore(self.pool),
            self.sink,
            MINUTE,
            policy,
            "http://wh",
            lambda: self.now_ms / 1000,
            late,
        )

    def kept(self, spec: SloSpec = SPEC) -> tuple[int, float, float]:
        """(rows, good, total) in the store."""
        rows = read_events(self.pool, [sli_key(spec.components[0].sli)], MINUTE, 0, NOW * 2).events
        return len(rows.starts_ms), float(rows.good.sum()), float(rows.total.sum())


def burning_world(pool: Pool) -> World:
    """Two hours of a hundred requests a minute, 20 of them bad in the last hour."""
    world = World(pool)
    world.counted.span(NOW - 2 * HOUR, NOW - HOUR, None, 100)
    world.counted.span(NOW - HOUR, NOW, 20, 100)
    return world
