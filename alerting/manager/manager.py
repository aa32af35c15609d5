"""The alert manager: takes alerts, groups them, and tells receivers what is new, once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from alerting.config import AlertmanagerConfig
from alerting.manager.clock import Clock, SystemClock
from alerting.manager.groups import AlertGroup, GroupTable
from alerting.manager.inhibit import Inhibitor
from alerting.manager.nflog import NotificationLog
from alerting.manager.routes import build_routes
from alerting.manager.stages import DedupStage, InhibitStage, RecordStage, SendStage, Stage, run_stages
from alerting.manager.state import ALERT, DocumentStore, StateWriter, decode_alert, encode_alert
from alerting.manager.table import AlertTable, KnownAlert
from alerting.notify.base import Notification, Notifier, NotifyError
from app.alert import Alert
from app.errors import Overloaded, StoreError
from app.telemetry import ALERT_GROUPS, ALERT_STATE_FAILURES, ALERTS

log = logging.getLogger(__name__)

MAX_ALERTS = 100_000
"""Alerts known at once; past it new ones are refused."""
STOP_GRACE_S = 4.0
"""How long `stop` waits for messages that are on their way."""
_FORGET_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group as the API shows it."""

    labels: tuple[tuple[str, str], ...]
    receiver: str
    alerts: tuple[KnownAlert, ...]


