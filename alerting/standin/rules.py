"""What Slack's documentation demands of a message. Knows nothing of our own messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import orjson

MAX_BLOCKS, MAX_ATTACHMENTS, MAX_MESSAGE_TEXT = 50, 100, 40_000
SECTION_TEXT, SECTION_FIELDS, SECTION_FIELD, HEADER_TEXT = 3000, 10, 2000, 150
CONTEXT_ELEMENTS, ACTIONS_ELEMENTS = 10, 25
BUTTON_TEXT, BUTTON_URL, BUTTON_VALUE, ACTION_ID, BLOCK_ID = 75, 3000, 2000, 255, 255
IMAGE_URL, IMAGE_ALT, IMAGE_TITLE = 3000, 2000, 2000
CONFIRM_TITLE, CONFIRM_TEXT, CONFIRM_BUTTON = 100, 300, 30
LEGACY_ACTIONS, METADATA_BYTES = 5, 8_000
_MESSAGE_KEYS = {
    "attachments", "as_user", "blocks", "channel", "delete_original", "icon_emoji", "icon_url", "link_names",
    "metadata", "mrkdwn", "parse", "reply_broadcast", "replace_original", "response_type", "text", "thread_ts",
    "ts", "unfurl_links", "unfurl_media", "user", "username",
}  # fmt: skip
_ATTACHMENT_KEYS = {
    "actions", "attachment_type", "author_icon", "author_link", "author_name", "blocks", "callback_id", "color",
    "fallback", "fields", "footer", "footer_icon", "image_url", "mrkdwn_in", "pretext", "text", "thumb_url", "title",
    "title_link", "ts",
}  # fmt: skip


class Refusal(Exception):
    """A message Slack would refuse. `code` is what Slack answers; the text says where and why, which Slack does not."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code = code


def check_payload(payload: Any, known_file: Callable[[str], bool] | None = None) -> None:
    """Raises Refusal with Slack's own error code when Slack would not take the message.

    `known_file` tells whether a file may stand in an image block; without it none may.
    """
    if not isinstance(payload, dict):
        raise Refusal("invalid_payload", "not a JSON object")
    unknown = sorted(set(payload) - _MESSAGE_KEYS)
    if unknown:
        raise Refusal("invalid_arg_name", f"unknown key {unknown[0]!r}")
    text, blocks, attachments = (payload.get(key) for key in ("text", "blocks", "attachments"))
    if not (text or blocks or attachments):
        raise Refusal("no_text", "none of text, blocks and attachments is there")
    if text is not None and not isinstance(text, str):
        raise Refusal("invalid_payload", "text is no text")
    if text and _length(text) > MAX_MESSAGE_TEXT:
        raise Refusal("msg_too_long", f"text has {_length(text)} characters, more than {MAX_MESSAGE_TEXT}")
    checker = _Checker(known_file)
    if blocks is not None:
        checker.blocks("blocks", blocks)
    checker.attachments(attachments)
    if checker.count > MAX_BLOCKS:
        raise Refusal("invalid_blocks", f"{checker.count} blocks, more than {MAX_BLOCKS}")
    if "metadata" in payload:
        _metadata(payload["metadata"])


def _metadata(value: Any) -> None:
    # https://docs.slack.dev/messaging/message-metadata
    if not isinstance(value, dict) or not isinstance(value.get("event_type"), str):
        raise Refusal("invalid_metadata_format", "event_type is missing")
    if not isinstance(value.get("event_payload"), dict):
        raise Refusal("invalid_metadata_format", "event_payload is no object")
    if len(orjson.dumps(value)) > METADATA_BYTES:
        raise Refusal("metadata_too_large", f"more than {METADATA_BYTES} bytes")


