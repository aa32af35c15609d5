"""Opsgenie's Alert API: an alert for each group, by its alias."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import orjson
from pydantic import SecretStr

from alerting.notify.base import Notification
from alerting.notify.http import HttpSender
from alerting.notify.rendering import Renderer, Rendering, given, key_hash
from alerting.notify.secrets import SecretAddress
from alerting.receivers_sent import OpsgenieConfig

MOST_CHARACTERS = 130
"""What a message may have."""


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    body: dict[str, Any]


class OpsgenieNotifier:
    """A `Notifier` for one `opsgenie_configs` entry; `api_key` and `api_url` are its own or those of `global`."""

    integration = "opsgenie"

    def __init__(
        self, config: OpsgenieConfig, api_url: str, api_key: SecretAddress, sender: HttpSender, renderer: Renderer
    ) -> None:
        self.send_resolved = config.send_resolved
        self._config = config
        self._api_url = urlsplit(api_url)
        self._api_key = api_key
        self._sender = sender
        self._renderer = renderer

    async def notify(self, notification: Notification) -> Mapping[str, str] | None:
        """Creates, updates or closes the alert of the group. Raises NotifyError."""
        rendering = self._renderer.of(notification)
        requests = self._requests(rendering)
        key = rendering.secret(SecretStr(self._api_key.read())).strip()
        for request in requests:
            body = orjson.dumps(request.body)
            headers = {"Authorization": f"GenieKey {key}"}
            await self._sender.send(request.method, self._url(request.path), body, headers)
        return None

    async def close(self) -> None:
        """As `Notifier.close`."""
        await self._sender.close()

    def _url(self, path: str) -> str:
        base = self._api_url
        query = parse_qsl(base.query, keep_blank_values=True)
        if path.count("/") > 1:  # the alias stands in the path
            query = [*((name, value) for name, value in query if name != "identifierType"), ("identifierType", "alias")]
        folder = base.path if base.path.endswith("/") else f"{base.path}/"
        return urlunsplit((base.scheme, base.netloc, folder + path, urlencode(query), ""))

    def _requests(self, rendering: Rendering) -> list[_Request]:
        config, text = self._config, rendering.text
        alias = key_hash(rendering.notification.group_key)
        source = text(config.source)
        if rendering.data.status == "resolved":
            return [_Request("POST", f"v2/alerts/{alias}/close", {"source": source})]
        message = rendering.short(config.message, MOST_CHARACTERS, "the message")
        description = text(config.description)
        details = {**rendering.data.common_labels, **{name: text(value) for name, value in config.details.items()}}
        more = {
            "description": description,
            "responders": self._responders(rendering),
            "tags": _parts(text(config.tags)),
            "note": text(config.note),
            "priority": text(config.priority),
            "entity": text(config.entity),
            "actions": _parts(text(config.actions)),
        }
        create = {"alias": alias, "message": message, "details": details, "source": source, **given(more)}
        requests = [_Request("POST", "v2/alerts", create)]
        if config.update_alerts:
            requests += [
                _Request("PUT", f"v2/alerts/{alias}/message", given({"message": message})),
                _Request("PUT", f"v2/alerts/{alias}/description", given({"description": description})),
            ]
        return requests

    def _responders(self, rendering: Rendering) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        for responder in self._config.responders:
            filled = given({name: rendering.text(value) for name, value in responder})
            if filled.get("type") == "teams":
                found += [{"name": rendering.text(team), "type": "team"} for team in _parts(filled.get("name", ""))]
            elif filled:
                found.append({"type": "", **filled})
        return found


def _parts(text: str) -> list[str]:
    return [part for part in text.strip().split(",") if part]
