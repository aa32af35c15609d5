"""Slack, by incoming webhook or, with a bot token, by chat.postMessage."""

from __future__ import annotations

import httpx
import orjson

from alerting.notify.base import Notification, NotifyError
from alerting.notify.http import HttpSender, SecretAddress, read_secret_file
from alerting.notify.slack_message import slack_message
from alerting.receivers import SlackConfig


class SlackNotifier:
    """A `Notifier` for one `slack_configs` entry. `address` is where it posts; with a token, it posts as the bot."""

    integration = "slack"

    def __init__(self, config: SlackConfig, address: SecretAddress, sender: HttpSender, *, external_url: str) -> None:
        self.send_resolved = config.send_resolved
        self._config = config
        self._address = address
        self._sender = sender
        self._external_url = external_url

    async def notify(self, notification: Notification) -> None:
        """Posts one message. Raises NotifyError."""
        body = orjson.dumps(slack_message(notification, self._config, self._external_url))
        response = await self._sender.post_json(self._address.read(), body, self._bot_token())
        _check_answer(response)

    async def close(self) -> None:
        """As `Notifier.close`."""
        await self._sender.close()

    def _bot_token(self) -> dict[str, str]:
        config = self._config
        if config.app_token is not None:
            return {"Authorization": f"Bearer {config.app_token.get_secret_value()}"}
        if config.app_token_file is not None:
            return {"Authorization": f"Bearer {read_secret_file(config.app_token_file)}"}
        return {}


_HEALING = {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}


def _check_answer(response: httpx.Response) -> None:
    """Slack's web API answers 200 to what it refuses, and says so in the body."""
    if not response.headers.get("Content-Type", "").startswith("application/json"):
        return
    try:
        answer = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        raise NotifyError("the answer is not JSON", "server_error", retry=True) from None
    if isinstance(answer, dict) and answer.get("ok") is False:
        said = str(answer.get("error", "unknown_error"))[:100]
        retry = said in _HEALING
        raise NotifyError(f"Slack says {said}", "server_error" if retry else "rejected", retry=retry)
