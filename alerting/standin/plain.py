"""A Slack message as text for a terminal."""

from __future__ import annotations

import re
from typing import Any

_DATE = re.compile(r"<!date\^[^|>]*\|([^>]*)>")
_LINK = re.compile(r"<([^|>]+)\|([^>]*)>")
_BOLD = re.compile(r"(?<!\w)\*([^*\n]+)\*(?!\w)")
_CODE = re.compile(r"`([^`\n]*)`")
BAR = "┃ "


def render_plain(payload: dict[str, Any]) -> str:
    """The message in lines, attachments behind a bar. Shows what Slack would show, without colours."""
    lines = _blocks(payload.get("blocks") or [])
    if not lines and payload.get("text"):
        lines = _marked(payload["text"]).splitlines()
    for attachment in payload.get("attachments") or []:
        inner = _blocks(attachment.get("blocks") or [])
        inner = inner or _marked(attachment.get("text") or attachment.get("fallback") or "").splitlines()
        lines += [BAR + line for line in inner]
    return "\n".join(lines)


def _blocks(blocks: list[dict[str, Any]]) -> list[str]:
    lines: list[str] = []
    for block in blocks:
        kind = block.get("type")
        if kind == "divider":
            lines.append("─" * 40)
        elif kind == "header":
            lines.append(block["text"]["text"])
        elif kind == "section":
            lines += _object(block.get("text"))
            lines += [": ".join(_object(field)) for field in block.get("fields", [])]
        elif kind == "context":
            lines += [" ".join(_object(element)) for element in block.get("elements", [])]
        elif kind == "actions":
            lines += [f"[{e['text']['text']}] {e.get('url', '')}".rstrip() for e in block.get("elements", [])]
        elif kind == "image":
            lines.append(f"({block.get('alt_text', 'image')})")
    return lines


def _object(value: dict[str, Any] | None) -> list[str]:
    if not value:
        return []
    text = str(value.get("text") or value.get("alt_text") or "")
    return (_marked(text) if value.get("type") == "mrkdwn" else text).splitlines()


def _marked(text: str) -> str:
    text = _DATE.sub(r"\1", text)
    text = _LINK.sub(r"\2 (\1)", text)
    text = _BOLD.sub(r"\1", _CODE.sub(r"\1", text))
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
