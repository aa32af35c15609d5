"""The attachment Alertmanager sends, for a `slack_configs` entry with texts of its own: the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from alerting.receivers import SlackAction, SlackConfig

OWN_TEXTS = ("title", "title_link", "text", "fallback", "callback_id", "image_url", "thumb_url")
"""Keys that make the message the user's own. `pretext`, `color`, `footer` and the rest our message heeds, too."""
DEFAULTS = {
    "title": '{{ template "slack.default.title" . }}',
    "title_link": '{{ template "slack.default.titlelink" . }}',
    "pretext": '{{ template "slack.default.pretext" . }}',
    "text": '{{ template "slack.default.text" . }}',
    "fallback": '{{ template "slack.default.fallback" . }}',
    "callback_id": '{{ template "slack.default.callbackid" . }}',
    "footer": '{{ template "slack.default.footer" . }}',
    "color": '{{ template "slack.default.color" . }}',
    "username": '{{ template "slack.default.username" . }}',
    "icon_emoji": '{{ template "slack.default.iconemoji" . }}',
    "icon_url": '{{ template "slack.default.iconurl" . }}',
}
"""Alertmanager's (config/notifiers.go, DefaultSlackConfig)."""
_MRKDWN_IN = ("fallback", "pretext", "text")
_LONGEST_TITLE = 1024

Expand = Callable[[str], str]


def is_own(config: SlackConfig) -> bool:
    """Whether the message's words are the user's."""
    texts = any(given(config, key) for key in OWN_TEXTS)
    return texts or bool(config.fields) or bool(config.actions)


def given(config: SlackConfig, key: str) -> str:
    """The text of a key, "" where it is what Alertmanager has without it."""
    text: str = getattr(config, key)
    return "" if text.strip() == DEFAULTS.get(key, "") else text


def legacy_message(config: SlackConfig, expand: Expand) -> dict[str, Any]:
    """The body of chat.postMessage or of a webhook, in Alertmanager's order of keys (notify/slack/slack.go)."""

    def text(key: str) -> str:
        return expand(getattr(config, key) or DEFAULTS.get(key, ""))

    title = text("title")
    attachment: dict[str, Any] = {
        "title": title if len(title) <= _LONGEST_TITLE else f"{title[: _LONGEST_TITLE - 1]}…",
        "title_link": text("title_link"),
        "pretext": text("pretext"),
        "text": text("text"),
        "fallback": text("fallback"),
        "callback_id": text("callback_id"),
        "fields": [
            _present(
                title=expand(field.title),
                value=expand(field.value),
                short=config.short_fields if field.short is None else field.short,
            )
            for field in config.fields
        ],
        "actions": [_action(action, expand) for action in config.actions],
        "image_url": text("image_url"),
        "thumb_url": text("thumb_url"),
        "footer": text("footer"),
        "color": text("color"),
        "mrkdwn_in": list(config.mrkdwn_in or _MRKDWN_IN),
    }
    always = ("text", "fallback", "callback_id", "footer")
    return {
        **addressed(config, expand),
        **_present(text=text("message_text")),
        "attachments": [{key: value for key, value in attachment.items() if value or key in always}],
    }


def addressed(config: SlackConfig, expand: Expand, *, defaults: bool = True) -> dict[str, Any]:
    """Where it goes and who it seems to come from; without `defaults`, from the app itself unless told otherwise."""
    texts = {
        key: expand(given(config, key) or (DEFAULTS[key] if defaults else ""))
        for key in ("username", "icon_emoji", "icon_url")
    }
    return _present(channel=expand(config.channel), **texts, link_names=config.link_names)


def as_go(payload: Any) -> bytes:
    """JSON as Go's encoder writes it, HTML's characters escaped and a line end after it."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return f"{text}\n".encode("utf-8", "replace")


def _present(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value or (key == "short" and value is not None)}


def _action(action: SlackAction, expand: Expand) -> dict[str, Any]:
    # one with a url loses what is for a message action, as in Alertmanager
    link = bool(action.url)
    confirm = None if link else action.confirm
    texts = _present(
        type=expand(action.type),
        text=expand(action.text),
        url=expand(action.url) if link else "",
        style=expand(action.style),
        name="" if link else expand(action.name),
        value="" if link else expand(action.value),
    )
    if confirm is not None:
        texts["confirm"] = _present(
            text=expand(confirm.text),
            title=expand(confirm.title),
            ok_text=expand(confirm.ok_text),
            dismiss_text=expand(confirm.dismiss_text),
        )
    return texts
