"""Scraping: real HTTP on loopback, a real store, real exporters."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from app.config import Limits
from app.store.client import Pool
from app.store.metrics import STALE_NAN_BITS
from ingest.scrape.collector import Collector
from ingest.scrape.discovery import static_groups
from ingest.scrape.fetch import client_for
from ingest.scrape.loop import REPORT_NAMES, ScrapeLoop
from ingest.scrape.manager import ScrapeManager
from ingest.scrape.target import targets_of
from ingest.writer import Writer
from tests.integration.scrape_site import Site, jobs, site
from tests.ports import free_port

__all__ = ["site"]
T0 = 1_700_000_000_000


@asynccontextmanager
async def loop_for(
    writer: Writer, address: str, options: str = "", limits: Limits | None = None
) -> AsyncIterator[ScrapeLoop]:
    """A loop for one target, driven by hand; all it gathered is with the writer at the end."""
    job = jobs(f"{{job_name: j, scrape_timeout: 5s, static_configs: [{{targets: ['{address}']}}]{options}}}").jobs[0]
    target = targets_of(job, static_groups(job)).active[0]
    async with aiohttp.ClientSession() as session:
        client = client_for(job, target.url, target.timeout_ms, session)
        collector = Collector(writer, limits or Limits())
        loop = ScrapeLoop(target, client, collector, Limits())
        yield loop
        collector.stop()
        await loop.close()


async def kept(writer: Writer, pool: Pool) -> list[tuple[int, str, float | str]]:
    """What the store holds after all that was sent: scrape number, name, and value or "stale"."""
    await writer.stop()
    table = pool.query(
        "SELECT intDiv(toUnixTimestamp64Milli(ts) - 1700000000000, 1000) AS n, metric, value,"
        " reinterpretAsUInt64(value) AS bits FROM metric_samples ORDER BY n, metric"
    )
    return [
        (row["n"], row["metric"], "stale" if row["bits"] == STALE_NAN_BITS else row["value"])
        for row in table.to_pylist()
    ]


def without_report(rows: list[tuple[int, str, float | str]]) -> list[tuple[int, str, float | str]]:
    """The page's own series."""
    return [row for row in rows if row[1] not in REPORT_NAMES]


async def test_report_series_and_a_series_that_leaves(site: Site, writer: Writer, embedded_pool: Pool) -> None:
    """Every scrape writes the five report series at its own time; a series that leaves is marked once."""
    async with loop_for(
        writer, site.address, ", metric_relabel_configs: [{action: drop, source_labels: [__name__], regex: x}]"
    ) as loop:
        for n, page in enumerate(["a 1\nb 2\nx 3\n", "a 1\nx 3\n", "a 2\nx 4\n", "a 2\nb 5\nx 4\n"]):
            site.page = page
            await loop.scrape_once(T0 + n * 1000)
    rows = await kept(writer, embedded_pool)
    assert without_report(rows) == [
        (0, "a", 1.0), (0, "b", 2.0), (1, "a", 1.0), (1, "b", "stale"), (2, "a", 2.0), (3, "a", 2.0), (3, "b", 5.0),
    ]  # fmt: skip
    found = {(n, name): value for n, name, value in rows}
    assert [found[n, "up"] for n in range(4)] == [1.0] * 4
    assert [found[n, "scrape_samples_scraped"] for n in range(4)] == [3.0, 2.0, 2.0, 3.0]
    assert [found[n, "scrape_samples_post_metric_relabeling"] for n in range(4)] == [2.0, 1.0, 1.0, 2.0]
    assert [found[n, "scrape_series_added"] for n in range(4)] == [2.0, 0.0, 0.0, 1.0]
    assert 0 < float(found[0, "scrape_duration_seconds"]) < 5


@pytest.mark.parametrize("way", ["status", "malformed", "limit", "cut"])
async def test_a_failing_target_is_down_and_stale(site: Site, writer: Writer, embedded_pool: Pool, way: str) -> None:
    """Whatever fails, `up` is 0 and all series are marked, once; when it heals they are back."""

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"a 9\n")
        assert request.transport is not None
        request.transport.close()
        return response

    async with loop_for(writer, site.address, ", sample_limit: 2") as loop:
        await loop.scrape_once(T0)
        site.status = 503 if way == "status" else 200
        site.page = {"malformed": "a 1\nb one\n", "limit": "a 1\nb 1\nc 1\n"}.get(way, "a 1\n")
        site.answer = cut if way == "cut" else None
        await loop.scrape_once(T0 + 1000)
        error = loop.health.error
        await loop.scrape_once(T0 + 2000)
        site.status, site.page, site.answer = 200, "a 1\n", None
        await loop.scrape_once(T0 + 3000)
    expected = {
        "status": "HTTP status 503",
        "malformed": "line 2",
        "limit": "sample_limit 2",
        "cut": "middle of the page",
    }
    assert expected[way] in error
    rows = await kept(writer, embedded_pool)
    assert without_report(rows) == [(0, "a", 1.0), (1, "a", "stale"), (3, "a", 1.0)]
    assert [value for _, name, value in rows if name == "up"] == [1.0, 0.0, 0.0, 1.0]
    assert [value for _, name, value in rows if name == "scrape_series_added"][3] == 0.0


