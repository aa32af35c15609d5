"""Answers in Slack: at response URLs, and in threads with the app's own token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from alerting.notify.base import NotifyError
from alerting.notify.http import HttpSender
from alerting.notify.secrets import read_secret_file
from alerting.slack.api import SlackApi, check_webhook
from alerting.slack.pace import Pacer


class SlackSpeaker:
    """A `Speaker`. `api_url` is where the methods are, https://slack.com/api but for a stand-in."""

    def __init__(self, api_url: str, bot_token_file: Path | None, pacer: Pacer) -> None:
        self._api_url = api_url.rstrip("/")
        self._bot_token_file = bot_token_file
        self._sender = HttpSender(None)
        self._api = SlackApi(self._sender, lambda: f"{self._api_url}/chat.postMessage", self._token, pacer)

    async def respond(self, url: str, payload: Mapping[str, Any]) -> None:
        """As `Speaker.respond`. Only URLs of Slack are answered at."""
        asked, ours = urlsplit(url), urlsplit(self._api_url)
        of_slack = asked.scheme == "https" and (asked.hostname or "").endswith(".slack.com")
        if not of_slack and (asked.scheme, asked.netloc) != (ours.scheme, ours.netloc):
            raise NotifyError("the response URL is none of Slack's", "rejected", retry=False)
        check_webhook(await self._sender.post_json(url, orjson.dumps(payload)))

    async def say(self, channel: str, thread_ts: str, payload: Mapping[str, Any]) -> None:
        """As `Speaker.say`."""
        said = {"channel": channel, "thread_ts": thread_ts, **payload}
        await self._api.call("chat.postMessage", said, channel=channel, posts=True)

    async def close(self) -> None:
        """Lets go of connections. Safe to call twice."""
        await self._api.close()

    def _token(self) -> str:
        if self._bot_token_file is None:
            raise NotifyError(
                "slack.bot_token_file is not set, so mentions cannot be answered", "misconfigured", retry=False
            )
        return read_secret_file(self._bot_token_file)
