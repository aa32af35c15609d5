"""What a cycle of the SLO engine costs. Run: python -m tests.bench.bench_slo [--slos 10000] [--series 50000].

An embedded store with a sample each 15 s; each SLO has its own errors and total over the same metric and the
Workbook's four windows. All of them burn and page, which is the worst case. The first cycle begins with an hour; then
minutes pass: samples are written, and a cycle counts, judges, keeps counts and alerts, and makes the series for
dashboards. Then a process after it takes up what was kept, and last one new SLO is filled from 30 days of history.
Prints CPU and wall seconds and memory.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from pathlib import Path

from app.alert import Alert
from app.config import Limits, StoreConfig
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool, open_pool
from app.store.schema import migrate
from app.store.state import StateStore
from ingest.derived import DerivedSeries
from ingest.writer import Writer
from slo.counting import Counter
from slo.engine import SloEngine
from slo.judge import Policy
from slo.period import DAY_MS
from slo.series import SloSeries
from slo.spec import AlertSpec, Component, EventsSli, Query, SloSpec
from slo.watermark import LateSamples
from slo.windows import SEVERITIES, load_windows
from tests.bench.bench_slo_counting import MINUTE, NAME, SCRAPE_MS, series, slis, write

HOUR = 60 * MINUTE
CYCLES = 5


class Sink:
    """Counts what it is handed."""

    alerts = 0

    async def put_alerts(self, alerts: list[Alert]) -> None:
        """As AlertSink."""
        self.alerts = len(alerts)


def specs(count: int) -> list[SloSpec]:
    """SLOs of so many services."""
    windows = load_windows()
    alerts = tuple(
        AlertSpec(severity, f"Burns{severity}", severity, rule.conditions)
        for severity in SEVERITIES
        for rule in windows.rules(severity, windows.period_ms)
    )
    return [
        SloSpec("requests", f"svc-{i}", 99.9, (Component(sli, 99.9),), alerts=alerts)
        for i, sli in enumerate(slis(count, "{bad}"))
    ]


class Clock:
    """A time that is set."""

    now_ms = 0

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.now_ms / 1000


def new_engine(pool: Pool, writer: Writer, clock: Clock, wanted: list[SloSpec], sink: Sink) -> SloEngine:
    """An engine as the service builds it."""
    late = LateSamples()
    pool.written.subscribe(late)
    return SloEngine(
        wanted,
        Counter(PromQLEngine(pool, Limits()), None, MINUTE),
        pool,
        StateStore(pool),
        sink,
        MINUTE,
        Policy(),
        clock=clock,
        late=late,
        series=SloSeries(DerivedSeries(writer, "slo"), "bench"),
    )


async def timed(what: str, engine: SloEngine, end_ms: int) -> None:
    """Runs what a cycle does before it reads history, and prints."""
    wall, cpu = time.perf_counter(), time.process_time()
    await engine.count_and_tell(end_ms)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    spent = f"{time.process_time() - cpu:.2f} s CPU, {time.perf_counter() - wall:.2f} s"
    print(f"{what}: {spent}, at most {memory:.2f} GiB so far", flush=True)


async def measure(pool: Pool, slos: int, series_count: int) -> None:
    """Writes, cycles and prints."""
    end_ms = int(time.time()) // 60 * MINUTE - CYCLES * MINUTE
    labels = series(series_count, slos, "a")
    write(pool, labels, end_ms - HOUR, HOUR // SCRAPE_MS + 1)
    writer, clock, sink = Writer(pool, Limits()), Clock(), Sink()
    await writer.start()
    clock.now_ms, wanted = end_ms, specs(slos)
    engine = new_engine(pool, writer, clock, wanted, sink)
    await timed(f"first cycle of {slos:,} SLOs over {series_count:,} series", engine, end_ms)
    for minute in range(1, CYCLES + 1):
        clock.now_ms = end_ms + minute * MINUTE
        write(pool, labels, clock.now_ms - MINUTE + SCRAPE_MS, MINUTE // SCRAPE_MS)
        await timed(f"cycle {minute}", engine, clock.now_ms)
    print(f"alerts: {sink.alerts:,}")
    wall = time.perf_counter()
    await engine.fill_once()
    print(f"a day of history of all of them, mostly empty: {time.perf_counter() - wall:.2f} s")
    await engine.stop()
    engine = new_engine(pool, writer, clock, wanted, sink)
    await timed("first cycle of the next process", engine, clock.now_ms)
    await engine.stop()
    await one_new(pool, writer, clock)
    await writer.stop()


async def one_new(pool: Pool, writer: Writer, clock: Clock) -> None:
    """Fills one SLO of ten series from thirty days."""
    end_ms = clock.now_ms
    write(pool, series(10, 1, "month"), end_ms - 31 * DAY_MS, 31 * DAY_MS // SCRAPE_MS)
    query = f'sum(rate({NAME}{{instance=~"month.*"}}[{{{{.window}}}}]))'
    sli = EventsSli(Query(query.replace("{instance", '{code="500",instance')), Query(query))
    engine = new_engine(pool, writer, clock, [SloSpec("month", "new", 99.9, (Component(sli, 99.9),))], Sink())
    wall, cpu = time.perf_counter(), time.process_time()
    await engine.cycle()
    print(
        f"one new SLO filled from 30 days of ten series: {time.process_time() - cpu:.2f} s CPU,"
        f" {time.perf_counter() - wall:.2f} s"
    )
    (status,) = await engine.statuses()
    assert status.complete
    await engine.stop()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slos", type=int, default=10_000)
    parser.add_argument("--series", type=int, default=50_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pool = open_pool(StoreConfig(), Path(folder))
        migrate(pool)
        asyncio.run(measure(pool, options.slos, options.series))
        pool.close()


if __name__ == "__main__":
    main()
