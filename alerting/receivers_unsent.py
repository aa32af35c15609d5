"""Receiver types that are checked and named, and not sent: every field of each, with the rules between them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from alerting.fields import (
    Anything,
    Count,
    File,
    Flag,
    GoDurationMs,
    GoDurationTextMs,
    Many,
    Number,
    Secret,
    SecretUrl,
    Text,
    Texts,
    Url,
    at_most_one,
    one_of,
)
from alerting.httpconfig import HttpConfig
from app.durations import DurationMs
from app.yamlfile import GoModel


class Unsent(GoModel):
    """An entry that is checked and named, and not sent."""


class DiscordConfig(Unsent):
    """One `discord_configs` entry."""

    send_resolved: Flag = True
    http_config: HttpConfig | None = None
    webhook_url: SecretUrl | None = None
    webhook_url_file: File = None
    content: Text = ""
    title: Text = ""
    message: Text = ""
    username: Text = ""
    avatar_url: Text = ""

    @model_validator(mode="after")
    def _one_url(self) -> DiscordConfig:
        one_of(webhook_url=self.webhook_url, webhook_url_file=self.webhook_url_file)
        return self


class IncidentioConfig(Unsent):
    """One `incidentio_configs` entry."""

    send_resolved: Flag = True
    http_config: HttpConfig | None = None
    url: Url | None = None
    url_file: File = None
    alert_source_token: Secret = None
    alert_source_token_file: File = None
    max_alerts: Count = 0
    timeout: GoDurationMs = 0

    @model_validator(mode="after")
    def _one_of_each(self) -> IncidentioConfig:
        one_of(url=self.url, url_file=self.url_file)
        tokens = {
            "alert_source_token": self.alert_source_token,
            "alert_source_token_file": self.alert_source_token_file,
        }
        at_most_one(**tokens)
        has_token, http = any(tokens.values()), self.http_config
        if http is not None and http.authorization is not None and has_token:
            raise ValueError("cannot specify alert_source_token when using http_config.authorization")
        if http is not None and http.authorization is None and not has_token:
            raise ValueError("one of alert_source_token or http_config.authorization must be configured")
        return self


class JiraField(GoModel):
    """A field of an issue, and whether it is written again."""

    template: Text = ""
    enable_update: Flag | None = None


def _jira_field(value: object) -> object:
    return {"template": value} if isinstance(value, str) else value


class JiraConfig(Unsent):
    """One `jira_configs` entry."""

    send_resolved: Flag = True
    http_config: HttpConfig | None = None
    api_url: Url | None = None
    api_type: Text = "auto"
    project: Text = ""
    summary: Annotated[JiraField, BeforeValidator(_jira_field)] = JiraField()
    description: Annotated[JiraField, BeforeValidator(_jira_field)] = JiraField()
    labels: Many[Text] = ()
    priority: Text = ""
    issue_type: Text = ""
    reopen_transition: Text = ""
    resolve_transition: Text = ""
    wont_fix_resolution: Text = ""
    reopen_duration: DurationMs = 0
    fields: dict[Text, Anything] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _complete(self) -> JiraConfig:
        if not self.project:
            raise ValueError("missing project in jira_config")
        if not self.issue_type:
            raise ValueError("missing issue_type in jira_config")
        if self.api_type not in ("auto", "cloud", "datacenter"):
            raise ValueError("unknown api_type on jira_config, must be auto, cloud or datacenter")
        return self


class MattermostField(GoModel):
    """A field of an attachment."""

    title: Text = ""
    value: Text = ""
    short: Flag | None = None

    @model_validator(mode="after")
    def _complete(self) -> MattermostField:
        if not self.title:
            raise ValueError("missing title in Mattermost field configuration")
        if not self.value:
            raise ValueError("missing value in Mattermost field configuration")
        return self


class MattermostAttachment(GoModel):
    """An attachment of a message."""

    fallback: Text = ""
    color: Text = ""
    pretext: Text = ""
    text: Text = ""
    author_name: Text = ""
    author_link: Text = ""
    author_icon: Text = ""
    title: Text = ""
    title_link: Text = ""
    fields: Many[MattermostField] = ()
    thumb_url: Text = ""
    footer: Text = ""
    footer_icon: Text = ""
    image_url: Text = ""


class MattermostProps(GoModel):
    """What stands beside a message."""

    card: Text = ""


class MattermostPriority(GoModel):
    """How urgent a message is."""

    priority: Text = ""
    requested_ack: Flag = False
    persistent_notifications: Flag = False


class MattermostConfig(MattermostAttachment, Unsent):
    """One `mattermost_configs` entry."""

    send_resolved: Flag = True
    http_config: HttpConfig | None = None
    webhook_url: SecretUrl | None = None
    webhook_url_file: File = None
    channel: Text = ""
    username: Text = ""
    icon_url: Text = ""
    icon_emoji: Text = ""
    attachments: Many[MattermostAttachment] = ()
    type: Text = ""
    props: MattermostProps | None = None
    priority: MattermostPriority | None = None

    @model_validator(mode="after")
    def _one_url(self) -> MattermostConfig:
        at_most_one(webhook_url=self.webhook_url, webhook_url_file=self.webhook_url_file)
        return self


class PushoverConfig(Unsent):
    """One `pushover_configs` entry."""

    send_resolved: Flag = True
    http_config: HttpConfig | None = None
    user_key: Secret = None
    user_key_file: File = None
    token: Secret = None
    token_file: File = None
    title: Text = ""
    message: Text = ""
    url: Text = ""
    url_title: Text = ""
    device: Text = ""
    sound: Text = ""
    priority: Text = ""
    retry: GoDurationTextMs = 60_000
    expire: GoDurationTextMs = 3_600_000
    ttl: GoDurationTextMs = 0
    html: Flag = False
    monospace: Flag = False

    @model_validator(mode="after")
    def _one_of_each(self) -> PushoverConfig:
        one_of(user_key=self.user_key, user_key_file=self.user_key_file)
        one_of(token=self.token, token_file=self.token_file)
        if self.html and self.monospace:
            raise ValueError("at most one of monospace & html must be configured")
        return self


class RocketchatField(GoModel):
    """A field of an attachment."""

    short: Flag | None = None
    title: Text = ""
    value: Text = ""


class RocketchatAction(GoModel):
    """A button of an attachment. Its keys are written without underscores, as Alertmanager reads them."""

    type: Text = ""
    text: Text = ""
    url: Text = ""
    imageurl: Text = ""
    iswebview: Flag = False
    webviewheightratio: Text = ""
    msg: Text = ""
    msginchatwindow: Flag = False
    msgprocessingtype: Text = ""


class RocketchatConfig(Unsent):
    """One `rocketchat_configs` entry."""

    send_resolved: Flag = False
    http_config: HttpConfig | None = None
    api_url: Url | None = None
    token_id: Secret = None
    token_id_file: File = None
    token: Secret = None
    token_file: File = None
    channel: Text = ""
    color: Text = ""
    title: Text = ""
    title_link: Text = ""
    text: Text = ""
    fields: Many[RocketchatField] = ()
    short_fields: Flag = False
    emoji: Text = ""
    icon_url: Text = ""
    image_url: Text = ""
    thumb_url: Text = ""
    link_names: Flag = False
    actions: Many[RocketchatAction] = ()

    @model_validator(mode="after")
    def _one_of_each(self) -> RocketchatConfig:
        at_most_one(token=self.token, token_file=self.token_file)
        at_most_one(token_id=self.token_id, token_id_file=self.token_id_file)
        return self


class SigV4(GoModel):
    """How requests to AWS are signed."""

    region: Text = ""
    access_key: Text = ""
    secret_key: Secret = None
    profile: Text = ""
    role_arn: Text = ""
    external_id: Text = ""
    use_fips_sts_endpoint: Flag = False

    @model_validator(mode="after")
    def _both_keys(self) -> SigV4:
        if bool(self.access_key) != bool(self.secret_key):
            raise ValueError("must provide a AWS SigV4 Access key and Secret Key if credentials are specified")
        return self


class SnsConfig(Unsent):
    """One `sns_configs` entry."""

    send_resolved: Flag = True
    http_config: HttpConfig | None = None
    api_url: Text = ""
    sigv4: SigV4 = SigV4()
    topic_arn: Text = ""
    phone_number: Text = ""
    target_arn: Text = ""
    subject: Text = ""
    message: Text = ""
    attributes: Texts = Field(default_factory=dict)
    use_aws_http_client: Flag = False

    @model_validator(mode="after")
    def _one_target(self) -> SnsConfig:
        # an odd number of them: Alertmanager takes all three together, and so does this
        if sum(map(bool, (self.target_arn, self.topic_arn, self.phone_number))) % 2 == 0:
            raise ValueError("must provide either a Target ARN, Topic ARN, or Phone Number for SNS config")
        return self


class TelegramConfig(Unsent):
    """One `telegram_configs` entry."""

    send_resolved: Flag = True
    http_config: HttpConfig | None = None
    api_url: Url | None = None
    bot_token: Secret = None
    bot_token_file: File = None
    chat_id: Number = 0
    chat_id_file: File = None
    message_thread_id: Number = 0
    message: Text = ""
    disable_notifications: Flag = False
    parse_mode: Literal["", "Markdown", "MarkdownV2", "HTML"] = "HTML"

    @model_validator(mode="after")
    def _one_of_each(self) -> TelegramConfig:
        at_most_one(bot_token=self.bot_token, bot_token_file=self.bot_token_file)
        one_of(chat_id=self.chat_id or None, chat_id_file=self.chat_id_file)
        return self


class VictoropsConfig(Unsent):
    """One `victorops_configs` entry."""

    send_resolved: Flag = True
    http_config: HttpConfig | None = None
    api_key: Secret = None
    api_key_file: File = None
    api_url: Url | None = None
    routing_key: Text = ""
    message_type: Text = "CRITICAL"
    state_message: Text = ""
    entity_display_name: Text = ""
    monitoring_tool: Text = ""
    custom_fields: Texts = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sensible(self) -> VictoropsConfig:
        if not self.routing_key:
            raise ValueError("missing Routing key in VictorOps config")
        at_most_one(api_key=self.api_key, api_key_file=self.api_key_file)
        reserved = {
            "routing_key", "message_type", "state_message", "entity_display_name", "monitoring_tool",
            "entity_id", "entity_state",
        }  # fmt: skip
        if taken := sorted(reserved & set(self.custom_fields)):
            raise ValueError(f"custom field {taken[0]} cannot be used as it conflicts with the fixed/static fields")
        return self


class WebexConfig(Unsent):
    """One `webex_configs` entry."""

    send_resolved: Flag = True
    http_config: HttpConfig | None = None
    api_url: Url | None = None
    message: Text = ""
    room_id: Text = ""

    @model_validator(mode="after")
    def _complete(self) -> WebexConfig:
        if not self.room_id:
            raise ValueError("missing room_id on webex_config")
        http = self.http_config
        if http is None or (http.authorization or http.bearer_token or http.bearer_token_file) is None:
            raise ValueError("missing webex_configs.http_config.authorization")
        return self


class WechatConfig(Unsent):
    """One `wechat_configs` entry."""

    send_resolved: Flag = False
    http_config: HttpConfig | None = None
    api_secret: Secret = None
    api_secret_file: File = None
    corp_id: Text = ""
    message: Text = ""
    api_url: Url | None = None
    to_user: Text = ""
    to_party: Text = ""
    to_tag: Text = ""
    agent_id: Text = ""
    message_type: Text = ""

    @model_validator(mode="after")
    def _sensible(self) -> WechatConfig:
        if self.message_type not in ("", "text", "markdown"):
            raise ValueError("weChat message type must be text or markdown")
        at_most_one(api_secret=self.api_secret, api_secret_file=self.api_secret_file)
        return self
