"""A local stand-in for Slack's incoming webhook: refuses what Slack refuses, keeps and shows what it takes.

docs/alerting.md says what it does not check.
"""

from alerting.standin.plain import render_plain
from alerting.standin.rules import Refusal, check_payload
from alerting.standin.server import ReceivedMessage, SlackStandin

__all__ = ["ReceivedMessage", "Refusal", "SlackStandin", "check_payload", "render_plain"]