class AlertManager:
    """An `app.alert.AlertSink`. Bound to the event loop it was started on.

    `notifiers` has the notifiers of each receiver by name, as `alerting.notify.build.build_notifiers` makes them;
    the manager closes them. What it knows and what it told is kept in `state` and read at start.
    """

    def __init__(
        self,
        config: AlertmanagerConfig,
        state: DocumentStore,
        notifiers: Mapping[str, Sequence[Notifier]],
        *,
        external_url: str,
        clock: Clock | None = None,
        max_alerts: int = MAX_ALERTS,
    ) -> None:
        self.config = config
        self.external_url = external_url
        self.clock: Clock = clock or SystemClock()
        self.started_at = self.clock.now()
        self._max_alerts = max_alerts
        self._writer = StateWriter(state)
        self._table = AlertTable()
        self._groups = GroupTable(build_routes(config.route))
        self._inhibitor = Inhibitor(config.inhibit_rules, self._table)
        self._nflog = NotificationLog(self._writer)
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._notifiers = {name: list(many) for name, many in notifiers.items()}
        self._inhibit = InhibitStage(self._inhibitor)
        self._deliveries = {name: self._stages(name, many) for name, many in self._notifiers.items()}
        self._dispatcher: asyncio.Task[None] | None = None
        self._flushes: set[asyncio.Task[None]] = set()
        self._next_forget = self.started_at + _FORGET_EVERY

    def _stages(self, receiver: str, notifiers: Sequence[Notifier]) -> list[list[Stage]]:
        return [
            [
                DedupStage(self._nflog, key := f"{receiver}/{notifier.integration}/{i}", notifier.send_resolved),
                SendStage(notifier, self.clock, self._stopping),
                RecordStage(self._nflog, key),
            ]
            for i, notifier in enumerate(notifiers)
        ]

    async def start(self) -> None:
        """Reads what is kept and starts telling. Raises StoreError when it cannot be read."""
        now = self.clock.now()
        await self._nflog.load(now)
        for fingerprint, document in (await self._writer.read(ALERT)).items():
            try:
                alert = decode_alert(document)
            except (KeyError, TypeError, ValueError):
                log.error("the kept alert %s cannot be read and is left out", fingerprint)
                continue
            if alert.fingerprint != fingerprint:  # kept by a version that counted otherwise
                with contextlib.suppress(StoreError):
                    await self._keep({fingerprint: None, alert.fingerprint: document})
            self._groups.insert(self._table.put(alert, now), now)
        self._dispatcher = asyncio.create_task(self._dispatch(), name="alert dispatcher")

    async def stop(self) -> None:
        """Ends. Messages on their way get a moment to arrive; the rest is told after the next start. Safe twice."""
        self._stopping.set()
        self._wake.set()
        if self._dispatcher:
            await asyncio.wait([self._dispatcher])
        if self._flushes:
            await asyncio.wait(self._flushes, timeout=STOP_GRACE_S)
        for task in list(self._flushes):
            task.cancel()
        await asyncio.gather(*self._flushes, return_exceptions=True)
        with contextlib.suppress(StoreError):
            await self._writer.flush()
        for notifier in (n for many in self._notifiers.values() for n in many):
            await notifier.close()

    async def put_alerts(self, alerts: list[Alert]) -> None:
        """Takes the present state of some alerts; returns when it is kept.

        Raises Overloaded past the bound on alerts, and StoreError when the state could not be kept: it is taken
        all the same, told to receivers, and written with the next change.
        """
        now = self.clock.now()
        news = [a for a in alerts if a.fingerprint in self._table or not self._over_unheard(a, now)]
        if len(self._table) + sum(a.fingerprint not in self._table for a in news) > self._max_alerts:
            raise Overloaded(f"too many alerts (at most {self._max_alerts} are known at once)", retry_after_s=60.0)
        changed: dict[str, Alert] = {}
        for alert in news:
            old = self._table.get(alert.fingerprint)
            kept = self._table.put(alert, now)
            self._groups.insert(kept, now)
            if old is None or old.alert != kept or old.alert.facts != kept.facts:
                changed[kept.fingerprint] = kept
        self._wake.set()
        await self._keep({fingerprint: encode_alert(alert) for fingerprint, alert in changed.items()})

    def _over_unheard(self, alert: Alert, now: datetime) -> bool:
        return alert.resolved_at(now) and not self._nflog.told_firing(alert.fingerprint)

    def alerts(self) -> list[KnownAlert]:
        """Every known alert, resolved ones that are still to be told among them."""
        return list(self._table)

    def groups(self) -> list[GroupView]:
        """Every group with its alerts."""
        found = []
        for group in self._groups.all():
            known = tuple(k for k in map(self._table.get, group.alerts) if k is not None)
            found.append(GroupView(group.labels, group.route.receiver, known))
        return found

    def receivers_of(self, alert: Alert) -> list[str]:
        """The receivers that routes lead an alert to."""
        found = [node.receiver for node in self._groups.root.match(dict(alert.labels))]
        return list(dict.fromkeys(found))

    def inhibited_by(self, alert: Alert) -> list[str]:
        """Fingerprints of the alerts that keep this one unsent now."""
        return self._inhibitor.inhibited_by(alert.labels, self.clock.now())

    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks that run now: the dispatcher and one for each group under way."""
        return [*([self._dispatcher] if self._dispatcher else []), *self._flushes]

    async def _dispatch(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            now = self.clock.now()
            try:
                await self._turn(now)
                next_turn = self._groups.next_due()
            except Exception:
                # nothing here is expected to fail, and alerts must go out all the same
                log.exception("a turn of the alert dispatcher failed")
                next_turn = now + timedelta(seconds=1)
            await self.clock.wait(next_turn, self._wake)

    async def _turn(self, now: datetime) -> None:
        for group in self._groups.due(now):
            self._begin_flush(group, now)
        ALERTS.set(len(self._table))
        ALERT_GROUPS.set(len(self._groups))
        if now >= self._next_forget:
            self._next_forget = now + _FORGET_EVERY
            await self._forget(now)

    def _begin_flush(self, group: AlertGroup, now: datetime) -> None:
        deadline = group.begin_flush(now)
        task = asyncio.create_task(self._flush(group, now, deadline), name=f"notify {group.key}")
        self._flushes.add(task)
        task.add_done_callback(self._flushed)

    def _flushed(self, task: asyncio.Task[None]) -> None:
        self._flushes.discard(task)
        self._wake.set()

    async def _flush(self, group: AlertGroup, now: datetime, deadline: datetime) -> None:
        told = group.snapshot(now)
        try:
            if await self._deliver(group, told, now, deadline):
                await self._forget_told(group, told, now)
        except Exception:
            log.exception("notifying %s about %s failed", group.route.receiver, group.key)
        finally:
            group.flushing = False
            self._groups.drop_if_empty(group)

    async def _deliver(self, group: AlertGroup, told: tuple[Alert, ...], now: datetime, deadline: datetime) -> bool:
        notification: Notification | None = Notification(
            group_key=group.key,
            group_labels=group.labels,
            receiver=group.route.receiver,
            # an alert that fires now does not resolve on the way
            alerts=tuple(a if a.resolved_at(now) else replace(a, ends_at=None) for a in told),
            now=now,
            repeat_interval_ms=group.route.repeat_interval_ms,
            deadline=deadline,
        )
        notification = await self._inhibit(notification) if notification else None
        if notification is None:
            return True
        ways = self._deliveries.get(group.route.receiver, [])
        if len(ways) == 1:
            return await self._send(ways[0], notification)
        # one that is away does not hold up the others
        return all(await asyncio.gather(*(self._send(way, notification) for way in ways)))

    async def _send(self, way: Sequence[Stage], notification: Notification) -> bool:
        try:
            await run_stages(way, notification)
        except NotifyError:
            return False  # logged and counted where it failed
        return True

    async def _forget_told(self, group: AlertGroup, told: tuple[Alert, ...], now: datetime) -> None:
        gone = []
        for fingerprint in group.end_flush(told, now):
            known = self._table.get(fingerprint)
            if known and known.alert.resolved_at(now) and not self._groups.holds(known.alert):
                self._table.remove(fingerprint)
                gone.append(fingerprint)
        if gone:
            with contextlib.suppress(StoreError):  # counted; tried again with the next change
                await self._keep(dict.fromkeys(gone))

    async def _keep(self, documents: Mapping[str, dict[str, object] | None]) -> None:
        try:
            await self._writer.write(ALERT, documents)
        except StoreError:
            ALERT_STATE_FAILURES.inc()
            raise

    async def _forget(self, now: datetime) -> None:
        try:
            await self._nflog.forget_expired(now)
        except StoreError as error:
            ALERT_STATE_FAILURES.inc()
            log.error("the notification log could not be written: %s", error)
