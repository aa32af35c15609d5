"""What a receiver's templates see of a notification, in Alertmanager's own order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cmp_to_key

from alerting.notify.base import Notification
from alerting.templates.values import KV, Alert, Alerts, Data, common
from app.alert import Alert as KnownAlert
from app.labels import Labels

NO_TIME = datetime(1, 1, 1, tzinfo=UTC)
"""The end of an alert that has none: the zero of Go's time."""
_META = re.compile(r"[\\.+*?()|\[\]{}^$]")


def template_data(notification: Notification, *, external_url: str) -> Data:
    """The data of a notification. The receiver's name is that of Go's regexp.QuoteMeta, as Alertmanager gives it.

    Labels of the route are templates still; `alerting.notify.rendering` expands them.
    """
    alerts = sorted(notification.alerts, key=_ORDER)
    return Data(
        receiver=_META.sub(r"\\\g<0>", notification.receiver),
        status=notification.status,
        alerts=Alerts(_alert(alert, notification.now) for alert in alerts),
        group_labels=KV(notification.group_labels),
        common_labels=common([dict(alert.labels) for alert in alerts]),
        common_annotations=common([dict(alert.annotations) for alert in alerts]),
        external_url=external_url,
        notification_reason=notification.reason,
        route_labels=KV(notification.route_labels),
    )


def _alert(alert: KnownAlert, now: datetime) -> Alert:
    return Alert(
        status="resolved" if alert.resolved_at(now) else "firing",
        labels=KV(alert.labels),
        annotations=KV(alert.annotations),
        starts_at=alert.starts_at,
        ends_at=alert.ends_at or NO_TIME,
        generator_url=alert.generator_url,
        fingerprint=alert.fingerprint,
    )


def _before(first: Labels, second: Labels) -> int:
    """The order of label sets: fewer labels first, then by the first label, in order of names, that differs."""
    if len(first) != len(second):
        return len(first) - len(second)
    one, other = dict(first), dict(second)
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            if name not in one:
                return -1
            return 1 if name not in other or one[name] > other[name] else -1
    return 0


def _compared(first: KnownAlert, second: KnownAlert) -> int:
    one: Mapping[str, str] = dict(first.labels)
    other: Mapping[str, str] = dict(second.labels)
    for name in ("job", "instance"):
        if one.get(name) != other.get(name):
            if name not in one:
                return 1
            return 1 if name in other and one[name] > other[name] else -1
    return _before(first.labels, second.labels)


_ORDER = cmp_to_key(_compared)
"""Alertmanager's order of the alerts of a group: by job, instance, then all labels."""
