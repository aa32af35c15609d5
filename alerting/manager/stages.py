"""The way of a notification to one notifier in small steps: wait, deduplicate, claim, send, record."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol, get_args

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from alerting.manager.claims import Claims
from alerting.manager.clock import Clock
from alerting.manager.nflog import NotificationLog, Why, why_told
from alerting.manager.peers import Peers
from alerting.notify.base import Notification, Notifier, NotifyError, Reason
from app.errors import StoreError
from app.telemetry import ALERT_MAYBE_DOUBLED, ALERT_NOTIFICATIONS, ALERT_STATE_FAILURES

log = logging.getLogger(__name__)

FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 60.0
AT_ONCE = 16
"""Messages on their way by one notifier at once."""
for _integration in ("slack", "webhook", "pagerduty", "opsgenie", "email", "msteams", "msteamsv2"):
    for _result in ("sent", *get_args(Reason)):
        ALERT_NOTIFICATIONS.labels(_integration, _result)


_REASONS: dict[Why, str] = {
    "first": "first notification",
    "new_alerts": "new alerts added",
    "all_resolved": "all alerts resolved",
    "some_resolved": "some alerts resolved",
    "repeat": "repeat interval elapsed",
}
"""What Alertmanager says for each (its NotifyReason), in templates and webhooks."""


class Stage(Protocol):
    """One step. Gives the notification for the next step, or None when there is nothing left to do."""

    async def __call__(self, notification: Notification) -> Notification | None:
        """Runs the step. Raises NotifyError when the notification cannot be delivered now."""


async def run_stages(stages: Sequence[Stage], notification: Notification) -> Notification | None:
    """Runs the steps in order, until one says that nothing is left: None. Raises NotifyError."""
    current: Notification | None = notification
    for stage in stages:
        if current is None:
            return None
        current = await stage(current)
    return current


@dataclass(slots=True)
class WaitStage:
    """Lets other instances tell first, and learns what they told."""

    nflog: NotificationLog
    key: str
    peers: Peers
    clock: Clock
    stopping: asyncio.Event

    async def __call__(self, notification: Notification) -> Notification | None:
        """As `Stage`."""
        if not self.peers.others():
            return notification
        delay = self.peers.delay()
        if delay:
            await self.clock.wait(self.clock.now() + delay, self.stopping)
            if self.stopping.is_set():
                raise NotifyError("the service stops", "stopped", retry=False)
        await self._refresh(notification)
        return notification

    async def _refresh(self, notification: Notification) -> None:
        key = log_key(self.key, notification)
        while self.peers.others():
            try:
                await self.nflog.refresh(key)
                return
            except StoreError as error:
                ALERT_STATE_FAILURES.inc()
                log.warning("it cannot be read what other instances told of %s: %s", key, error)
                later = self.clock.now() + timedelta(seconds=1)
                # the first tells all the same; the others while there is time, since it most likely did
                if not self.peers.position() or self.stopping.is_set() or later >= notification.deadline:
                    return
                await self.clock.wait(later, self.stopping)


@dataclass(slots=True)
class DedupStage:
    """Stops what the receiver was told before."""

    nflog: NotificationLog
    key: str
    send_resolved: bool

    async def __call__(self, notification: Notification) -> Notification | None:
        """As `Stage`. What is news gets the reason, and the memory of what was told before."""
        entry = self.nflog.get(log_key(self.key, notification))
        why = self.why(notification)
        if why is None:
            return None
        return replace(notification, reason=_REASONS[why], memory=entry.memory if entry else notification.memory)

    def why(self, notification: Notification) -> Why | None:
        """Why the receiver should be told, None when it should not."""
        return why_told(
            self.nflog.get(log_key(self.key, notification)),
            frozenset(a.fingerprint for a in notification.firing),
            frozenset(a.fingerprint for a in notification.told(send_resolved=True) if a.resolved_at(notification.now)),
            send_resolved=self.send_resolved,
            repeat_interval_ms=notification.repeat_interval_ms,
            now=notification.now,
        )


@dataclass(slots=True)
class ClaimedStages:
    """Runs stages while this instance alone may send. The claim stands until RecordStage writes what was told."""

    claims: Claims
    key: str
    nflog: NotificationLog
    peers: Peers
    stages: Sequence[Stage]

    async def __call__(self, notification: Notification) -> Notification | None:
        """As `Stage`."""
        key = log_key(self.key, notification)
        await self.claims.take(key, notification.deadline)
        try:
            if self.peers.others():
                with contextlib.suppress(StoreError):  # the claim was written a moment ago; told twice is better
                    await self.nflog.refresh(key)
            left = await run_stages(self.stages, notification)
        except NotifyError:
            await self.claims.give_up(key)
            raise
        if left is None:
            await self.claims.give_up(key)
        return left


@dataclass(slots=True)
class SendStage:
    """Sends, and tries again while it may help and the group's time is not over. Logs when the error changes."""

    notifier: Notifier
    clock: Clock
    stopping: asyncio.Event
    claims: Claims
    key: str
    _last_error: dict[str, str] = field(default_factory=dict)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def __call__(self, notification: Notification) -> Notification | None:
        """As `Stage`. Ends that the receiver or an alert itself wants untold are left out.

        What the notifier returned is the memory of the notification that goes on.
        """
        wanted = replace(notification, alerts=notification.told(send_resolved=self.notifier.send_resolved))
        if not wanted.alerts:
            return notification
        memory: Mapping[str, str] | None = await self._retrying(notification)(self._attempt, wanted)
        return notification if memory is None else replace(notification, memory=memory)

    async def _attempt(self, notification: Notification) -> Mapping[str, str] | None:
        integration = self.notifier.integration
        try:
            # waiting for a turn is no time that the receiver takes
            async with self._slots:
                if self.clock.now() >= notification.deadline:
                    # what it says is old by now, and the group is told anew
                    words = "other messages to the receiver took all the time of the group's turn"
                    raise NotifyError(words, "timeout", retry=False, maybe_taken=False)
                memory = await self._notify(notification)
        except NotifyError as error:
            ALERT_NOTIFICATIONS.labels(integration, error.reason).inc()
            self._tell(notification, error)
            if error.maybe_taken:
                self.claims.lost_sight(log_key(self.key, notification))
            raise
        ALERT_NOTIFICATIONS.labels(integration, "sent").inc()
        if self._last_error.pop(notification.group_key, None):
            log.info("notifying %s by %s works again", notification.receiver, integration)
        return memory

    async def _notify(self, notification: Notification) -> Mapping[str, str] | None:
        try:
            return await self.notifier.notify(notification)
        except NotifyError:
            raise
        except Exception as error:
            # neither the receiver's other notifiers nor whoever asks why nothing came are to suffer for it;
            # its text may hold a secret
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("the notifier %s failed with %s\n%s", self.key, type(error).__name__, where)
            raise NotifyError(type(error).__name__, "internal", retry=False, maybe_taken=True) from None

    def _tell(self, notification: Notification, error: NotifyError) -> None:
        text = f"{error.reason}: {error}"
        if self._last_error.get(notification.group_key) != text:
            self._last_error[notification.group_key] = text
            then = "it is tried again" if error.retry else "trying again would not help before the group is due again"
            log.error(
                "notifying %s by %s about %s failed: %s; %s",
                notification.receiver, self.notifier.integration, notification.group_key, text, then,
            )  # fmt: skip

    def _retrying(self, notification: Notification) -> AsyncRetrying:
        def too_late(state: RetryCallState) -> bool:
            later = self.clock.now() + timedelta(seconds=state.upcoming_sleep)
            return self.stopping.is_set() or later >= notification.deadline

        return AsyncRetrying(
            sleep=self._sleep,
            stop=too_late,
            wait=_wait_s,
            retry=retry_if_exception(lambda error: isinstance(error, NotifyError) and error.retry),
            reraise=True,
        )

    async def _sleep(self, seconds: float) -> None:
        await self.clock.wait(self.clock.now() + timedelta(seconds=seconds), self.stopping)


