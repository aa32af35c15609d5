"""The stand-in refuses what Slack refuses, with Slack's error codes."""

from __future__ import annotations

from typing import Any

import pytest

from alerting.standin import Refusal, Workspace, check_payload, render_plain
from alerting.standin.workspace import ApiError


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


LEGACY_ACTION = {"type": "button", "text": "x", "url": "https://x"}
MORE_REFUSED: dict[str, tuple[str, Any]] = {
    "unknown_message_key": ("invalid_arg_name", {"text": "t", "txt": 1}),
    "unknown_attachment_key": ("invalid_attachments", {"attachments": [{"text": "x", "colour": "red"}]}),
    "six_actions": ("invalid_attachments", {"attachments": [{"text": "x", "actions": [LEGACY_ACTION] * 6}]}),
    "action_to_nowhere": ("invalid_attachments", {"attachments": [{"text": "x", "actions": [{"type": "button"}]}]}),
    "metadata": ("invalid_metadata_format", {"text": "t", "metadata": {"event_type": "x"}}),
    "metadata_large": (
        "metadata_too_large", {"text": "t", "metadata": {"event_type": "x", "event_payload": {"a": "x" * 8000}}},
    ),
    "file_of_nobody": ("invalid_blocks", blocks({"type": "image", "slack_file": {"id": "F1"}, "alt_text": "y"})),
    "confirm": ("invalid_blocks", blocks({"type": "actions", "elements": [button(confirm={"title": text(3)})]})),
}  # fmt: skip


@pytest.mark.parametrize(("error", "payload"), MORE_REFUSED.values(), ids=MORE_REFUSED)
def test_refused_as_well(error: str, payload: Any) -> None:
    """Keys nobody knows, legacy attachments past their limits, metadata, files that were not uploaded."""
    with pytest.raises(Refusal) as caught:
        check_payload(payload)
    assert caught.value.code == error


def call(workspace: Workspace, method: str, token: str = "xoxb-standin", **arguments: Any) -> dict[str, Any]:
    """The answer of a method; an error as the real one has it."""
    try:
        return workspace.call(method, token, arguments)
    except ApiError as error:
        return {"ok": False, "error": error.code, "retry_after_s": error.retry_after_s}


def test_the_errors_of_methods() -> None:
    """Tokens, scopes, channels, messages of others and ids where Slack takes no names."""
    workspace = Workspace()
    workspace.add_channel("old", archived=True)
    workspace.add_channel("away", member=False)
    posted = call(workspace, "chat.postMessage", channel="alerts", text="a")
    there = {"channel": posted["channel"], "ts": posted["ts"]}
    said = {
        "no token": call(workspace, "auth.test", ""),
        "wrong token": call(workspace, "auth.test", "x"),
        "no method": call(workspace, "chat.sing"),
        "nowhere": call(workspace, "chat.postMessage", channel="x", text="a"),
        "archived": call(workspace, "chat.postMessage", channel="old", text="a"),
        "not a member": call(workspace, "chat.postMessage", channel="away", text="a"),
        "by name": call(workspace, "chat.update", channel="alerts", ts=posted["ts"], text="b"),
        "no message": call(workspace, "chat.update", channel=posted["channel"], ts="1.0", text="b"),
        "no thread": call(workspace, "chat.postMessage", channel="alerts", text="a", thread_ts="1.0"),
        "broadcast": call(workspace, "chat.postMessage", channel="alerts", text="a", reply_broadcast=True),
        "history by name": call(workspace, "conversations.history", channel="alerts"),
    }
    workspace.scopes.clear()
    said["scope"] = call(workspace, "chat.update", **there, text="b")
    assert {name: answer["error"] for name, answer in said.items()} == {
        "no token": "not_authed",
        "wrong token": "invalid_auth",
        "no method": "unknown_method",
        "nowhere": "channel_not_found",
        "archived": "is_archived",
        "not a member": "not_in_channel",
        "by name": "channel_not_found",
        "no message": "message_not_found",
        "no thread": "thread_not_found",
        "broadcast": "invalid_arguments",
        "history by name": "channel_not_found",
        "scope": "missing_scope",
    }


def test_timestamps_only_grow_and_rates_are_kept() -> None:
    """Of two messages a second the third is refused with the seconds to wait; edits and other channels are not."""
    now = 1_700_000_000.0
    workspace = Workspace(per_second=2.0, clock=lambda: now)
    workspace.add_channel("other")
    answers = [call(workspace, "chat.postMessage", channel="alerts", text="a") for _ in range(3)]
    assert [a["ok"] for a in answers] == [True, True, False]
    assert (answers[2]["error"], answers[2]["retry_after_s"]) == ("ratelimited", 1)
    assert call(workspace, "chat.postMessage", channel="other", text="a")["ok"]
    assert call(workspace, "chat.update", channel=answers[0]["channel"], ts=answers[0]["ts"], text="b")["ok"]
    now += 2
    later = call(workspace, "chat.postMessage", channel="alerts", text="a")
    assert answers[0]["ts"] < answers[1]["ts"] < later["ts"]


def test_uploads_are_whole_before_they_are_shown() -> None:
    """A file has the bytes that were announced, is completed, and is a picture: only then a message may have it."""
    workspace = Workspace()
    png = b"\x89PNG and more"
    image = {"type": "image", "alt_text": "x"}
    where = call(workspace, "files.getUploadURLExternal", filename="a.png", length=str(len(png)))
    message: dict[str, Any] = {
        "channel": "alerts",
        "text": "t",
        "blocks": [image | {"slack_file": {"id": where["file_id"]}}],
    }
    with pytest.raises(Refusal):
        call(workspace, "chat.postMessage", **message)
    with pytest.raises(ApiError):
        workspace.put_file(where["file_id"], png[:-1])
    workspace.put_file(where["file_id"], png)
    assert call(workspace, "files.completeUploadExternal", files=[{"id": where["file_id"]}])["ok"]
    assert call(workspace, "chat.postMessage", **message)["ok"]
    assert call(workspace, "files.getUploadURLExternal", filename="a.png")["error"] == "invalid_arguments"
