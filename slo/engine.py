"""The SLO engine: counts every interval, judges, and hands alerts on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np

from app.alert import Alert, AlertSink
from app.errors import WatchhouseError
from app.store.client import Pool
from app.store.slo_events import SloEvents
from app.store.state import StateStore
from app.telemetry import SLO_CYCLE_SECONDS, SLO_FAILURES, SLO_MISSED, SLOS
from slo.alerts import AlertBook
from slo.board import Batch, Board, Ranges
from slo.counting import Counting, Want
from slo.judge import Policy, judge
from slo.maintenance import AuditEntry, Maintenance, MaintenanceBook
from slo.measure import Measured
from slo.spec import SloSpec
from slo.status import SloStatus, assess
from slo.tallies import Late, Tallies
from slo.view import View

log = logging.getLogger(__name__)
T = TypeVar("T")
_STOP_S = 5
_SETTLE_SHARE = 20
_SETTLE_MAX_MS = 2_000
_MOST_MADE_UP = 15
"""So many intervals' ends that no cycle was in time for are judged afterwards."""


class SeriesSink(Protocol):
    """Takes the figures of each cycle as series. Neither call waits or raises."""

    def add(self, specs: Sequence[SloSpec], measured: Measured) -> None:
        """What is known of some SLOs, a point each."""

    def flush(self, alerts: Sequence[Alert], end_ms: int) -> None:
        """The cycle of this time is over."""