class _Checker:
    def __init__(self, known_file: Callable[[str], bool] | None) -> None:
        self.count = 0
        self._known_file = known_file
        self._block_ids: set[str] = set()
        self._action_ids: set[str] = set()
        self._kinds: dict[str, Callable[[str, dict[str, Any]], None]] = {
            "section": self._section,
            "header": self._header,
            "divider": self._divider,
            "context": self._context,
            "actions": self._actions,
            "image": self._image,
        }

    def attachments(self, attachments: Any) -> None:
        if attachments is None:
            return
        if not isinstance(attachments, list) or not all(isinstance(a, dict) for a in attachments):
            raise Refusal("invalid_attachments", "attachments is no list of objects")
        if len(attachments) > MAX_ATTACHMENTS:
            raise Refusal("too_many_attachments", f"{len(attachments)} attachments, more than {MAX_ATTACHMENTS}")
        for i, attachment in enumerate(attachments):
            if not any(attachment.get(key) for key in ("blocks", "text", "fallback", "title", "pretext", "fields")):
                raise Refusal("no_text", f"attachments[{i}] holds nothing")
            unknown = sorted(set(attachment) - _ATTACHMENT_KEYS)
            if unknown:
                raise Refusal("invalid_attachments", f"attachments[{i}] has the unknown key {unknown[0]!r}")
            _legacy(f"attachments[{i}]", attachment)
            if "blocks" in attachment:
                self.blocks(f"attachments[{i}].blocks", attachment["blocks"])

    def blocks(self, where: str, blocks: Any) -> None:
        if not isinstance(blocks, list):
            _refuse(where, "is no list")
        self.count += len(blocks)
        for i, block in enumerate(blocks):
            at = f"{where}[{i}]"
            kind = block.get("type") if isinstance(block, dict) else None
            check = self._kinds.get(kind) if isinstance(kind, str) else None
            if check is None or not isinstance(block, dict):
                _refuse(at, f"has the type {kind!r}, which an incoming webhook does not take or this does not know")
            self._id(at, block, "block_id", BLOCK_ID, self._block_ids)
            check(at, block)

    def _section(self, at: str, block: dict[str, Any]) -> None:
        _keys(at, block, {"text", "fields", "accessory", "expand"})
        if not block.get("text") and not block.get("fields"):
            _refuse(at, "has neither text nor fields")
        if "text" in block:
            _text(f"{at}.text", block["text"], SECTION_TEXT)
        if "fields" in block:
            for i, item in enumerate(_list(f"{at}.fields", block["fields"], SECTION_FIELDS)):
                _text(f"{at}.fields[{i}]", item, SECTION_FIELD)
        if "accessory" in block:
            self._element(f"{at}.accessory", block["accessory"])

    def _header(self, at: str, block: dict[str, Any]) -> None:
        _keys(at, block, {"text"})
        _text(f"{at}.text", block.get("text"), HEADER_TEXT, plain=True)

    def _divider(self, at: str, block: dict[str, Any]) -> None:
        _keys(at, block, set())

    def _context(self, at: str, block: dict[str, Any]) -> None:
        _keys(at, block, {"elements"})
        for i, item in enumerate(_list(f"{at}.elements", block.get("elements"), CONTEXT_ELEMENTS)):
            if isinstance(item, dict) and item.get("type") == "image":
                _image_fields(f"{at}.elements[{i}]", item)
            else:
                _text(f"{at}.elements[{i}]", item, SECTION_TEXT)

    def _actions(self, at: str, block: dict[str, Any]) -> None:
        _keys(at, block, {"elements"})
        for i, item in enumerate(_list(f"{at}.elements", block.get("elements"), ACTIONS_ELEMENTS)):
            self._element(f"{at}.elements[{i}]", item)

    def _image(self, at: str, block: dict[str, Any]) -> None:
        _keys(at, block, {"image_url", "slack_file", "alt_text", "title"})
        self._picture(at, block)
        if "title" in block:
            _text(f"{at}.title", block["title"], IMAGE_TITLE, plain=True)

    def _element(self, at: str, element: Any) -> None:
        kind = element.get("type") if isinstance(element, dict) else None
        if kind == "image":
            _image_fields(at, element)
            return
        if kind != "button":
            _refuse(at, f"has the type {kind!r}, which this does not know")
        _keys(at, element, {"text", "action_id", "url", "value", "style", "confirm", "accessibility_label"})
        _text(f"{at}.text", element.get("text"), BUTTON_TEXT, plain=True)
        self._id(at, element, "action_id", ACTION_ID, self._action_ids)
        for key, limit in (("url", BUTTON_URL), ("value", BUTTON_VALUE)):
            if key in element:
                _string(f"{at}.{key}", element[key], limit)
        if "confirm" in element:
            _confirm(f"{at}.confirm", element["confirm"])
        if element.get("style", "primary") not in ("primary", "danger"):
            _refuse(f"{at}.style", "is neither primary nor danger")

    def _picture(self, at: str, value: dict[str, Any]) -> None:
        _image_fields(at, value)
        if "slack_file" in value:
            file = value["slack_file"]
            name = file.get("id") if isinstance(file, dict) else None
            if not isinstance(name, str) or self._known_file is None or not self._known_file(name):
                _refuse(f"{at}.slack_file", "is no picture that was uploaded")

    def _id(self, at: str, holder: dict[str, Any], key: str, limit: int, seen: set[str]) -> None:
        if key not in holder:
            return
        value = _string(f"{at}.{key}", holder[key], limit)
        if value in seen:
            _refuse(f"{at}.{key}", f"{value!r} is there twice")
        seen.add(value)


