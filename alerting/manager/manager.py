"""The alert manager: takes alerts, groups them, and tells receivers what is new, once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from alerting.config import AlertmanagerConfig
from alerting.manager.acknowledgements import Acknowledgements
from alerting.manager.audit import Audit
from alerting.manager.claims import Claims
from alerting.manager.clock import Clock, SystemClock
from alerting.manager.delivery import Delivery, Tools
from alerting.manager.editing import Editing
from alerting.manager.groups import AlertGroup, GroupTable
from alerting.manager.inhibit import Inhibitor
from alerting.manager.journal import Journal
from alerting.manager.known import MAX_ALERTS, KnownAlerts
from alerting.manager.nflog import NotificationLog
from alerting.manager.peers import PEER_TIMEOUT_S, Peers
from alerting.manager.recurring import RecurringSilences
from alerting.manager.routes import build_routes
from alerting.manager.silences import Limits, Silences
from alerting.manager.state import (
    ACKNOWLEDGEMENT,
    ALERT,
    DECIDED_ALERT,
    DECISION,
    NOTIFICATION,
    RECURRING,
    SENDING,
    SILENCE,
    WRITE_GAP_S,
    DocumentStore,
    StateWriter,
)
from alerting.manager.suppress import AlertStatus, Suppressor
from alerting.manager.table import KnownAlert
from alerting.notify.base import Acknowledgement, Notifier, NotifyError
from alerting.notify.rendering import Renderer
from alerting.notify.troubles import Troubles
from alerting.template_files import load_templates
from app.alert import Alert
from app.errors import NotFound, StoreError
from app.labels import Matcher
from app.telemetry import ALERT_GROUPS, ALERT_STATE_FAILURES, ALERTS, SILENCES

log = logging.getLogger(__name__)

STOP_GRACE_S = 4.0
"""How long `stop` waits for messages that are on their way."""
_FORGET_EVERY = timedelta(hours=1)
_WRITE_LATER = timedelta(seconds=5)
"""How long decisions may wait for another write to go with."""


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group as the API shows it."""

    key: str
    labels: tuple[tuple[str, str], ...]
    receiver: str
    alerts: tuple[KnownAlert, ...]
    muted_by: tuple[str, ...]
    route_labels: Mapping[str, str]
    acknowledged: tuple[Acknowledgement, ...]
    matchers: tuple[Matcher, ...]
    """What its alerts match, and those of other groups do not."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """Whether other processes may run an alert manager on the same store, and how long each waits for the one before.

    With several, every one is sent the same alerts, or reads them from the store.
    """

    shared: bool = False
    peer_timeout_s: float = PEER_TIMEOUT_S


class AlertManager:
    """An `app.alert.AlertSink`. Bound to the event loop it was started on.

    `notifiers` has the notifiers of each receiver by name, as `alerting.notify.build.build_notifiers` makes them;
    the manager closes them. What it knows and what it told is kept in `state` and read at start.
    `troubles` says which notifiers failed the last time, once nothing is left to try.
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
        silence_limits: Limits | None = None,
        sharing: Sharing | None = None,
        write_gap_s: float = WRITE_GAP_S,
        troubles: Troubles | None = None,
    ) -> None:
        self.config = config
        self.external_url = external_url
        self.clock: Clock = clock or SystemClock()
        self.started_at = self.clock.now()
        sharing = sharing or Sharing()
        writer = self._writer = StateWriter(state, write_gap_s)
        self.audit = Audit(writer, self.clock)
        self.silences = Silences(writer, self.audit, self.clock, silence_limits)
        self.recurring = RecurringSilences(writer, self.audit, self.silences, self.clock)
        self.acknowledgements = Acknowledgements(writer, self.audit, self.clock)
        self.peers = Peers(writer, self.clock, shared=sharing.shared, timeout_s=sharing.peer_timeout_s)
        self.journal = Journal(writer, self.peers.id if sharing.shared else "")
        self.nflog = NotificationLog(writer)
        self._claims = Claims(writer, self.peers, self.clock)
        self.troubles = troubles or Troubles()
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._known = KnownAlerts(writer, self.nflog, self.acknowledgements, self.clock, max_alerts, self._wake.set)
        self._reloading = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._flushes: set[asyncio.Task[None]] = set()
        self._next_forget = self.started_at + _FORGET_EVERY
        self._turned_at = self.started_at
        self._next_write: datetime | None = None
        self._notifiers: dict[str, list[Notifier]] = {}
        self._editing = Editing(self.clock, self._stopping, self.silences, self.recurring, self.acknowledgements)
        self._use(config, notifiers)

    def _use(self, config: AlertmanagerConfig, notifiers: Mapping[str, Sequence[Notifier]]) -> None:
        self.config = config
        self._renderer: Renderer | None = None
        self._groups = GroupTable(build_routes(config.route))
        self._known.use(self._groups, self.clock.now())
        inhibitor = Inhibitor(config.inhibit_rules, self._known.table)
        intervals = {i.name: i.time_intervals for i in (*config.mute_time_intervals, *config.time_intervals)}
        self.suppressor = Suppressor(inhibitor, self.silences, intervals)
        self._notifiers = {name: list(many) for name, many in notifiers.items()}
        tools = Tools(
            self.nflog, self._claims, self.peers, self.journal, self.suppressor, self.acknowledgements, self.clock,
            self._stopping, self.troubles,
        )  # fmt: skip
        self._delivery = Delivery(self._notifiers, tools)
        self._editing.use(self._groups, self._delivery)

    async def start(self) -> None:
        """Reads what is kept and starts telling. Raises StoreError when it cannot be read."""
        now = self.clock.now()
        await self.peers.join()
        await self.nflog.load(now)
        await self._claims.load()
        await self.silences.load()
        await self.recurring.load()
        await self.recurring.turn(now)
        await self.acknowledgements.load()
        await self.journal.load(now)
        await self._known.load(now)
        self._follow()
        tasks = [(self._dispatch(), "alert dispatcher"), (self._editing.run(self._tell_edited), "alert editing")]
        if self.peers.shared:
            tasks.append((self.peers.run(self._stopping), "alert peers"))
        self._tasks = [asyncio.create_task(task, name=name) for task, name in tasks]

    def _follow(self) -> None:
        for kind, take_over in (
            (ALERT, self._known.take_over),
            (NOTIFICATION, self.nflog.take_over),
            (SENDING, self._claims.take_over),
            (SILENCE, self.silences.take_over),
            (RECURRING, self.recurring.take_over),
            (ACKNOWLEDGEMENT, self.acknowledgements.take_over),
            (DECISION, self.journal.take_over),
            (DECIDED_ALERT, self.journal.take_over_labels),
        ):
            self.peers.follow(kind, take_over)

    async def stop(self) -> None:
        """Ends. Messages on their way get a moment to arrive; the rest is told after the next start. Safe twice."""
        self._stopping.set()
        self._wake.set()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._end_flushes()
        self.journal.write_counts()
        with contextlib.suppress(StoreError):
            await self.peers.leave()
            await self._writer.flush()
        self._writer.close()
        for notifier in (n for many in self._notifiers.values() for n in many):
            await notifier.close()

    async def _end_flushes(self, *others: asyncio.Task[None]) -> None:
        tasks = {*self._flushes, *others}
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_GRACE_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def reload(self, config: AlertmanagerConfig, notifiers: Mapping[str, Sequence[Notifier]]) -> None:
        """Takes up another configuration. Messages on their way get a moment; groups begin anew, and what receivers
        were told stands, so that nothing is told twice.
        """
        async with self._reloading:  # what falls due meanwhile waits for the new configuration
            self._editing.pause()
            await self._end_flushes(*self._editing.tasks())
            old = self._notifiers
            self._use(config, notifiers)
        self._editing.wake()
        self._wake.set()
        for notifier in (n for many in old.values() for n in many):
            await notifier.close()

    async def put_alerts(self, alerts: list[Alert]) -> None:
        """Takes the present state of some alerts; returns when it is kept.

        Raises Overloaded when new alerts were refused since too many are known; those that are known already are
        taken. Raises StoreError when the state could not be kept: it is taken all the same, told to receivers, and
        written with the next change.
        """
        await self._known.put(alerts)

    def alerts(self) -> list[KnownAlert]:
        """Every known alert, resolved ones that are still to be told among them."""
        return list(self._known.table)

    def alert(self, fingerprint: str) -> KnownAlert | None:
        """The known alert of a fingerprint."""
        return self._known.table.get(fingerprint)

    def groups(self) -> list[GroupView]:
        """Every group with its alerts, in Alertmanager's order."""
        now, found = self.clock.now(), []
        for group in self._groups.all():
            alerts = group.snapshot()
            known = tuple(k for k in (self._known.table.get(a.fingerprint) for a in alerts) if k is not None)
            muted = self.suppressor.muted_by(group.route, now)
            acknowledged = self.acknowledgements.of(alerts)
            route_labels = self._route_labels(group, alerts, now)
            found.append(
                GroupView(
                    group.key, group.labels, group.route.receiver, known, muted, route_labels, acknowledged,
                    group.matchers,
                )
            )  # fmt: skip
        return found

    def _route_labels(self, group: AlertGroup, alerts: Sequence[Alert], now: datetime) -> Mapping[str, str]:
        if not group.route.labels or not alerts:
            return {}
        if self._renderer is None:
            self._renderer = Renderer(load_templates(self.config), self.external_url)
        notification = replace(self._delivery.notification(group, alerts, now, now), alerts=tuple(alerts))
        try:
            return self._renderer.of(notification).data.route_labels
        except NotifyError:
            return {}  # it is logged where the group is told

    def groups_of(self, alert: Alert) -> list[AlertGroup]:
        """The groups an alert is in."""
        return self._groups.of(alert)

    @property
    def delivery(self) -> Delivery:
        """The ways to the receivers of the configuration in force."""
        return self._delivery

    @property
    def routes(self) -> GroupTable:
        """The routing tree in force, with its groups."""
        return self._groups

    def receivers_of(self, alert: Alert) -> list[str]:
        """The receivers that routes lead an alert to."""
        found = [node.receiver for node in self._groups.root.match(dict(alert.labels))]
        return list(dict.fromkeys(found))

    def status_of(self, alert: Alert) -> AlertStatus:
        """What suppresses an alert now."""
        return self.suppressor.status(alert.labels, self.clock.now())

    async def acknowledge(
        self, *, group_key: str | None = None, fingerprints: Sequence[str] = (), by: str, who: str | None = None
    ) -> list[Acknowledgement]:
        """Notes that somebody looks after the firing alerts of a group, or those with these fingerprints.

        `by` is shown, `who` (by itself `by`) stands in the audit. Gives the new acknowledgements; messages follow.
        Raises NotFound when there is no such alert, StoreError when it cannot be kept.
        """
        now = self.clock.now()
        found = [k.alert for k in map(self._known.table.get, fingerprints) if k is not None]
        found += [a for g in self._groups.all() if g.key == group_key for a in g.snapshot()]
        firing = {a.fingerprint: a for a in found if not a.resolved_at(now)}
        if not firing:
            raise NotFound("there is no firing alert to acknowledge")
        return await self.acknowledgements.add(firing.values(), by, who or by)

    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks that run now: the dispatcher and its like, and one for each group under way."""
        return [*(task for task in self._tasks if not task.done()), *self._flushes, *self._editing.tasks()]

    async def _dispatch(self) -> None:
        settled_at = self.peers.settled_at
        while settled_at and settled_at > self.clock.now() and not self._stopping.is_set():
            await self.clock.wait(settled_at, self._stopping)
        while not self._stopping.is_set():
            self._wake.clear()
            now = self.clock.now()
            try:
                self._heed_clock(now)
                await self._turn(now)
                next_due = None if self._reloading.locked() else self._groups.next_due()
                next_turn = min(next_due or self._next_forget, self._next_forget)
                next_turn = min(next_turn, self._next_write or next_turn)
            except Exception:
                # nothing here is expected to fail, and alerts must go out all the same
                log.exception("a turn of the alert dispatcher failed")
                next_turn = now + timedelta(seconds=1)
            await self.clock.wait(next_turn, self._wake)

    def _heed_clock(self, now: datetime) -> None:
        """Where the clock was set back, nothing waits until it is again as late as it was."""
        if now < self._turned_at:
            log.warning("the clock was set back by %s", self._turned_at - now)
            self._groups.clock_set_back(now)
            self._next_forget = min(self._next_forget, now + _FORGET_EVERY)
            self._next_write = now if self._next_write is not None else None
        self._turned_at = now

    async def _turn(self, now: datetime) -> None:
        # what is due while a reload waits for messages on their way is told by the new configuration
        for group in () if self._reloading.locked() else self._groups.due(now):
            self._begin_flush(group, now)
        if self._next_write is not None and now >= self._next_write:
            self._next_write = None
            self._writer.begin()
        elif self._next_write is None and self._writer.waiting:
            self._next_write = now + _WRITE_LATER
        ALERTS.set(len(self._known.table))
        ALERT_GROUPS.set(len(self._groups))
        if now >= self._next_forget:
            self._next_forget = now + _FORGET_EVERY
            await self._forget(now)

    def _begin_flush(self, group: AlertGroup, now: datetime) -> None:
        deadline = group.begin_flush(now) + self.peers.delay()
        task = asyncio.create_task(self._flush(group, now, deadline), name=f"notify {group.key}")
        self._flushes.add(task)
        task.add_done_callback(self._flushed)

    def _flushed(self, task: asyncio.Task[None]) -> None:
        self._flushes.discard(task)
        self._wake.set()

    async def _flush(self, group: AlertGroup, now: datetime, deadline: datetime) -> None:
        seen = self._editing.version()
        try:
            async with group.lock:
                told = group.snapshot()
                if told and await self._delivery.deliver(group, told, now, deadline):
                    await self._known.forget_told(group.end_flush(told, now), now)
        except Exception:
            log.exception("notifying %s about %s failed", group.route.receiver, group.key)
        finally:
            group.flushing = False
            self._groups.drop_if_empty(group)
            if self._editing.version() != seen:
                self._editing.wake()

    def _tell_edited(self) -> None:
        """Counts silences by state, whenever they changed."""
        now = self.clock.now()
        states = [silence.state(now) for silence in self.silences.all()]
        for state in ("active", "pending", "expired"):
            SILENCES.labels(state).set(states.count(state))

    async def _forget(self, now: datetime) -> None:
        self.journal.forget(now)
        try:
            await self.nflog.forget_expired(now)
            await self.silences.forget(now)
            await self.audit.forget(now)
        except StoreError as error:
            ALERT_STATE_FAILURES.inc()
            log.error("the state of alerts could not be written: %s", error)
