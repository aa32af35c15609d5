"""A Slack workspace in memory: channels, messages, files, and the methods of the Web API that Watchhouse calls."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from alerting.standin.rules import Refusal, check_payload

BOT_USER, BOT_ID, TEAM, APP = "U0BOT", "B0BOT", "T0TEAM", "A0APP"
SCOPES = frozenset(
    {
        "chat:write",
        "chat:write.customize",
        "files:read",
        "files:write",
        "channels:history",
        "channels:read",
        "commands",
        "app_mentions:read",
    }
)
_MOST_HISTORY = 999


class ApiError(Exception):
    """What a method refuses. `code` is Slack's error; the text says where and why, which Slack does not."""

    def __init__(self, code: str, why: str = "", retry_after_s: int = 0) -> None:
        super().__init__(f"{code}: {why}" if why else code)
        self.code = code
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class Channel:
    """A conversation, and the messages in it by timestamp."""

    id: str
    name: str
    member: bool = True
    archived: bool = False
    messages: dict[str, Message] = field(default_factory=dict)


@dataclass(slots=True)
class Message:
    """A message as it is now. `edits` are the payloads it had before."""

    ts: str
    channel: str
    payload: dict[str, Any]
    thread_ts: str = ""
    broadcast: bool = False
    own: bool = True
    edits: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class File:
    """An upload."""

    id: str
    length: int
    data: bytes = b""
    complete: bool = False
    asked: int = 0
    """How often files.info was called."""


