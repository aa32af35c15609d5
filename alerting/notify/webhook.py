"""Alertmanager's generic webhook: the group as JSON, version 4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson

from alerting.notify.base import Notification, NotifyError
from alerting.notify.http import HttpSender
from alerting.notify.rendering import Renderer, Rendering
from alerting.notify.secrets import secret_of
from alerting.receivers import WebhookConfig
from alerting.templates.values import Alert


class WebhookNotifier:
    """A `Notifier` for one `webhook_configs` entry."""

    integration = "webhook"

    def __init__(self, config: WebhookConfig, sender: HttpSender, renderer: Renderer) -> None:
        self.send_resolved = config.send_resolved
        self._config = config
        self._sender = sender
        self._renderer = renderer

    async def notify(self, notification: Notification) -> Mapping[str, str] | None:
        """Posts the group. Raises NotifyError."""
        rendering, left_out = _at_most(self._renderer, notification, self._config.max_alerts)
        url = rendering.secret(secret_of(self._config.url, self._config.url_file))
        if not url:
            raise NotifyError("webhook URL is empty after templating", "misconfigured", retry=False)
        payload = self._config.payload
        body = webhook_payload(rendering, left_out) if payload is None else rendering.deep(payload)
        await self._sender.post_json(url, orjson.dumps(body))
        return None

    async def close(self) -> None:
        """As `Notifier.close`."""
        await self._sender.close()


def _at_most(renderer: Renderer, notification: Notification, most: int) -> tuple[Rendering, int]:
    """The rendering of the first `most` alerts (0: of all), and how many are left out."""
    rendering = renderer.of(notification)
    known = len(notification.alerts)
    if not most or known <= most:
        return rendering, 0
    shown = {alert.fingerprint for alert in rendering.data.alerts[:most]}
    fewer = tuple(alert for alert in notification.alerts if alert.fingerprint in shown)
    return renderer.of(replace(notification, alerts=fewer)), known - most


def webhook_payload(rendering: Rendering, left_out: int = 0) -> dict[str, Any]:
    """The body as Alertmanager sends it."""
    data = rendering.data
    return {
        "receiver": data.receiver,
        "status": data.status,
        "alerts": [_alert(alert) for alert in data.alerts],
        "notification_reason": data.notification_reason,
        "groupLabels": data.group_labels,
        "commonLabels": data.common_labels,
        "commonAnnotations": data.common_annotations,
        "routeLabels": data.route_labels,
        "externalURL": data.external_url,
        "version": "4",
        "groupKey": rendering.notification.group_key,
        "truncatedAlerts": left_out,
    }


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "status": alert.status,
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": _time(alert.starts_at),
        "endsAt": _time(alert.ends_at),
        "generatorURL": alert.generator_url,
        "fingerprint": alert.fingerprint,
    }


def _time(moment: datetime) -> str:
    """As Go writes it (RFC3339Nano): the fraction without zeros at its end."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "Z"
