"""The writer: what is acknowledged is kept, and memory is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest

from app.config import Limits
from app.errors import Overloaded
from app.histogram import Buckets, Histogram
from app.labels import labels_from
from app.store.client import Pool
from app.store.metrics import STALE_NAN_BITS
from ingest.batch import STALE_NAN, HistogramRows, LogBatch, MetricBatch
from ingest.exemplars import Exemplars
from ingest.writer import Writer


@pytest.fixture
async def writer(store_pool: Pool) -> AsyncIterator[Writer]:
    """A started writer."""
    writer = Writer(store_pool, Limits())
    await writer.start()
    yield writer
    await writer.stop()


def samples(writer: Writer, n: int, ts_ms: int = 1_700_000_000_000) -> MetricBatch:
    """n samples of n series at one time."""
    index = writer.series.current
    refs = [index.ref(labels_from({"__name__": "m", "i": str(i)})) for i in range(n)]
    return MetricBatch(index, np.array(refs, np.int32), np.full(n, ts_ms, np.int64), np.arange(n, dtype=np.float64))


async def test_an_acknowledged_batch_can_be_read(writer: Writer, store_pool: Pool) -> None:
    """When write_metrics returns, every sample and its series are in the store."""
    await asyncio.gather(*(writer.write_metrics(samples(writer, 100, 1_700_000_000_000 + i)) for i in range(20)))
    assert store_pool.command("SELECT count() FROM metric_samples") == 2000
    rows = store_pool.query("SELECT labels['i'] AS i FROM metric_series FINAL").column("i").to_pylist()
    assert sorted(map(int, rows)) == list(range(100))


async def test_stale_marker_keeps_its_bits(writer: Writer, store_pool: Pool) -> None:
    """A stale NaN comes back with its payload."""
    batch = samples(writer, 1)
    await writer.write_metrics(
        MetricBatch(batch.index, batch.refs, batch.ts_ms, np.array([STALE_NAN_BITS], np.uint64).view(np.float64))
    )
    assert store_pool.query("SELECT reinterpretAsUInt64(value) AS v FROM metric_samples").column("v").to_pylist() == [
        STALE_NAN_BITS
    ]


async def test_histograms_are_committed_with_samples(writer: Writer, store_pool: Pool) -> None:
    """Batches with histograms, floats, or both become rows of both tables, and all their series are known."""
    index = writer.series.current
    h = Histogram(2, 3.5, STALE_NAN, 0.5, 1.5, Buckets(np.array([-7, 9], np.int32), np.array([0.5, 1.5])), hint="gauge")
    rows = [(index.ref(labels_from({"__name__": f"h{i}"})), 1_700_000_000_000 + i, h) for i in range(3)]
    alone = MetricBatch(
        index, np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0), histograms=HistogramRows.of(rows[:1])
    )
    both = replace(samples(writer, 5), histograms=HistogramRows.of(rows[1:]))
    await asyncio.gather(*(writer.write_metrics(batch) for batch in (alone, samples(writer, 2), both)))
    assert store_pool.command("SELECT count() FROM metric_samples") == 7
    found = store_pool.query(
        "SELECT metric, toString(hint) AS hint, schema, count, reinterpretAsUInt64(sum) AS bits, zero_threshold,"
        " zero_count, positive_index, positive_count, negative_index FROM metric_histograms ORDER BY metric"
    ).to_pylist()
    assert [row.pop("metric") for row in found] == ["h0", "h1", "h2"]
    assert found == 3 * [
        {
            "hint": "gauge",
            "schema": 2,
            "count": 3.5,
            "bits": STALE_NAN_BITS,
            "zero_threshold": 0.5,
            "zero_count": 1.5,
            "positive_index": [-7, 9],
            "positive_count": [0.5, 1.5],
            "negative_index": [],
        }
    ]
    assert store_pool.command("SELECT uniqExact(series_id) FROM metric_series") == 8
    assert {"h0", "h1", "h2"} <= store_pool.histogram_metrics


async def test_exemplars_are_committed_with_samples(writer: Writer, store_pool: Pool) -> None:
    """Exemplars alone and beside samples become rows with their labels, and all their series are known."""
    index = writer.series.current
    found = Exemplars()
    for i in range(3):
        found.add(
            index.ref(labels_from({"__name__": f"e{i}"})), 1_700_000_000_000 + i, i / 2, {"trace_id": f"t{i}"}.items()
        )
    alone = MetricBatch(
        index,
        np.empty(0, np.int32),
        np.empty(0, np.int64),
        np.empty(0),
        exemplars=found.rows().within(0, 1_700_000_000_000),
    )
    both = replace(samples(writer, 5), exemplars=found.rows().within(1_700_000_000_001, 1_800_000_000_000))
    await asyncio.gather(*(writer.write_metrics(batch) for batch in (alone, samples(writer, 2), both)))
    assert store_pool.command("SELECT count() FROM metric_samples") == 7
    assert exemplars(store_pool) == [
        ("e0", 1_700_000_000_000, 0.0, [("trace_id", "t0")]),
        ("e1", 1_700_000_000_001, 0.5, [("trace_id", "t1")]),
        ("e2", 1_700_000_000_002, 1.0, [("trace_id", "t2")]),
    ]
    assert store_pool.command("SELECT uniqExact(series_id) FROM metric_series") == 8


async def test_the_newest_exemplar_of_a_series_is_kept_once(writer: Writer, store_pool: Pool) -> None:
    """An exemplar that comes again is no new row, until another came between; one without a time of its own is the
    same at any time."""
    index = writer.series.current
    a, b = (index.ref(labels_from({"__name__": name})) for name in "ab")
    t = 1_700_000_000_000
    for rows in (
        [(a, t, 1.0, "x", True), (a, t, 1.0, "x", True), (b, t, 1.0, "x", False)],
        [(a, t, 1.0, "x", True), (b, t + 5, 1.0, "x", False)],
        [
            (a, t + 1, 1.0, "x", True),
            (a, t + 1, 2.0, "x", True),
            (a, t + 1, 2.0, "y", True),
            (b, t + 6, 1.0, "y", False),
        ],
        [(a, t, 1.0, "x", True)],
    ):
        found = Exemplars()
        for ref, ts_ms, value, trace, timed in rows:
            found.add(ref, ts_ms, value, {"trace_id": trace}.items(), timed=timed)
        await writer.write_metrics(replace(samples(writer, 1), exemplars=found.rows()))
    assert [(name, ts_ms - t, value, labels[0][1]) for name, ts_ms, value, labels in exemplars(store_pool)] == [
        ("a", 0, 1.0, "x"),
        ("a", 0, 1.0, "x"),
        ("a", 1, 1.0, "x"),
        ("a", 1, 2.0, "x"),
        ("a", 1, 2.0, "y"),
        ("b", 0, 1.0, "x"),
        ("b", 6, 1.0, "y"),
    ]


def exemplars(pool: Pool) -> list[tuple[str, int, float, list[tuple[str, str]]]]:
    """(metric, milliseconds, value, labels) of all there are."""
    rows = pool.query(
        "SELECT toString(metric) AS metric, toUnixTimestamp64Milli(ts) AS ms, value, labels FROM metric_exemplars"
        " ORDER BY metric, ts, value, toString(labels)"
    ).to_pylist()
    return [(row["metric"], row["ms"], row["value"], row["labels"]) for row in rows]


async def test_a_full_queue_refuses_and_says_which_limit(store_pool: Pool) -> None:
    """Past the bound a batch is refused at once, by the limit's name; what was taken before is kept."""
    writer = Writer(store_pool, Limits(ingest_queue_rows=150))
    await writer.start()
    first = writer.enqueue_metrics(samples(writer, 100))
    with pytest.raises(Overloaded, match="ingest_queue_rows = 150"):
        writer.enqueue_metrics(samples(writer, 100))
    await first
    await writer.stop()
    assert store_pool.command("SELECT count() FROM metric_samples") == 100


async def test_stop_commits_what_waits(store_pool: Pool) -> None:
    """A batch nobody waits for is in the store when stop returns."""
    writer = Writer(store_pool, Limits.model_validate({"commit_delay": "60s"}))
    await writer.start()
    waiting = writer.enqueue_metrics(samples(writer, 10))
    await writer.stop()
    await waiting
    assert store_pool.command("SELECT count() FROM metric_samples") == 10


async def test_log_lines_keep_their_order_and_attributes(writer: Writer, store_pool: Pool) -> None:
    """Lines of one timestamp come back in the order they were added."""
    index = writer.streams.current
    batch = LogBatch(index)
    ref = index.ref(labels_from({"container": "web", "pod": "web-1"}))
    for i in range(500):
        batch.add(ref, 1_700_000_000_000_000_000, f"line {i} 한국어", {"n": str(i)})
    await writer.write_logs(batch)
    rows = store_pool.query("SELECT service, body, attributes['n'] AS n FROM logs ORDER BY ts, seq").to_pylist()
    assert [r["body"] for r in rows] == [f"line {i} 한국어" for i in range(500)]
    assert [r["n"] for r in rows] == [str(i) for i in range(500)]
    assert rows[0]["service"] == "web"
