"""What counting the SLOs' events costs. Run: python -m tests.bench.bench_slo_counting [--slos 10000] [--series 50000].

An embedded store with a sample each 15 s; each SLO has its own errors and total over the same metric. Counted are the
six newest minutes, as in each cycle of the engine. Prints CPU and wall seconds: the first cycle, one after it, and one
in which a tenth of the series is new; then a query alone, times their number.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.config import Limits, StoreConfig
from app.errors import WatchhouseError
from app.labels import Labels, labels_from
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool, open_pool
from app.store.metrics import SeriesRow, insert_samples, insert_series
from app.store.schema import migrate
from ingest.series import label_set_id
from slo.counting import Counter, Want
from slo.spec import EventsSli, Query, Sli

NAME, MINUTE, SCRAPE_MS, MINUTES, ALONE = "http_requests_total", 60_000, 15_000, 6, 50
KINDS = {
    "sums": "{bad}",
    "sums or 0": "{bad} or vector(0)",
    "differences": "({total} - {bad})",
}


def slis(count: int, form: str) -> list[Sli]:
    """SLIs of so many services."""
    found: list[Sli] = []
    for i in range(count):
        total = f'sum(rate({NAME}{{job="svc-{i}"}}[{{{{.window}}}}]))'
        bad = f'sum(rate({NAME}{{job="svc-{i}",code=~"5.."}}[{{{{.window}}}}]))'
        found.append(EventsSli(Query(form.format(bad=bad, total=total)), Query(total)))
    return found


def series(count: int, slos: int, instance: str) -> list[Labels]:
    """Label sets of so many series, spread over the services."""
    codes = ("200", "201", "404", "500", "503")
    return [
        labels_from(
            {"__name__": NAME, "job": f"svc-{i % slos}", "code": codes[i // slos % 5], "instance": f"{instance}{i}"}
        )
        for i in range(count)
    ]


def write(pool: Pool, labels: list[Labels], begin_ms: int, scrapes: int) -> None:
    """Stores samples of series."""
    rows = [SeriesRow(label_set_id(of), of, begin_ms, begin_ms + scrapes * SCRAPE_MS) for of in labels]
    insert_series(pool, rows)
    ids: npt.NDArray[np.uint64] = np.array([row.series_id for row in rows], np.uint64)
    for first in range(0, scrapes, 20):
        steps = np.arange(first, min(first + 20, scrapes))
        ts_ms = np.tile(begin_ms + steps * SCRAPE_MS, len(ids))
        values = (steps * (1 + np.arange(len(ids))[:, None] % 7)).ravel().astype(np.float64)
        insert_samples(pool, [NAME], np.zeros(len(ts_ms), np.int32), np.repeat(ids, len(steps)), ts_ms, values)


def timed(what: str, run: Callable[[], None]) -> None:
    """Runs and prints."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    print(f"{what}: {time.process_time() - cpu:.2f} s CPU, {time.perf_counter() - wall:.2f} s", flush=True)


def count(counter: Counter, wanted: list[Sli], end_ms: int) -> None:
    """A cycle's counting. Raises what any of it did."""
    for found in counter.count([Want(sli, (), end_ms - MINUTES * MINUTE, end_ms) for sli in wanted]):
        if isinstance(found, WatchhouseError):
            raise found
        assert len(found[()].starts_ms) == MINUTES


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slos", type=int, default=10_000)
    parser.add_argument("--series", type=int, default=50_000)
    options = parser.parse_args()
    end_ms = int(time.time()) // 60 * MINUTE
    begin_ms, scrapes = end_ms - 60 * MINUTE, 60 * MINUTE // SCRAPE_MS + 1
    with tempfile.TemporaryDirectory() as folder:
        pool = open_pool(StoreConfig(), Path(folder))
        migrate(pool)
        write(pool, series(options.series, options.slos, "a"), begin_ms, scrapes)
        for kind, form in KINDS.items():
            wanted = slis(options.slos, form)
            promql = PromQLEngine(pool, Limits())
            counter = Counter(promql, None, MINUTE)
            timed(f"{kind}, the first time", lambda c=counter, w=wanted: count(c, w, end_ms))  # type: ignore[misc]
            for _ in range(2):
                timed(f"{kind}, again", lambda c=counter, w=wanted: count(c, w, end_ms))  # type: ignore[misc]
        write(pool, series(options.series // 10, options.slos, "b"), begin_ms, scrapes)
        timed("a tenth of the series is new", lambda: count(counter, wanted, end_ms))
        before = time.process_time()
        for i in range(ALONE):
            query = f'sum(increase_exact({NAME}{{job="svc-{i}"}}[1m]))'
            promql.range(query, end_ms - (MINUTES - 1) * MINUTE, end_ms, MINUTE)
        alone = (time.process_time() - before) / ALONE
        print(f"a query alone: {alone * 1000:.1f} ms CPU; {2 * options.slos} of them {alone * 2 * options.slos:.0f} s")
        pool.close()


if __name__ == "__main__":
    main()