async def test_a_slow_target_times_out(site: Site, writer: Writer) -> None:
    """A page that does not come within scrape_timeout is a failure, and the next scrape is a new question."""
    release = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response(text="late 1\n")

    rule = "{target_label: __scrape_timeout__, replacement: 50ms}"
    async with loop_for(writer, site.address, f", relabel_configs: [{rule}]") as loop:
        site.answer = slow
        await loop.scrape_once(T0)
        assert "scrape_timeout" in loop.health.error
        site.answer = None
        await loop.scrape_once(T0 + 1000)
        assert loop.health.word == "up"
        release.set()


async def test_timestamps_on_the_page_are_honoured(site: Site, writer: Writer, embedded_pool: Pool) -> None:
    """A sample with a time of its own keeps it, is not marked stale, and is dropped when far in the future."""
    async with loop_for(writer, site.address) as loop:
        site.page = f"a 1 {T0 - 5000}\nb 2\nfuture 3 {T0 + 3_600_000}\n"
        await loop.scrape_once(T0)
        site.page = "b 2\n"
        await loop.scrape_once(T0 + 1000)
    assert without_report(await kept(writer, embedded_pool)) == [(-5, "a", 1.0), (0, "b", 2.0), (1, "b", 2.0)]


async def test_openmetrics_by_content_type(site: Site, writer: Writer) -> None:
    """The content type decides which format a page is read as."""
    async with loop_for(writer, site.address) as loop:
        site.content_type, site.page = "application/openmetrics-text", "a 1\n"
        await loop.scrape_once(T0)
        assert "# EOF" in loop.health.error
        site.page = "a 1\n# EOF\n"
        await loop.scrape_once(T0 + 1000)
        assert loop.health.word == "up"


async def test_without_room_a_scrape_is_lost_and_owes_its_markers(
    site: Site, writer: Writer, embedded_pool: Pool
) -> None:
    """A scrape there is no room for is lost and counted; its stale markers go with the next one."""
    async with loop_for(writer, site.address, limits=Limits.model_validate({"ingest_queue_rows": 8})) as loop:
        site.page = "a 1\nb 1\n"
        await loop.scrape_once(T0)
        site.page = "a 2\n"
        await loop.scrape_once(T0 + 1000)
        loop._collector.flush()
        await loop.scrape_once(T0 + 2000)
    assert without_report(await kept(writer, embedded_pool)) == [
        (0, "a", 1.0), (0, "b", 1.0), (2, "a", 2.0), (2, "b", "stale"),
    ]  # fmt: skip


async def test_a_full_writer_holds_scrapes(embedded_pool: Pool, site: Site) -> None:
    """While the writer's queue is full, scrapes are held and go in later."""
    full = Writer(embedded_pool, Limits.model_validate({"ingest_queue_rows": 8, "commit_delay": "60s"}))
    await full.start()
    async with loop_for(full, site.address) as loop:
        for n in range(3):
            await loop.scrape_once(T0 + n * 1000)
            loop._collector.flush()
        await full.stop()
        later = Writer(embedded_pool, Limits())
        later.series = full.series
        await later.start()
        loop._collector._writer = later
    assert [n for n, *_ in without_report(await kept(later, embedded_pool))] == [0, 1, 2]


# --- the manager


def fast(name: str, address: str, more: str = "") -> str:
    """A job that scrapes ten times a second."""
    timing = "scrape_interval: 100ms, scrape_timeout: 100ms"
    return f"{{job_name: {name}, {timing}, static_configs: [{{targets: ['{address}']}}]{more}}}"


async def until(done: Callable[[], bool], site: Site) -> None:
    """Waits for a condition that scrapes bring about, looking at it after each."""
    arrived = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        arrived.set()
        return web.Response(text=site.page)

    site.answer = answer
    async with asyncio.timeout(10):
        while not done():
            arrived.clear()
            await arrived.wait()


