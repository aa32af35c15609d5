"""Groups of alerts that are told together, and when each is due."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from alerting.manager.routes import RouteNode
from app.alert import Alert
from app.labels import Labels, Matcher, MatchOp

MIN_FLUSH_S = 10.0
"""A flush may take this long, however short the group's interval is."""


@dataclass(frozen=True, slots=True)
class _Backwards:
    """A text that is less than those that are less than it."""

    text: str

    def __lt__(self, other: _Backwards) -> bool:
        return other.text < self.text


@dataclass(slots=True, eq=False)
class AlertGroup:
    """The alerts of one route that share its group labels."""

    route: RouteNode
    labels: Labels
    due_at: datetime
    alerts: dict[str, Alert] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while receivers are told, so that what they were told is not changed meanwhile."""
    flushing: bool = False
    flushed: bool = False

    @property
    def key(self) -> str:
        """Alertmanager's group key: the route's matchers and the group's labels."""
        shown = ", ".join(f'{name}="{_escape(value)}"' for name, value in self.labels)
        return f"{self.route.key}:{{{shown}}}"

    @property
    def matchers(self) -> tuple[Matcher, ...]:
        """What its alerts match, and alerts of other groups do not: its route's matchers and its labels. A label it is
        grouped by and has not must be absent.
        """
        absent = () if self.route.group_by_all else self.route.group_by - {name for name, _ in self.labels}
        pairs = [*self.labels, *((name, "") for name in sorted(absent))]
        own = (Matcher(name, MatchOp.EQUAL, value) for name, value in pairs)
        return tuple(dict.fromkeys((*self.route.path, *own)))

    def begin_flush(self, now: datetime) -> datetime:
        """Sets when the group is due next, and gives the time by which this flush must be over."""
        interval = timedelta(milliseconds=self.route.group_interval_ms)
        self.flushing = True
        self.flushed = True
        self.due_at = now + interval
        return now + max(interval, timedelta(seconds=MIN_FLUSH_S))

    def snapshot(self) -> tuple[Alert, ...]:
        """The alerts as they are now, in Alertmanager's order: by job, by instance, then by all labels."""
        return tuple(sorted(self.alerts.values(), key=alert_order))

    def end_flush(self, told: tuple[Alert, ...], now: datetime) -> list[str]:
        """Takes out resolved alerts that were told, unless they changed meanwhile; gives their fingerprints."""
        gone = []
        for alert in told:
            if alert.resolved_at(now) and self.alerts.get(alert.fingerprint) is alert:
                del self.alerts[alert.fingerprint]
                gone.append(alert.fingerprint)
        return gone


class GroupTable:
    """All groups, by route and group labels."""

    def __init__(self, root: RouteNode) -> None:
        self.root = root
        self._groups: dict[tuple[RouteNode, Labels], AlertGroup] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[AlertGroup]:
        return iter(list(self._groups.values()))

    def all(self) -> list[AlertGroup]:
        """Every group, by labels and receiver."""
        return sorted(self._groups.values(), key=lambda g: (label_order(g.labels), g.route.receiver))

    def of(self, alert: Alert) -> list[AlertGroup]:
        """The groups an alert is in, in the order of the routes."""
        nodes = self.root.match(dict(alert.labels))
        found = (self._groups.get((node, node.group_labels(alert.labels))) for node in nodes)
        return [group for group in found if group is not None and alert.fingerprint in group.alerts]

    def insert(self, alert: Alert, now: datetime) -> None:
        """Puts an alert into the group of every route that takes it; a new group waits for company first."""
        for node in self.root.match(dict(alert.labels)):
            labels = node.group_labels(alert.labels)
            wait = timedelta(milliseconds=node.group_wait_ms)
            group = self._groups.get((node, labels))
            if group is None:
                group = self._groups[node, labels] = AlertGroup(node, labels, now + wait)
            group.alerts[alert.fingerprint] = alert
            if not group.flushed and alert.starts_at + wait < now:
                # it has waited long enough before it came here
                group.due_at = now

    def due(self, now: datetime) -> list[AlertGroup]:
        """Groups whose time has come and that are not under way."""
        return [g for g in self._groups.values() if not g.flushing and g.due_at <= now]

    def next_due(self) -> datetime | None:
        """When the next group is due."""
        return min((g.due_at for g in self._groups.values() if not g.flushing), default=None)

    def clock_set_back(self, now: datetime) -> None:
        """Lets no group wait longer than it would from now on."""
        for group in self._groups.values():
            route = group.route
            wait_ms = route.group_interval_ms if group.flushed else route.group_wait_ms
            group.due_at = min(group.due_at, now + timedelta(milliseconds=wait_ms))

    def remove(self, alert: Alert) -> None:
        """Takes an alert out of its groups."""
        for group in self.of(alert):
            del group.alerts[alert.fingerprint]
            if not group.flushing:
                self.drop_if_empty(group)

    def drop_if_empty(self, group: AlertGroup) -> None:
        """Forgets a group without alerts."""
        if not group.alerts:
            self._groups.pop((group.route, group.labels), None)

    def holds(self, alert: Alert) -> bool:
        """Whether some group still has an alert of these labels."""
        for node in self.root.match(dict(alert.labels)):
            group = self._groups.get((node, node.group_labels(alert.labels)))
            if group and alert.fingerprint in group.alerts:
                return True
        return False


def label_order(labels: Labels) -> tuple[int, list[tuple[_Backwards, str]]]:
    """Alertmanager's order of label sets: fewer labels first; then, name by name in order, the one that lacks the
    name, and at last the lesser value.
    """
    return len(labels), [(_Backwards(name), value) for name, value in labels]


def alert_order(alert: Alert) -> tuple[object, ...]:
    """Alertmanager's order of alerts: those with a job first, by it, then by instance, then by all labels."""
    mapping = dict(alert.labels)
    overrides = tuple((name not in mapping, mapping.get(name, "")) for name in ("job", "instance"))
    return (*overrides, label_order(alert.labels))


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
