"""A Slack message for a group of alerts, within Slack's limits whatever the alerts hold."""

from __future__ import annotations

import itertools
from typing import Any

from alerting.notify import mrkdwn
from alerting.notify.base import Notification
from alerting.notify.slack_alert import Block, alert_blocks, alert_line, is_page, name_of, section
from alerting.receivers import SlackConfig
from alerting.templates import plain
from app.alert import Alert

MAX_ALERTS_SHOWN = 8
HEADER_LIMIT, TEXT_LIMIT, FIELD_LIMIT, MAX_FIELDS = 150, 3000, 2000, 10
RED, ORANGE, GREEN = "#d50200", "#e8912d", "#2eb67d"


def slack_message(notification: Notification, config: SlackConfig, external_url: str) -> dict[str, Any]:
    """The JSON to post. A header above, the alerts beside a bar of colour, and a text with the same numbers."""
    payload: dict[str, Any] = {
        "text": _fallback(notification, config),
        "blocks": _head(notification, config),
        "attachments": [{"color": _color(notification, config), "blocks": _body(notification, config, external_url)}],
    }
    for key in ("channel", "username", "icon_emoji", "icon_url"):
        if text := plain(getattr(config, key)):
            payload[key] = text
    if config.link_names:
        payload["link_names"] = True
    return payload


def _head(notification: Notification, config: SlackConfig) -> list[Block]:
    title = mrkdwn.fit(plain(config.title), HEADER_LIMIT) or mrkdwn.fit(_title(notification), HEADER_LIMIT)
    # a header is one line
    blocks: list[Block] = [
        {"type": "header", "text": {"type": "plain_text", "text": " ".join(title.split()), "emoji": True}}
    ]
    for text in (plain(config.pretext), plain(config.message_text)):
        if mrkdwn.clean(text):
            blocks.append(section(_own_words(text)))
    return blocks


def _body(notification: Notification, config: SlackConfig, external_url: str) -> list[Block]:
    blocks: list[Block] = []
    if mrkdwn.clean(plain(config.text)):
        blocks.append(section(_own_words(config.text)))
    blocks += _own_fields(config)
    shown, rest = _pick(notification)
    detailed = len(shown) == 1
    blocks += itertools.chain.from_iterable(
        alert_blocks(alert, notification, external_url, detailed=detailed) for alert in shown
    )
    foot = [_rest(rest, notification), _own_links(config), mrkdwn.escaped(plain(config.footer), 300)]
    if any(foot):
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": text} for text in foot if text]})
    return blocks


def _pick(notification: Notification) -> tuple[list[Alert], list[Alert]]:
    """The alerts to show, pages first and resolved ones last, and those that are only counted."""
    now = notification.now
    ordered = sorted(notification.alerts, key=lambda a: (a.resolved_at(now), not is_page(a), a.starts_at))
    return ordered[:MAX_ALERTS_SHOWN], ordered[MAX_ALERTS_SHOWN:]


def _rest(rest: list[Alert], notification: Notification) -> str:
    resolved = sum(a.resolved_at(notification.now) for a in rest)
    counts = [f"{len(rest) - resolved} more firing"] if len(rest) > resolved else []
    counts += [f"{resolved} more resolved"] if resolved else []
    return "and " + ", ".join(counts) if counts else ""


def _title(notification: Notification) -> str:
    first = _pick(notification)[0][0]
    names = {name_of(a) for a in notification.alerts}
    subject = name_of(first) if len(names) == 1 else ", ".join(value for _, value in notification.group_labels)
    firing, resolved = len(notification.firing), len(notification.resolved)
    if not firing:
        return f"🟢 Resolved: {subject or notification.receiver}" + (f" ({resolved} alerts)" if resolved > 1 else "")
    sign = "🔴" if any(map(is_page, notification.firing)) else "🟠"
    counts = f" ({firing} firing" + (f", {resolved} resolved)" if resolved else ")") if firing + resolved > 1 else ""
    return f"{sign} Firing: {subject or notification.receiver}{counts}"


def _color(notification: Notification, config: SlackConfig) -> str:
    own = plain(config.color).strip()
    if own:
        return own[:20]
    if notification.status == "resolved":
        return GREEN
    return RED if any(map(is_page, notification.firing)) else ORANGE


def _fallback(notification: Notification, config: SlackConfig) -> str:
    own = mrkdwn.escaped(plain(config.fallback), TEXT_LIMIT)
    if own:
        return own
    shown, rest = _pick(notification)
    lines = [mrkdwn.escaped(alert_line(alert, notification), 340) for alert in shown]
    return "\n".join([*lines, *([_rest(rest, notification)] if rest else [])])


def _own_words(text: str) -> str:
    """A text of the configuration: its author may use Slack's markup, so it is cut and not escaped."""
    return mrkdwn.fit(text, TEXT_LIMIT)


def _own_fields(config: SlackConfig) -> list[Block]:
    texts = [
        f"{mrkdwn.bold(field.title, 300)}\n{mrkdwn.fit(field.value, FIELD_LIMIT - 310) or '-'}"
        for field in config.fields[:MAX_FIELDS]
        if plain(field.title) and plain(field.value)
    ]
    return [{"type": "section", "fields": [{"type": "mrkdwn", "text": text} for text in texts]}] if texts else []


def _own_links(config: SlackConfig) -> str:
    found = [mrkdwn.link(plain(config.title_link), "Details")]
    found += [mrkdwn.link(plain(action.url), plain(action.text) or "Link") for action in config.actions[:2]]
    return " · ".join(text for text in found if text)[:TEXT_LIMIT]
