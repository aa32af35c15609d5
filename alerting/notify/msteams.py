"""Microsoft Teams: a message card for an incoming webhook, an adaptive card for a workflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson

from alerting.notify.base import Notification
from alerting.notify.http import HttpSender
from alerting.notify.rendering import Renderer, Rendering
from alerting.notify.secrets import SecretAddress
from alerting.receivers_sent import MsTeamsConfig, MsTeamsV2Config

_CARD_COLORS = {"firing": "8C1A1A", "resolved": "2DC72D"}
_ADAPTIVE_COLORS = {"firing": "Attention", "resolved": "Good"}


class CardNotifier:
    """A `Notifier` that posts what `card` makes of a notification. Made by `teams_notifier` and `workflow_notifier`."""

    def __init__(
        self,
        integration: str,
        config: MsTeamsConfig | MsTeamsV2Config,
        card: Callable[[Rendering], dict[str, Any]],
        sender: HttpSender,
        renderer: Renderer,
    ) -> None:
        self.integration = integration
        self.send_resolved = config.send_resolved
        self._card = card
        self._address = SecretAddress(config.webhook_url, config.webhook_url_file)
        self._sender = sender
        self._renderer = renderer

    async def notify(self, notification: Notification) -> Mapping[str, str] | None:
        """Posts a card. Raises NotifyError."""
        card = self._card(self._renderer.of(notification))
        await self._sender.post_json(self._address.read(), orjson.dumps(card))
        return None

    async def close(self) -> None:
        """As `Notifier.close`."""
        await self._sender.close()


def teams_notifier(config: MsTeamsConfig, sender: HttpSender, renderer: Renderer) -> CardNotifier:
    """For one `msteams_configs` entry."""
    return CardNotifier("msteams", config, partial(message_card, config), sender, renderer)


def workflow_notifier(config: MsTeamsV2Config, sender: HttpSender, renderer: Renderer) -> CardNotifier:
    """For one `msteamsv2_configs` entry."""
    return CardNotifier("msteamsv2", config, partial(adaptive_card, config), sender, renderer)


def message_card(config: MsTeamsConfig, rendering: Rendering) -> dict[str, Any]:
    """A message card (https://learn.microsoft.com/outlook/actionable-messages/message-card-reference)."""
    return {
        "@context": "http://schema.org/extensions",
        "type": "MessageCard",
        "title": rendering.text(config.title),
        "summary": rendering.text(config.summary),
        "text": rendering.text(config.text),
        "themeColor": _CARD_COLORS[rendering.data.status],
    }


def adaptive_card(config: MsTeamsV2Config, rendering: Rendering) -> dict[str, Any]:
    """An adaptive card in a message (https://learn.microsoft.com/connectors/teams, Adaptive card item schema)."""
    heading = {
        "type": "TextBlock",
        "text": rendering.text(config.title),
        "weight": "Bolder",
        "size": "Medium",
        "wrap": True,
        "style": "heading",
        "color": _ADAPTIVE_COLORS[rendering.data.status],
    }
    text = {"type": "TextBlock", "text": rendering.text(config.text), "wrap": True}
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "body": [heading, text],
        "msteams": {"width": "full"},
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": content}
    return {"type": "message", "attachments": [attachment]}
