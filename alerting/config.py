"""Alertmanager's configuration file as a typed model, and what check-config says of it."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    PlainSerializer,
    SecretStr,
    ValidationInfo,
    model_validator,
)

from alerting.config_checks import cross_check
from alerting.fields import File, Flag, Fraction, Many, Secret, SecretUrl, ShownUrl, Text, Texts, Url, at_most_one
from alerting.httpconfig import Headers, HttpConfig, TlsConfig
from alerting.intervals import TimeIntervalSpec
from alerting.matchers import checked, parse_matchers, sort_key
from alerting.receivers import POST_MESSAGE, Receiver
from alerting.receivers_sent import HostPort
from app.durations import DurationMs
from app.errors import ConfigError, Problem
from app.labels import Matcher, MatchOp
from app.yamlfile import Document, GoModel, load_documents, plain, validate

DEFAULT_GROUP_WAIT_MS = 30_000
DEFAULT_GROUP_INTERVAL_MS = 300_000
DEFAULT_REPEAT_INTERVAL_MS = 4 * 3_600_000
_MASKED = str(SecretStr("x"))


def _mapping(value: object) -> None:
    if value is not None and not isinstance(value, dict):
        raise ValueError("a mapping is wanted here")


DroppedEntry = Annotated[None, BeforeValidator(_mapping)]
"""What Alertmanager knows and Watchhouse has no use for. Its values, which may be secrets, are not kept."""


def _listed(value: object) -> object:
    if value is None:
        return []
    texts = ["" if item is None else item for item in value] if isinstance(value, list) else [None]
    if not all(isinstance(item, str) for item in texts):
        raise ValueError('a list of matchers is wanted, like [severity="page", team=~"a|b"]')
    return texts


def _flat(lists: list[list[Matcher]]) -> tuple[Matcher, ...]:
    return tuple(sorted((m for found in lists for m in found), key=sort_key))


# each text is an item of its own to pydantic, so that the mistakes of all are told
_MatcherTexts = Annotated[
    list[Annotated[Any, AfterValidator(parse_matchers)]], BeforeValidator(_listed), AfterValidator(_flat)
]
Matchers = Annotated[
    tuple[Matcher, ...],
    GetPydanticSchema(lambda _, handler: handler(_MatcherTexts)),
    PlainSerializer(lambda found: [str(m) for m in found]),
]
"""A list of matchers as Alertmanager writes them."""


def _legacy(equal: dict[str, str], regex: dict[str, str]) -> list[Matcher]:
    exact = [Matcher(name, MatchOp.EQUAL, value) for name, value in equal.items()]
    return exact + [checked(Matcher(name, MatchOp.REGEX, value)) for name, value in regex.items()]


def _positive(value: int | None) -> int | None:
    if value == 0:
        raise ValueError("cannot be zero")
    return value


Interval = Annotated[DurationMs, AfterValidator(_positive)]


class GlobalConfig(GoModel):
    """Defaults for every receiver."""

    resolve_timeout: DurationMs = 300_000
    http_config: HttpConfig | None = None
    smtp_from: Text = ""
    smtp_hello: Text = "localhost"
    smtp_smarthost: HostPort = ""
    smtp_auth_username: Text = ""
    smtp_auth_password: Secret = None
    smtp_auth_password_file: File = None
    smtp_auth_secret: Secret = None
    smtp_auth_secret_file: File = None
    smtp_auth_identity: Text = ""
    smtp_require_tls: Flag = True
    smtp_tls_config: TlsConfig | None = None
    smtp_force_implicit_tls: Flag | None = None
    slack_api_url: SecretUrl | None = None
    slack_api_url_file: File = None
    slack_app_token: Secret = None
    slack_app_token_file: File = None
    slack_app_url: ShownUrl | None = None
    pagerduty_url: Url = "https://events.pagerduty.com/v2/enqueue"
    opsgenie_api_url: Url = "https://api.opsgenie.com/"
    opsgenie_api_key: Secret = None
    opsgenie_api_key_file: File = None
    jira_api_url: Url | None = None
    wechat_api_url: Url | None = None
    wechat_api_secret: Secret = None
    wechat_api_secret_file: File = None
    wechat_api_corp_id: Text = ""
    victorops_api_url: Url | None = None
    victorops_api_key: Secret = None
    victorops_api_key_file: File = None
    telegram_api_url: Url | None = None
    telegram_bot_token: Secret = None
    telegram_bot_token_file: File = None
    webex_api_url: Url | None = None
    rocketchat_api_url: Url | None = None
    rocketchat_token: Secret = None
    rocketchat_token_file: File = None
    rocketchat_token_id: Secret = None
    rocketchat_token_id_file: File = None
    mattermost_webhook_url: SecretUrl | None = None
    mattermost_webhook_url_file: File = None

    @model_validator(mode="after")
    def _one_of_each(self) -> GlobalConfig:
        for name in type(self).model_fields:
            if f"{name}_file" in type(self).model_fields:
                at_most_one(**{key: getattr(self, key) for key in (name, f"{name}_file")})
        has_token = self.slack_app_token is not None or self.slack_app_token_file is not None
        if has_token and (self.slack_api_url_file is not None or self._posts_elsewhere()):
            raise ValueError(
                "at most one of slack_app_token/slack_app_token_file & slack_api_url/slack_api_url_file "
                "must be configured"
            )
        return self

    def _posts_elsewhere(self) -> bool:
        """Whether there is a webhook that is not where a bot posts: that one some give beside a token."""
        if self.slack_api_url is None:
            return False
        app_url = self.slack_app_url.get_secret_value() if self.slack_app_url else POST_MESSAGE
        return self.slack_api_url.get_secret_value() != app_url


class Route(GoModel):
    """A node of the routing tree, as the file has it; what is None is inherited."""

    receiver: Text | None = None
    group_by: tuple[Text, ...] | None = None
    match: Texts = Field(default_factory=dict)
    match_re: Texts = Field(default_factory=dict)
    matchers: Matchers = ()
    mute_time_intervals: Many[Text] = ()
    active_time_intervals: Many[Text] = ()
    continue_: Flag = False
    routes: Many[Route] = ()
    group_wait: DurationMs | None = None
    group_interval: Interval | None = None
    repeat_interval: Interval | None = None
    labels: Texts = Field(default_factory=dict)

    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"))

    @model_validator(mode="after")
    def _legacy_matchers_compile(self) -> Route:
        _legacy(self.match, self.match_re)
        return self

    def all_matchers(self) -> tuple[Matcher, ...]:
        """`matchers`, `match` and `match_re` together, in Alertmanager's order."""
        return tuple(sorted([*_legacy(self.match, self.match_re), *self.matchers], key=sort_key))