class Workspace:
    """Answers calls of methods, with Slack's error codes.

    `per_second` posts to a channel are taken, None for any number.
    """

    def __init__(
        self,
        token: str = "xoxb-standin",
        *,
        scopes: frozenset[str] = SCOPES,
        per_second: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.token = token
        self.scopes = set(scopes)
        self.per_second = per_second
        self.channels: dict[str, Channel] = {}
        self.files: dict[str, File] = {}
        self.slow_files = 0
        """So many times files.info says that an upload was not looked at yet."""
        self.ephemeral: list[tuple[str, str, dict[str, Any]]] = []
        """(channel, user, payload) of what only one person saw."""
        self._clock = clock
        self._last_ts = 0
        self._posted_at: dict[str, float] = {}
        self._numbers = itertools.count(1)
        self.add_channel("alerts")
        self._methods: dict[str, tuple[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
            "auth.test": ("", self._auth_test),
            "chat.postMessage": ("chat:write", self._post),
            "chat.update": ("chat:write", self._update),
            "chat.delete": ("chat:write", self._delete),
            "chat.postEphemeral": ("chat:write", self._post_ephemeral),
            "chat.getPermalink": ("", self._permalink),
            "conversations.list": ("channels:read", self._list),
            "conversations.history": ("channels:history", self._history),
            "conversations.replies": ("channels:history", self._replies),
            "files.getUploadURLExternal": ("files:write", self._upload_url),
            "files.completeUploadExternal": ("files:write", self._complete),
            "files.info": ("files:read", self._file_info),
        }
        self.upload_base = ""

    def add_channel(self, name: str, **more: Any) -> Channel:
        """A channel the bot is in."""
        channel = Channel(f"C{len(self.channels):04d}{name.upper()}", name, **more)
        self.channels[channel.id] = channel
        return channel

    def channel(self, name: str = "alerts") -> Channel:
        """A channel by its id or name. Raises ApiError."""
        for channel in self.channels.values():
            if name in (channel.id, channel.name, f"#{channel.name}"):
                return channel
        raise ApiError("channel_not_found", f"there is no {name!r}")

    def top(self, name: str = "alerts") -> list[Message]:
        """The messages of a channel that are no replies, oldest first."""
        return [m for m in self.channel(name).messages.values() if not m.thread_ts]

    def thread(self, message: Message) -> list[Message]:
        """The replies to a message, oldest first."""
        return [m for m in self.channels[message.channel].messages.values() if m.thread_ts == message.ts]

    def remove(self, message: Message) -> None:
        """Somebody deletes a message."""
        del self.channels[message.channel].messages[message.ts]

    def call(self, method: str, token: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of a method. Raises ApiError."""
        if method not in self._methods:
            raise ApiError("unknown_method", method)
        if not token:
            raise ApiError("not_authed")
        if token != self.token:
            raise ApiError("invalid_auth")
        scope, run = self._methods[method]
        if scope and scope not in self.scopes:
            raise ApiError("missing_scope", scope)
        return {"ok": True, **run(arguments)}

    def put_file(self, name: str, data: bytes) -> None:
        """Takes the bytes of an upload. Raises ApiError."""
        file = self.files.get(name)
        if file is None or file.data:
            raise ApiError("upload_not_found", name)
        if len(data) != file.length:
            raise ApiError("length_mismatch", f"{len(data)} bytes came, {file.length} were announced")
        file.data = data

    def take(self, payload: Any, where: Channel, *, thread_ts: str = "", broadcast: bool = False) -> Message:
        """Keeps a message that a channel gets. Raises ApiError and Refusal."""
        check_payload(payload, known_file=self._known_file)
        if thread_ts and thread_ts not in where.messages:
            raise ApiError("thread_not_found", thread_ts)
        self._pace(where)
        message = Message(self.next_ts(), where.id, dict(payload), thread_ts, broadcast)
        where.messages[message.ts] = message
        return message

    def next_ts(self) -> str:
        """A timestamp that is unique and greater than every one before it."""
        self._last_ts = max(self._last_ts + 1, int(self._clock() * 1_000_000))
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def _known_file(self, name: str) -> bool:
        file = self.files.get(name)
        if file is None or not file.complete or not file.data.startswith(b"\x89PNG"):
            return False
        return file.asked > self.slow_files or not self.slow_files

    def _pace(self, channel: Channel) -> None:
        if self.per_second is None:
            return
        now = self._clock()
        # as Slack, which lets a short burst pass: one more than the rate
        earliest = self._posted_at.get(channel.id, 0.0) - 1 / self.per_second
        if now < earliest:
            raise ApiError(
                "ratelimited", f"more than {self.per_second:g} messages a second", max(1, round(earliest - now))
            )
        self._posted_at[channel.id] = max(now, self._posted_at.get(channel.id, 0.0)) + 1 / self.per_second

    def _writable(self, arguments: Mapping[str, Any]) -> Channel:
        channel = self.channel(str(arguments.get("channel", "")))
        if channel.archived:
            raise ApiError("is_archived")
        if not channel.member:
            raise ApiError("not_in_channel")
        return channel

    def _found(self, arguments: Mapping[str, Any]) -> Message:
        # chat.update takes a channel's id only, never its name
        channel = self.channels.get(str(arguments.get("channel", "")))
        if channel is None:
            raise ApiError("channel_not_found", "an id is wanted")
        message = channel.messages.get(str(arguments.get("ts", "")))
        if message is None:
            raise ApiError("message_not_found")
        if not message.own:
            raise ApiError("cant_update_message")
        return message

    def _auth_test(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {"url": "https://standin.slack.com/", "team_id": TEAM, "user_id": BOT_USER, "bot_id": BOT_ID}

    def _post(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        channel = self._writable(arguments)
        thread_ts, broadcast = str(arguments.get("thread_ts", "")), bool(arguments.get("reply_broadcast"))
        if broadcast and not thread_ts:
            raise ApiError("invalid_arguments", "reply_broadcast is for replies")
        message = self.take(arguments, channel, thread_ts=thread_ts, broadcast=broadcast)
        return {"channel": channel.id, "ts": message.ts, "message": self._shown(message)}

    def _update(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        message = self._found(arguments)
        self._writable(arguments)
        check_payload(arguments, known_file=self._known_file)
        message.edits.append(message.payload)
        # what is left out of an edit stays, but for the blocks and attachments that a new text takes away
        message.payload = {**{k: v for k, v in message.payload.items() if k == "metadata"}, **arguments}
        return {"channel": message.channel, "ts": message.ts, "text": arguments.get("text", "")}

    def _delete(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        message = self._found(arguments)
        self.remove(message)
        return {"channel": message.channel, "ts": message.ts}

    def _post_ephemeral(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        channel, user = self._writable(arguments), str(arguments.get("user", ""))
        if not user:
            raise ApiError("user_not_in_channel")
        check_payload(arguments, known_file=self._known_file)
        self.ephemeral.append((channel.id, user, dict(arguments)))
        return {"message_ts": self.next_ts()}

    def _permalink(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        channel = self.channel(str(arguments.get("channel", "")))
        ts = str(arguments.get("message_ts", ""))
        if ts not in channel.messages:
            raise ApiError("message_not_found")
        return {
            "channel": channel.id,
            "permalink": f"https://standin.slack.com/archives/{channel.id}/p{ts.replace('.', '')}",
        }

    def _list(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        wanted = str(arguments.get("exclude_archived", "")) == "true"
        shown = [
            {"id": one.id, "name": one.name, "is_member": one.member, "is_archived": one.archived}
            for one in self.channels.values()
            if not (wanted and one.archived)
        ]
        return {"channels": shown, "response_metadata": {"next_cursor": ""}}

    def _history(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        channel = self._readable(arguments)
        found = [m for m in channel.messages.values() if not m.thread_ts or m.broadcast]
        return self._listed(found, arguments)

    def _replies(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        channel, ts = self._readable(arguments), str(arguments.get("ts", ""))
        if ts not in channel.messages:
            raise ApiError("thread_not_found")
        found = [m for m in channel.messages.values() if ts in (m.ts, m.thread_ts)]
        answer = self._listed(found, arguments)
        answer["messages"].reverse()
        return answer

    def _readable(self, arguments: Mapping[str, Any]) -> Channel:
        channel = self.channels.get(str(arguments.get("channel", "")))
        if channel is None:
            raise ApiError("channel_not_found", "an id is wanted")
        if not channel.member:
            raise ApiError("not_in_channel")
        return channel

    def _listed(self, found: list[Message], arguments: Mapping[str, Any]) -> dict[str, Any]:
        limit = int(arguments.get("limit", 100))
        if not 1 <= limit <= _MOST_HISTORY:
            raise ApiError("invalid_limit", f"{limit}")
        oldest = float(arguments.get("oldest", 0) or 0)
        with_metadata = str(arguments.get("include_all_metadata", "")).lower() in ("true", "1")
        some = [m for m in found if float(m.ts) >= oldest][::-1]
        messages = [self._shown(m, metadata=with_metadata) for m in some[:limit]]
        return {"messages": messages, "has_more": len(some) > limit}

    def _upload_url(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if not arguments.get("filename"):
            raise ApiError("invalid_arguments", "filename is missing")
        length = int(arguments.get("length", 0) or 0)
        if length <= 0:
            raise ApiError("invalid_arguments", "length is missing")
        name = f"F{next(self._numbers):08d}"
        self.files[name] = File(name, length)
        return {"upload_url": f"{self.upload_base}/upload/{name}", "file_id": name}

    def _complete(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        files = arguments.get("files")
        if not isinstance(files, list) or not files:
            raise ApiError("invalid_arguments", "files is missing")
        for one in files:
            file = self.files.get(str(one.get("id", "")))
            if file is None or not file.data:
                raise ApiError("file_not_found")
            file.complete = True
        return {"files": [{"id": one["id"], "title": one.get("title", "")} for one in files]}

    def _file_info(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        file = self.files.get(str(arguments.get("file", "")))
        if file is None or not file.complete:
            raise ApiError("file_not_found")
        file.asked += 1
        return {"file": {"id": file.id, "mimetype": "image/png" if file.asked > self.slow_files else ""}}

    def _shown(self, message: Message, *, metadata: bool = True) -> dict[str, Any]:
        shown: dict[str, Any] = {
            key: message.payload[key] for key in ("text", "blocks", "attachments") if key in message.payload
        }
        if metadata and "metadata" in message.payload:
            shown["metadata"] = message.payload["metadata"]
        if message.thread_ts:
            shown["thread_ts"] = message.thread_ts
        if message.edits:
            shown["edited"] = {"user": BOT_USER, "ts": message.ts}
        return {"type": "message", "user": BOT_USER, "bot_id": BOT_ID, "app_id": APP, "ts": message.ts, **shown}


__all__ = ["ApiError", "Channel", "File", "Message", "Refusal", "Workspace"]
