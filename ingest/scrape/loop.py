"""One target's scrapes: at its slots, into batches, with `up`, the other report series and stale markers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.config import Limits
from app.labels import METRIC_NAME, Labels, labels_from
from app.store.metrics import STALE_NAN_BITS, Metadata
from app.telemetry import DROPPED, SCRAPES
from ingest.batch import MetricBatch
from ingest.exemplars import NO_EXEMPLARS
from ingest.scrape.collector import Collector
from ingest.scrape.exemplars import exemplar_rows
from ingest.scrape.fetch import Client, Response
from ingest.scrape.form import NO_TIME
from ingest.scrape.headers import FetchError
from ingest.scrape.page import Page, PageReader, PageRefused
from ingest.scrape.target import Target, resolver
from ingest.series import SeriesIndex
from ingest.times import AHEAD_MS

log = logging.getLogger(__name__)

REPORT_NAMES = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)
LARGE_PAGE_BYTES = 200_000
"""Pages above this are read in a thread, as is the first: they take more than a millisecond."""
SLOT_TOLERANCE_MS = 2.0
"""A sample whose own timestamp is further in the future is dropped, as Prometheus does."""

_OUT_OF_BOUNDS = DROPPED.labels("scrape", "out_of_bounds")
_RESULTS = {name: SCRAPES.labels(name) for name in ("ok", "failed", "refused", "skipped", "missed")}


@dataclass(slots=True)
class Health:
    """How the last scrape went. `last_scrape_ms` is 0 before the first."""

    up: bool | None = None
    error: str = ""
    last_scrape_ms: float = 0.0
    duration_s: float = 0.0

    @property
    def word(self) -> str:
        """As /api/v1/targets says it."""
        return "unknown" if self.up is None else "up" if self.up else "down"


class ScrapeLoop:
    """Scrapes one target. `clock_ms` is the wall clock in milliseconds."""

    def __init__(
        self,
        target: Target,
        client: Client,
        collector: Collector,
        limits: Limits,
        clock_ms: Callable[[], float] = lambda: time.time() * 1000,
    ) -> None:
        job = target.job
        self.target = target
        self.health = Health()
        self.metadata: dict[str, Metadata] = {}
        """What the pages said of their metrics, by family."""
        self.refusal = ""
        """Set when every scrape is to fail for this reason, without asking the target."""
        self._client = client
        self._collector = collector
        self._clock_ms = clock_ms
        self._reader = PageReader(
            collector.series,
            resolver(target, limits),
            job.honor_timestamps,
            job.track_timestamps_staleness,
            job.sample_limit,
        )
        self._owed: set[Labels] = set()
        self._reported = False
        self._last_ts_ms = 0
        self._report_index: SeriesIndex | None = None
        self._report_refs: npt.NDArray[np.int32] = np.zeros(0, np.int32)
        self._page_refs: npt.NDArray[np.int32] | None = None
        self._joined_refs = self._report_refs

    async def run(self) -> None:
        """Scrapes at every slot until cancelled; a slot that comes while a scrape is under way is missed."""
        interval, offset = self.target.interval_ms, self.target.offset_ms
        slot = _slot_after(self._clock_ms(), interval, offset)
        while True:
            await asyncio.sleep(max(0.0, (slot - self._clock_ms()) / 1000))
            now = self._clock_ms()
            if now < slot - SLOT_TOLERANCE_MS:  # the wall clock was set back
                slot = min(slot, _slot_after(now, interval, offset))
                continue
            try:
                await self.scrape_once(_aligned(now, slot, interval))
            except Exception:
                log.exception("scraping %s failed", self.target.url)
            # a timer may end a little early, and a scrape be over before its slot
            following = max(slot + interval, _slot_after(self._clock_ms(), interval, offset))
            _RESULTS["missed"].inc((following - slot) // interval - 1)
            slot = following

    async def scrape_once(self, ts_ms: int) -> None:
        """Scrapes now; samples without a timestamp of their own, and the report, are of time `ts_ms`.

        Never raises for what the target does: its failure is `up` = 0, and stale markers.
        """
        started = time.perf_counter()
        page, scraped, kept, error = None, 0, 0, self.refusal
        try:
            if not error:
                async with asyncio.timeout(self.target.timeout_ms / 1000):
                    response = await self._client.fetch()
                page = await self._read(response)
                scraped, kept = page.scraped, page.kept
                self.metadata.update((known.family, known) for known in page.metadata)
        except TimeoutError:
            error = f"no page within {self.target.timeout_ms} ms (scrape_timeout)"
        except FetchError as failure:
            error = str(failure)
        except PageRefused as refused:
            error, scraped, kept = str(refused), refused.scraped, refused.kept
        except Exception as unforeseen:
            log.exception("scraping %s failed", self.target.url)
            error = f"{type(unforeseen).__name__}: {unforeseen}"
        duration = time.perf_counter() - started
        self.health = Health(not error, error, ts_ms, duration)
        _RESULTS["ok" if page else "refused" if scraped else "failed"].inc()
        report = (float(page is not None), duration, float(scraped), float(kept), float(page.added if page else 0))
        self._send(page, ts_ms, report)

    async def close(self) -> None:
        """Ends the target's connections."""
        await self._client.close()

    def series(self) -> set[Labels]:
        """Label sets that end with this target."""
        index, gone = self._reader.leave()
        found = {index.labels[ref] for ref in gone} | self._owed
        if self._reported:
            found |= {self._report_labels(name) for name in REPORT_NAMES}
        return found

    def adopt(self, series: Iterable[Labels]) -> None:
        """Takes over the series of a loop this one replaces."""
        reports = {self._report_labels(name) for name in REPORT_NAMES}
        self._reader.adopt(set(series) - reports)

    def mark_gone(self, series: Iterable[Labels]) -> None:
        """Writes stale markers for series, later than the last scrape."""
        index = self._collector.series.current
        refs = np.array([index.ref(labels) for labels in series], np.int32)
        ts_ms = max(round(self._clock_ms()), self._last_ts_ms + 1)
        self._collector.add(MetricBatch(index, refs, np.full(len(refs), ts_ms, np.int64), _stale(len(refs))))

    async def _read(self, response: Response) -> Page:
        body, openmetrics = response.body, response.openmetrics
        if self._reader.warm and len(body) <= LARGE_PAGE_BYTES:
            return self._reader.read(body, openmetrics)
        reading = asyncio.ensure_future(asyncio.to_thread(self._reader.read, body, openmetrics))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            await asyncio.wait([reading])  # the reader must be at rest before anybody asks it what is gone
            raise

    def _send(self, page: Page | None, ts_ms: int, report: tuple[float, ...]) -> None:
        index, gone = (page.index, list(page.gone)) if page else self._reader.leave()
        if self._owed:
            here = set(page.refs.tolist()) if page else set()
            gone = sorted(({index.ref(labels) for labels in self._owed} | set(gone)) - here)
        batch = self._batch(page, index, gone, ts_ms, report)
        if self._collector.add(batch):
            self._owed.clear()
            self._reported = True
            self._last_ts_ms = ts_ms
        else:
            # the samples are lost; markers are kept for the next time
            _RESULTS["skipped"].inc()
            self._owed = {index.labels[ref] for ref in gone}
            self._reader.repeat_exemplars()

    def _batch(
        self, page: Page | None, index: SeriesIndex, gone: list[int], ts_ms: int, report: tuple[float, ...]
    ) -> MetricBatch:
        own = self._own_refs(index)
        if page is None:
            refs, values = own, np.array(report)
        else:
            if page.refs is not self._page_refs:
                self._page_refs, self._joined_refs = page.refs, np.concatenate([page.refs, own])
            refs, values = self._joined_refs, np.concatenate([page.values, report])
        if gone:
            refs = np.concatenate([refs, np.array(gone, np.int32)])
            values = np.concatenate([values, _stale(len(gone))])
        times = np.full(len(refs), ts_ms, np.int64)
        metadata = page.metadata if page else ()
        exemplars = exemplar_rows(page.exemplars, ts_ms, ts_ms + AHEAD_MS) if page else NO_EXEMPLARS
        if page is None or page.ts_ms is None:
            return MetricBatch(index, refs, times, values, metadata, exemplars=exemplars)
        times[: len(page.ts_ms)] = np.where(page.ts_ms == NO_TIME, ts_ms, page.ts_ms)
        fine = (times >= 0) & (times <= ts_ms + AHEAD_MS)
        if not fine.all():
            _OUT_OF_BOUNDS.inc(int(len(fine) - np.count_nonzero(fine)))
            refs, times, values = refs[fine], times[fine], values[fine]
        return MetricBatch(index, refs, times, values, metadata, exemplars=exemplars)

    def _own_refs(self, index: SeriesIndex) -> npt.NDArray[np.int32]:
        if self._report_index is not index:
            self._report_index, self._page_refs = index, None
            refs = [index.ref(self._report_labels(name)) for name in REPORT_NAMES]
            self._report_refs = np.array(refs, np.int32)
        return self._report_refs

    def _report_labels(self, name: str) -> Labels:
        return labels_from([*self.target.labels, (METRIC_NAME, name)])


def _stale(n: int) -> npt.NDArray[np.float64]:
    return np.full(n, STALE_NAN_BITS, np.uint64).view(np.float64)


def _slot_after(now_ms: float, interval_ms: int, offset_ms: int) -> int:
    """The first slot later than now."""
    return int((now_ms - offset_ms) // interval_ms + 1) * interval_ms + offset_ms


def _aligned(now_ms: float, slot_ms: int, interval_ms: int) -> int:
    """The slot itself when now is near it, which lets regular timestamps compress well; otherwise now."""
    tolerance = min(SLOT_TOLERANCE_MS, interval_ms / 100)
    return slot_ms if abs(now_ms - slot_ms) <= tolerance else round(now_ms)
