"""The Slack notifiers of a receiver."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

from pydantic import SecretStr

from alerting.config import GlobalConfig
from alerting.notify.base import Notifier, NotifyError
from alerting.notify.http import HttpSender
from alerting.notify.rendering import Renderer
from alerting.notify.secrets import SecretAddress, read_secret_file
from alerting.receivers import POST_MESSAGE, SlackConfig
from alerting.slack.api import METHOD, SlackApi
from alerting.slack.bot import SlackBot
from alerting.slack.room import SlackRoom
from alerting.slack.webhook import SlackWebhook
from alerting.slack.words import Words


def slack_notifier(
    slack: SlackConfig, defaults: GlobalConfig, key: str, renderer: Renderer, room: SlackRoom
) -> Notifier:
    """A notifier that follows its messages where there is a token, else one that posts to a webhook.

    A token is `app_token(_file)`, or the `http_config.authorization` of an `api_url` that ends in chat.postMessage.
    `key` names the entry, as the notification log does. Opens no connection.
    """
    sender = HttpSender(slack.http_config or defaults.http_config, slack.timeout)
    with_token = _with_global_token(slack, defaults)
    words = Words(slack, renderer, room)
    if with_token.app_token is not None or with_token.app_token_file is not None:
        address = SecretAddress(slack.app_url or defaults.slack_app_url or SecretStr(POST_MESSAGE), None)
    elif slack.api_url is not None or slack.api_url_file is not None:
        address = SecretAddress(slack.api_url, slack.api_url_file)
    else:
        address = SecretAddress(defaults.slack_api_url, defaults.slack_api_url_file)

    def token() -> str:
        if with_token.app_token is not None:
            return with_token.app_token.get_secret_value()
        return read_secret_file(with_token.app_token_file) if with_token.app_token_file is not None else ""

    if not (with_token.app_token or with_token.app_token_file or _is_method(address)):
        return SlackWebhook(words, address, sender, room)
    room.followed.add(key.rsplit("/", 2)[0])
    # receivers with one token share the turns of its channels
    shown = _known_by(with_token) or str(slack.http_config or defaults.http_config)
    workspace = hashlib.blake2b(shown.encode(), digest_size=8).hexdigest()
    return SlackBot(key, words, SlackApi(sender, address.read, token, room.pacer(workspace)), room)


def _known_by(slack: SlackConfig) -> str:
    # a secret that is printed is the same row of stars for every token
    return str(slack.app_token_file or (slack.app_token.get_secret_value() if slack.app_token else ""))


def _is_method(address: SecretAddress) -> bool:
    # a file's URL may change while the service runs; what it is is decided at start
    try:
        return urlsplit(address.read()).path.endswith(METHOD)
    except (NotifyError, ValueError):
        return False


def _with_global_token(slack: SlackConfig, defaults: GlobalConfig) -> SlackConfig:
    own = (slack.app_token, slack.app_token_file, slack.api_url, slack.api_url_file)
    authorized = slack.http_config is not None and slack.http_config.authorization is not None
    if authorized or any(way is not None for way in own):
        return slack
    token = {"app_token": defaults.slack_app_token, "app_token_file": defaults.slack_app_token_file}
    return slack.model_copy(update=token)
