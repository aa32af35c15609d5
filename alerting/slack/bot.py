"""Slack with a bot's token: one message a group, changed in place, and a thread that says what happened."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from alerting.notify.base import Notification, NotifyError
from alerting.slack.api import SlackApi
from alerting.slack.attempts import Attempt
from alerting.slack.chart import alt_text
from alerting.slack.errors import SlackError
from alerting.slack.extras import Extras, Picture
from alerting.slack.ids import group_id
from alerting.slack.lookup import GROUP_EVENT, REPLY_EVENT, Lookup
from alerting.slack.message import QUIET_LINKS
from alerting.slack.pictures import Pictures, has_picture, without_pictures
from alerting.slack.room import SlackRoom
from alerting.slack.state import GroupState
from alerting.slack.thread import Reply, Told, replies
from alerting.slack.words import Words
from app.telemetry import SLACK_PLAIN

log = logging.getLogger(__name__)

PICTURE_WAIT_S = 5.0
_DRAW_AGAIN_S = 300.0
_MOST_FINGERPRINTS = 100
_MOST_LOOKUPS = 3
"""A message that may have come is not posted again before it was looked up; after so many tries it is all the same."""
_AWAY = ("channel_is_archived", "channel_not_found", "is_archived", "not_in_channel")
_MOST_MET = 10_000


class SlackBot:
    """A `Notifier` and `Editor` for one `slack_configs` entry with a token."""

    integration = "slack"

    def __init__(self, key: str, words: Words, api: SlackApi, room: SlackRoom) -> None:
        # the end changes the message and calls nobody: it is told unless somebody says that it is not to be
        self.send_resolved = words.config.send_resolved or "send_resolved" not in words.config.model_fields_set
        self._key = key
        self._words = words
        self._api = api
        self._room = room
        self._lookup = Lookup(api)
        self._pictures = Pictures(api, room, key)
        self._met: set[str] = set()
        """The messages this process changed: of another process's the thread may say more than is remembered."""

    async def notify(self, notification: Notification) -> Mapping[str, str] | None:
        """Posts the group's message, or changes it and says in its thread what happened. Raises NotifyError."""
        return await self._reported(notification, pings=True)

    async def update(self, notification: Notification) -> Mapping[str, str] | None:
        """Changes the message and says why in its thread; shows nothing in the channel. Raises NotifyError."""
        return await self._reported(notification, pings=False)

    async def close(self) -> None:
        """As `Notifier.close`."""
        await self._api.close()

    async def _reported(self, notification: Notification, *, pings: bool) -> Mapping[str, str] | None:
        attempts, group_key = self._room.attempts, notification.group_key
        attempt = attempts.of(self._key, group_key)
        try:
            told = await self._tell(notification, attempt, pings)
        except NotifyError as error:
            if not error.retry:
                attempts.end(self._key, group_key)
            raise
        attempts.end(self._key, group_key)
        return told.memory() if told is not None else None

    async def _tell(self, notification: Notification, attempt: Attempt, pings: bool) -> Told | None:
        state, before = GroupState.of(notification), Told.read(notification.memory)
        if before is not None and before.state == "resolved" and state.state != "resolved":
            # a new incident is a new message: an old one that changes calls nobody
            before = None
        if before is None and not pings:
            return None
        remembered = before is not None
        if before is None:
            before = await self._posted_before(notification, attempt)
        if before is not None:
            if not pings and before.says(state):
                return before
            try:
                told = attempt.told
                if told is None or not told.says(state):
                    told = await self._change(notification, state, before)
            except SlackError as error:
                if error.kind != "gone" and not self._moved(error, before, notification):
                    raise
                if not pings:
                    return replace(before, ts="")
                return await self._post(notification, state, attempt)
            await self._reply(replies(before, state, pings=pings, reminds=remembered), told, attempt, notification)
            return told
        return await self._post(notification, state, attempt)

    def _moved(self, error: SlackError, before: Told, notification: Notification) -> bool:
        # a channel that is away, and that the configuration does not name any more
        return error.code in _AWAY and before.to not in ("", self._words.channel(notification))

    async def _post(self, notification: Notification, state: GroupState, attempt: Attempt) -> Told:
        channel = self._words.channel(notification)
        if not channel:
            raise NotifyError("slack_configs has a token and no channel", "misconfigured", retry=False)
        whole, told = await self._payload(notification, state, Told(channel, "", state.state, to=channel))
        # a page goes at once; its chart follows when Slack has looked at it
        late = has_picture(whole) and not await self._pictures.ready(told.file)
        payload = without_pictures(whole) if late else dict(whole)
        payload["metadata"] = self._metadata(notification, state)
        # until it is told whole: a reload does not wait for ever, and may cancel this
        attempt.unseen = True
        try:
            answer = await self._send("chat.postMessage", payload, notification, channel, posts=True)
        except NotifyError as error:
            attempt.unseen = _may_have_come(error)
            raise
        self._lookup.learn(channel, str(answer.get("channel", "")))
        told = replace(told, channel=str(answer.get("channel") or channel), ts=str(answer.get("ts", "")))
        self._meet(told.ts)
        if late:
            await self._add_picture(whole, told, notification, state)
        return told

    async def _add_picture(
        self, whole: dict[str, Any], told: Told, notification: Notification, state: GroupState
    ) -> None:
        """Shows the chart in a message that was posted without. It never raises: the message stands."""
        try:
            if await self._pictures.ready(told.file, PICTURE_WAIT_S):
                payload = _edit_of(whole, told) | {"metadata": self._metadata(notification, state)}
                await self._api.call("chat.update", payload, channel=told.channel)
        except NotifyError as error:
            log.warning("the chart of %s is left out until the message changes: %s", notification.group_key, error)

    async def _change(self, notification: Notification, state: GroupState, before: Told) -> Told:
        whole, told = await self._payload(notification, state, before)
        new = told.file != before.file and has_picture(whole)
        if new and not await self._pictures.ready(told.file, PICTURE_WAIT_S):
            whole = without_pictures(whole)
        payload = _edit_of(whole, told) | {"metadata": self._metadata(notification, state)}
        await self._send("chat.update", payload, notification, before.channel)
        return told

    async def _reply(self, news: list[Reply], told: Told, attempt: Attempt, notification: Notification) -> None:
        attempt.told = told
        if news and told.ts not in self._met:
            attempt.said |= await self._lookup.said(told.channel, told.ts)
        self._meet(told.ts)
        for reply in news:
            if reply.key in attempt.said:
                continue
            payload: dict[str, Any] = {
                "channel": told.channel,
                "thread_ts": told.ts,
                "text": reply.text,
                **QUIET_LINKS,
                "metadata": {"event_type": REPLY_EVENT, "event_payload": {"key": reply.key}},
            }
            if reply.broadcast:
                payload["reply_broadcast"] = True
            try:
                await self._send("chat.postMessage", payload, notification, told.channel, posts=True)
            except NotifyError as error:
                if _may_have_come(error):
                    self._met.discard(told.ts)
                if error.retry:
                    raise
                # the message says it all; without its thread it is told nonetheless
                log.warning("a reply about %s was refused: %s", notification.group_key, error)
            attempt.said.add(reply.key)

    def _meet(self, ts: str) -> None:
        if len(self._met) >= _MOST_MET:
            self._met.clear()  # threads are looked up once more then
        self._met.add(ts)

    async def _send(
        self, method: str, payload: dict[str, Any], notification: Notification, channel: str, *, posts: bool = False
    ) -> dict[str, Any]:
        most_s = max(1.0, (notification.deadline - notification.now).total_seconds())
        try:
            return await self._api.call(method, payload, channel=channel, posts=posts, most_s=most_s)
        except SlackError as error:
            if error.kind != "message" or not ("blocks" in payload or "attachments" in payload):
                raise
            if has_picture(payload):
                bare = without_pictures(payload)
                return await self._send(method, bare, notification, channel, posts=posts)
            kept = ("channel", "ts", "metadata", "username", "icon_emoji", "icon_url")
            plain = {key: payload[key] for key in kept if key in payload} | {
                "text": self._words.plain(notification)["text"],
            }
            if method == "chat.update":
                plain |= {"blocks": [], "attachments": []}
            answer = await self._api.call(method, plain, channel=channel, posts=posts, most_s=most_s)
            SLACK_PLAIN.inc()
            return answer

    async def _payload(
        self, notification: Notification, state: GroupState, before: Told
    ) -> tuple[dict[str, Any], Told]:
        group = group_id(notification.receiver, notification.group_key)
        told = Told.of(state, before)
        if self._words.own:
            return self._words.payload(notification, group=group), told
        now = self._room.clock()
        draw = now - before.drawn_at > _DRAW_AGAIN_S or (state.state == "resolved") != (before.state == "resolved")
        found = await self._room.find_out(state, draw=draw)
        alt = "Error budget over time"
        if found.burn_down is not None and (file := await self._pictures.upload(found.png, alt_text(found.burn_down))):
            told, alt = replace(told, file=file, drawn_at=now), alt_text(found.burn_down)
        picture = Picture(alt, file=told.file) if told.file else None
        return self._words.payload(notification, Extras(found.offenders, picture), group=group), told

    def _metadata(self, notification: Notification, state: GroupState) -> dict[str, Any]:
        # what a later process finds the message by, when it never saw the answer to its post
        payload = {
            "group": group_id(self._key, notification.group_key),
            "state": state.state,
            "firing": [a.fingerprint for a in state.firing[:_MOST_FINGERPRINTS]],
        }
        return {"event_type": GROUP_EVENT, "event_payload": payload}

    async def _posted_before(self, notification: Notification, attempt: Attempt) -> Told | None:
        """The group's message, where an attempt of this process or of the one before it may have posted it."""
        began_at = min((a.starts_at for a in notification.firing), default=notification.now)
        if not attempt.unseen and began_at >= self._room.started_at:
            return None
        if not attempt.unseen and self._room.long_since_start(notification.now):
            return None
        group = group_id(self._key, notification.group_key)
        channel = self._words.channel(notification)
        try:
            found = await self._lookup.message(channel, group, began_at, fresh=attempt.unseen)
        except NotifyError as error:
            attempt.lookups += 1
            if error.retry and attempt.lookups < _MOST_LOOKUPS:
                raise
            log.warning("what Slack shows cannot be looked up, a message may come twice: %s", error)
            return None
        if found is not None:
            attempt.unseen = False
        return found


def _edit_of(whole: dict[str, Any], told: Told) -> dict[str, Any]:
    """The arguments of chat.update: who a message is from cannot be changed, and it refuses to try."""
    fixed = ("channel", "username", "icon_emoji", "icon_url", "link_names", *QUIET_LINKS)
    return {key: value for key, value in whole.items() if key not in fixed} | {"channel": told.channel, "ts": told.ts}


def _may_have_come(error: NotifyError) -> bool:
    # a 500 says nothing about what was done before it
    return error.maybe_taken or error.reason == "server_error"
