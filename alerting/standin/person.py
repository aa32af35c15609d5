"""Somebody in the workspace: presses buttons, types commands, mentions the bot. Slack signs what it then sends."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
from slack_sdk.signature import SignatureVerifier

from alerting.standin.rules import check_payload
from alerting.standin.server import SlackStandin
from alerting.standin.workspace import APP, BOT_USER, TEAM, Message

ANSWER_WITHIN_S = 3.0
"""https://docs.slack.dev/interactivity/handling-user-interaction: an app answers within three seconds."""


class TooSlow(AssertionError):
    """The app did not answer within three seconds."""


class Person:
    """A user of the stand-in's workspace. `app_url` is where the app's endpoints are."""

    def __init__(self, standin: SlackStandin, app_url: str, user: str = "U0KIM", name: str = "Kim") -> None:
        self.user, self.name = user, name
        self._standin = standin
        self._app_url = app_url.rstrip("/")
        self._numbers = itertools.count(1)

    async def press(self, message: Message, action: str) -> httpx.Response:
        """Presses the button whose action_id begins with `action`. Raises LookupError when the message has none."""
        button, block = self._button(message, action)
        payload = {
            "type": "block_actions",
            "api_app_id": APP,
            "team": {"id": TEAM, "domain": "standin"},
            "user": {"id": self.user, "username": self.name.lower(), "name": self.name.lower(), "team_id": TEAM},
            "container": {"type": "message", "message_ts": message.ts, "channel_id": message.channel},
            "channel": {"id": message.channel, "name": self._standin.workspace.channels[message.channel].name},
            "message": {"ts": message.ts, "text": message.payload.get("text", "")},
            "trigger_id": f"{next(self._numbers)}.trigger",
            "response_url": self._standin.response_url(),
            "actions": [
                {
                    "type": "button",
                    "action_id": button["action_id"],
                    "block_id": block,
                    "value": button.get("value", ""),
                    "text": button["text"],
                    "action_ts": f"{time.time():.6f}",
                }
            ],
        }
        body = urlencode({"payload": orjson.dumps(payload).decode()})
        return await self.send("/slack/interactive", body)

    async def command(self, text: str, command: str = "/watchhouse", channel: str = "alerts") -> httpx.Response:
        """Types a slash command."""
        where = self._standin.workspace.channel(channel)
        form = {
            "command": command, "text": text, "user_id": self.user, "user_name": self.name.lower(), "team_id": TEAM,
            "channel_id": where.id, "channel_name": where.name, "api_app_id": APP, "trigger_id": "1.2",
            "response_url": self._standin.response_url(),
        }  # fmt: skip
        return await self.send("/slack/command", urlencode(form))

    async def mention(
        self, text: str, channel: str = "alerts", *, event_id: str = "", retry: int = 0, ts: str = ""
    ) -> httpx.Response:
        """Writes `@watchhouse text` into a channel. With `retry` Slack tells of it once more."""
        where = self._standin.workspace.channel(channel)
        event = {
            "type": "app_mention", "user": self.user, "text": f"<@{BOT_USER}> {text}", "channel": where.id,
            "ts": ts or self._standin.workspace.next_ts(),
        }  # fmt: skip
        if event["ts"] not in where.messages:
            where.messages[event["ts"]] = Message(event["ts"], where.id, {"text": event["text"]}, own=False)
        body = {
            "type": "event_callback", "team_id": TEAM, "api_app_id": APP, "event": event,
            "event_id": event_id or f"Ev{next(self._numbers)}", "event_time": int(time.time()),
        }  # fmt: skip
        more = {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": "http_timeout"} if retry else {}
        return await self.send("/slack/events", orjson.dumps(body).decode(), kind="application/json", headers=more)

    async def verify_url(self) -> httpx.Response:
        """What Slack asks when the URL of the Events API is set."""
        body = orjson.dumps({"type": "url_verification", "token": "old", "challenge": "3eZbrw1aB"}).decode()
        return await self.send("/slack/events", body, kind="application/json")

    async def send(
        self,
        path: str,
        body: str,
        *,
        kind: str = "application/x-www-form-urlencoded",
        headers: Mapping[str, str] | None = None,
        at_s: int | None = None,
        secret: str = "",
    ) -> httpx.Response:
        """A signed request to the app. Raises TooSlow; an answer that holds a message must be one Slack shows."""
        sent_at = str(int(time.time()) if at_s is None else at_s)
        verifier = SignatureVerifier(secret or self._standin.signing_secret)
        signature = verifier.generate_signature(timestamp=sent_at, body=body) or ""
        signed = {"X-Slack-Request-Timestamp": sent_at, "X-Slack-Signature": signature, "Content-Type": kind}
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    answer = await client.post(
                        self._app_url + path, content=body, headers={**signed, **(headers or {})}
                    )
            except TimeoutError:
                raise TooSlow(path) from None
        if answer.status_code == 200 and answer.headers.get("Content-Type", "").startswith("application/json"):
            told = answer.json()
            if isinstance(told, dict) and "challenge" not in told:
                check_payload(told)
        return answer

    def _button(self, message: Message, action: str) -> tuple[dict[str, Any], str]:
        for block in _blocks(message.payload):
            for element in block.get("elements", []):
                if element.get("type") == "button" and element.get("action_id", "").startswith(action):
                    return element, block.get("block_id", "")
        raise LookupError(f"the message has no button {action}")


def _blocks(payload: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from payload.get("blocks", [])
    for attachment in payload.get("attachments", []):
        yield from attachment.get("blocks", [])
