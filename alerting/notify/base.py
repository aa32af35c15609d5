"""What is told, to whom, and how it can fail: shared by the alert manager and every notifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from app.alert import Alert
from app.errors import WatchhouseError
from app.labels import Labels

Reason = Literal[
    "rate_limited", "server_error", "timeout", "unreachable", "rejected", "misconfigured", "stopped", "internal"
]
"""Why an attempt failed: a closed list, shared by errors, logs and metrics. `internal` is a mistake of ours."""


class NotifyError(WatchhouseError):
    """One attempt to notify failed. `retry` says whether the same message may get through later.

    `maybe_taken` says that the message may have arrived: it was on its way, and no answer was seen. The
    text never holds a URL, a token or a header: it is logged as it is.
    """

    def __init__(
        self,
        message: str,
        reason: Reason,
        *,
        retry: bool,
        retry_after_s: float | None = None,
        maybe_taken: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.maybe_taken = reason == "timeout" if maybe_taken is None else maybe_taken
        self.reason: Reason = reason
        self.retry = retry
        self.retry_after_s = retry_after_s


Suppression = Literal["silence", "inhibition", "mute"]
"""What keeps an alert of a group untold."""


@dataclass(frozen=True, slots=True)
class SuppressedAlert:
    """An alert that is known and not told now, and why.

    `ids` are of the silences, fingerprints of the inhibiting alerts, or names of the time intervals. `until`, `author`
    and `comment` are those of the silence that lasts longest.
    """

    alert: Alert
    by: Suppression
    ids: tuple[str, ...]
    until: datetime | None = None
    author: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody said that they look after an alert. It ends with the alert."""

    fingerprint: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Notification:
    """One group of alerts on its way to one receiver. `alerts` are a snapshot: they do not resolve on the way."""

    group_key: str
    group_labels: Labels
    receiver: str
    alerts: tuple[Alert, ...]
    now: datetime
    repeat_interval_ms: int
    deadline: datetime
    """When to give up: the group is flushed again by then."""
    suppressed: tuple[SuppressedAlert, ...] = ()
    """Alerts of the group that are not told now. They are not among `alerts`."""
    acknowledged: tuple[Acknowledgement, ...] = ()
    """Who looks after alerts of the group, told or suppressed."""
    reason: str = "unknown"
    """Why it is told now, in Alertmanager's words: `first notification`, `new alerts added`, `some alerts resolved`,
    `all alerts resolved`, `repeat interval elapsed`."""
    route_labels: Mapping[str, str] = field(default_factory=dict)
    """The labels of the route and of those above it: templates."""
    memory: Mapping[str, str] = field(default_factory=dict)
    """What this notifier returned last for this group, across restarts; empty when it told nothing yet."""

    @property
    def firing(self) -> tuple[Alert, ...]:
        """The alerts that fire."""
        return tuple(a for a in self.alerts if not a.resolved_at(self.now))

    @property
    def resolved(self) -> tuple[Alert, ...]:
        """The alerts that are over."""
        return tuple(a for a in self.alerts if a.resolved_at(self.now))

    def told(self, *, send_resolved: bool) -> tuple[Alert, ...]:
        """The alerts a message is about: an end only where the receiver and the alert itself want it told."""
        return tuple(
            a
            for a in self.alerts
            if not a.resolved_at(self.now) or (send_resolved and a.facts.get("tell_resolved") is not False)
        )

    @property
    def status(self) -> Literal["firing", "resolved"]:
        """Firing while any alert of it fires."""
        return "firing" if self.firing else "resolved"

    @property
    def common_labels(self) -> Labels:
        """The labels that every alert of the group has."""
        return common_pairs([a.labels for a in self.alerts])


class Notifier(Protocol):
    """One way to tell somebody, such as one Slack channel."""

    integration: str
    """What kind it is, a label of metrics: slack, webhook."""
    send_resolved: bool

    async def notify(self, notification: Notification) -> Mapping[str, str] | None:
        """One attempt. Returns when the other side took the message; raises NotifyError otherwise.

        What it returns is kept with the notification log's entry and comes again as `Notification.memory` (Slack:
        channel and timestamp of the message). None keeps what was there.
        """

    async def close(self) -> None:
        """Lets go of connections. Safe to call twice."""


@runtime_checkable
class Editor(Protocol):
    """A notifier that can change what it said, such as a Slack channel with a token."""

    async def update(self, notification: Notification) -> Mapping[str, str] | None:
        """Called when what was told stands, and only suppression or acknowledgement changed. Must ping nobody.

        `notification.memory` is never empty. Returns and raises as `Notifier.notify`.
        """


def common_pairs(many: list[Labels]) -> Labels:
    """The pairs that stand in all of them."""
    if not many:
        return ()
    shared = set(many[0]).intersection(*many[1:])
    return tuple(pair for pair in many[0] if pair in shared)
