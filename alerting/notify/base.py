"""What is told, to whom, and how it can fail: shared by the alert manager and every notifier."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from app.alert import Alert
from app.errors import WatchhouseError
from app.labels import Labels

Reason = Literal["rate_limited", "server_error", "timeout", "unreachable", "rejected", "misconfigured", "stopped"]
"""Why an attempt failed: a closed list, shared by errors, logs and metrics."""


class NotifyError(WatchhouseError):
    """One attempt to notify failed. `retry` says whether the same message may get through later.

    The text never holds a URL, a token or a header: it is logged as it is.
    """

    def __init__(self, message: str, reason: Reason, *, retry: bool, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.retry = retry
        self.retry_after_s = retry_after_s


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

    async def notify(self, notification: Notification) -> None:
        """One attempt. Returns when the other side took the message; raises NotifyError otherwise."""

    async def close(self) -> None:
        """Lets go of connections. Safe to call twice."""


def common_pairs(many: list[Labels]) -> Labels:
    """The pairs that stand in all of them."""
    if not many:
        return ()
    shared = set(many[0]).intersection(*many[1:])
    return tuple(pair for pair in many[0] if pair in shared)
