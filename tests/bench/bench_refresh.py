"""What a dashboard's refresh costs. Run: python -m tests.bench.bench_refresh.

An hour of 20,000 series in an embedded store; each query is asked for the hour, and again after each of five more
scrapes for the hour that ends there. Prints milliseconds: first, a refresh (median), and the refresh worked out anew.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from app.config import Limits, StoreConfig
from app.labels import labels_from
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool, open_pool
from app.store.metrics import SeriesRow, insert_samples, insert_series
from app.store.schema import migrate
from ingest.series import label_set_id

SERIES, SCRAPES, SCRAPE_MS, REFRESHES = 20_000, 240, 15_000, 5
NAME = "http_requests_total"
QUERIES = (
    f"sum by (code) (rate({NAME}[5m]))",
    f'rate({NAME}{{instance="host-3"}}[5m])',
    f'max_over_time({NAME}{{instance=~"host-1.*"}}[10m])',
    f'quantile_over_time(0.9, {NAME}{{instance="host-3"}}[10m])',
)


def scrape(pool: Pool, ids: np.ndarray[tuple[int], np.dtype[np.uint64]], first: int, last: int, begin_ms: int) -> None:
    """Inserts a sample of each series for each scrape from `first` to before `last`."""
    steps = np.arange(first, last)
    ts_ms = np.tile(begin_ms + steps * SCRAPE_MS, len(ids))
    values = (steps * (1 + np.arange(len(ids))[:, None] % 7)).ravel().astype(np.float64)
    insert_samples(pool, [NAME], np.zeros(len(ts_ms), np.int32), np.repeat(ids, len(steps)), ts_ms, values)


def asked(engine: PromQLEngine, query: str, begin_ms: int, reuse: bool) -> float:
    """Milliseconds for an hour from a time on."""
    began = time.perf_counter()
    engine.range(query, begin_ms, begin_ms + SCRAPES * SCRAPE_MS, SCRAPE_MS, reuse=reuse)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    """Measures and prints."""
    begin_ms = (int(time.time()) - SCRAPES * 15 - 60) // 15 * 15_000
    rows = [
        SeriesRow(label_set_id(labels), labels, begin_ms, begin_ms + 7_200_000)
        for i in range(SERIES)
        for labels in [
            labels_from({"__name__": NAME, "instance": f"host-{i % 200}", "code": str(200 + i % 5), "path": f"{i}"})
        ]
    ]
    ids = np.array([row.series_id for row in rows], np.uint64)
    with tempfile.TemporaryDirectory() as folder:
        pool = open_pool(StoreConfig(), Path(folder))
        migrate(pool)
        insert_series(pool, rows)
        for first in range(0, SCRAPES, 10):
            scrape(pool, ids, first, first + 10, begin_ms)
        engine = PromQLEngine(pool, Limits())
        for query in QUERIES:
            asked(engine, query, begin_ms, reuse=False)
        firsts = [asked(engine, query, begin_ms, reuse=True) for query in QUERIES]
        again: list[list[tuple[float, float]]] = [[] for _ in QUERIES]
        for n in range(1, REFRESHES + 1):
            scrape(pool, ids, SCRAPES + n, SCRAPES + n + 1, begin_ms)
            for query, times in zip(QUERIES, again, strict=True):
                moved = begin_ms + n * SCRAPE_MS
                times.append((asked(engine, query, moved, reuse=True), asked(engine, query, moved, reuse=False)))
        for query, first_ms, times in zip(QUERIES, firsts, again, strict=True):
            refresh, anew = np.median(np.array(times), axis=0)
            print(f"{query}: first {first_ms:.0f} ms, refresh {refresh:.1f} ms, anew {anew:.0f} ms")
        pool.close()


if __name__ == "__main__":
    main()