class SloEngine:
    """Keeps the counts of all SLOs up to date and their alerts told. Bound to the event loop it was started on.

    `clock` gives seconds since the epoch. An SLO that cannot be counted holds its alerts as they are, says why in its
    status, and does not stop the others.
    """

    def __init__(
        self,
        specs: Sequence[SloSpec],
        counter: Counting,
        pool: Pool,
        state: StateStore,
        sink: AlertSink,
        interval_ms: int = 60_000,
        policy: Policy | None = None,
        external_url: str = "",
        clock: Callable[[], float] = time.time,
        late: Late | None = None,
        series: SeriesSink | None = None,
    ) -> None:
        self.interval_ms = interval_ms
        self.policy = policy or Policy()
        self._counter = counter
        self._sink = sink
        self._series = series
        self._clock = clock
        self._book = AlertBook(state, external_url)
        self._maintenance = MaintenanceBook(state, clock)
        if late is not None:
            # what comes before the first cycle may be older than what that counts again
            late.take(self.now_ms())
        self._tallies = Tallies(counter, pool, state, interval_ms, late)
        self._board = Board(self._tallies)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="slo")
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._reloads = 0
        self._loaded = False
        self._ended_ms = 0
        self._specs = tuple(specs)
        self._view = View()
        self._told: list[Alert] = []
        self._adopt()

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

    async def reload(self, specs: Sequence[SloSpec]) -> None:
        """Works on other SLOs from now on; those whose queries are the same keep their counts and alerts."""
        self._reloads += 1
        try:
            async with self._lock:
                self._specs = tuple(specs)
                await self._in_thread(self._adopt)
                await self._in_thread(self._show)
        finally:
            self._reloads -= 1
        self._wake.set()

    def now_ms(self) -> int:
        """The present, in milliseconds."""
        return int(self._clock() * 1000)

    def specs(self) -> list[SloSpec]:
        """Every SLO, groups spread out, in the order of the files."""
        return [one.spec for one in self._board.all()]

    def find(self, name: str) -> list[SloSpec]:
        """The SLO with this id, or else those with this name."""
        one = self._board.get(name)
        return [one.spec] if one else [spec for spec in self.specs() if spec.name == name]

    async def statuses(self, specs: Sequence[SloSpec] | None = None) -> list[SloStatus]:
        """SLOs (all by default) as of the last cycle, in the order given; unknown ones are left out.

        Does not wait for a cycle under way.
        """
        view = self._view
        wanted = [spec for spec in (self.specs() if specs is None else specs) if self._board.get(spec.id)]
        return await asyncio.to_thread(view.statuses, wanted, self.policy)

    def firing(self) -> dict[str, set[str]]:
        """The keys of the firing alerts by SLO id."""
        return self._view.firing()

    def alerts(self) -> list[Alert]:
        """The alerts as last told."""
        return self._told

    async def rows(self, spec: SloSpec, from_ms: int, to_ms: int) -> list[SloEvents]:
        """The kept counts of an SLO by component that start in [from_ms, to_ms). Raises StoreError."""
        one = self._board.get(spec.id)
        return await asyncio.to_thread(self._board.rows, one, from_ms, to_ms) if one else []

    def known_from_ms(self, spec: SloSpec) -> int | None:
        """Where what was counted of an SLO begins; None for nothing."""
        one = self._board.get(spec.id)
        return one.from_ms if one and one.to_ms else None

    def removed(self, spec: SloSpec) -> Ranges:
        """The maintenance ranges of an SLO."""
        return self._maintenance.ranges([spec]).get(spec.id, ())

    def count(
        self, spec: SloSpec, from_ms: int, to_ms: int, interval_ms: int
    ) -> dict[tuple[tuple[str, str], ...], list[SloEvents]]:
        """Counts of an SLO that need not be configured, by group and component; nothing is kept. For backtests.

        Blocks, and does not wait for the cycle. Raises WatchhouseError.
        """
        counter = self._counter.with_interval(interval_ms)
        wants = [Want(component.sli, spec.grouping, from_ms, to_ms) for component in spec.components]
        answers = counter.count(wants)
        for answer in answers:
            if isinstance(answer, WatchhouseError):
                raise answer
        counts = [answer for answer in answers if not isinstance(answer, WatchhouseError)]
        return {group: [one[group] for one in counts] for group in counts[0]}

    def maintenances(self) -> list[Maintenance]:
        """Every maintenance, by its beginning."""
        return self._maintenance.all()

    async def add_maintenance(self, from_ms: int, to_ms: int, **about: Any) -> Maintenance:
        """Takes a time out of budgets, as `MaintenanceBook.add`."""
        return await self._maintain(lambda book: book.add(from_ms, to_ms, **about))

    async def change_maintenance(self, name: str, **changes: Any) -> Maintenance:
        """As `MaintenanceBook.change`."""
        return await self._maintain(lambda book: book.change(name, **changes))

    async def remove_maintenance(self, name: str, **about: Any) -> None:
        """As `MaintenanceBook.remove`."""
        await self._maintain(lambda book: book.remove(name, **about))

    async def audit(self, limit: int = 1000, offset: int = 0) -> list[AuditEntry]:
        """What was done to maintenances, the newest first. Raises StoreError."""
        return await asyncio.to_thread(self._maintenance.audit, limit, offset)

    async def cycle(self) -> None:
        """Counts up to the last complete interval and tells alerts; then reads older history until the next is due."""
        self._ended_ms = end_ms = self.now_ms() // self.interval_ms * self.interval_ms
        async with self._lock:
            if self._stopping:
                return
            try:
                await self.count_and_tell(end_ms)
            except WatchhouseError as error:
                self._view = self._view.failed(str(error))
                raise
        if await self._fill(end_ms + self.interval_ms):
            async with self._lock:
                if not self._stopping:
                    await self._tell(end_ms, again=True)

    async def count_and_tell(self, end_ms: int) -> None:
        """Counts up to the end of an interval, and tells alerts: a cycle without the reading of older history."""
        with SLO_CYCLE_SECONDS.time():
            await self._in_thread(lambda: self._count(end_ms))
            await self._tell(end_ms)

    async def fill_once(self) -> bool:
        """Reads one older chunk of history; whether there was any."""
        return await self._in_thread(self._fill_chunk)

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                await self.cycle()
            except WatchhouseError as error:
                log.error("the SLO cycle failed: %s", error)
            except Exception:
                log.exception("the SLO cycle failed")
            try:
                async with asyncio.timeout(self._until_next_s()):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _until_next_s(self) -> float:
        # a moment after the interval's end, so that samples of its last second are in the store; at once where a cycle
        # took until then
        settle_ms = min(self.interval_ms // _SETTLE_SHARE, _SETTLE_MAX_MS)
        left_ms = self._ended_ms + self.interval_ms + settle_ms - self._clock() * 1000
        return min(max(left_ms, 0), self.interval_ms) / 1000

    def _adopt(self) -> None:
        self._board.adopt(self._specs, self._removed())
        SLOS.set(len(self._board.all()))

    def _removed(self) -> dict[str, tuple[tuple[int, int], ...]]:
        return self._maintenance.ranges(one.spec for one in self._board.all()) if self._maintenance.all() else {}

    def _count(self, end_ms: int) -> None:
        if not self._loaded:
            self._book.load()
            self._maintenance.load()
            self._loaded = True
        self._tallies.load()
        self._board.refresh(self._removed())
        self._tallies.catch_up(end_ms)
        # groups that were never seen before, and their maintenance
        self._board.refresh(self._removed())
        self._board.refresh(self._removed())
        self._board.derive()
        SLOS.set(len(self._board.all()))
        failed = {one.error for one in self._board.all() if one.error}
        SLO_FAILURES.inc(sum(1 for one in self._board.all() if one.error))
        for error in sorted(error for error in failed if error):
            log.warning("SLOs could not be counted: %s", error)

    async def _fill(self, until_ms: int) -> bool:
        """Reads older history, the newest missing first, in turn; whether there was any. One round is always made."""
        filled = False
        # months of history must not keep a reload, a maintenance or the end waiting
        while not self._reloads:
            async with self._lock:
                if self._stopping or not await self.fill_once():
                    break
            filled = True
            if self._clock() * 1000 >= until_ms:
                break
        return filled

    def _fill_chunk(self) -> bool:
        if not self._tallies.fill():
            return False
        self._board.refresh(self._removed())
        self._board.derive()
        return True

    async def _tell(self, end_ms: int, *, again: bool = False) -> None:
        batches = await self._in_thread(self._look)
        self._book.end_missing(self._exists, end_ms)
        try:
            await self._in_thread(self._book.keep)
        except WatchhouseError as error:
            log.error("the state of SLO alerts could not be kept: %s", error)
        self._view = View.of(batches, self._board.all(), self._book.states())
        alerts = self._told = self._book.alerts()
        if self._series is not None and not again:
            for batch in batches:
                self._series.add(batch.specs, batch.measured)
            self._series.flush(alerts, end_ms)
        if not alerts:
            return
        try:
            await self._sink.put_alerts(alerts)
            await self._in_thread(self._book.forget_ended)
        except WatchhouseError as error:
            log.error("SLO alerts could not be handed on, they are put again in the next cycle: %s", error)

    def _look(self) -> list[Batch]:
        """Judges every SLO that was counted well, and notes how its alerts are."""
        self._make_up()
        batches = self._board.batches()
        for batch in batches:
            self._judge(batch)
        return batches

    def _make_up(self) -> None:
        """Judges the ends of intervals that no cycle was in time for, so that none is left out of what must hold."""
        behind = [
            one for one in self._board.all() if not one.error and 0 < one.judged_ms < one.to_ms - self.interval_ms
        ]
        if not behind:
            return
        last_ms = max(one.to_ms for one in behind)
        first_ms = min(one.judged_ms for one in behind) + self.interval_ms
        for at_ms in range(max(first_ms, last_ms - _MOST_MADE_UP * self.interval_ms), last_ms, self.interval_ms):
            missed = [one for one in behind if one.judged_ms < at_ms < one.to_ms]
            for batch in self._board.batches(missed, at_ms):
                self._judge(batch)
        SLO_MISSED.inc(sum((one.to_ms - one.judged_ms) // self.interval_ms - 1 for one in behind))

    def _judge(self, batch: Batch) -> None:
        specs = batch.specs
        verdicts = judge(specs[0], batch.measured, self.policy)
        places = [n for n in self._book.to_look_at(specs, verdicts) if batch.watched[n].error is None]
        if places:
            seen = [specs[n] for n in places]
            for status in assess(seen, batch.measured.at(np.array(places)), self.policy):
                self._book.look(status)
        for one, at_ms in zip(batch.watched, batch.measured.at_ms.tolist(), strict=True):
            if one.error is None:
                one.judged_ms = at_ms

    def _exists(self, slo: str, alert: str) -> bool:
        one = self._board.get(slo)
        return one is not None and one.spec.alert(alert) is not None

    def _show(self) -> None:
        """Shows SLOs as they are now, between two cycles."""
        self._view = View.of(self._board.batches(), self._board.all(), self._book.states())

    async def _maintain(self, work: Callable[[MaintenanceBook], T]) -> T:
        async with self._lock:
            return await self._in_thread(lambda: self._changed(work))

    def _changed(self, work: Callable[[MaintenanceBook], T]) -> T:
        if not self._loaded:
            self._maintenance.load()
        result = work(self._maintenance)
        self._board.refresh(self._removed())
        self._board.derive()
        self._show()
        return result

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
