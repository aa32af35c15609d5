"""What keeps alerts unsent now: other alerts, the time of day, silences. In Alertmanager's order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from alerting.intervals import Intervals, muted_by
from alerting.manager.inhibit import Inhibitor
from alerting.manager.routes import RouteNode
from alerting.manager.silences import Silences
from alerting.notify.base import SuppressedAlert
from app.alert import Alert
from app.labels import Labels


@dataclass(frozen=True, slots=True)
class AlertStatus:
    """What suppresses an alert wherever it is routed: ids of silences, fingerprints of inhibiting alerts."""

    silenced_by: tuple[str, ...]
    inhibited_by: tuple[str, ...]

    @property
    def suppressed(self) -> bool:
        """Whether anything does."""
        return bool(self.silenced_by or self.inhibited_by)


@dataclass(frozen=True, slots=True)
class Split:
    """The alerts of a group that are told, and those that are not, with the reason."""

    told: tuple[Alert, ...]
    suppressed: tuple[SuppressedAlert, ...]


class Suppressor:
    """Asks inhibition, time intervals and silences."""

    def __init__(self, inhibitor: Inhibitor, silences: Silences, intervals: Intervals) -> None:
        self.inhibitor = inhibitor
        self.silences = silences
        self._intervals = intervals

    def status(self, labels: Labels, now: datetime) -> AlertStatus:
        """What suppresses an alert with these labels."""
        silenced = tuple(sorted(s.id for s in self.silences.silencing(labels, now)))
        return AlertStatus(silenced, tuple(self.inhibitor.inhibited_by(labels, now)))

    def muted_by(self, route: RouteNode, now: datetime) -> tuple[str, ...]:
        """The time intervals by which a route is muted: mute intervals that hold, or active ones of which none does."""
        return muted_by(route.mute_time_intervals, route.active_time_intervals, self._intervals, now) or ()

    def split(self, route: RouteNode, alerts: Iterable[Alert], now: datetime) -> Split:
        """Takes out what stays unsent. An alert has one reason: inhibition before mute before silence."""
        muted = self.muted_by(route, now)
        told, suppressed = [], []
        for alert in alerts:
            reason = self._reason(alert, muted, now)
            if reason is None:
                told.append(alert)
            else:
                suppressed.append(reason)
        return Split(tuple(told), tuple(suppressed))

    def _reason(self, alert: Alert, muted: tuple[str, ...], now: datetime) -> SuppressedAlert | None:
        inhibiting = self.inhibitor.inhibited_by(alert.labels, now)
        if inhibiting:
            return SuppressedAlert(alert, "inhibition", tuple(inhibiting))
        if muted:
            return SuppressedAlert(alert, "mute", muted)
        silences = self.silences.silencing(alert.labels, now)
        if not silences:
            return None
        longest = silences[0]
        ids = tuple(s.id for s in silences)
        return SuppressedAlert(alert, "silence", ids, longest.ends_at, longest.created_by, longest.comment)