async def test_manager_scrapes_reloads_and_tells(site: Site, writer: Writer, embedded_pool: Pool) -> None:
    """Targets are scraped at their slots; one that goes is marked stale, one that stays is left alone."""
    manager = ScrapeManager(writer, jobs(fast("one", site.address), fast("two", site.address)), Limits())
    await manager.start()
    await until(lambda: all(t["health"] == "up" for t in manager.targets()["activeTargets"]), site)
    shown = manager.targets()["activeTargets"][0]
    assert shown["labels"] == {"instance": site.address, "job": "one"}
    assert shown["scrapeUrl"] == f"http://{site.address}/metrics"
    assert (shown["scrapePool"], shown["scrapeInterval"], shown["lastError"]) == ("one", "100ms", "")
    stays = manager._loops[next(key for key in manager._loops if key[0] == "two")]
    drop = ", relabel_configs: [{action: drop, regex: '.*'}]"
    await manager.reload(jobs(fast("two", site.address), fast("three", site.address, drop)))
    assert list(manager._loops.values()) == [stays]
    assert [t["scrapePool"] for t in manager.targets()["droppedTargets"]] == ["three"]
    await manager.stop()
    await writer.stop()
    rows = embedded_pool.query(
        "SELECT metric, labels['job'] AS job, argMax(reinterpretAsUInt64(value), ts) = {stale:UInt64} AS gone,"
        " count() AS n FROM metric_samples INNER JOIN"
        " (SELECT series_id, labels FROM metric_series FINAL) AS known USING series_id"
        " GROUP BY metric, job ORDER BY job, metric",
        {"stale": STALE_NAN_BITS},
    ).to_pylist()
    assert {(r["job"], r["metric"]): bool(r["gone"]) for r in rows} == {
        (job, name): job == "one" for job in ("one", "two") for name in ("a", *REPORT_NAMES)
    }


async def test_a_changed_job_marks_only_what_left(site: Site, writer: Writer, embedded_pool: Pool) -> None:
    """A job whose settings change keeps its series: only those that its new page lacks are marked stale."""
    manager = ScrapeManager(writer, jobs(fast("one", site.address)), Limits())
    site.page = "a 1\nb 1\n"
    await manager.start()
    await until(lambda: manager.targets()["activeTargets"][0]["health"] == "up", site)
    drop = ", metric_relabel_configs: [{action: drop, source_labels: [__name__], regex: b}]"
    await manager.reload(jobs(fast("one", site.address, drop)))
    await until(lambda: manager.targets()["activeTargets"][0]["health"] == "up", site)
    await manager.stop()
    await writer.stop()
    stale = embedded_pool.query(
        "SELECT metric, count() AS n FROM metric_samples"
        " WHERE reinterpretAsUInt64(value) = {stale:UInt64} GROUP BY metric",
        {"stale": STALE_NAN_BITS},
    ).to_pylist()
    assert stale == [{"metric": "b", "n": 1}]


async def test_target_limit_fails_the_job(site: Site, writer: Writer) -> None:
    """A job with more targets than its limit is not scraped, and says why."""
    manager = ScrapeManager(writer, jobs(fast("one", f"{site.address}', 'localhost:1", ", target_limit: 1")), Limits())
    await manager.start()
    loops = list(manager._loops.values())
    await loops[0].scrape_once(T0)
    assert loops[0].health.error == "2 targets (target_limit 1)"
    assert not site.requests
    await manager.stop()
    await manager.stop()


# --- a real exporter


@pytest.fixture
def node_exporter(tmp_path: Path) -> Iterator[str]:
    """The address of Debian's node-exporter, started for the test."""
    program = shutil.which("prometheus-node-exporter") or shutil.which("node_exporter")
    if program is None:
        pytest.skip("prometheus-node-exporter is not installed")
    address = f"127.0.0.1:{free_port()}"
    with (tmp_path / "log").open("w+") as output:
        process = subprocess.Popen(
            [program, f"--web.listen-address={address}"], stdout=output, stderr=subprocess.STDOUT
        )
        yield address
        process.terminate()
        process.wait(10)


async def test_real_node_exporter(node_exporter: str, writer: Writer, embedded_pool: Pool) -> None:
    """Pages of a real exporter are kept: `up` is 1, and every sample of the page is in the store."""
    async with loop_for(writer, node_exporter) as loop:
        async with asyncio.timeout(20):
            n = 0
            while loop.health.word != "up":  # it needs a moment to listen
                await loop.scrape_once(T0 - 100_000 + n)
                n += 1
        for n in range(3):
            await loop.scrape_once(T0 + n * 1000)
            assert loop.health.word == "up", loop.health.error
    rows = await kept(writer, embedded_pool)
    for n in range(3):
        page = [row for row in rows if row[0] == n]
        scraped = next(value for _, name, value in page if name == "scrape_samples_scraped")
        assert isinstance(scraped, float)
        assert len(without_report(page)) - sum(value == "stale" for *_, value in page) == scraped > 100
        assert next(value for _, name, value in page if name == "up") == 1.0
