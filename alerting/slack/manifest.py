"""The manifest of the Slack app: what to paste at https://api.slack.com/apps?new_app=1."""

from __future__ import annotations

import yaml

SCOPES = (
    "app_mentions:read", "channels:history", "channels:read", "chat:write", "chat:write.customize", "chat:write.public",
    "commands", "files:read", "files:write", "groups:history", "groups:read",
)  # fmt: skip


def manifest(external_url: str, *, name: str = "Watchhouse", command: str = "/watchhouse") -> str:
    """YAML for an app whose buttons, commands and mentions lead to `external_url`, which Slack must reach by HTTPS."""
    home = external_url.rstrip("/")
    data = {
        "display_information": {
            "name": name,
            "description": "Alerts that arrive once, in messages worth reading",
            "background_color": "#123a5a",
        },
        "features": {
            "bot_user": {"display_name": name, "always_online": True},
            "slash_commands": [
                {
                    "command": command,
                    "url": f"{home}/slack/command",
                    "description": "Alerts, SLOs and logs",
                    "usage_hint": "status | slo NAME | alerts | top | logs {selector}",
                    "should_escape": False,
                }
            ],
        },
        "oauth_config": {"scopes": {"bot": list(SCOPES)}},
        "settings": {
            "interactivity": {"is_enabled": True, "request_url": f"{home}/slack/interactive"},
            "event_subscriptions": {"request_url": f"{home}/slack/events", "bot_events": ["app_mention"]},
            "org_deploy_enabled": False,
            "socket_mode_enabled": False,
            "token_rotation_enabled": False,
        },
    }
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
