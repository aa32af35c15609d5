"""The manifest of the Slack app: what to paste at https://api.slack.com/apps?new_app=1."""

from __future__ import annotations

from typing import Any

import yaml

_MESSAGES = (
    "channels:history", "channels:read", "chat:write", "chat:write.customize", "chat:write.public", "files:read",
    "files:write", "groups:history", "groups:read",
)  # fmt: skip
SCOPES = tuple(sorted((*_MESSAGES, "app_mentions:read", "commands")))


def manifest(external_url: str | None, *, name: str = "Watchhouse", command: str = "/watchhouse") -> str:
    """YAML for an app whose buttons, commands and mentions lead to `external_url`, which Slack must reach by HTTPS.

    Without one the app has messages only.
    """
    bot_user = {"display_name": name, "always_online": True}
    settings = {"org_deploy_enabled": False, "socket_mode_enabled": False, "token_rotation_enabled": False}
    data = {
        "display_information": {
            "name": name,
            "description": "Alerts that arrive once, in messages worth reading",
            "background_color": "#123a5a",
        },
        "features": {"bot_user": bot_user, **(_commands(external_url, command) if external_url else {})},
        "oauth_config": {"scopes": {"bot": list(SCOPES if external_url else _MESSAGES)}},
        "settings": {**(_requests(external_url) if external_url else {}), **settings},
    }
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _commands(external_url: str, command: str) -> dict[str, Any]:
    return {
        "slash_commands": [
            {
                "command": command,
                "url": f"{external_url.rstrip('/')}/slack/command",
                "description": "Alerts, SLOs and logs",
                "usage_hint": "status | slo NAME | alerts | top | logs {selector}",
                "should_escape": False,
            }
        ]
    }


def _requests(external_url: str) -> dict[str, Any]:
    home = external_url.rstrip("/")
    return {
        "interactivity": {"is_enabled": True, "request_url": f"{home}/slack/interactive"},
        "event_subscriptions": {"request_url": f"{home}/slack/events", "bot_events": ["app_mention"]},
    }
