"""What is scraped while the store is away."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np
import pytest

from app.config import Limits
from app.errors import StoreUnavailable
from app.labels import labels_from
from app.store import metrics
from app.store.client import Pool
from ingest.batch import MetricBatch
from ingest.scrape import collector
from ingest.scrape.collector import Collector
from ingest.writer import Writer


def _batch(writer: Writer, value: float) -> MetricBatch:
    index = writer.series.current
    refs = np.array([index.ref(labels_from({"__name__": "kept", "i": str(value)}))], np.int32)
    return MetricBatch(index, refs, np.array([int(time.time() * 1000)]), np.array([value]))


async def test_scraped_samples_wait_for_a_store_that_is_away(
    writer: Writer, embedded_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inserts fail for a while; what was scraped meanwhile is stored when they no longer do, each sample once."""
    real, tried = metrics.insert_samples, asyncio.Event()
    away = True

    def insert(*args: Any) -> None:
        loop.call_soon_threadsafe(tried.set)
        if away:
            raise StoreUnavailable("the store is away")
        real(*args)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(metrics, "insert_samples", insert)
    monkeypatch.setattr(collector, "HOLD_SECONDS", 0.05)
    scrapes = Collector(writer, Limits())
    for value in range(5):
        tried.clear()
        assert scrapes.add(_batch(writer, float(value)))
        await asyncio.wait_for(tried.wait(), 20)
    away = False
    async with asyncio.timeout(20):
        while (found := await asyncio.to_thread(embedded_pool.command, "SELECT count() FROM metric_samples")) != 5:
            await asyncio.sleep(0.05)
    assert found == 5
    scrapes.stop()


async def test_what_waits_is_bounded(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past `ingest_queue_rows` scrapes are skipped: `add` says so."""

    def insert(*_: Any) -> None:
        raise StoreUnavailable("the store is away")

    monkeypatch.setattr(metrics, "insert_samples", insert)
    scrapes = Collector(writer, Limits(ingest_queue_rows=3))
    assert [scrapes.add(_batch(writer, float(value))) for value in range(4)] == [True, True, True, False]
    scrapes.stop()
