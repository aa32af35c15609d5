"""Slack's Web API and incoming webhooks, as far as messages need them: one method a call, errors as NotifyError."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson

from alerting.notify.base import NotifyError
from alerting.notify.http import HttpSender
from alerting.slack.errors import SlackError
from alerting.slack.pace import Pacer
from app.telemetry import SLACK_ERRORS

POST_MESSAGE = "https://slack.com/api/chat.postMessage"
METHOD = "/chat.postMessage"
LONGEST_WAIT_S = 30.0
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_JSON = {"Content-Type": "application/json; charset=utf-8"}
_OTHERS = "other"
_COUNTED = (
    "cant_update_message", "channel_not_found", "invalid_attachments", "invalid_auth", "invalid_blocks", "is_archived",
    "message_not_found", "missing_scope", "msg_too_long", "not_in_channel", "ratelimited", "token_revoked",
)  # fmt: skip
for _code in (*_COUNTED, _OTHERS):
    SLACK_ERRORS.labels(_code)


class SlackApi:
    """The Web API with a bot's token. `address` gives the URL of chat.postMessage, `token` the token, "" for that of
    the HTTP configuration; both are asked each time, since they may stand in files.
    """

    def __init__(
        self, sender: HttpSender, address: Callable[[], str], token: Callable[[], str], pacer: Pacer | None = None
    ) -> None:
        self._sender = sender
        self._address = address
        self._token = token
        self.pacer = pacer or Pacer()

    async def call(
        self, method: str, arguments: Mapping[str, Any], *, channel: str = "", posts: bool = False, most_s: float = 0.0
    ) -> dict[str, Any]:
        """Slack's answer. `posts`: it is a message, and takes a turn of its channel. Raises NotifyError."""
        url = method_url(self._address(), method)
        if channel:
            await self.pacer.turn(channel, most_s or LONGEST_WAIT_S, counts=posts)
        # methods that read take forms only
        form = not method.startswith("chat.") and method != "files.completeUploadExternal"
        body = urlencode(arguments).encode() if form else orjson.dumps(arguments)
        headers = dict(_FORM if form else _JSON)
        if token := self._token():
            headers["Authorization"] = f"Bearer {token}"
        try:
            return answer_of(await self._sender.post_json(url, body, headers), method)
        except NotifyError as error:
            self._note(error, channel)
            raise

    async def upload(self, url: str, data: bytes) -> None:
        """Puts a file where files.getUploadURLExternal said. Raises NotifyError."""
        await self._sender.post_json(url, data, {"Content-Type": "application/octet-stream"})

    async def close(self) -> None:
        """Lets go of connections. Safe to call twice."""
        await self._sender.close()

    def _note(self, error: NotifyError, channel: str) -> None:
        count_error(error)
        if channel and error.reason == "rate_limited" and error.retry_after_s:
            self.pacer.close(channel, error.retry_after_s)


def method_url(address: str, method: str) -> str:
    """The URL of another method beside that of chat.postMessage."""
    return f"{address.rstrip('/').rsplit('/', 1)[0]}/{method}"


def count_error(error: NotifyError) -> None:
    """Counts what Slack said, under a bounded set of names."""
    if isinstance(error, SlackError):
        SLACK_ERRORS.labels(error.code if error.code in _COUNTED else _OTHERS).inc()


def answer_of(response: httpx.Response, method: str) -> dict[str, Any]:
    """The answer of a method, which is 200 for refusals, too. Raises NotifyError."""
    try:
        answer = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        raise NotifyError(f"the answer to {method} is not JSON", "server_error", retry=True) from None
    if not isinstance(answer, dict):
        raise NotifyError(f"the answer to {method} is no object", "server_error", retry=True)
    if answer.get("ok") is not True:
        raise SlackError(str(answer.get("error", "")), method)
    return answer


def check_webhook(response: httpx.Response) -> None:
    """A webhook answers `ok`; a URL of the Web API answers JSON. Raises NotifyError."""
    if response.headers.get("Content-Type", "").startswith("application/json"):
        answer_of(response, "the webhook")
    elif response.text.strip() != "ok":
        raise SlackError(response.text.strip()[:60], "the webhook")