class InhibitRule(GoModel):
    """While a source alert fires, target alerts that agree with it in the `equal` labels stay unsent."""

    name: Text = ""
    source_match: Texts = Field(default_factory=dict)
    source_match_re: Texts = Field(default_factory=dict)
    source_matchers: Matchers = ()
    target_match: Texts = Field(default_factory=dict)
    target_match_re: Texts = Field(default_factory=dict)
    target_matchers: Matchers = ()
    equal: Many[Text] = ()

    @model_validator(mode="after")
    def _legacy_matchers_compile(self) -> InhibitRule:
        self.source(), self.target()
        return self

    def source(self) -> tuple[Matcher, ...]:
        """All matchers of the source side."""
        return (*_legacy(self.source_match, self.source_match_re), *self.source_matchers)

    def target(self) -> tuple[Matcher, ...]:
        """All matchers of the target side."""
        return (*_legacy(self.target_match, self.target_match_re), *self.target_matchers)


class TimeInterval(GoModel):
    """A named time interval that routes refer to."""

    name: Text = ""
    time_intervals: Many[TimeIntervalSpec] = ()


class Tracing(GoModel):
    """Where Alertmanager would send traces. Checked; Watchhouse has its own setting."""

    client_type: Text = "grpc"
    endpoint: Text = ""
    sampling_fraction: Fraction = 0.0
    insecure: Flag = False
    tls_config: TlsConfig | None = None
    headers: Headers = Field(default_factory=dict)
    compression: Text = ""
    timeout: DurationMs = 0

    @model_validator(mode="after")
    def _sensible(self) -> Tracing:
        if self.client_type not in ("http", "grpc"):
            raise ValueError("the client type must be http or grpc")
        if not self.endpoint:
            raise ValueError("tracing endpoint must be set")
        if self.compression not in ("", "gzip"):
            raise ValueError("the compression must be gzip")
        return self


