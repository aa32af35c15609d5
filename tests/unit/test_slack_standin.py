"""The stand-in refuses what Slack refuses, with Slack's error codes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.slack_standin import Refusal, check_payload, render_plain


def text(n: int, kind: str = "mrkdwn") -> dict[str, Any]:
    """A text object of n characters."""
    return {"type": kind, "text": "x" * n}


def button(**more: Any) -> dict[str, Any]:
    """A button."""
    return {"type": "button", "text": text(3, "plain_text")} | more


def blocks(*many: dict[str, Any]) -> dict[str, Any]:
    """A message of blocks."""
    return {"text": "t", "blocks": list(many)}


def section(n: int) -> dict[str, Any]:
    """A section of n characters."""
    return {"type": "section", "text": text(n)}


TAKEN = {
    "text": {"text": "hello"},
    "section_3000": blocks(section(3000)),
    "header_150": blocks({"type": "header", "text": text(150, "plain_text")}),
    "fifty": blocks(*[{"type": "divider"}] * 50),
    "fields": blocks({"type": "section", "fields": [text(2000)] * 10}),
    "context": blocks({"type": "context", "elements": [text(5)] * 10}),
    "actions": blocks({"type": "actions", "elements": [button(action_id="a", url="https://x"), button(action_id="b")]}),
    "image": blocks({"type": "image", "image_url": "https://x/y.png", "alt_text": "y"}),
    "attachment": {"attachments": [{"color": "good", "blocks": [section(1)]}]},
    "legacy": {"attachments": [{"fallback": "x", "text": "y"}]},
}
REFUSED: dict[str, tuple[str, Any]] = {
    "no_object": ("invalid_payload", []),
    "nothing": ("no_text", {}),
    "empty": ("no_text", {"text": ""}),
    "text_is_number": ("invalid_payload", {"text": 5}),
    "text_too_long": ("msg_too_long", {"text": "x" * 40_001}),
    "section_3001": ("invalid_blocks", blocks(section(3001))),
    "section_emoji": ("invalid_blocks", blocks({"type": "section", "text": {"type": "mrkdwn", "text": "😀" * 1501}})),
    "section_empty": ("invalid_blocks", blocks(section(0))),
    "section_of_nothing": ("invalid_blocks", blocks({"type": "section"})),
    "header_151": ("invalid_blocks", blocks({"type": "header", "text": text(151, "plain_text")})),
    "header_mrkdwn": ("invalid_blocks", blocks({"type": "header", "text": text(5)})),
    "fifty_one": ("invalid_blocks", blocks(*[{"type": "divider"}] * 51)),
    "fifty_one_in_all": (
        "invalid_blocks",
        blocks({"type": "divider"}) | {"attachments": [{"blocks": [section(1)] * 50}]},
    ),
    "fields_11": ("invalid_blocks", blocks({"type": "section", "fields": [text(5)] * 11})),
    "field_2001": ("invalid_blocks", blocks({"type": "section", "fields": [text(2001)]})),
    "context_11": ("invalid_blocks", blocks({"type": "context", "elements": [text(5)] * 11})),
    "context_empty": ("invalid_blocks", blocks({"type": "context", "elements": []})),
    "button_76": (
        "invalid_blocks",
        blocks({"type": "actions", "elements": [button() | {"text": text(76, "plain_text")}]}),
    ),
    "button_url": ("invalid_blocks", blocks({"type": "actions", "elements": [button(url="h" * 3001)]})),
    "action_twice": ("invalid_blocks", blocks({"type": "actions", "elements": [button(action_id="a")] * 2})),
    "block_id_twice": ("invalid_blocks", blocks(*[{"type": "divider", "block_id": "a"}] * 2)),
    "image_no_alt": ("invalid_blocks", blocks({"type": "image", "image_url": "https://x"})),
    "unknown_type": ("invalid_blocks", blocks({"type": "banner"})),
    "unknown_key": ("invalid_blocks", blocks(section(1) | {"colour": "red"})),
    "emoji_on_mrkdwn": ("invalid_blocks", blocks({"type": "section", "text": text(1) | {"emoji": True}})),
    "no_list": ("invalid_blocks", {"text": "t", "blocks": {}} | {"blocks": {"a": 1}}),
    "attachments_101": ("too_many_attachments", {"attachments": [{"text": "x"}] * 101}),
    "attachment_empty": ("no_text", {"attachments": [{"color": "good"}]}),
}


@pytest.mark.parametrize("payload", TAKEN.values(), ids=TAKEN)
def test_taken(payload: Any) -> None:
    """What keeps to the limits is taken."""
    check_payload(payload)


@pytest.mark.parametrize(("error", "payload"), REFUSED.values(), ids=REFUSED)
def test_refused(error: str, payload: Any) -> None:
    """What does not is refused with Slack's code."""
    with pytest.raises(Refusal) as caught:
        check_payload(payload)
    assert caught.value.code == error


def test_a_message_in_a_terminal() -> None:
    """Markup becomes plain text: links keep their address, dates are in UTC, entities are themselves."""
    section = {
        "type": "section",
        "text": {"type": "mrkdwn", "text": "*a* `b` <https://x?a&amp;b|c> <!date^1^{x}|d> &lt;e&gt;"},
    }
    payload = {"blocks": [{"type": "header", "text": text(2, "plain_text")}], "attachments": [{"blocks": [section]}]}
    assert render_plain(payload) == "xx\n┃ a b c (https://x?a&b) d <e>"
