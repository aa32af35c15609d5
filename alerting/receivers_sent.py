"""The `*_configs` of PagerDuty, Opsgenie, email and Microsoft Teams, with Alertmanager's defaults."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from alerting.fields import (
    Anything,
    File,
    Flag,
    GoDurationMs,
    Many,
    Secret,
    SecretUrl,
    Text,
    Texts,
    Url,
    at_most_one,
    check_template,
    one_of,
)
from alerting.httpconfig import HttpConfig, TlsConfig
from app.yamlfile import GoModel


class PagerdutyImage(GoModel):
    """A picture of an incident."""

    src: Text = ""
    alt: Text = ""
    href: Text = ""


class PagerdutyLink(GoModel):
    """A link of an incident."""

    href: Text = ""
    text: Text = ""


class PagerdutyConfig(GoModel):
    """One `pagerduty_configs` entry: Events API v2 with a routing key, v1 with a service key."""

    send_resolved: Flag = True
    http_config: HttpConfig | None = None
    service_key: Secret = None
    service_key_file: File = None
    routing_key: Secret = None
    routing_key_file: File = None
    url: Url | None = None
    client: Text = '{{ template "pagerduty.default.client" . }}'
    client_url: Text = '{{ template "pagerduty.default.clientURL" . }}'
    description: Text = '{{ template "pagerduty.default.description" .}}'
    details: dict[Text, Anything] = Field(default_factory=dict)
    images: Many[PagerdutyImage] = ()
    links: Many[PagerdutyLink] = ()
    source: Text = ""
    severity: Text = ""
    class_: Text = Field("", alias="class")
    component: Text = ""
    group: Text = ""
    timeout: GoDurationMs = 0

    @model_validator(mode="after")
    def _one_key(self) -> PagerdutyConfig:
        if not (self.service_key or self.service_key_file or self.routing_key or self.routing_key_file):
            raise ValueError("missing service or routing key in PagerDuty config")
        at_most_one(routing_key=self.routing_key, routing_key_file=self.routing_key_file)
        at_most_one(service_key=self.service_key, service_key_file=self.service_key_file)
        return self


class OpsgenieResponder(GoModel):
    """Somebody an alert is for."""

    id: Text = ""
    name: Text = ""
    username: Text = ""
    type: Text = ""

    @model_validator(mode="after")
    def _somebody(self) -> OpsgenieResponder:
        if not (self.id or self.username or self.name):
            raise ValueError("a responder has to have at least one of id, username or name specified")
        kinds = ("team", "teams", "user", "escalation", "schedule")
        if "{{" in self.type:
            check_template(self.type)
        elif self.type.lower() not in kinds:
            raise ValueError(f"the type of a responder must be one of {', '.join(kinds)}")
        return self


class OpsgenieConfig(GoModel):
    """One `opsgenie_configs` entry."""

    send_resolved: Flag = True
    http_config: HttpConfig | None = None
    api_key: Secret = None
    api_key_file: File = None
    api_url: Url | None = None
    message: Text = '{{ template "opsgenie.default.message" . }}'
    description: Text = '{{ template "opsgenie.default.description" . }}'
    source: Text = '{{ template "opsgenie.default.source" . }}'
    details: Texts = Field(default_factory=dict)
    entity: Text = ""
    responders: Many[OpsgenieResponder] = ()
    actions: Text = ""
    tags: Text = ""
    note: Text = ""
    priority: Text = ""
    update_alerts: Flag = False

    @model_validator(mode="after")
    def _one_key(self) -> OpsgenieConfig:
        at_most_one(api_key=self.api_key, api_key_file=self.api_key_file)
        return self


def _host_port(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if value and (not colon or not port or (":" in host and not host.startswith("["))):
        raise ValueError("not an address with a port (write it like mail.example.org:587)")
    return value


HostPort = Annotated[Text, AfterValidator(_host_port)]
"""`host:port`, or "" when there is none."""


def canonical_header(name: str) -> str:
    """A header's name as it is usually written: `Reply-To`."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def _canonical(headers: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers.items():
        canonical = canonical_header(name)
        if canonical in found:
            raise ValueError(f"duplicate header {canonical!r} in email config")
        found[canonical] = value
    return found


class Threading(GoModel):
    """Whether the messages of a group of alerts are shown together."""

    enabled: Flag = False
    thread_by_date: Text = ""


class EmailConfig(GoModel):
    """One `email_configs` entry. What is None is taken from `global`."""

    send_resolved: Flag = False
    to: Text = ""
    from_: Text = Field("", alias="from")
    hello: Text = ""
    smarthost: HostPort = ""
    auth_username: Text = ""
    auth_password: Secret = None
    auth_password_file: File = None
    auth_secret: Secret = None
    auth_secret_file: File = None
    auth_identity: Text = ""
    headers: Annotated[Texts, AfterValidator(_canonical)] = Field(default_factory=dict)
    html: Text = '{{ template "email.default.html" . }}'
    text: Text = ""
    require_tls: Flag | None = None
    tls_config: TlsConfig | None = None
    force_implicit_tls: Flag | None = None
    threading: Threading = Threading()

    @model_validator(mode="after")
    def _sensible(self) -> EmailConfig:
        if not self.to:
            raise ValueError("missing to address in email config")
        if self.threading.enabled:
            for name in ("References", "In-Reply-To"):
                if name in self.headers:
                    raise ValueError(f"threading.enabled conflicts with custom {name} header")
            if self.threading.thread_by_date not in ("none", "daily"):
                raise ValueError("threading.thread_by_date must be either 'none' or 'daily'")
        return self


class MsTeamsV2Config(GoModel):
    """One `msteamsv2_configs` entry: an adaptive card for a workflow of Power Automate."""

    send_resolved: Flag = True
    http_config: HttpConfig | None = None
    webhook_url: SecretUrl | None = None
    webhook_url_file: File = None
    title: Text = '{{ template "msteamsv2.default.title" . }}'
    text: Text = '{{ template "msteamsv2.default.text" . }}'

    @model_validator(mode="after")
    def _one_url(self) -> MsTeamsV2Config:
        one_of(webhook_url=self.webhook_url, webhook_url_file=self.webhook_url_file)
        return self


class MsTeamsConfig(GoModel):
    """One `msteams_configs` entry: a message card for an incoming webhook of Office 365."""

    send_resolved: Flag = True
    http_config: HttpConfig | None = None
    webhook_url: SecretUrl | None = None
    webhook_url_file: File = None
    title: Text = '{{ template "msteams.default.title" . }}'
    summary: Text = '{{ template "msteams.default.summary" . }}'
    text: Text = '{{ template "msteams.default.text" . }}'

    @model_validator(mode="after")
    def _one_url(self) -> MsTeamsConfig:
        one_of(webhook_url=self.webhook_url, webhook_url_file=self.webhook_url_file)
        return self
