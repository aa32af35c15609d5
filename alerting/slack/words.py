"""The body of a message: ours, or, where the configuration has words of its own, the one Alertmanager sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alerting.notify.base import Notification, NotifyError
from alerting.receivers import SlackConfig
from alerting.slack.extras import NOTHING, Extras
from alerting.slack.legacy import addressed, given, is_own, legacy_message
from alerting.slack.message import OwnWords, fallback, rich_message
from alerting.slack.mrkdwn import clean
from alerting.slack.room import SlackRoom
from alerting.slack.state import GroupState
from app.errors import WatchhouseError


Expander = Callable[[str, Notification], str]
"""Fills in the Go templates of a configuration. Raises WatchhouseError."""


class Words:
    """Makes the messages of one `slack_configs` entry."""

    def __init__(self, config: SlackConfig, expand: Expander, room: SlackRoom) -> None:
        self.config = config
        self._expand = expand
        self.own = is_own(config)
        """Whether the message is the user's: then nothing is to be found out for it."""
        self._room = room

    def channel(self, notification: Notification) -> str:
        """Where it goes, "" for a webhook's own channel. Raises NotifyError."""
        return self._expanded(self.config.channel, notification)

    def payload(self, notification: Notification, extras: Extras = NOTHING, *, group: str = "") -> dict[str, Any]:
        """What is posted, without timestamps and metadata. Raises NotifyError when a template of it fails."""
        config = self.config

        def expand(template: str) -> str:
            return self._expanded(template, notification)

        if self.own:
            return legacy_message(config, expand)
        above = "\n".join(text for key in ("message_text", "pretext") if (text := clean(expand(given(config, key)))))
        own = OwnWords(above, expand(given(config, "footer")), expand(given(config, "color")))
        return {
            **addressed(config, lambda text: "" if "slack.default." in text else expand(text)),
            **rich_message(notification, self._room.look, extras, group=group, own=own),
        }

    def plain(self, notification: Notification) -> dict[str, Any]:
        """The same as text alone, for when Slack refuses the rest."""
        return {
            **addressed(self.config, lambda text: "" if "{{" in text else text),
            "text": fallback(GroupState.of(notification)),
        }

    def _expanded(self, template: str, notification: Notification) -> str:
        if "{{" not in template:
            return template
        try:
            return self._expand(template, notification)
        except WatchhouseError as error:
            raise NotifyError(f"a template of slack_configs fails: {error}", "misconfigured", retry=False) from None
