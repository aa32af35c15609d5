"""The body of a message: ours, or, where the configuration has words of its own, the one Alertmanager sends."""

from __future__ import annotations

from typing import Any

from alerting.notify.base import Notification
from alerting.notify.rendering import Renderer
from alerting.receivers import SlackConfig
from alerting.slack.extras import NOTHING, Extras
from alerting.slack.legacy import addressed, given, is_own, legacy_message
from alerting.slack.message import OwnWords, fallback, rich_message
from alerting.slack.mrkdwn import clean
from alerting.slack.room import SlackRoom
from alerting.slack.state import GroupState


class Words:
    """Makes the messages of one `slack_configs` entry. Its methods raise NotifyError when a template fails."""

    def __init__(self, config: SlackConfig, renderer: Renderer, room: SlackRoom) -> None:
        self.config = config
        self.own = is_own(config)
        """Whether the message is the user's: then nothing is to be found out for it."""
        self._renderer = renderer
        self._room = room

    def channel(self, notification: Notification) -> str:
        """Where it goes, "" for a webhook's own channel."""
        return self._renderer.of(notification).text(self.config.channel)

    def payload(self, notification: Notification, extras: Extras = NOTHING, *, group: str = "") -> dict[str, Any]:
        """What is posted, without timestamps and metadata."""
        config, expand = self.config, self._renderer.of(notification).text
        if self.own:
            return legacy_message(config, expand)
        above = [text for key in ("message_text", "pretext") if (text := clean(expand(given(config, key))))]
        own = OwnWords("\n".join(above), expand(given(config, "footer")), expand(given(config, "color")))
        return {
            **addressed(config, expand, defaults=False),
            **rich_message(notification, self._room.look, extras, group=group, own=own),
        }

    def plain(self, notification: Notification) -> dict[str, Any]:
        """The same as text alone, for when Slack refuses the rest."""
        expand = self._renderer.of(notification).text
        return {
            **addressed(self.config, expand, defaults=self.own),
            "text": fallback(GroupState.of(notification)),
        }
