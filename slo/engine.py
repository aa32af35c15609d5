"""The SLO engine: counts every interval, judges, and hands alerts on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from app.alert import Alert, AlertSink
from app.errors import WatchhouseError
from app.store.client import Pool
from app.store.state import StateStore
from app.telemetry import SLO_CYCLE_SECONDS, SLO_FAILURES
from slo.alerts import AlertBook, firing
from slo.counting import QueryEngine
from slo.history import STATE_KIND, History
from slo.spec import SEVERITIES, SloSpec
from slo.status import SloStatus, assess, unknown, with_alerts
from slo.windows import AlertWindows

log = logging.getLogger(__name__)
T = TypeVar("T")
_MAX_POINTS = 10_000
_STOP_S = 5
_SETTLE_SHARE = 20
_SETTLE_MAX_MS = 2_000


class SloEngine:
    """Keeps the counts of all SLOs up to date and their alerts told. Bound to the event loop it was started on.

    `clock` gives seconds since the epoch. `max_points` is the most steps a range query may ask for. An SLO that
    cannot be counted holds its alerts as they are, says why in its status, and does not stop the others.
    """

    def __init__(
        self,
        specs: Sequence[SloSpec],
        windows: AlertWindows,
        promql: QueryEngine,
        pool: Pool,
        state: StateStore,
        sink: AlertSink,
        interval_ms: int = 60_000,
        external_url: str = "",
        clock: Callable[[], float] = time.time,
        max_points: int = _MAX_POINTS,
    ) -> None:
        self._windows = windows
        self._promql = promql
        self._pool = pool
        self._state = state
        self._sink = sink
        self._interval_ms = interval_ms
        self._clock = clock
        self._max_points = min(max_points, _MAX_POINTS)
        self._book = AlertBook(state, external_url)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="slo")
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._reloads = 0
        self._loaded = False
        self._histories: dict[str, History] = {}
        self._fresh: list[History] = []
        self._statuses: dict[str, SloStatus] = {}
        self._adopt(specs)

    async def start(self) -> None:
        """Starts the cycles, the first one at once."""
        self._task = asyncio.create_task(self._run(), name="slo cycles")

    async def stop(self) -> None:
        """Ends after the query under way. Safe to call twice."""
        self._stopping = True
        self._wake.set()
        try:
            async with asyncio.timeout(_STOP_S), self._lock:
                self._executor.shutdown(wait=False)
        except TimeoutError:
            log.warning("an SLO query was still running when the service stopped; its interval is counted at the start")
            self._executor.shutdown(wait=False, cancel_futures=True)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def reload(self, specs: Sequence[SloSpec], windows: AlertWindows | None = None) -> None:
        """Works on other SLOs from now on; those whose queries are the same keep their counts and alerts."""
        self._reloads += 1
        try:
            async with self._lock:
                self._windows = windows or self._windows
                self._adopt(specs)
        finally:
            self._reloads -= 1
        self._wake.set()

    def statuses(self) -> list[SloStatus]:
        """Every SLO as of the last cycle, in the order of the files."""
        return list(self._statuses.values())

    def find(self, name: str) -> list[SloStatus]:
        """The SLO with this id, or else those with this name."""
        if name in self._statuses:
            return [self._statuses[name]]
        return [status for status in self._statuses.values() if status.spec.name == name]

    def alerts(self) -> list[Alert]:
        """The alerts as last told."""
        return self._book.alerts()

    async def cycle(self) -> None:
        """Counts up to the last complete interval and tells alerts; then reads older history until the next is due."""
        async with self._lock:
            if self._stopping:
                return
            now_ms = int(self._clock() * 1000)
            end_ms = now_ms // self._interval_ms * self._interval_ms
            await self._load()
            with SLO_CYCLE_SECONDS.time():
                for history in list(self._histories.values()):
                    if not self._stopping:
                        await self._attempt(history, lambda h: h.catch_up(self._promql, end_ms))
                await self._tell(end_ms)
            if await self._fill(end_ms + self._interval_ms):
                await self._tell(end_ms)

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                await self.cycle()
            except Exception:
                log.exception("the SLO cycle failed")
            try:
                async with asyncio.timeout(self._until_next_s()):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _until_next_s(self) -> float:
        # a moment after the interval's end, so that samples of its last second are in the store
        settle_ms = min(self._interval_ms // _SETTLE_SHARE, _SETTLE_MAX_MS)
        now_ms = self._clock() * 1000
        return (self._interval_ms - (now_ms - settle_ms) % self._interval_ms) / 1000

    def _adopt(self, specs: Sequence[SloSpec]) -> None:
        # one that was not taken up yet would never be, if it went over
        before = {slo: history for slo, history in self._histories.items() if history not in self._fresh}
        shown, self._histories, self._statuses, self._fresh = self._statuses, {}, {}, []
        for spec in specs:
            old = before.get(spec.id)
            if old is not None and old.spec.events_key == spec.events_key:
                old.spec = spec
                self._histories[spec.id] = old
                self._statuses[spec.id] = shown[spec.id] if shown[spec.id].spec == spec else assess(old, self._windows)
            else:
                history = History(spec, self._interval_ms, self._pool, self._state, self._max_points)
                self._histories[spec.id] = history
                self._fresh.append(history)
                self._statuses[spec.id] = unknown(spec)

    async def _load(self) -> None:
        if not self._loaded:
            await self._in_thread(self._book.load)
            self._loaded = True
        if self._fresh:
            notes = await self._in_thread(lambda: self._state.get_all(STATE_KIND))
            while self._fresh:
                history = self._fresh[-1]
                await self._in_thread(partial(history.load, notes.get(history.state_key)))
                self._fresh.pop()

    async def _fill(self, until_ms: int) -> bool:
        """Reads older history, the newest missing first, in turn; whether there was any. One round is always made."""
        filled = False
        behind = [h for h in self._histories.values() if not h.complete and not h.new]
        while behind:
            for history in list(behind):
                # months of history must not keep a reload or the end waiting
                if self._stopping or self._reloads:
                    return filled
                done = await self._attempt(history, lambda h: h.fill(self._promql))
                filled = True
                if not done or history.complete:
                    behind.remove(history)
            if self._clock() * 1000 >= until_ms:
                break
        return filled

    async def _attempt(self, history: History, work: Callable[[History], None]) -> bool:
        spec = history.spec
        try:
            self._statuses[spec.id] = await self._in_thread(lambda: self._work(history, work))
        except Exception as error:
            SLO_FAILURES.inc()
            if isinstance(error, WatchhouseError):
                log.warning("SLO %s could not be counted: %s", spec.id, error)
            else:
                log.exception("SLO %s could not be counted", spec.id)
            self._statuses[spec.id] = self._statuses[spec.id].failed(str(error) or type(error).__name__)
            return False
        return True

    def _work(self, history: History, work: Callable[[History], None]) -> SloStatus:
        work(history)
        return assess(history, self._windows)

    async def _tell(self, end_ms: int) -> None:
        for status in self._statuses.values():
            if status.error is None and status.to_ms is not None:
                self._look(status, status.to_ms)
        for slo, severity in self._book.owners():
            spec = self._histories[slo].spec if slo in self._histories else None
            if spec is None or spec.alert(severity) is None:
                self._book.look(slo, severity, None, end_ms)
        for name, status in self._statuses.items():
            self._statuses[name] = with_alerts(status, self._book)
        try:
            await self._in_thread(self._book.keep)
        except WatchhouseError as error:
            log.error("the state of SLO alerts could not be kept: %s", error)
        alerts = self._book.alerts()
        if not alerts:
            return
        try:
            await self._sink.put_alerts(alerts)
            await self._in_thread(self._book.forget_ended)
        except WatchhouseError as error:
            log.error("SLO alerts could not be handed on, they are put again in the next cycle: %s", error)

    def _look(self, status: SloStatus, at_ms: int) -> None:
        spec = status.spec
        for severity in SEVERITIES:
            alert = spec.alert(severity)
            if alert is None or status.undecided(severity):
                continue
            fastest = status.fastest(severity)
            seen = firing(spec, alert, severity, fastest, status.budget_left, at_ms) if fastest else None
            self._book.look(spec.id, severity, seen, at_ms)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
