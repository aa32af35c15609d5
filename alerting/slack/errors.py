"""What Slack's error codes mean: whether to try again, and what a person has to do."""

from __future__ import annotations

from typing import Literal

from alerting.notify.base import NotifyError

Kind = Literal["heals", "message", "gone", "setup"]
"""heals: later it may work; message: Slack takes no message of this form; gone: the message to change is not there
(any more); setup: somebody has to change something first."""

_HEALS = "Slack has trouble; it is tried again"
ERRORS: dict[str, tuple[Kind, str]] = {
    # https://docs.slack.dev/reference/methods/chat.postMessage#errors and chat.update, files.*, conversations.*
    "fatal_error": ("heals", _HEALS),
    "internal_error": ("heals", _HEALS),
    "ratelimited": ("heals", "too many messages for this channel; it is tried again when Slack says so"),
    "rate_limited": ("heals", "too many messages for this channel; it is tried again when Slack says so"),
    "message_limit_exceeded": ("setup", "the workspace has reached its limit of messages"),
    "request_timeout": ("heals", _HEALS),
    "rollup_error": ("heals", _HEALS),
    "service_unavailable": ("heals", _HEALS),
    "team_added_to_org": ("heals", "the workspace is being moved; it is tried again"),
    "invalid_attachments": ("message", "a part of the message has a form that Slack does not take"),
    "invalid_blocks": ("message", "a part of the message has a form that Slack does not take"),
    "invalid_blocks_format": ("message", "a part of the message has a form that Slack does not take"),
    "invalid_payload": ("message", "a part of the message has a form that Slack does not take"),
    "msg_blocks_too_long": ("message", "the blocks are longer than Slack takes"),
    "msg_too_long": ("message", "the text is longer than Slack takes"),
    "no_text": ("message", "the message has no text"),
    "too_many_attachments": ("message", "more attachments than Slack takes"),
    "cant_update_message": ("gone", "the message may not be changed any more"),
    "edit_window_closed": ("gone", "the workspace forbids to change messages of this age"),
    "message_not_found": ("gone", "somebody deleted the message"),
    "thread_not_found": ("gone", "somebody deleted the message"),
    "access_denied": ("setup", "the token may not do this"),
    "account_inactive": ("setup", "the bot's account is deactivated: install the app again"),
    "action_prohibited": ("setup", "an admin of the workspace forbids messages of apps"),
    "channel_is_archived": ("setup", "un-archive the channel, or name another one"),
    "channel_not_found": ("setup", "there is no such channel, or it is private: invite the bot"),
    "ekm_access_denied": ("setup", "an admin of the workspace suspended messages"),
    "invalid_arg_name": ("setup", "the URL is not that of the method it is used for"),
    "invalid_auth": ("setup", "the token is wrong: take the bot token (xoxb-…) of the app"),
    "invalid_token": ("setup", "the webhook's URL is wrong or was revoked"),
    "is_archived": ("setup", "un-archive the channel, or name another one"),
    "missing_scope": ("setup", "the app lacks a scope: install it with the manifest of `watchhouse slack manifest`"),
    "no_active_hooks": ("setup", "the webhook was disabled: make a new one"),
    "no_permission": ("setup", "the token lacks the scope chat:write"),
    "no_service": ("setup", "the webhook was removed: make a new one"),
    "not_allowed_token_type": ("setup", "take the bot token (xoxb-…) of the app"),
    "not_authed": ("setup", "no token is configured: give the bot token (xoxb-…) of the app"),
    "not_in_channel": ("setup", "invite the bot to the channel"),
    "org_login_required": ("setup", "the workspace is being moved"),
    "posting_to_general_channel_denied": ("setup", "an admin of the workspace forbids messages to #general"),
    "restricted_action": ("setup", "an admin of the workspace restricts who may post here"),
    "team_access_not_granted": ("setup", "the app is not installed in this workspace"),
    "team_disabled": ("setup", "the workspace is disabled"),
    "token_expired": ("setup", "the token is past its time: put a new one into the file"),
    "token_revoked": ("setup", "the token was revoked: install the app again"),
    "two_factor_setup_required": ("setup", "the workspace demands two-factor authentication"),
    "user_not_found": ("setup", "there is no such user"),
}


class SlackError(NotifyError):
    """Slack understood the request and refused it. `code` is Slack's own word."""

    def __init__(self, code: str, method: str, *, retry_after_s: float | None = None) -> None:
        self.code = code[:60] or "unknown_error"
        self.kind, self.advice = ERRORS.get(self.code, ("setup", "see Slack's documentation of this error"))
        heals = self.kind == "heals"
        super().__init__(
            f"Slack says {self.code} to {method}: {self.advice}",
            ("rate_limited" if "limit" in self.code else "server_error") if heals else "rejected",
            retry=heals,
            retry_after_s=retry_after_s,
        )
