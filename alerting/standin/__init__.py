"""A local stand-in for Slack: refuses what Slack refuses, keeps and shows what it takes, and presses our buttons.

docs/slack.md says what it does not check.
"""

from alerting.standin.person import Person
from alerting.standin.plain import render_plain
from alerting.standin.rules import Refusal, check_payload
from alerting.standin.server import ReceivedMessage, SlackStandin
from alerting.standin.workspace import Message, Workspace

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
