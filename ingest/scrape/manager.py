"""All targets: started, stopped and changed together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp

from app.config import Limits
from app.durations import format_duration_ms
from app.labels import Labels
from app.store.metrics import Metadata
from ingest.scrape.collector import Collector
from ingest.scrape.config import ScrapeJob, ScrapeSet
from ingest.scrape.discovery import FileDiscovery, static_groups
from ingest.scrape.fetch import client_for
from ingest.scrape.loop import ScrapeLoop
from ingest.scrape.target import Target, TargetList, targets_of
from ingest.writer import Writer

log = logging.getLogger(__name__)

FILE_CHECK_SECONDS = 5.0
"""How often target files are looked at; their refresh_interval only ever made it slower."""

Key = tuple[str, Labels, str]


class ScrapeManager:
    """Scrapes a set of jobs into a writer. Bound to the event loop it is started on."""

    def __init__(self, writer: Writer, scrape_set: ScrapeSet, limits: Limits) -> None:
        self._collector = Collector(writer, limits)
        self._set = scrape_set
        self._limits = limits
        self._session: aiohttp.ClientSession | None = None
        self._files = FileDiscovery()
        self._loops: dict[Key, ScrapeLoop] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._dropped: dict[str, tuple[Mapping[str, str], ...]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self._told: set[str] = set()

    async def start(self) -> None:
        """Starts scraping every target, each at the slots of its own."""
        # each target bounds its own time and its own connections
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None), connector=aiohttp.TCPConnector(limit=0), auto_decompress=True
        )
        await self.reload(self._set)
        self._watch = asyncio.create_task(self._watch_files(), name="scrape target files")

    async def stop(self) -> None:
        """Ends all scrapes, writing no stale markers, as a process that stops may be back soon. Safe to call twice."""
        tasks = [*self._tasks.values(), *([self._watch] if self._watch else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._watch = None
        self._collector.stop()
        for loop in self._loops.values():
            await loop.close()
        if self._session:
            await self._session.close()

    async def reload(self, scrape_set: ScrapeSet) -> None:
        """Changes to another set. A target that stays the same goes on undisturbed; one that goes is marked stale."""
        async with self._changing:
            self._set = scrape_set
            lists = await asyncio.to_thread(self._discover, scrape_set)
            await self._change_to(lists)

    def _discover(self, scrape_set: ScrapeSet) -> dict[str, TargetList]:
        return {
            job.job_name: targets_of(job, [*static_groups(job), *self._files.groups(job)]) for job in scrape_set.jobs
        }

    async def _change_to(self, lists: dict[str, TargetList]) -> None:
        for problem in sorted({p for found in lists.values() for p in found.problems} - self._told):
            log.error("not scraped: %s", problem)
        self._told = {p for found in lists.values() for p in found.problems}
        self._dropped = {name: found.dropped for name, found in lists.items()}
        wanted = {target.key: target for found in lists.values() for target in found.active}
        ended = {
            key: loop for key, loop in self._loops.items() if key not in wanted or not _same(loop.target, wanted[key])
        }
        await self._end(ended)
        replaced = {key: loop for key, loop in ended.items() if key in wanted}
        for key, target in wanted.items():
            if key not in self._loops:
                self._begin(target, replaced.get(key))
        for key in ended.keys() - replaced.keys():
            ended[key].mark_gone(ended[key].series())
        for job in self._set.jobs:
            self._apply_target_limit(job, lists[job.job_name])

    async def _end(self, ended: dict[Key, ScrapeLoop]) -> None:
        tasks = [self._tasks.pop(key) for key in ended]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for key, loop in ended.items():
            del self._loops[key]
            await loop.close()

    def _begin(self, target: Target, before: ScrapeLoop | None) -> None:
        assert self._session is not None, "start comes first"
        client = client_for(target.job, target.url, target.timeout_ms, self._session)
        loop = self._loops[target.key] = ScrapeLoop(target, client, self._collector, self._limits)
        if before is not None:
            loop.adopt(before.series())
        self._tasks[target.key] = asyncio.create_task(loop.run(), name=f"scrape {target.url}")

    def _apply_target_limit(self, job: ScrapeJob, found: TargetList) -> None:
        over = bool(job.target_limit) and len(found.active) > job.target_limit
        reason = f"{len(found.active)} targets (target_limit {job.target_limit})" if over else ""
        for target in found.active:
            self._loops[target.key].refusal = reason

    async def _watch_files(self) -> None:
        while True:
            await asyncio.sleep(FILE_CHECK_SECONDS)
            if not any(job.file_sd_configs for job in self._set.jobs):
                continue
            try:
                await self.reload(self._set)
            except Exception:
                log.exception("reading target files failed")

    def pools(self) -> list[str]:
        """Names of the jobs."""
        return [job.job_name for job in self._set.jobs]

    def metadata(self) -> Iterator[tuple[Labels, list[Metadata]]]:
        """For each active target its labels, and what its pages said of their metrics."""
        for loop in self._loops.values():
            yield loop.target.labels, list(loop.metadata.values())

    def targets(self) -> dict[str, Any]:
        """The `data` of /api/v1/targets."""
        dropped = [
            {"discoveredLabels": dict(labels), "scrapePool": pool}
            for pool, found in self._dropped.items()
            for labels in found
        ]
        return {
            "activeTargets": [_shown(loop) for loop in self._loops.values()],
            "droppedTargets": dropped,
            "droppedTargetCounts": {pool: len(found) for pool, found in self._dropped.items()},
        }


def _same(old: Target, new: Target) -> bool:
    if (old.interval_ms, old.timeout_ms) != (new.interval_ms, new.timeout_ms):
        return False
    where: dict[str, Any] = {"static_configs": (), "file_sd_configs": (), "target_limit": 0}
    return old.job.model_copy(update=where) == new.job.model_copy(update=where)


def _shown(loop: ScrapeLoop) -> dict[str, Any]:
    target, health = loop.target, loop.health
    last = datetime.fromtimestamp(health.last_scrape_ms / 1000, UTC) if health.last_scrape_ms else None
    return {
        "discoveredLabels": dict(target.discovered),
        "labels": dict(target.labels),
        "scrapePool": target.job.job_name,
        "scrapeUrl": target.url,
        "globalUrl": target.url,
        "lastError": health.error,
        "lastScrape": last.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if last
        else "0001-01-01T00:00:00Z",
        "lastScrapeDuration": health.duration_s,
        "health": health.word,
        "scrapeInterval": format_duration_ms(target.interval_ms),
        "scrapeTimeout": format_duration_ms(target.timeout_ms),
    }
