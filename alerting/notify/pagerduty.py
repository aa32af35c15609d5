"""PagerDuty's Events API: version 2 with a routing key, version 1 with a service key."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import orjson

from alerting.notify.base import Notification, NotifyError
from alerting.notify.http import HttpSender
from alerting.notify.rendering import Renderer, Rendering, given, key_hash
from alerting.notify.secrets import secret_of
from alerting.receivers_sent import PagerdutyConfig

log = logging.getLogger(__name__)

EVENTS_V1 = "https://events.pagerduty.com/generic/2010-04-15/create_event.json"
MOST_BYTES = 512_000
"""An event may have so many bytes; a larger one goes without its details."""
MOST_CHARACTERS = 1024
"""What a summary (v2) or description (v1) may have."""
DETAILS = {
    "firing": "{{ .Alerts.Firing | toJson }}",
    "resolved": "{{ .Alerts.Resolved | toJson }}",
    "num_firing": "{{ .Alerts.Firing | len }}",
    "num_resolved": "{{ .Alerts.Resolved | len }}",
}
"""Details that an event has unless the configuration names others of these names."""


class PagerdutyNotifier:
    """A `Notifier` for one `pagerduty_configs` entry; `url` is where version 2 takes events."""

    integration = "pagerduty"

    def __init__(
        self, config: PagerdutyConfig, url: str, sender: HttpSender, renderer: Renderer, *, url_v1: str = EVENTS_V1
    ) -> None:
        self.send_resolved = config.send_resolved
        self._config = config
        self._is_v1 = config.service_key is not None or config.service_key_file is not None
        self._url = url_v1 if self._is_v1 else url
        self._sender = sender
        self._renderer = renderer

    async def notify(self, notification: Notification) -> Mapping[str, str] | None:
        """Triggers or resolves the incident of the group. Raises NotifyError."""
        rendering = self._renderer.of(notification)
        details = rendering.deep({**DETAILS, **self._config.details})
        event = self._v1(rendering, details) if self._is_v1 else self._v2(rendering, details)
        # 403 and 429 are how the two versions say that there were too many events
        retried = frozenset({403 if self._is_v1 else 429})
        await self._sender.send("POST", self._url, _encoded(event, rendering), retried=retried)
        return None

    async def close(self) -> None:
        """As `Notifier.close`."""
        await self._sender.close()

    def _v1(self, rendering: Rendering, details: dict[str, Any]) -> dict[str, Any]:
        config = self._config
        kind = _event(rendering)
        return {
            **given(
                {
                    "service_key": _key(rendering, secret_of(config.service_key, config.service_key_file), "service"),
                    "event_type": kind,
                    "incident_key": key_hash(rendering.notification.group_key),
                    "description": rendering.short(config.description, MOST_CHARACTERS, "the description"),
                    "client": rendering.text(config.client) if kind == "trigger" else "",
                    "client_url": rendering.text(config.client_url) if kind == "trigger" else "",
                    "details": details,
                }
            ),
            "event_action": "",
            "payload": None,
        }

    def _v2(self, rendering: Rendering, details: dict[str, Any]) -> dict[str, Any]:
        config, text = self._config, rendering.text
        images = [{"src": text(i.src), "alt": text(i.alt), "href": text(i.href)} for i in config.images]
        links = [{"href": text(link.href), "text": text(link.text)} for link in config.links]
        payload = {
            "summary": rendering.short(config.description, MOST_CHARACTERS, "the summary"),
            "source": text(config.source or config.client),
            "severity": text(config.severity or "error"),
        }
        more = {"class": text(config.class_), "component": text(config.component), "group": text(config.group)}
        return {
            **given(
                {
                    "routing_key": _key(rendering, secret_of(config.routing_key, config.routing_key_file), "routing"),
                    "dedup_key": key_hash(rendering.notification.group_key),
                    "client": text(config.client),
                    "client_url": text(config.client_url),
                    "images": [image for image in images if image["src"]],
                    "links": [link for link in links if link["href"]],
                }
            ),
            "event_action": _event(rendering),
            "payload": {**payload, **given(more), "custom_details": details},
        }


def _event(rendering: Rendering) -> str:
    return "resolve" if rendering.data.status == "resolved" else "trigger"


def _key(rendering: Rendering, template: str, kind: str) -> str:
    key = rendering.secret(template)
    if not key:
        raise NotifyError(f"{kind} key cannot be empty", "misconfigured", retry=False)
    return key


def _encoded(event: dict[str, Any], rendering: Rendering) -> bytes:
    body = orjson.dumps(event)
    # what it has as Go writes it, which is how PagerDuty's limit is known to be kept: <, > and & as six bytes
    size = len(body) + 5 * sum(body.count(char) for char in (b"<", b">", b"&")) + 1
    if size <= MOST_BYTES:
        return body
    log.warning("the event of %s has %d bytes and goes without its details", rendering.notification.group_key, size)
    words = "Custom details have been removed because the original event exceeds the maximum size of 512KB"
    if "details" in event:
        event["details"] = {"error": words}
    else:
        event["payload"]["custom_details"] = {"error": words}
    return orjson.dumps(event)
