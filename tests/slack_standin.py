"""The stand-in for Slack, for tests: it ships in the package because the demo needs it as well."""

from __future__ import annotations

from alerting.standin import ReceivedMessage, Refusal, SlackStandin, check_payload, render_plain

__all__ = ["ReceivedMessage", "Refusal", "SlackStandin", "check_payload", "render_plain"]
