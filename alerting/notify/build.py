"""The notifiers of every receiver of a configuration."""

from __future__ import annotations

from collections.abc import Iterator

from alerting.config import AlertmanagerConfig, GlobalConfig
from alerting.httpconfig import HttpConfig
from alerting.notify.base import Notifier
from alerting.notify.email import EmailNotifier
from alerting.notify.http import HttpSender
from alerting.notify.msteams import teams_notifier, workflow_notifier
from alerting.notify.opsgenie import OpsgenieNotifier
from alerting.notify.pagerduty import PagerdutyNotifier
from alerting.notify.rendering import Renderer
from alerting.notify.secrets import SecretAddress
from alerting.notify.webhook import WebhookNotifier
from alerting.receivers import Receiver
from alerting.slack.build import slack_notifier
from alerting.slack.extras import Look
from alerting.slack.room import SlackRoom
from alerting.template_files import load_templates


def build_notifiers(
    config: AlertmanagerConfig, *, external_url: str, slack: SlackRoom | None = None
) -> dict[str, list[Notifier]]:
    """Notifiers by receiver name. Opens no connection; the alert manager closes them.

    `slack` is what all Slack receivers share. Raises ConfigError when a file of templates cannot be read.
    """
    renderer = Renderer(load_templates(config), external_url)
    room = slack or SlackRoom(Look(external_url))
    return {one.name: list(_notifiers(one, config.global_, renderer, room)) for one in config.receivers}


def _notifiers(receiver: Receiver, defaults: GlobalConfig, renderer: Renderer, room: SlackRoom) -> Iterator[Notifier]:
    def sender(own: HttpConfig | None, timeout_ms: int = 0) -> HttpSender:
        return HttpSender(own or defaults.http_config, timeout_ms)

    for i, slack in enumerate(receiver.slack_configs):
        yield slack_notifier(slack, defaults, f"{receiver.name}/slack/{i}", renderer, room)
    for webhook in receiver.webhook_configs:
        yield WebhookNotifier(webhook, sender(webhook.http_config, webhook.timeout), renderer)
    for pagerduty in receiver.pagerduty_configs:
        url = pagerduty.url or defaults.pagerduty_url
        yield PagerdutyNotifier(pagerduty, url, sender(pagerduty.http_config, pagerduty.timeout), renderer)
    for opsgenie in receiver.opsgenie_configs:
        key = SecretAddress(opsgenie.api_key, opsgenie.api_key_file)
        if key.url is None and key.file is None:
            key = SecretAddress(defaults.opsgenie_api_key, defaults.opsgenie_api_key_file)
        url = opsgenie.api_url or defaults.opsgenie_api_url
        yield OpsgenieNotifier(opsgenie, url, key, sender(opsgenie.http_config), renderer)
    for email in receiver.email_configs:
        yield EmailNotifier(email, defaults, renderer)
    for teams in receiver.msteams_configs:
        yield teams_notifier(teams, sender(teams.http_config), renderer)
    for workflow in receiver.msteamsv2_configs:
        own = _with_common_proxy(workflow.http_config, defaults.http_config)
        yield workflow_notifier(workflow, sender(own), renderer)


def _with_common_proxy(own: HttpConfig | None, common: HttpConfig | None) -> HttpConfig | None:
    """Its own configuration with the proxy of `global`, the one key that `msteamsv2_configs` inherit by itself."""
    if own is None or common is None or own.proxy_url is not None:
        return own
    return own.model_copy(update={"proxy_url": common.proxy_url})
