"""Slack by incoming webhook: a message each time there is news. What was posted cannot be changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from alerting.notify.base import Notification, NotifyError
from alerting.notify.http import HttpSender
from alerting.notify.secrets import SecretAddress
from alerting.slack.api import check_webhook, count_error
from alerting.slack.errors import ERRORS, SlackError
from alerting.slack.extras import NOTHING, Extras
from alerting.slack.ids import group_id
from alerting.slack.legacy import as_go
from alerting.slack.pictures import has_picture, without_pictures
from alerting.slack.room import SlackRoom
from alerting.slack.state import GroupState
from alerting.slack.words import Words
from app.telemetry import SLACK_PLAIN


class SlackWebhook:
    """A `Notifier` for one `slack_configs` entry with the URL of a webhook."""

    integration = "slack"

    def __init__(self, words: Words, address: SecretAddress, sender: HttpSender, room: SlackRoom) -> None:
        self.send_resolved = words.config.send_resolved
        self._words = words
        self._address = address
        self._sender = sender
        self._room = room

    async def notify(self, notification: Notification) -> Mapping[str, str] | None:
        """Posts one message. Raises NotifyError."""
        await self._notify(notification)
        return None

    async def close(self) -> None:
        """As `Notifier.close`."""
        await self._sender.close()

    async def _notify(self, notification: Notification) -> None:
        url = self._address.read()
        # the URL is a secret: turns are kept under a digest of it
        workspace = hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
        pacer = self._room.pacer(workspace)
        left_s = max(0.0, (notification.deadline - notification.now).total_seconds())
        extras = NOTHING if self._words.own else await self._extras(notification)
        group = group_id(notification.receiver, notification.group_key)
        payload = self._words.payload(notification, extras, group=group)
        await pacer.turn("", left_s)
        try:
            await self._post(url, payload)
        except SlackError as error:
            count_error(error)
            if error.kind != "message":
                raise
            await self._post_less(url, payload, notification)
        except NotifyError as error:
            if error.reason == "rate_limited" and error.retry_after_s:
                pacer.close("", error.retry_after_s)
            raise

    async def _post_less(self, url: str, payload: dict[str, Any], notification: Notification) -> None:
        """Without the picture, which Slack may not have been able to fetch; else as text."""
        if has_picture(payload):
            try:
                await self._post(url, without_pictures(payload))
            except SlackError as error:
                if error.kind != "message":
                    raise
            else:
                return
        await self._post(url, self._words.plain(notification))
        SLACK_PLAIN.inc()

    async def _post(self, url: str, payload: dict[str, Any]) -> None:
        try:
            response = await self._sender.post_json(url, as_go(payload))
        except NotifyError as error:
            # `400 invalid_blocks`: hooks.slack.com says the code in the body
            code = str(error).rpartition(" ")[2]
            raise (
                SlackError(code, "the webhook") if error.reason == "rejected" and code in ERRORS else error
            ) from None
        check_webhook(response)

    async def _extras(self, notification: Notification) -> Extras:
        state = GroupState.of(notification)
        found = await self._room.find_out(state, draw=False)
        return Extras(found.offenders, self._room.linked_chart(state))
