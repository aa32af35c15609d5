"""The stand-in for Slack, for tests: it ships in the package because the demo needs it as well."""

from __future__ import annotations

from alerting.standin import (
    Message,
    Person,
    ReceivedMessage,
    Refusal,
    SlackStandin,
    Workspace,
    check_payload,
    render_plain,
)

__all__ = [
    "Message",
    "Person",
    "ReceivedMessage",
    "Refusal",
    "SlackStandin",
    "Workspace",
    "check_payload",
    "render_plain",
]
