"""Slack's way in: what it may ask, and the routes it asks at."""

from app.api.slack.parts import SlackParts
from app.api.slack.slos import SlackSlos

__all__ = ["SlackParts", "SlackSlos"]
