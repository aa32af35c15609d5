"""Messages as HTML, drawn the way Slack's desktop client draws their blocks."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_DATE = re.compile(r"&lt;!date\^(\d+)\^[^|]*\|([^&]*)&gt;")
_LINK = re.compile(r"&lt;(https?://[^|]*?)\|(.*?)&gt;")
_MENTION = re.compile(r"&lt;(@\w+|![a-z]+)(?:\|[^&]*)?&gt;")
_BOLD = re.compile(r"(?<![\w*])\*([^*\n]+)\*(?![\w*])")
_CODE = re.compile(r"`([^`\n]+)`")

STYLE = """
body{margin:0;background:#fff;font:15px/1.46
 'Lato','Liberation Sans','DejaVu Sans Condensed','Noto Color Emoji',sans-serif;color:#1d1c1d}
.channel{padding:14px 20px 18px;width:720px}
.message{display:flex;gap:8px;margin-bottom:10px}
.face{flex:0 0 36px;height:36px;border-radius:6px;background:#123a5a;color:#fff;font-weight:700;text-align:center;
 line-height:36px}
.main{flex:1;min-width:0}.who{font-weight:900}.app{background:#e8e8e8;border-radius:2px;color:#616061;font-size:10px;
 font-weight:700;padding:1px 3px;margin-left:5px;vertical-align:2px}.time{color:#616061;font-size:12px;margin-left:6px}
.edited{color:#616061;font-size:12px}
h3{font-size:18px;line-height:1.3;margin:5px 0 6px;font-weight:900}
.attachment{border-left:4px solid;border-radius:2px;padding-left:12px}
.block{margin:6px 0;overflow-wrap:anywhere}.fields{display:grid;grid-template-columns:1fr 1fr;gap:8px 16px}
.context{color:#616061;font-size:13px}
code{border:1px solid #e0e0e0;background:#f8f8f8;border-radius:3px;color:#c01343;font:12px 'DejaVu Sans Mono',monospace;
 padding:1px 3px}
a{color:#1264a3;text-decoration:none}img{display:block;width:540px;border:1px solid #e4e4e4;border-radius:8px}
.button{display:inline-block;border:1px solid #bbb;border-radius:4px;font-size:13px;font-weight:700;padding:4px 11px;
 margin:2px 6px 2px 0}.primary{background:#007a5a;border-color:#007a5a;color:#fff}
.thread{border-top:1px solid #e4e4e4;margin:4px 0 0 44px;padding-top:10px}.thread .message{margin-bottom:8px}
.replies{color:#1264a3;font-size:13px;font-weight:700;margin:6px 0 2px 44px}
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """A message, when it came, and the replies in its thread."""

    payload: Mapping[str, Any]
    at: str
    edited: bool = False
    replies: Sequence[Shown] = ()


def page(messages: Sequence[Shown], files: Mapping[str, bytes] | None = None) -> str:
    """A channel with some messages as an HTML page. `files` are pictures by id."""
    body = "".join(_message(one, files or {}) for one in messages)
    return f"<!doctype html><meta charset=utf-8><style>{STYLE}</style><div class=channel>{body}</div>"


def _message(one: Shown, files: Mapping[str, bytes]) -> str:
    parts = [_block(block, files) for block in one.payload.get("blocks", [])]
    if not parts and one.payload.get("text"):
        parts = [f"<div class=block>{_marked(one.payload['text'])}</div>"]
    for attachment in one.payload.get("attachments", []):
        inner = "".join(_block(block, files) for block in attachment.get("blocks", []))
        parts.append(f'<div class=attachment style="border-color:{attachment["color"]}">{inner}</div>')
    edited = " <span class=edited>(edited)</span>" if one.edited else ""
    replies = ""
    if one.replies:
        count = f"{len(one.replies)} {'reply' if len(one.replies) == 1 else 'replies'}"
        inner = "".join(_message(reply, files) for reply in one.replies)
        replies = f"<div class=replies>{count}</div><div class=thread>{inner}</div>"
    return (
        "<div class=message><div class=face>W</div><div class=main><span class=who>Watchhouse</span>"
        f"<span class=app>APP</span><span class=time>{one.at}</span>{''.join(parts)}{edited}</div></div>{replies}"
    )


def _block(block: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    kind = block["type"]
    if kind == "header":
        return f"<h3>{html.escape(block['text']['text'])}</h3>"
    if kind == "section":
        text = f"<div class=block>{_object(block['text'])}</div>" if "text" in block else ""
        cells = "".join(f"<div>{_object(item)}</div>" for item in block.get("fields", []))
        return text + (f"<div class='block fields'>{cells}</div>" if cells else "")
    if kind == "context":
        return f"<div class='block context'>{' '.join(_object(item) for item in block['elements'])}</div>"
    if kind == "actions":
        buttons = (
            f"<span class='button {item.get('style', '')}'>{html.escape(item['text']['text'])}</span>"
            for item in block["elements"]
        )
        return f"<div class=block>{''.join(buttons)}</div>"
    if kind == "image":
        data = base64.b64encode(files[block["slack_file"]["id"]]).decode()
        return f'<div class=block><img src="data:image/png;base64,{data}"></div>'
    return "<hr>"


def _object(value: Mapping[str, Any]) -> str:
    return _marked(value["text"]) if value["type"] == "mrkdwn" else html.escape(value["text"])


def _marked(text: str) -> str:
    # what is escaped for Slack is shown as itself; its own markup is in bare < and >
    text = html.escape(text).replace("&amp;lt;", "&#60;").replace("&amp;gt;", "&#62;").replace("&amp;amp;", "&amp;")
    text = _DATE.sub(lambda found: _in_words(found.group(2)), text)
    text = _LINK.sub(r'<a href="\1">\2</a>', text)
    text = _MENTION.sub(r"<b>\1</b>", text)
    text = _BOLD.sub(r"<b>\1</b>", _CODE.sub(r"<code>\1</code>", text))
    return text.replace("\n", "<br>")


def _in_words(utc: str) -> str:
    # as a reader in UTC sees {date_short_pretty} {time}
    day, clock, *_ = utc.split(" ")
    return f"today at {clock[:5]}" if day == "2026-03-03" else f"{day} at {clock[:5]}"
