"""The rule engine: every group on its slots, its samples written, its state kept, its alerts handed on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import quote_plus

from alerting.rules.expand import expander
from alerting.rules.group import STALE, GroupRun, RuleRun
from alerting.rules.keeping import Orphan, RuleBook
from alerting.rules.metrics import GroupMetrics
from alerting.rules.reading import RuleSamples, SampleSink
from alerting.rules.slots import slot_after, slot_before
from alerting.rules.spec import Group
from alerting.rules.state import ActiveAlert, needs_sending
from app.alert import Alert, AlertSink
from app.errors import WatchhouseError
from app.labels import Labels, labels_from
from app.query.logql.engine import LogQLEngine
from app.query.promql.engine import PromQLEngine
from app.store.state import StateStore
from app.telemetry import RULE_SECONDS

log = logging.getLogger(__name__)
T = TypeVar("T")

RESEND_MS = 60_000
"""An alert that goes on is told again so often (Prometheus's --rules.alert.resend-delay)."""
VALID_MS = 3_600_000
"""An alert that is not told again for so long, or four intervals, is over: whatever lost its end, it does not fire
for ever.

Prometheus says four minutes; here alerts are told again also while their queries fail.
"""
SEEN_MS = 300_000
"""So long after the last samples queries still see them: slots of a stop are evaluated up to here."""
MOST_BEHIND = 60
"""So many slots a group that is too slow may be behind before some are given up."""
HOLD_MS = 120_000
"""So long after a start alerts that are not seen yet go on: nothing was scraped meanwhile."""
KEEP_SLOTS_S = 30.0
PAUSE_MS, _PULSE_S = 60_000, 5.0
"""A process that did nothing for so long was held up, or its clock was set: that is as a stop and a start."""
_SETTLE_SHARE, _SETTLE_MOST_MS = 5, 1_500
"""A group waits this part of its interval after its slot, so that samples of its last second are in the store."""
_WORKERS = 4
_STOP_S = 5


class RuleEngine:
    """Evaluates rule groups. Bound to the event loop it was started on.

    `clock` gives seconds since the epoch. `external_labels` are those in force when they are asked for.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        promql: PromQLEngine,
        logql: LogQLEngine,
        state: StateStore,
        series: SampleSink,
        sink: AlertSink,
        *,
        external_url: str = "",
        external_labels: Callable[[], Mapping[str, str]] = dict,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._promql = promql
        self._logql = logql
        self._series = series
        self._sink = sink
        self._external_url = external_url.rstrip("/")
        self._external_labels = external_labels
        self._clock = clock
        self._book = RuleBook(state)
        self._book_lock = asyncio.Lock()
        self._executor = ThreadPoolExecutor(_WORKERS, thread_name_prefix="rules")
        self._keeper = ThreadPoolExecutor(1, thread_name_prefix="rule state")
        self._runs = {group.key: GroupRun(group) for group in groups}
        self._metrics = {key: GroupMetrics(key, len(run.rules)) for key, run in self._runs.items()}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._housekeeping: asyncio.Task[None] | None = None
        self._pulse: asyncio.Task[None] | None = None
        self._alive_ms: int | None = None
        self._orphans: list[Orphan] = []
        self._stopping = False
        self._told_external: dict[str, Mapping[str, str]] = {}
        """The external labels under which a group's alerts were told last."""
        self._resumed: dict[str, int] = {}
        """The last slots that an earlier process evaluated."""
        self.started_ms = self.now_ms()

    def now_ms(self) -> int:
        """The present, in milliseconds."""
        return int(self._clock() * 1000)

    def runs(self) -> list[GroupRun]:
        """Every group, by file and name, as Prometheus's API orders them."""
        return sorted(self._runs.values(), key=lambda run: (run.group.file, run.group.name))

    async def load(self) -> None:
        """Takes up what an earlier process kept. Raises StoreError."""
        await self._keeping(self._book.load)
        for run in self._runs.values():
            self._book.restore(run)
            if run.slot_ms:
                self._resumed[run.group.key] = run.slot_ms
        self.started_ms = self.now_ms()
        self._orphans = self._book.orphans(self.runs())
        await self._keeping(lambda: self._book.forget_groups(self.runs()))

    async def start(self) -> None:
        """Takes up what was kept and starts evaluating. Raises StoreError."""
        await self.load()
        for key in self._runs:
            self._begin(key)
        self._housekeeping = asyncio.create_task(self._housekeep(), name="rule housekeeping")
        self._pulse = asyncio.create_task(self._beat(), name="rule pulse")

    async def stop(self) -> None:
        """Ends after the rules that are being evaluated. Safe to call twice."""
        self._stopping = True
        tasks = [*self._tasks.values(), *(task for task in (self._housekeeping, self._pulse) if task)]
        self._tasks, self._housekeeping, self._pulse = {}, None, None
        for task in tasks:
            task.cancel()
        try:
            async with asyncio.timeout(_STOP_S):
                for lock in self._locks.values():
                    async with lock:
                        pass
        except TimeoutError:
            log.warning("a rule was still being evaluated when the service stopped; its group is evaluated again")
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(WatchhouseError, RuntimeError):
            await self._keeping(lambda: self._book.keep_slots(self.runs()))
        for executor in (self._executor, self._keeper):
            executor.shutdown(wait=False, cancel_futures=True)

    async def reload(self, groups: Sequence[Group]) -> None:
        """Works on other groups from now on. What is the same goes on as it was; alerts of rules that are gone end."""
        wanted = {group.key: group for group in groups}
        changed = [key for key, run in self._runs.items() if wanted.get(key) != run.group]
        before: dict[str, GroupRun] = {}
        for key in changed:
            task = self._tasks.pop(key, None)
            if task is not None:
                task.cancel()
            async with self._lock(key):
                before[key] = self._runs.pop(key)
        for key, group in wanted.items():
            if key not in self._runs:
                run = self._runs[key] = GroupRun(group)
                if key in before:
                    run.carried_on(before[key])
                self._metrics.setdefault(key, GroupMetrics(key, len(run.rules))).set_rules(len(run.rules))
        for key, run in before.items():
            if key not in wanted:
                self._metrics.pop(key).remove()
                self._told_external.pop(key, None)
                self._end_series(run)
        async with self._book_lock:
            self._orphans = self._book.orphans(self.runs())
            # the new groups begin all the same; those that are gone are forgotten at the next start
            try:
                await self._keeping(lambda: self._book.forget_groups(self.runs()))
            except WatchhouseError as error:
                log.error("the slots of rule groups that are gone could not be forgotten: %s", error)
        await self._tell_orphans()
        if self._housekeeping is not None:
            for key in wanted:
                if key not in self._tasks:
                    self._begin(key)

    async def turn(self, key: str) -> float:
        """Evaluates a group's next slot if it is due. Gives the seconds until the next one is."""
        async with self._lock(key):
            run = self._runs.get(key)
            if run is None:
                return 0.0
            self._notice_pause()
            slot_ms, late = self._next(run)
            due_ms, now_ms = slot_ms + _settle_ms(run.group), self.now_ms()
            if now_ms < due_ms:
                return (due_ms - now_ms) / 1000
            await self._evaluate(run, slot_ms, late=late)
            return 0.0

    def alert_of(self, run: RuleRun, labels: Labels, alert: ActiveAlert) -> Alert:
        """An alert as receivers are told of it."""
        return self._alert(labels, alert, run.rule.expr)

    def pulse(self) -> None:
        """Notes that the process runs."""
        self._alive_ms = self.now_ms()

    def _notice_pause(self) -> None:
        now_ms, alive_ms = self.now_ms(), self._alive_ms
        if alive_ms is None or now_ms - alive_ms < PAUSE_MS:
            return
        log.warning("nothing was done for %d s: rules go on as after a stop", (now_ms - alive_ms) // 1000)
        self._alive_ms = self.started_ms = now_ms
        self._resumed = {key: run.slot_ms for key, run in self._runs.items() if run.slot_ms}
        for run in self._runs.values():
            for rule in run.rules:
                rule.unseen.update(rule.alerts)

    async def _beat(self) -> None:
        while not self._stopping:
            self.pulse()
            await asyncio.sleep(_PULSE_S)

    async def _run(self, key: str) -> None:
        while not self._stopping:
            try:
                # an evaluation under way is not to be cut off by whoever ends this task
                pause_s = await asyncio.shield(asyncio.ensure_future(self.turn(key)))
            except Exception:
                log.exception("evaluating the rule group %s failed", key)
                pause_s = 1.0
            await asyncio.sleep(pause_s)

    def _begin(self, key: str) -> None:
        self._tasks[key] = asyncio.create_task(self._run(key), name=f"rules {key}")

    def _lock(self, key: str) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())

    def _next(self, run: GroupRun) -> tuple[int, bool]:
        """(a group's next slot, whether the one after is due already). Slots that are given up are counted."""
        group, now_ms = run.group, self.now_ms()
        if not run.slot_ms:
            # as if the one before now had been evaluated
            run.slot_ms = slot_before(group, now_ms)
        if run.slot_ms > now_ms + group.interval_ms:
            log.warning(
                "the clock was set back by %d s or more: the rule group %s goes on from there",
                (run.slot_ms - now_ms) // 1000,
                group.key,
            )
            run.clock_set_back(slot_before(group, now_ms))
        slot_ms = slot_after(group, run.slot_ms)
        newest_ms = slot_before(group, now_ms - _settle_ms(group))
        seen_ms = self._resumed.get(group.key, self.started_ms) + SEEN_MS
        if seen_ms < slot_ms <= self.started_ms:
            # nobody scraped while the service was stopped, and queries see nothing of before any more
            resumed_ms = slot_after(group, self.started_ms)
        else:
            last_ms = min(newest_ms, slot_before(group, seen_ms)) if slot_ms <= self.started_ms else newest_ms
            resumed_ms = max(slot_ms, last_ms - MOST_BEHIND * group.interval_ms)
        if resumed_ms > slot_ms:
            missed = (resumed_ms - slot_ms) // group.interval_ms
            self._metrics[group.key].missed.inc(missed)
            log.warning("%d evaluations of the rule group %s were missed and are not made up", missed, group.key)
            run.slot_ms = slot_before(group, resumed_ms - 1)
            if slot_ms <= self.started_ms:
                run.passed_over(resumed_ms - slot_ms)
        return resumed_ms, newest_ms > resumed_ms

    async def _evaluate(self, run: GroupRun, slot_ms: int, *, late: bool) -> None:
        group, metrics = run.group, self._metrics[run.group.key]
        samples = RuleSamples(group, self._promql, self._logql, self._series, slot_ms - group.query_offset_ms)
        expand = expander(self._external_labels(), self._external_url, slot_ms, samples.ask)
        blind = slot_ms <= self.started_ms and group.key in self._resumed
        hold = self.now_ms() < self.started_ms + HOLD_MS
        done = await self._in_thread(
            lambda: run.evaluate(slot_ms, samples, expand, hold=hold, blind=blind, stopping=lambda: self._stopping)
        )
        if done.waiting:
            await asyncio.wait([asyncio.wrap_future(future) for future in done.waiting])
        run.settle(done)
        if done.cut:
            return
        metrics.evaluations.inc(len(run.rules))
        metrics.failures.inc(done.failed)
        metrics.late.inc(late)
        metrics.last.set(slot_ms / 1000)
        metrics.seconds.set(run.seconds)
        for rule in run.rules:
            RULE_SECONDS.observe(rule.seconds)
            if rule.error:
                log.warning("the rule %s of %s failed: %s", rule.rule.name, group.key, rule.error)
        await self._keep(run)
        await self._tell(run, slot_ms, done.lost)

    async def _keep(self, run: GroupRun) -> None:
        try:
            async with self._book_lock:
                await self._keeping(lambda: self._book.keep(run))
        except WatchhouseError as error:
            log.error("the state of the rule group %s could not be kept: %s", run.group.key, error)

    async def _tell(self, run: GroupRun, slot_ms: int, lost: Sequence[tuple[RuleRun, Labels, ActiveAlert]]) -> None:
        external = dict(self._external_labels())
        before = self._told_external.get(run.group.key, external)
        over = [self._alert(labels, alert, rule.rule.expr, before) for rule, labels, alert in lost]
        told = [found for found in run.alerts() if needs_sending(found[2], slot_ms, RESEND_MS)]
        if before != external:
            # others to whoever was told of them
            again = [found for found in run.alerts() if found[2].state == "firing"]
            ended = [(rule, labels, replace(alert, resolved_ms=slot_ms)) for rule, labels, alert in again]
            over += [self._alert(labels, alert, rule.rule.expr, before) for rule, labels, alert in ended]
            told = again + [found for found in told if found[2].state != "firing"]
        self._told_external[run.group.key] = external
        if not told and not over:
            return
        try:
            await self._sink.put_alerts([*over, *(self.alert_of(*found) for found in told)])
        except WatchhouseError as error:
            log.error(
                "alerts of the rule group %s could not be handed on, they are put again: %s", run.group.key, error
            )
            return
        run.sent(told, slot_ms)
        if any(alert.resolved_ms is not None for _, _, alert in told):
            await self._keep(run)

    async def _tell_orphans(self) -> None:
        """Tells that alerts of rules that are gone are over."""
        orphans, now_ms = self._orphans, self.now_ms()
        if not orphans:
            return
        over = [o for o in orphans if o.alert.fired_ms is not None]
        ended = [(o.labels, replace(o.alert, resolved_ms=o.alert.resolved_ms or now_ms)) for o in over]
        try:
            if ended:
                await self._sink.put_alerts([self._alert(labels, alert, "") for labels, alert in ended])
            async with self._book_lock:
                await self._keeping(lambda: self._book.forget(orphans))
            self._orphans = []
        except WatchhouseError as error:
            log.error("the end of alerts whose rules are gone could not be told, it is told again: %s", error)

    def _end_series(self, run: GroupRun) -> None:
        """Ends the series of a group that is not there any more."""
        series = [labels for rule in run.rules for labels in rule.series]
        if series:
            at_ms = max(run.slot_ms + 1, self.now_ms()) - run.group.query_offset_ms
            self._series.write([(labels, STALE) for labels in series], at_ms)

    async def _housekeep(self) -> None:
        while not self._stopping:
            await self._tell_orphans()
            await asyncio.sleep(KEEP_SLOTS_S)
            try:
                async with self._book_lock:
                    await self._keeping(lambda: self._book.keep_slots(self.runs()))
            except WatchhouseError as error:
                log.error("the last slots of rule groups could not be kept: %s", error)

    def _valid_ms(self) -> int:
        return max(VALID_MS, *(4 * run.group.interval_ms for run in self._runs.values()))

    def _alert(self, labels: Labels, alert: ActiveAlert, expr: str, external: Mapping[str, str] | None = None) -> Alert:
        external = self._external_labels() if external is None else external
        fired_ms = alert.active_ms if alert.fired_ms is None else alert.fired_ms
        return Alert(
            labels=labels_from({**external, **dict(labels)}),
            starts_at=_time(fired_ms),
            ends_at=_time(self.now_ms() + self._valid_ms() if alert.resolved_ms is None else alert.resolved_ms),
            ends_by_timeout=alert.resolved_ms is None,
            annotations=alert.annotations,
            generator_url=f"{self._external_url}/graph?g0.expr={quote_plus(expr)}&g0.tab=1" if expr else "",
            # of a rule that is gone nobody knows a value
            facts={"value": alert.value} if expr else {},
        )

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def _keeping(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._keeper, work)


def _settle_ms(group: Group) -> int:
    return min(group.interval_ms // _SETTLE_SHARE, _SETTLE_MOST_MS)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
