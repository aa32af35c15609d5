"""Receivers of an Alertmanager file: how to reach Slack, a webhook, and what is read but not sent yet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from app.durations import DurationMs
from app.yamlfile import StrictModel

T = TypeVar("T")


def _no_null(value: object) -> object:
    return () if value is None else value


Many = Annotated[tuple[T, ...], BeforeValidator(_no_null)]
"""A list; a key without a value is an empty one, as in Alertmanager."""


def _scalar(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_scalar)]
"""A text; a number without quotes is taken as it is written."""

Dropped = Annotated[None, BeforeValidator(lambda _: None)]
"""A key Alertmanager knows and this version has no use for. Its value, which may be a secret, is not kept."""


def _http_url(value: SecretStr) -> SecretStr:
    # the value stays out of the message: it is a credential
    try:
        url = urlsplit(value.get_secret_value())
        usable = url.scheme in ("http", "https") and bool(url.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("not a URL (it must start with https:// or http://, followed by a host)")
    return value


SecretUrl = Annotated[SecretStr, AfterValidator(_http_url)]
"""A URL that is a credential: it cannot be printed."""


class BasicAuth(StrictModel):
    """HTTP basic authentication."""

    username: Text = ""
    username_file: Path | None = None
    password: SecretStr | None = None
    password_file: Path | None = None


class Authorization(StrictModel):
    """An Authorization header."""

    type: str = "Bearer"
    credentials: SecretStr | None = None
    credentials_file: Path | None = None


class TlsConfig(StrictModel):
    """Which certificates to trust and to show."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    insecure_skip_verify: bool = False
    ca: Dropped = None
    cert: Dropped = None
    key: Dropped = None
    key_ref: Dropped = None
    ca_ref: Dropped = None
    cert_ref: Dropped = None
    server_name: Dropped = None
    min_version: Dropped = None
    max_version: Dropped = None


class HttpConfig(StrictModel):
    """Prometheus's HTTP client configuration."""

    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    bearer_token: SecretStr | None = None
    bearer_token_file: Path | None = None
    tls_config: TlsConfig | None = None
    follow_redirects: bool = True
    proxy_url: SecretUrl | None = None
    oauth2: Dropped = None
    enable_http2: Dropped = None
    no_proxy: Dropped = None
    proxy_from_environment: Dropped = None
    proxy_connect_header: Dropped = None
    http_headers: Dropped = None

    @model_validator(mode="after")
    def _one_credential(self) -> HttpConfig:
        bearer = self.bearer_token is not None or self.bearer_token_file is not None
        if sum((self.basic_auth is not None, self.authorization is not None, bearer)) > 1:
            raise ValueError("at most one of basic_auth, authorization & bearer_token must be configured")
        return self


class SlackField(StrictModel):
    """A field of a message, of our own words."""

    title: Text
    value: Text
    short: bool | None = None


class SlackAction(StrictModel):
    """A button of a message; one with a `url` becomes a link."""

    type: str
    text: Text
    url: str = ""
    style: str = ""
    name: str = ""
    value: Text = ""
    confirm: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _leads_somewhere(self) -> SlackAction:
        if not self.url and not self.name:
            raise ValueError("missing name or url in Slack action configuration")
        return self


class SlackConfig(StrictModel):
    """One `slack_configs` entry; docs/alerting.md says what each key does."""

    send_resolved: bool = False
    api_url: SecretUrl | None = None
    api_url_file: Path | None = None
    app_token: SecretStr | None = None
    app_token_file: Path | None = None
    app_url: SecretUrl | None = None
    http_config: HttpConfig | None = None
    channel: Text = ""
    username: Text = ""
    color: str = ""
    title: str = ""
    title_link: str = ""
    pretext: str = ""
    text: str = ""
    message_text: str = ""
    fields: Many[SlackField] = ()
    short_fields: bool = False
    footer: str = ""
    fallback: str = ""
    callback_id: str = ""
    icon_emoji: str = ""
    icon_url: str = ""
    image_url: str = ""
    thumb_url: str = ""
    link_names: bool = False
    mrkdwn_in: Many[str] = ()
    actions: Many[SlackAction] = ()
    update_message: bool = False
    timeout: DurationMs = 0

    @model_validator(mode="after")
    def _one_way_in(self) -> SlackConfig:
        if self.api_url is not None and self.api_url_file is not None:
            raise ValueError("at most one of api_url & api_url_file must be configured")
        return self

    def texts(self) -> dict[str, str]:
        """Every text a user may have written a template in, by key."""
        found = {name: value for name, value in self if isinstance(value, str)}
        for i, field in enumerate(self.fields):
            found |= {f"fields[{i}].title": field.title, f"fields[{i}].value": field.value}
        for i, action in enumerate(self.actions):
            found |= {f"actions[{i}].text": action.text, f"actions[{i}].url": action.url}
        return found


class WebhookConfig(StrictModel):
    """One `webhook_configs` entry."""

    send_resolved: bool = True
    url: SecretUrl | None = None
    url_file: Path | None = None
    http_config: HttpConfig | None = None
    max_alerts: int = 0
    timeout: DurationMs = 0
    payload: Dropped = None

    @model_validator(mode="after")
    def _one_url(self) -> WebhookConfig:
        if self.url is None and self.url_file is None:
            raise ValueError("one of url or url_file must be configured")
        if self.url is not None and self.url_file is not None:
            raise ValueError("at most one of url & url_file must be configured")
        return self


Unsent = Annotated[
    int, BeforeValidator(lambda value: len(value) if isinstance(value, list) else 0), Field(exclude=True)
]
"""How many entries there are of a receiver type that is not sent yet. Nothing of them is kept."""


class Receiver(StrictModel):
    """A named set of ways to tell somebody."""

    name: Text
    labels: Dropped = None
    slack_configs: Many[SlackConfig] = ()
    webhook_configs: Many[WebhookConfig] = ()
    discord_configs: Unsent = 0
    email_configs: Unsent = 0
    incidentio_configs: Unsent = 0
    jira_configs: Unsent = 0
    mattermost_configs: Unsent = 0
    msteams_configs: Unsent = 0
    msteamsv2_configs: Unsent = 0
    opsgenie_configs: Unsent = 0
    pagerduty_configs: Unsent = 0
    pushover_configs: Unsent = 0
    rocketchat_configs: Unsent = 0
    sns_configs: Unsent = 0
    telegram_configs: Unsent = 0
    victorops_configs: Unsent = 0
    webex_configs: Unsent = 0
    wechat_configs: Unsent = 0

    def unsent(self) -> list[str]:
        """The receiver types this receiver names that are not sent yet."""
        return [name for name in type(self).model_fields if name.endswith("_configs") and _is_count(self, name)]


def _is_count(receiver: Receiver, name: str) -> bool:
    value = getattr(receiver, name)
    return isinstance(value, int) and value > 0
