"""Slack's way in: what it may ask, and the routes it asks at."""

from app.api.slack.routes import slack_router
from app.api.slack.slos import SlackSlos
from app.api.slack.world import SlackWorld

__all__ = ["SlackSlos", "SlackWorld", "slack_router"]