def _confirm(at: str, value: Any) -> None:
    if not isinstance(value, dict):
        _refuse(at, "is no object")
    limits = (("title", CONFIRM_TITLE), ("text", CONFIRM_TEXT), ("confirm", CONFIRM_BUTTON), ("deny", CONFIRM_BUTTON))
    for key, limit in limits:
        _text(f"{at}.{key}", value.get(key), limit, plain=True)


def _legacy(at: str, attachment: dict[str, Any]) -> None:
    # https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments
    fields, actions = attachment.get("fields", []), attachment.get("actions", [])
    if not isinstance(fields, list) or not all(isinstance(field, dict) for field in fields):
        raise Refusal("invalid_attachments", f"{at}.fields is no list of objects")
    if not isinstance(actions, list) or len(actions) > LEGACY_ACTIONS:
        raise Refusal("invalid_attachments", f"{at}.actions is no list of at most {LEGACY_ACTIONS}")
    for action in actions:
        if not isinstance(action, dict) or not action.get("type") or not (action.get("url") or action.get("name")):
            raise Refusal("invalid_attachments", f"{at}.actions has one without type, or without url and name")
    for key in ("color", "fallback", "text", "title", "title_link", "pretext", "footer", "callback_id"):
        if not isinstance(attachment.get(key, ""), str):
            raise Refusal("invalid_attachments", f"{at}.{key} is no text")


def _text(at: str, value: Any, limit: int, *, plain: bool = False) -> None:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in ("plain_text", "mrkdwn"):
        _refuse(at, "is no text object")
    if plain and kind != "plain_text":
        _refuse(at, "must be plain_text")
    _keys(at, value, {"text", "emoji"} if kind == "plain_text" else {"text", "verbatim"})
    for key in ("emoji", "verbatim"):
        if key in value and not isinstance(value[key], bool):
            _refuse(f"{at}.{key}", "is neither true nor false")
    _string(f"{at}.text", value.get("text"), limit)


def _image_fields(at: str, value: dict[str, Any]) -> None:
    if "slack_file" not in value:
        _string(f"{at}.image_url", value.get("image_url"), IMAGE_URL)
    _string(f"{at}.alt_text", value.get("alt_text"), IMAGE_ALT)


def _list(at: str, value: Any, limit: int) -> list[Any]:
    if not isinstance(value, list) or not value:
        _refuse(at, "is no list with something in it")
    if len(value) > limit:
        _refuse(at, f"has {len(value)} elements, more than {limit}")
    return list(value)


def _string(at: str, value: Any, limit: int) -> str:
    if not isinstance(value, str) or not value.strip():
        _refuse(at, "is no text, or an empty one")
    if _length(value) > limit:
        _refuse(at, f"has {_length(value)} characters, more than {limit}")
    return str(value)


def _keys(at: str, value: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(set(value) - known - {"type", "block_id"})
    if unknown:
        _refuse(at, f"has the unknown key {unknown[0]!r}")


def _length(text: str) -> int:
    # as the strictest reader counts: an emoji outside the basic plane is two
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _refuse(at: str, why: str) -> NoReturn:
    raise Refusal("invalid_blocks", f"{at} {why}")
