"""From a group's alerts to its receiver: what is suppressed, each notifier's way, and what was decided."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from alerting.manager.acknowledgements import Acknowledgements
from alerting.manager.claims import Claims
from alerting.manager.clock import Clock
from alerting.manager.groups import AlertGroup
from alerting.manager.journal import Decision, Journal, Outcome
from alerting.manager.nflog import NotificationLog, shown_of
from alerting.manager.peers import Peers
from alerting.manager.stages import (
    ClaimedStages,
    DedupStage,
    RecordStage,
    SendStage,
    Stage,
    WaitStage,
    log_key,
    run_stages,
)
from alerting.manager.suppress import Suppressor
from alerting.notify.base import Editor, Notification, Notifier, NotifyError
from alerting.notify.troubles import Troubles
from app.alert import Alert
from app.errors import StoreError
from app.telemetry import ALERT_STATE_FAILURES, ALERT_SUPPRESSED

log = logging.getLogger(__name__)
for _reason in ("inhibition", "mute", "silence"):
    ALERT_SUPPRESSED.labels(_reason)


@dataclass(frozen=True, slots=True)
class Tools:
    """What every way needs."""

    nflog: NotificationLog
    claims: Claims
    peers: Peers
    journal: Journal
    suppressor: Suppressor
    acknowledgements: Acknowledgements
    clock: Clock
    stopping: asyncio.Event
    troubles: Troubles


@dataclass(slots=True)
class Way:
    """A notifier of a receiver, and the steps to it."""

    key: str
    notifier: Notifier
    dedup: DedupStage
    stages: Sequence[Stage]
    editor: Editor | None = None
    """The same notifier, where it can change what it said."""
    refused: dict[str, str] = field(default_factory=dict)
    """What could not be shown, by group: trying again would not help."""

    @property
    def name(self) -> str:
        """Kind and place within its receiver."""
        return self.key.split("/", 1)[1]


def build_ways(receiver: str, notifiers: Sequence[Notifier], tools: Tools) -> list[Way]:
    """The ways to the notifiers of a receiver."""
    ways = []
    for i, notifier in enumerate(notifiers):
        # "/" in a receiver's name must not move the border to the notifier's name
        key = f"{receiver.replace('/', '%2F')}/{notifier.integration}/{i}"
        dedup = DedupStage(tools.nflog, key, notifier.send_resolved)
        send = SendStage(notifier, tools.clock, tools.stopping, tools.claims, key)
        stages: list[Stage] = [
            WaitStage(tools.nflog, key, tools.peers, tools.clock, tools.stopping),
            dedup,
            ClaimedStages(tools.claims, key, tools.nflog, tools.peers, [dedup, send]),
            RecordStage(tools.nflog, tools.claims, key, notifier),
        ]
        editor = notifier if isinstance(notifier, Editor) else None
        ways.append(Way(key, notifier, dedup, stages, editor))
    return ways


class Delivery:
    """Tells the receivers of a configuration about groups."""

    def __init__(self, notifiers: Mapping[str, Sequence[Notifier]], tools: Tools) -> None:
        self._tools = tools
        self._ways = {name: build_ways(name, many, tools) for name, many in notifiers.items()}
        tools.troubles.keep({f"{name}/{way.name}" for name, ways in self._ways.items() for way in ways})

    def ways(self, receiver: str) -> list[Way]:
        """The ways to a receiver's notifiers."""
        return self._ways.get(receiver, [])

    def can_edit(self, group: AlertGroup) -> bool:
        """Whether something was said of a group that can be changed."""
        entries = (
            self._tools.nflog.get(f"{way.key}|{group.key}")
            for way in self.ways(group.route.receiver)
            if way.editor is not None
        )
        return any(entry is not None and entry.memory for entry in entries)

    def notification(
        self, group: AlertGroup, alerts: Sequence[Alert], now: datetime, deadline: datetime
    ) -> Notification:
        """What there is to tell of a group now."""
        split = self._tools.suppressor.split(group.route, alerts, now)
        return Notification(
            group_key=group.key,
            group_labels=group.labels,
            receiver=group.route.receiver,
            # an alert that fires now does not resolve on the way
            alerts=tuple(a if a.resolved_at(now) else replace(a, ends_at=None) for a in split.told),
            now=now,
            repeat_interval_ms=group.route.repeat_interval_ms,
            deadline=deadline,
            suppressed=split.suppressed,
            acknowledged=self._tools.acknowledgements.of(alerts),
            route_labels=group.route.labels,
        )

    async def deliver(self, group: AlertGroup, alerts: Sequence[Alert], now: datetime, deadline: datetime) -> bool:
        """Tells what is new. Whether nothing is left to tell of these alerts: resolved ones may be forgotten then."""
        notification = self.notification(group, alerts, now, deadline)
        for suppressed in notification.suppressed:
            ALERT_SUPPRESSED.labels(suppressed.by).inc()
        ways = self.ways(group.route.receiver)
        if not notification.alerts:
            self._note(notification, "", "suppressed", _reasons(notification))
            # a message that could not be changed to say that its alerts are over needs them once more
            return all(await asyncio.gather(*(self.edit(way, notification) for way in ways)))
        if not ways:
            self._note(notification, "", "not_sent", "the receiver has nothing that is sent to")
            return True
        if len(ways) == 1:
            return await self._send(ways[0], notification)
        # one that is away does not hold up the others
        return all(await asyncio.gather(*(self._send(way, notification) for way in ways)))

    async def edit(self, way: Way, notification: Notification) -> bool:
        """Has a notifier show who suppresses or acknowledged alerts of a group, where it can and does not yet.

        False when it should be tried again soon. The caller holds the group's lock.
        """
        if way.editor is None:
            return True
        key, shown = log_key(way.key, notification), shown_of(notification)
        entry = self._tools.nflog.get(key)
        if entry is None or not entry.memory:
            return True
        if entry.shown == shown or way.refused.get(key) == shown or self._tools.peers.position():
            return True
        try:
            memory = await way.editor.update(replace(notification, memory=entry.memory))
        except NotifyError as error:
            log.error("changing the message of %s at %s failed: %s", key, way.name, error)
            if not error.retry:
                way.refused[key] = shown
                self._trouble(way, notification, error)
            return not error.retry
        way.refused.pop(key, None)
        self._works(way, notification)
        try:
            over = {s.alert.fingerprint for s in notification.suppressed if s.alert.resolved_at(notification.now)}
            await self._tools.nflog.remember(key, entry.memory if memory is None else memory, shown, over)
        except StoreError as error:
            ALERT_STATE_FAILURES.inc()
            log.error("the notification log could not be written: %s", error)
        return True

    async def _send(self, way: Way, notification: Notification) -> bool:
        why, started = way.dedup.why(notification), time.monotonic()
        try:
            sent = await run_stages(way.stages, notification)
        except NotifyError as error:
            # logged and counted where it failed
            self._trouble(way, notification, error)
            self._note(notification, way.name, "failed", f"{error.reason}: {error}", started)
            return False
        if sent is None:
            self._note(notification, way.name, "unchanged", "nothing new since the receiver was told last")
            return await self.edit(way, notification)
        if notification.told(send_resolved=way.notifier.send_resolved):
            self._works(way, notification)
            self._note(notification, way.name, "sent", why or "new_alerts", started)
        else:
            self._note(notification, way.name, "not_sent", "the receiver wants no resolved alerts (send_resolved)")
        return True

    def _trouble(self, way: Way, notification: Notification, error: NotifyError) -> None:
        if error.reason != "stopped":
            self._tools.troubles.note(f"{notification.receiver}/{way.name}", f"{error.reason}: {error}")

    def _works(self, way: Way, notification: Notification) -> None:
        self._tools.troubles.over(f"{notification.receiver}/{way.name}")

    def _note(
        self, notification: Notification, way: str, outcome: Outcome, why: str, started: float | None = None
    ) -> None:
        alerts = {a.fingerprint: "firing" for a in notification.firing}
        alerts |= {a.fingerprint: "resolved" for a in notification.resolved}
        alerts |= {s.alert.fingerprint: " ".join([s.by, *s.ids]) for s in notification.suppressed}
        now = self._tools.clock.now()
        took_ms = int(1000 * (time.monotonic() - started)) if started is not None else 0
        decision = Decision(
            notification.group_key, notification.receiver, way, outcome, why, alerts, notification.now, now,
            took_ms=took_ms,
        )  # fmt: skip
        self._tools.journal.note(decision, _all_alerts(notification))


def _all_alerts(notification: Notification) -> Iterable[Alert]:
    yield from notification.alerts
    for suppressed in notification.suppressed:
        yield suppressed.alert


def _reasons(notification: Notification) -> str:
    return ", ".join(sorted({s.by for s in notification.suppressed}))
