"""What surrounds an SLO engine in tests: a counted past, a sink, and a clock that is set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from app.alert import Alert
from app.errors import QueryFailed, StoreError
from app.labels import Labels
from app.store.client import Pool
from app.store.slo_events import read_events
from app.store.state import StateStore
from slo.engine import SloEngine
from slo.spec import AlertSpec, EventsSli, SloSpec
from slo.windows import load_windows

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 1_760_000_040_000 // MINUTE * MINUTE
SPEC = SloSpec(
    name="availability",
    service="shop",
    objective=99.9,
    sli=EventsSli("sum(rate(bad[{{.window}}]))", "sum(rate(all[{{.window}}]))"),
    page=AlertSpec("ShopDown"),
    ticket=AlertSpec("ShopSlow"),
)


@dataclass
class Answer:
    """A range query's answer."""

    labels: list[Labels]
    values: npt.NDArray[np.float64]
    present: npt.NDArray[np.bool_]


@dataclass
class Counted:
    """A PromQL engine that knows what happened in the minute that ends at a time: (bad, total)."""

    minutes: dict[int, tuple[float | None, float]] = field(default_factory=dict)
    asked: list[tuple[str, int, int]] = field(default_factory=list)
    broken: str = ""
    series: int = 1
    before: Callable[[], None] = lambda: None
    """Called in the engine's thread before each answer."""

    def span(self, from_ms: int, to_ms: int, bad: float | None, total: float) -> None:
        """Says what happened in every minute of a time."""
        for t in range(from_ms + MINUTE, to_ms + MINUTE, MINUTE):
            self.minutes[t] = (bad, total)

    def range(self, query: str, start_ms: int, end_ms: int, step_ms: int) -> Answer:
        """As the real one."""
        self.before()
        if self.broken and self.broken in query:
            raise QueryFailed("it is broken")
        self.asked.append((query, start_ms, end_ms))
        part = 0 if "bad" in query else 1 if "all" in query else None
        times = range(start_ms, end_ms + 1, step_ms)
        found = [None if part is None else self.minutes.get(t, (None, None))[part] for t in times]
        values = np.array([[np.nan if v is None else v for v in found]] * self.series)
        return Answer([()] * self.series, values, ~np.isnan(values))


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
    promql: Counted = field(default_factory=Counted)
    sink: Sink = field(default_factory=Sink)
    now_ms: int = NOW

    def engine(self, *specs: SloSpec, max_points: int = 10_000) -> SloEngine:
        """A new engine on the same store."""
        return SloEngine(
            specs or (SPEC,),
            load_windows(),
            self.promql,
            self.pool,
            StateStore(self.pool),
            self.sink,
            MINUTE,
            "http://wh",
            lambda: self.now_ms / 1000,
            max_points,
        )

    def kept(self, spec: SloSpec = SPEC) -> tuple[int, float, float]:
        """(rows, good, total) in the store."""
        rows = read_events(self.pool, spec.events_key, MINUTE, 0, NOW * 2)
        return len(rows.starts_ms), float(rows.good.sum()), float(rows.total.sum())


def burning_world(pool: Pool) -> World:
    """Two hours of a hundred requests a minute, 20 of them bad in the last hour."""
    world = World(pool)
    world.promql.span(NOW - 2 * HOUR, NOW - HOUR, None, 100)
    world.promql.span(NOW - HOUR, NOW, 20, 100)
    return world
