"""The notifiers of every receiver of a configuration."""

from __future__ import annotations

from pydantic import SecretStr

from alerting.config import AlertmanagerConfig, GlobalConfig
from alerting.notify.base import Notifier
from alerting.notify.http import HttpSender, SecretAddress
from alerting.notify.slack import SlackNotifier
from alerting.notify.webhook import WebhookNotifier
from alerting.receivers import POST_MESSAGE, SlackConfig


def build_notifiers(config: AlertmanagerConfig, *, external_url: str) -> dict[str, list[Notifier]]:
    """Notifiers by receiver name. Opens no connection; the alert manager closes them."""
    defaults = config.global_
    built: dict[str, list[Notifier]] = {}
    for receiver in config.receivers:
        many: list[Notifier] = [_slack(slack, defaults, external_url) for slack in receiver.slack_configs]
        for webhook in receiver.webhook_configs:
            sender = HttpSender(webhook.http_config or defaults.http_config, webhook.timeout)
            many.append(WebhookNotifier(webhook, sender, external_url=external_url))
        built[receiver.name] = many
    return built


def _slack(slack: SlackConfig, defaults: GlobalConfig, external_url: str) -> SlackNotifier:
    sender = HttpSender(slack.http_config or defaults.http_config, slack.timeout)
    with_token = _with_global_token(slack, defaults)
    if with_token.app_token is not None or with_token.app_token_file is not None:
        address = SecretAddress(slack.app_url or defaults.slack_app_url or SecretStr(POST_MESSAGE), None)
    elif slack.api_url is not None or slack.api_url_file is not None:
        address = SecretAddress(slack.api_url, slack.api_url_file)
    else:
        address = SecretAddress(defaults.slack_api_url, defaults.slack_api_url_file)
    return SlackNotifier(with_token, address, sender, external_url=external_url)


def _with_global_token(slack: SlackConfig, defaults: GlobalConfig) -> SlackConfig:
    own = (slack.app_token, slack.app_token_file, slack.api_url, slack.api_url_file)
    if any(way is not None for way in own):
        return slack
    token = {"app_token": defaults.slack_app_token, "app_token_file": defaults.slack_app_token_file}
    return slack.model_copy(update=token)
