"""Slack's text markup: escaping, links and dates, each held to a length that cannot cut markup in two."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
LONGEST_URL = 2500
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Signs that turn the direction of what comes after them, to the end of a line that is not all theirs."""
_CALLS = re.compile(r"(?<![\w.+-])@(?=\w)")
"""`@here` in plain text: Slack takes some for mentions (https://docs.slack.dev/reference/block-kit, `verbatim`)."""
_MARKED_DATE = re.compile(r"<!date\^[^|>]*\|([^>]*)>")
_MARKED_LINK = re.compile(r"<([^|>]+)\|([^>]*)>")


def units(text: str) -> int:
    """The length of a text as the strictest reader counts it: in UTF-16 units, so that an emoji is two."""
    return len(text) + sum(char > "\uffff" for char in text)


def clean(text: str) -> str:
    """The text without control characters, lone surrogates and turns of direction, and without space around it."""
    kept = (
        char if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs") else " "
        for char in _TURNS.sub("", text).replace("\r\n", "\n")
    )
    return "".join(kept).strip()


def fit(text: str, limit: int) -> str:
    """The cleaned text, cut to a length with an ellipsis where needed."""
    return _cut(clean(text), limit, {})


def escaped(text: str, limit: int) -> str:
    """As `fit`, with Slack's three control characters escaped and counted as what they become; it calls nobody."""
    return _cut(_CALLS.sub("@\u2060", clean(text)), limit, _ENTITIES)


def bold(text: str, limit: int) -> str:
    """A text in bold, on one line. An asterisk within would end it."""
    return f"*{escaped(_one_line(text).replace('*', '∗'), limit - 2) or '-'}*"


def code(text: str, limit: int) -> str:
    """A text as code, on one line. A backtick within would end it."""
    return f"`{escaped(_one_line(text).replace('`', 'ˋ'), limit - 2) or ' '}`"


def link(url: str, label: str) -> str:
    """A link, or "" when the URL is none that a person can follow."""
    try:
        usable = urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname)
    except ValueError:
        usable = False
    if not usable:
        return ""
    # what would end the markup, or is not ASCII, is percent-encoded; what is encoded already stays
    safe = quote(clean(url), safe=":/?#[]@!$&'()*+,;=%-._~").replace("&", "&amp;")
    return f"<{safe}|{escaped(_one_line(label).replace('|', '/'), 75)}>" if len(safe) <= LONGEST_URL else ""


def date(at: datetime) -> str:
    """A time that Slack shows in each reader's own zone, with UTC for clients that cannot."""
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time_secs}}|{utc(at)}>"


def minute(at: datetime) -> str:
    """As `date`, without seconds: a time to come."""
    shown = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time}}|{shown}>"


def utc(at: datetime) -> str:
    """A time in UTC, for a person."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def joined(texts: Sequence[str], limit: int) -> str:
    """Marked-up texts with dots between them, without those that have no room."""
    out = ""
    for text in texts:
        more = f"{out} · {text}" if out else text
        if text and units(more) <= limit:
            out = more
    return out


def fit_marked(text: str, limit: int) -> str:
    """A marked-up text of ours, whole, or without its markup where it has to be cut."""
    return text if units(text) <= limit else escaped(plain(text), limit)


def plain(text: str) -> str:
    """A marked-up text of ours without its markup."""
    return unescaped(_MARKED_LINK.sub(r"\2", _MARKED_DATE.sub(r"\1", text)).replace("*", "").replace("`", ""))


def unescaped(text: str) -> str:
    """A text as somebody typed it, of what Slack sends."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cut(text: str, limit: int, entities: dict[str, str]) -> str:
    whole = text
    for char, entity in entities.items():
        whole = whole.replace(char, entity)
    if units(whole) <= limit:
        return whole
    out: list[str] = []
    left = limit - 1
    for char in text:
        piece = entities.get(char, char)
        left -= units(piece)
        if left < 0:
            break
        out.append(piece)
    return "".join(out) + "…"
