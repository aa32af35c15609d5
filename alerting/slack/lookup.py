"""Looking up what stands in a channel, when the answer to a post was never seen."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from alerting.notify.base import NotifyError
from alerting.slack.api import SlackApi
from alerting.slack.thread import Told

log = logging.getLogger(__name__)

GROUP_EVENT, REPLY_EVENT = "watchhouse_group", "watchhouse_reply"
_ID = re.compile(r"[CDGU][A-Z0-9]{6,}")
_MARGIN = timedelta(minutes=1)
_PAGE = 200
_MOST_PAGES = 10
_GOOD_FOR_S = 10.0


class Lookup:
    """Finds messages and replies of ours by their metadata."""

    def __init__(self, api: SlackApi) -> None:
        self._api = api
        self._ids: dict[str, str] = {}
        self._read: dict[str, tuple[float, dict[str, Any]]] = {}

    def learn(self, channel: str, its_id: str) -> None:
        """The id of a channel that is configured by name."""
        if its_id:
            self._ids[channel] = its_id

    async def message(self, channel: str, group: str, since: datetime, *, fresh: bool) -> Told | None:
        """The newest message about a group, posted since a time and not yet over.

        Unless it must be `fresh`, what was read a moment ago for another group is taken: many are asked for at start.
        Raises NotifyError when it cannot be looked up.
        """
        its_id = await self._channel_id(channel)
        if not its_id:
            return None
        oldest = (since - _MARGIN).timestamp()
        for message, payload in _of_event(await self._history(its_id, fresh=fresh), GROUP_EVENT):
            if payload.get("group") == group and float(message.get("ts", 0)) >= oldest:
                if payload.get("state") == "resolved":
                    return None
                firing = payload.get("firing")
                known = frozenset(str(one) for one in firing) if isinstance(firing, list) else frozenset()
                return Told(its_id, str(message.get("ts", "")), "firing", known, to=channel)
        return None

    async def said(self, channel: str, ts: str) -> set[str]:
        """The keys of the replies that stand in a message's thread; none where they cannot be looked up."""
        arguments = {"channel": channel, "ts": ts, "limit": _PAGE, "include_all_metadata": "true"}
        try:
            answer = await self._api.call("conversations.replies", arguments)
        except NotifyError as error:
            log.warning("a thread cannot be looked up, a reply may come twice: %s", error)
            return set()
        return {str(payload.get("key", "")) for _, payload in _of_event(answer, REPLY_EVENT)}

    async def _history(self, its_id: str, *, fresh: bool) -> dict[str, Any]:
        now = time.monotonic()
        read_at, answer = self._read.get(its_id, (-math.inf, {}))
        if fresh or now - read_at > _GOOD_FOR_S:
            arguments = {"channel": its_id, "limit": _PAGE, "include_all_metadata": "true"}
            answer = await self._api.call("conversations.history", arguments)
            self._read[its_id] = time.monotonic(), answer
        return answer

    async def _channel_id(self, channel: str) -> str:
        name = channel.removeprefix("#")
        if _ID.fullmatch(name):
            return name
        if channel not in self._ids:
            cursor = ""
            for _ in range(_MOST_PAGES):
                more = {"cursor": cursor} if cursor else {}
                kinds = {"types": "public_channel,private_channel", "exclude_archived": "true", "limit": "999"}
                answer = await self._api.call("conversations.list", {**kinds, **more})
                for one in answer.get("channels", []):
                    if one.get("name") == name:
                        self._ids[channel] = str(one.get("id", ""))
                cursor = answer.get("response_metadata", {}).get("next_cursor", "")
                if channel in self._ids or not cursor:
                    break
        return self._ids.get(channel, "")


def _of_event(answer: Mapping[str, Any], event: str) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    for message in answer.get("messages", []):
        metadata = message.get("metadata")
        if isinstance(metadata, dict) and metadata.get("event_type") == event:
            payload = metadata.get("event_payload")
            if isinstance(payload, dict):
                yield message, payload
