"""How a group of alerts is, in one word, and since when: what a message's colour and header follow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from alerting.notify.base import Acknowledgement, Notification, SuppressedAlert
from alerting.slack.facts import slo_facts
from app.alert import Alert

PAGES = ("page", "critical")
"""Severities that somebody has to get up for."""
State = Literal["firing", "acknowledged", "silenced", "resolved"]


@dataclass(frozen=True, slots=True)
class GroupState:
    """A notification, sorted: what fires (pages and the oldest first), what is over, what is kept quiet."""

    notification: Notification
    state: State
    firing: tuple[Alert, ...]
    resolved: tuple[Alert, ...]
    quiet: tuple[SuppressedAlert, ...]
    """Alerts that fire and are silenced, inhibited or muted."""
    acknowledged: dict[str, Acknowledgement]
    """By the fingerprint of an alert that fires."""

    @classmethod
    def of(cls, notification: Notification) -> GroupState:
        """Acknowledged is a group where somebody looks after every alert that fires and is not kept quiet."""
        now = notification.now
        firing = tuple(sorted(notification.firing, key=lambda a: (not is_page(a), a.starts_at, a.labels)))
        # one that ended while it was silenced is over all the same
        over = (*notification.resolved, *(s.alert for s in notification.suppressed if s.alert.resolved_at(now)))
        resolved = tuple(sorted(over, key=lambda a: (not is_page(a), a.starts_at, a.labels)))
        quiet = tuple(one for one in notification.suppressed if not one.alert.resolved_at(now))
        alive = {a.fingerprint for a in firing} | {one.alert.fingerprint for one in quiet}
        acknowledged = {ack.fingerprint: ack for ack in notification.acknowledged if ack.fingerprint in alive}
        state: State = "resolved"
        if firing:
            state = "acknowledged" if all(a.fingerprint in acknowledged for a in firing) else "firing"
        elif quiet:
            state = "silenced"
        return cls(notification, state, firing, resolved, quiet, acknowledged)

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """Every alert: firing ones, quiet ones, then those that are over."""
        return (*self.firing, *(one.alert for one in self.quiet), *self.resolved)

    @property
    def alive(self) -> tuple[Alert, ...]:
        """The alerts that are not over."""
        return (*self.firing, *(one.alert for one in self.quiet))

    @property
    def page(self) -> bool:
        """Whether somebody has to get up for what fires; for a group that is over, whether somebody had to."""
        return any(map(is_page, self.alive or self.resolved))

    @property
    def began_at(self) -> datetime:
        """When the oldest alert began."""
        return min((a.starts_at for a in self.alive or self.alerts), default=self.notification.now)

    @property
    def ended_at(self) -> datetime:
        """When the last alert ended."""
        return max((a.ends_at for a in self.resolved if a.ends_at), default=self.notification.now)


def severity(alert: Alert) -> str:
    """Its severity in the alert's own word, or ""."""
    facts = slo_facts(alert)
    return (facts.severity if facts else "") or dict(alert.labels).get("severity", "")


def is_page(alert: Alert) -> bool:
    """Whether somebody has to get up for it."""
    return severity(alert).lower() in PAGES


def name_of(alert: Alert) -> str:
    """What a person calls it: the SLO and its service, or the alert's name."""
    facts = slo_facts(alert)
    if facts:
        return f"{facts.slo} ({facts.service})" if facts.service else facts.slo
    return alert.name or "alert"
