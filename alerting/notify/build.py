"""The notifiers of every receiver of a configuration."""

from __future__ import annotations

from alerting.config import AlertmanagerConfig
from alerting.notify.base import Notification, Notifier
from alerting.notify.http import HttpSender
from alerting.notify.webhook import WebhookNotifier
from alerting.slack.build import slack_notifier
from alerting.slack.extras import Look
from alerting.slack.room import SlackRoom
from alerting.templates import plain


def build_notifiers(
    config: AlertmanagerConfig, *, external_url: str, slack: SlackRoom | None = None
) -> dict[str, list[Notifier]]:
    """Notifiers by receiver name. Opens no connection; the alert manager closes them."""
    defaults = config.global_
    room = slack or SlackRoom(Look(external_url))
    built: dict[str, list[Notifier]] = {}
    for receiver in config.receivers:
        many: list[Notifier] = [
            slack_notifier(entry, defaults, f"{receiver.name}/slack/{i}", _without_templates, room)
            for i, entry in enumerate(receiver.slack_configs)
        ]
        for webhook in receiver.webhook_configs:
            sender = HttpSender(webhook.http_config or defaults.http_config, webhook.timeout)
            many.append(WebhookNotifier(webhook, sender, external_url=external_url))
        built[receiver.name] = many
    return built


def _without_templates(template: str, _: Notification) -> str:
    return plain(template)
