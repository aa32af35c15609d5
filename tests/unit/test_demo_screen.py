"""What the demo prints, and which messages it counts."""

from __future__ import annotations

import io
from datetime import UTC, datetime

from rich.console import Console

from alerting.standin import ReceivedMessage
from app.demo.screen import Screen
from app.demo.story import Inbox


def screen(*, terminal: bool) -> tuple[Screen, io.StringIO]:
    """A screen of 40 columns, and what is written to it."""
    out = io.StringIO()
    return Screen(Console(file=out, force_terminal=terminal, width=40, highlight=False, color_system=None)), out


def message(text: str) -> ReceivedMessage:
    """A message as the stand-in hands it on."""
    section = {"type": "section", "text": {"type": "mrkdwn", "text": text}}
    return ReceivedMessage(datetime.now(UTC), "/", {"text": text, "blocks": [section], "channel": "#shop"})


def test_without_a_terminal_there_are_plain_lines() -> None:
    """In a log every line is whole, has no escape codes, and a message stands behind a simple bar."""
    shown, out = screen(terminal=False)
    shown.say("x" * 60, "bold red")
    shown.box("Slack #shop", "one\ntwo", "red")
    assert out.getvalue().splitlines() == [
        "   0.0 s  " + "x" * 60,
        "   0.0 s  Slack #shop",
        "    | one",
        "    | two",
    ]


def test_a_terminal_shows_a_frame() -> None:
    """On a terminal a message is framed, with its title in the frame."""
    shown, out = screen(terminal=True)
    shown.box("Slack #shop", "one", "red")
    assert out.getvalue().startswith("╭─ Slack #shop ─")


def test_text_is_never_markup() -> None:
    """Square brackets in log lines and queries are printed as they are."""
    shown, out = screen(terminal=True)
    shown.say("rate(x[10s]) [bold]")
    assert "rate(x[10s]) [bold]" in out.getvalue()


def test_a_resolved_message_counts_only_after_a_firing_one() -> None:
    """A resolved message of an incident before the demo's own is shown and not counted."""
    inbox = Inbox(screen(terminal=False)[0])
    inbox.take(message("✅ Resolved: x"))
    assert inbox.missing == ["the firing message", "the resolved message"]
    inbox.take(message("🔴 x burns at 20×"))
    assert inbox.missing == ["the resolved message"]
    inbox.take(message("✅ Resolved: x"))
    assert inbox.missing == []