@dataclass(slots=True)
class RecordStage:
    """Notes what the receiver was told. It comes after the receiver's answer: told twice is better than never."""

    nflog: NotificationLog
    claims: Claims
    key: str
    notifier: Notifier

    async def __call__(self, notification: Notification) -> Notification | None:
        """As `Stage`. Counts a message that may have been the second of its kind."""
        key = log_key(self.key, notification)
        if self.claims.unsure(key) and notification.told(send_resolved=self.notifier.send_resolved):
            ALERT_MAYBE_DOUBLED.labels(self.notifier.integration).inc()
            log.warning("%s may have been sent before: the answer to an earlier attempt was never seen", key)
        try:
            await self.nflog.record(key, notification, self.claims.done(key))
        except StoreError as error:
            # the note holds in memory and is written with the next one
            ALERT_STATE_FAILURES.inc()
            log.error("the notification log could not be written: %s", error)
        return notification


def log_key(key: str, notification: Notification) -> str:
    """The key of the notification log for a notifier (`receiver/integration/index`) and a group."""
    return f"{key}|{notification.group_key}"


def _wait_s(state: RetryCallState) -> float:
    backoff = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** (state.attempt_number - 1))
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_s if isinstance(error, NotifyError) else None
    return max(backoff, asked or 0.0)
