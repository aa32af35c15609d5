"""When a target is scraped: at its slots, each once, with the slot's time where it can be."""

from __future__ import annotations

import asyncio

import pytest

from app.config import Limits
from app.yamlfile import Document
from ingest.batch import MetricBatch
from ingest.scrape import loop as module
from ingest.scrape.config import scrape_set_from_inline
from ingest.scrape.discovery import static_groups
from ingest.scrape.fetch import Response
from ingest.scrape.loop import ScrapeLoop
from ingest.scrape.target import Target, targets_of
from ingest.series import SeriesRegistry

INTERVAL = 10_000


class Clock:
    """Time that passes only in `sleep`, which ends `early_ms` too early, and in what the test says."""

    def __init__(self, early_ms: float = 0.0) -> None:
        self.now = 1_700_000_000_123.0
        self.early_ms = early_ms

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Stands in for asyncio.sleep."""
        self.now += max(0.0, seconds * 1000 - self.early_ms)


class Pages:
    """A client that takes `takes_ms` for each page and ends the run after the last."""

    def __init__(self, clock: Clock, takes_ms: list[float]) -> None:
        self.clock = clock
        self.takes_ms = takes_ms

    async def fetch(self) -> Response:
        """A page."""
        if not self.takes_ms:
            raise asyncio.CancelledError
        self.clock.now += self.takes_ms.pop(0)
        return Response(b"a 1\n", "text/plain")

    async def close(self) -> None:
        """Nothing to close."""


class Kept:
    """Takes batches in place of a Collector."""

    def __init__(self) -> None:
        self.series = SeriesRegistry()
        self.times: list[int] = []

    def add(self, batch: MetricBatch) -> bool:
        """Notes the time of the report series."""
        self.times.append(int(batch.ts_ms[-1]))
        return True


def one_target() -> Target:
    """A target scraped every ten seconds."""
    options = {"job_name": "j", "scrape_interval": "10s", "static_configs": [{"targets": ["a:1"]}]}
    job = scrape_set_from_inline([options], Document("test", {})).jobs[0]
    return targets_of(job, static_groups(job)).active[0]


async def scraped(clock: Clock, takes_ms: list[float], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Times of the scrapes, counted in intervals from the first slot after the start, with what is over in ms."""
    target, kept = one_target(), Kept()
    first = module._slot_after(clock.now, INTERVAL, target.offset_ms)
    loop = ScrapeLoop(target, Pages(clock, takes_ms), kept, Limits(), clock)  # type: ignore[arg-type]
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)
    with pytest.raises(asyncio.CancelledError):
        await loop.run()
    return [ts - first for ts in kept.times]


async def test_each_slot_is_scraped_once_at_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the timer ends early and the scrape is over before its slot."""
    for early_ms in (0.0, 0.9, 1.9):
        assert await scraped(Clock(early_ms), [0.1] * 4, monkeypatch) == [0, 10_000, 20_000, 30_000]


async def test_slots_that_pass_are_missed_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scrape longer than the interval costs slots; the next is scraped at its own time."""
    missed = module._RESULTS["missed"]._value.get()
    assert await scraped(Clock(), [25_000.0, 0.0, 0.0], monkeypatch) == [0, 30_000, 40_000]
    assert module._RESULTS["missed"]._value.get() - missed == 2


async def test_a_late_scrape_has_its_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the tolerance after the slot, a scrape is of the time it began at."""
    clock = Clock(early_ms=-7.0)
    assert await scraped(clock, [0.0, 0.0], monkeypatch) == [7, 10_007]


def test_the_offset_is_the_targets_own() -> None:
    """The same after every start, within the interval."""
    assert one_target().offset_ms == one_target().offset_ms
    assert 0 <= one_target().offset_ms < INTERVAL
