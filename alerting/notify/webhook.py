"""Alertmanager's generic webhook: the group as JSON, version 4."""

from __future__ import annotations

from typing import Any

import orjson

from alerting.notify.base import Notification, common_pairs
from alerting.notify.http import HttpSender
from alerting.notify.secrets import SecretAddress
from alerting.receivers import WebhookConfig
from app.alert import Alert

NO_TIME = "0001-01-01T00:00:00Z"


class WebhookNotifier:
    """A `Notifier` for one `webhook_configs` entry."""

    integration = "webhook"

    def __init__(self, config: WebhookConfig, sender: HttpSender, *, external_url: str) -> None:
        self.send_resolved = config.send_resolved
        self._max_alerts = config.max_alerts
        self._address = SecretAddress(config.url, config.url_file)
        self._sender = sender
        self._external_url = external_url

    async def notify(self, notification: Notification) -> None:
        """Posts the group. Raises NotifyError."""
        body = webhook_payload(notification, self._external_url, self._max_alerts)
        await self._sender.post_json(self._address.read(), orjson.dumps(body))

    async def close(self) -> None:
        """As `Notifier.close`."""
        await self._sender.close()


def webhook_payload(notification: Notification, external_url: str, max_alerts: int = 0) -> dict[str, Any]:
    """The body as Alertmanager sends it; past `max_alerts` (0: all) alerts are left out and counted."""
    shown = notification.alerts[:max_alerts] if max_alerts else notification.alerts
    return {
        "version": "4",
        "groupKey": notification.group_key,
        "truncatedAlerts": len(notification.alerts) - len(shown),
        "status": notification.status,
        "receiver": notification.receiver,
        "groupLabels": dict(notification.group_labels),
        "commonLabels": dict(notification.common_labels),
        "commonAnnotations": dict(common_pairs([a.annotations for a in notification.alerts])),
        "externalURL": external_url,
        "alerts": [_alert(alert, notification) for alert in shown],
    }


def _alert(alert: Alert, notification: Notification) -> dict[str, Any]:
    return {
        "status": "resolved" if alert.resolved_at(notification.now) else "firing",
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "startsAt": alert.starts_at.isoformat(),
        "endsAt": alert.ends_at.isoformat() if alert.ends_at else NO_TIME,
        "generatorURL": alert.generator_url,
        "fingerprint": alert.fingerprint,
    }
