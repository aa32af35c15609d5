"""Pictures in messages of a bot: uploaded, and shown once Slack has looked at them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from alerting.notify.base import NotifyError
from alerting.slack.api import SlackApi
from alerting.slack.errors import SlackError
from alerting.slack.room import SlackRoom

log = logging.getLogger(__name__)

ASK_EVERY_S = 0.5


class Pictures:
    """Uploads for one `slack_configs` entry, named by `key` in what somebody has to mend."""

    def __init__(self, api: SlackApi, room: SlackRoom, key: str) -> None:
        self._api = api
        self._room = room
        self._key = f"{key} charts"

    async def upload(self, png: bytes, title: str) -> str:
        """The id of the uploaded picture; "" when that fails, as the message has the same numbers in words."""
        arguments = {"filename": "burn-down.png", "length": len(png), "alt_txt": title[:1000]}
        try:
            place = await self._api.call("files.getUploadURLExternal", arguments)
            await self._api.upload(str(place["upload_url"]), png)
            await self._api.call("files.completeUploadExternal", {"files": [{"id": place["file_id"], "title": title}]})
        except (NotifyError, KeyError) as error:
            self._room.troubles.note(self._key, str(error))
            return ""
        self._room.troubles.over(self._key)
        return str(place["file_id"])

    async def ready(self, file: str, most_s: float = 0.0) -> bool:
        """Whether Slack has looked at an upload, within so long: a message that shows it before that is refused."""
        waited_s = 0.0
        while True:
            try:
                found = (await self._api.call("files.info", {"file": file})).get("file")
            except SlackError as error:
                # without the scope to ask, a moment has to be enough
                log.info("whether a chart may be shown is not known: %s", error)
                await asyncio.sleep(most_s)
                return most_s > 0
            except NotifyError:
                return False
            if isinstance(found, dict) and found.get("mimetype"):
                return True
            if waited_s >= most_s:
                return False
            await asyncio.sleep(ASK_EVERY_S)
            waited_s += ASK_EVERY_S


def without_pictures(payload: dict[str, Any]) -> dict[str, Any]:
    """The same message without its image blocks."""

    def bare(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [block for block in blocks if block["type"] != "image"]

    attachments = [
        {**attachment, "blocks": bare(attachment["blocks"])} if "blocks" in attachment else attachment
        for attachment in payload.get("attachments", [])
    ]
    return {**payload, "attachments": attachments} if "attachments" in payload else payload


def has_picture(payload: dict[str, Any]) -> bool:
    """Whether an attachment of a message shows an image block."""
    return without_pictures(payload) != payload
