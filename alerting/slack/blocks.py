"""Block Kit by slack_sdk's models, with every text fitted to what Slack takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slack_sdk.models.blocks import (
    ActionsBlock,
    ButtonElement,
    ContextBlock,
    HeaderBlock,
    ImageBlock,
    InteractiveElement,
    MarkdownTextObject,
    PlainTextObject,
    SectionBlock,
)
from slack_sdk.models.blocks.basic_components import SlackFile

from alerting.slack import mrkdwn

Block = dict[str, Any]

# https://docs.slack.dev/reference/block-kit/blocks
HEADER_LIMIT, TEXT_LIMIT, FIELD_LIMIT, MAX_FIELDS, MAX_ELEMENTS = 150, 3000, 2000, 10, 10
ALT_LIMIT, BUTTON_TEXT_LIMIT, VALUE_LIMIT, URL_LIMIT = 2000, 75, 2000, 3000
MAX_BLOCKS = 50


def header(text: str) -> Block:
    """One line, large."""
    line = " ".join(mrkdwn.clean(text).split())
    return dict(HeaderBlock(text=PlainTextObject(text=mrkdwn.fit(line, HEADER_LIMIT) or "-", emoji=True)).to_dict())


def section(text: str) -> Block:
    """A section of marked-up text, which is at most 3,000 characters."""
    return dict(SectionBlock(text=MarkdownTextObject(text=text)).to_dict())


def fields(texts: Sequence[str]) -> Block:
    """Up to ten short texts in two columns."""
    return dict(SectionBlock(fields=[MarkdownTextObject(text=text) for text in texts[:MAX_FIELDS]]).to_dict())


def context(texts: Sequence[str]) -> Block:
    """Small grey texts, at most ten."""
    return dict(ContextBlock(elements=[MarkdownTextObject(text=text) for text in texts[:MAX_ELEMENTS]]).to_dict())


def image(alt: str, *, url: str = "", file: str = "") -> Block:
    """A picture by its URL, or one that was uploaded by its file's id."""
    where = {"slack_file": SlackFile(id=file)} if file else {"image_url": url}
    return dict(ImageBlock(alt_text=mrkdwn.fit(alt, ALT_LIMIT) or "picture", **where).to_dict())


def button(text: str, action: str, value: str, *, primary: bool = False) -> ButtonElement:
    """A button that tells us `value`."""
    return ButtonElement(
        text=PlainTextObject(text=mrkdwn.fit(text, BUTTON_TEXT_LIMIT), emoji=True),
        action_id=action,
        value=value,
        style="primary" if primary else None,
    )


def actions(elements: Sequence[InteractiveElement], block_id: str) -> Block:
    """A row of buttons."""
    return dict(ActionsBlock(block_id=block_id, elements=list(elements)).to_dict())


def sections(lines: Sequence[str]) -> list[Block]:
    """Marked-up lines in as few sections as hold them; each line must fit one."""
    blocks, text = [], ""
    for line in lines:
        if text and mrkdwn.units(text) + mrkdwn.units(line) + 1 > TEXT_LIMIT:
            blocks.append(section(text))
            text = ""
        text = f"{text}\n{line}" if text else line
    return [*blocks, section(text)]