class EventRecorder(GoModel):
    """Where Alertmanager would write what happens. Read and not kept: entries may hold credentials."""

    file_outputs: Many[DroppedEntry] = Field((), exclude=True)
    webhook_outputs: Many[DroppedEntry] = Field((), exclude=True)
    kafka_outputs: Many[DroppedEntry] = Field((), exclude=True)
    stdout_outputs: Many[DroppedEntry] = Field((), exclude=True)


def _template_path(value: object, info: ValidationInfo) -> object:
    folder = info.context.get("folder") if isinstance(info.context, dict) else None
    return str(folder / value) if folder is not None and isinstance(value, str) and value else value


class AlertmanagerConfig(GoModel):
    """Alertmanager's file, whole. Holds its secrets so that they cannot be printed."""

    global_: GlobalConfig = GlobalConfig()
    route: Route
    inhibit_rules: Many[InhibitRule] = ()
    receivers: Many[Receiver] = ()
    templates: Many[Annotated[Text, BeforeValidator(_template_path)]] = ()
    mute_time_intervals: Many[TimeInterval] = ()
    time_intervals: Many[TimeInterval] = ()
    tracing: Tracing | None = None
    event_recorder: EventRecorder | None = None

    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"))

    def redacted_yaml(self) -> str:
        """The configuration in force, its secrets written `<secret>` as Alertmanager does, so that amtool reads it."""
        dumped = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        text = yaml.safe_dump(dumped, sort_keys=False, allow_unicode=True)
        return text.replace(f"'{_MASKED}'", "<secret>").replace(_MASKED, "<secret>")

    def intervals(self) -> Mapping[str, tuple[TimeIntervalSpec, ...]]:
        """The elements of every named time interval."""
        return {named.name: named.time_intervals for named in (*self.mute_time_intervals, *self.time_intervals)}

    @staticmethod
    def template_files(pattern: str) -> list[Path]:
        """The files of one entry of `templates`, which may have wildcards."""
        return [Path(path) for path in sorted(glob.glob(pattern))]

    def template_texts(self) -> list[tuple[Path, str]]:
        """Path and text of every file that `templates` names, in Alertmanager's order.

        Raises ConfigError naming what cannot be read.
        """
        found: list[tuple[Path, str]] = []
        problems: list[Problem] = []
        for path in (path for pattern in self.templates for path in self.template_files(pattern)):
            try:
                found.append((path, path.read_text(encoding="utf-8")))
            except (OSError, UnicodeDecodeError) as error:
                problems.append(Problem(str(path), None, "", f"cannot be read: {type(error).__name__}"))
        if problems:
            raise ConfigError(problems)
        return found


def load_alertmanager(path: Path) -> AlertmanagerConfig:
    """The configuration in a file; relative paths in it are taken from its folder.

    Raises ConfigError with every mistake found, each with file, line and key; never with a secret.
    """
    return parse_alertmanager(read_alertmanager(path), path.parent)


def read_alertmanager(path: Path) -> Document:
    """The one document of a file, its scalars as they are written. Raises ConfigError when it cannot be read."""
    documents = load_documents(path, as_written=True)
    document = documents[0]
    if len(documents) > 1:
        document.problems.append(
            Problem(str(path), documents[1].lines.get(()), "", "one YAML document is wanted, here is another")
        )
    return document


def parse_alertmanager(document: Document, folder: Path) -> AlertmanagerConfig:
    """As `load_alertmanager`, of a document that is read already."""
    found = cross_check(document, plain(document.data))
    try:
        config = validate(document, AlertmanagerConfig, context={"folder": folder})
    except ConfigError as error:
        found += error.problems
    if found:
        told = {(p.line, p.key): p for p in reversed(found)}
        raise ConfigError(sorted(told.values(), key=lambda p: (p.line or 0, p.key)))
    return config
