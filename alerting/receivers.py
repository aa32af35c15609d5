"""Receivers of an Alertmanager file: Slack and webhooks, and the named set of all ways to tell somebody.

The other types stand in `receivers_sent` (sent as well) and `receivers_unsent` (checked and named, not sent).
"""

from __future__ import annotations

from pydantic import Field, model_validator

from alerting import receivers_sent, receivers_unsent
from alerting.fields import (
    Anything,
    Count,
    File,
    Flag,
    GoDurationMs,
    Many,
    Secret,
    SecretTemplateUrl,
    SecretUrl,
    ShownUrl,
    Text,
    Texts,
    at_most_one,
    one_of,
)
from alerting.httpconfig import HttpConfig
from app.yamlfile import GoModel

POST_MESSAGE = "https://slack.com/api/chat.postMessage"
"""Slack's method to post as a bot."""


class SlackField(GoModel):
    """A field of a message."""

    title: Text = ""
    value: Text = ""
    short: Flag | None = None

    @model_validator(mode="after")
    def _complete(self) -> SlackField:
        if not self.title:
            raise ValueError("missing title in Slack field configuration")
        if not self.value:
            raise ValueError("missing value in Slack field configuration")
        return self


class SlackConfirmation(GoModel):
    """What a button asks before it acts."""

    text: Text = ""
    title: Text = ""
    ok_text: Text = ""
    dismiss_text: Text = ""

    @model_validator(mode="after")
    def _complete(self) -> SlackConfirmation:
        if not self.text:
            raise ValueError("missing text in Slack confirmation configuration")
        return self


class SlackAction(GoModel):
    """A button of a message; one with a `url` becomes a link."""

    type: Text = ""
    text: Text = ""
    url: Text = ""
    style: Text = ""
    name: Text = ""
    value: Text = ""
    confirm: SlackConfirmation | None = None

    @model_validator(mode="after")
    def _leads_somewhere(self) -> SlackAction:
        if not self.type:
            raise ValueError("missing type in Slack action configuration")
        if not self.text:
            raise ValueError("missing text in Slack action configuration")
        if not self.url and not self.name:
            raise ValueError("missing name or url in Slack action configuration")
        return self


class SlackConfig(GoModel):
    """One `slack_configs` entry; docs/alerting.md says what each key does."""

    send_resolved: Flag = False
    api_url: SecretUrl | None = None
    api_url_file: File = None
    app_token: Secret = None
    app_token_file: File = None
    app_url: ShownUrl | None = None
    http_config: HttpConfig | None = None
    channel: Text = ""
    username: Text = ""
    color: Text = ""
    title: Text = ""
    title_link: Text = ""
    pretext: Text = ""
    text: Text = ""
    message_text: Text = ""
    fields: Many[SlackField] = ()
    short_fields: Flag = False
    footer: Text = ""
    fallback: Text = ""
    callback_id: Text = ""
    icon_emoji: Text = ""
    icon_url: Text = ""
    image_url: Text = ""
    thumb_url: Text = ""
    link_names: Flag = False
    mrkdwn_in: Many[Text] = ()
    actions: Many[SlackAction] = ()
    update_message: Flag = False
    timeout: GoDurationMs = 0

    @model_validator(mode="after")
    def _one_way_in(self) -> SlackConfig:
        at_most_one(api_url=self.api_url, api_url_file=self.api_url_file)
        at_most_one(app_token=self.app_token, app_token_file=self.app_token_file)
        if (self.api_url or self.api_url_file) and (self.app_token or self.app_token_file):
            raise ValueError("at most one of api_url/api_url_file & app_token/app_token_file must be configured")
        if self.update_message and self.api_url and self.api_url.get_secret_value() != POST_MESSAGE:
            raise ValueError(f"update_message can only be used with bot tokens. api_url must be set to {POST_MESSAGE}")
        return self


class WebhookConfig(GoModel):
    """One `webhook_configs` entry."""

    send_resolved: Flag = True
    url: SecretTemplateUrl = None
    url_file: File = None
    http_config: HttpConfig | None = None
    max_alerts: Count = 0
    timeout: GoDurationMs = 0
    payload: Anything = None

    @model_validator(mode="after")
    def _one_url(self) -> WebhookConfig:
        one_of(url=self.url, url_file=self.url_file)
        return self


class Receiver(GoModel):
    """A named set of ways to tell somebody."""

    name: Text = ""
    labels: Texts = Field(default_factory=dict)
    slack_configs: Many[SlackConfig] = ()
    webhook_configs: Many[WebhookConfig] = ()
    pagerduty_configs: Many[receivers_sent.PagerdutyConfig] = ()
    opsgenie_configs: Many[receivers_sent.OpsgenieConfig] = ()
    email_configs: Many[receivers_sent.EmailConfig] = ()
    msteams_configs: Many[receivers_sent.MsTeamsConfig] = ()
    msteamsv2_configs: Many[receivers_sent.MsTeamsV2Config] = ()
    discord_configs: Many[receivers_unsent.DiscordConfig] = ()
    incidentio_configs: Many[receivers_unsent.IncidentioConfig] = ()
    jira_configs: Many[receivers_unsent.JiraConfig] = ()
    mattermost_configs: Many[receivers_unsent.MattermostConfig] = ()
    pushover_configs: Many[receivers_unsent.PushoverConfig] = ()
    rocketchat_configs: Many[receivers_unsent.RocketchatConfig] = ()
    sns_configs: Many[receivers_unsent.SnsConfig] = ()
    telegram_configs: Many[receivers_unsent.TelegramConfig] = ()
    victorops_configs: Many[receivers_unsent.VictoropsConfig] = ()
    webex_configs: Many[receivers_unsent.WebexConfig] = ()
    wechat_configs: Many[receivers_unsent.WechatConfig] = ()

    @model_validator(mode="after")
    def _named(self) -> Receiver:
        if not self.name:
            raise ValueError("missing name in receiver")
        if self.labels.get("name", self.name) != self.name:
            raise ValueError(f'receiver label "name" must match receiver name {self.name!r}')
        return self

    def entries(self) -> dict[str, tuple[GoModel, ...]]:
        """What is configured, by key: `webhook_configs` and its entries."""
        return {name: value for name, value in self if name.endswith("_configs") and value}

    def unsent(self) -> dict[str, int]:
        """The receiver types this receiver names that are not sent, and how many entries there are of each."""
        return {
            name: len(many) for name, many in self.entries().items() if isinstance(many[0], receivers_unsent.Unsent)
        }
