"""Alertmanager's configuration file as a typed model, and what check-config says of it."""

from __future__ import annotations

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
    model_validator,
)

from alerting.crosschecks import cross_check
from alerting.matchers import checked, parse_matchers, sort_key
from alerting.receivers import Dropped, HttpConfig, Many, Receiver, SecretUrl, Text
from alerting.templates import is_template
from app.durations import DurationMs
from app.errors import ConfigError, Problem
from app.labels import Matcher, MatchOp
from app.yamlfile import Document, StrictModel, load_documents, validate

DEFAULT_GROUP_WAIT_MS = 30_000
DEFAULT_GROUP_INTERVAL_MS = 300_000
DEFAULT_REPEAT_INTERVAL_MS = 4 * 3_600_000
_MASKED = str(SecretStr("x"))


def _listed(value: object) -> object:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError('a list of matchers is wanted, like [severity="page", team=~"a|b"]')
    return value


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

LabelTexts = Annotated[dict[str, Text], BeforeValidator(lambda value: {} if value is None else value)]
"""Label names and what they must be: the older way to write matchers."""


def _legacy(equal: dict[str, str], regex: dict[str, str]) -> list[Matcher]:
    exact = [Matcher(name, MatchOp.EQUAL, value) for name, value in equal.items()]
    return exact + [checked(Matcher(name, MatchOp.REGEX, value)) for name, value in regex.items()]


def _positive(value: int | None) -> int | None:
    if value == 0:
        raise ValueError("cannot be zero")
    return value


Interval = Annotated[DurationMs, AfterValidator(_positive)]


class GlobalConfig(StrictModel):
    """Defaults for every receiver. Keys of receiver types that are not sent yet are known, and dropped."""

    resolve_timeout: DurationMs = 300_000
    http_config: HttpConfig | None = None
    slack_api_url: SecretUrl | None = None
    slack_api_url_file: Path | None = None
    slack_app_token: SecretStr | None = None
    slack_app_token_file: Path | None = None
    slack_app_url: SecretUrl | None = None
    jira_api_url: Dropped = None
    smtp_from: Dropped = None
    smtp_hello: Dropped = None
    smtp_smarthost: Dropped = None
    smtp_auth_username: Dropped = None
    smtp_auth_password: Dropped = None
    smtp_auth_password_file: Dropped = None
    smtp_auth_secret: Dropped = None
    smtp_auth_secret_file: Dropped = None
    smtp_auth_identity: Dropped = None
    smtp_require_tls: Dropped = None
    smtp_tls_config: Dropped = None
    smtp_force_implicit_tls: Dropped = None
    pagerduty_url: Dropped = None
    opsgenie_api_url: Dropped = None
    opsgenie_api_key: Dropped = None
    opsgenie_api_key_file: Dropped = None
    wechat_api_url: Dropped = None
    wechat_api_secret: Dropped = None
    wechat_api_secret_file: Dropped = None
    wechat_api_corp_id: Dropped = None
    victorops_api_url: Dropped = None
    victorops_api_key: Dropped = None
    victorops_api_key_file: Dropped = None
    telegram_api_url: Dropped = None
    telegram_bot_token: Dropped = None
    telegram_bot_token_file: Dropped = None
    webex_api_url: Dropped = None
    rocketchat_api_url: Dropped = None
    rocketchat_token: Dropped = None
    rocketchat_token_file: Dropped = None
    rocketchat_token_id: Dropped = None
    rocketchat_token_id_file: Dropped = None
    mattermost_webhook_url: Dropped = None
    mattermost_webhook_url_file: Dropped = None

    @model_validator(mode="after")
    def _one_slack(self) -> GlobalConfig:
        if self.slack_api_url is not None and self.slack_api_url_file is not None:
            raise ValueError("at most one of slack_api_url & slack_api_url_file must be configured")
        if self.slack_app_token is not None and self.slack_app_token_file is not None:
            raise ValueError("at most one of slack_app_token & slack_app_token_file must be configured")
        return self


class Route(StrictModel):
    """A node of the routing tree, as the file has it; what is None is inherited."""

    receiver: Text | None = None
    group_by: tuple[str, ...] | None = None
    match: LabelTexts = Field(default_factory=dict)
    match_re: LabelTexts = Field(default_factory=dict)
    matchers: Matchers = ()
    mute_time_intervals: Many[str] = ()
    active_time_intervals: Many[str] = ()
    continue_: bool = False
    routes: Many[Route] = ()
    group_wait: DurationMs | None = None
    group_interval: Interval | None = None
    repeat_interval: Interval | None = None
    labels: Dropped = None

    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"))

    @model_validator(mode="after")
    def _legacy_matchers_compile(self) -> Route:
        _legacy(self.match, self.match_re)
        return self

    def all_matchers(self) -> tuple[Matcher, ...]:
        """`matchers`, `match` and `match_re` together, in Alertmanager's order."""
        return tuple(sorted([*_legacy(self.match, self.match_re), *self.matchers], key=sort_key))


class InhibitRule(StrictModel):
    """While a source alert fires, target alerts that agree with it in the `equal` labels stay unsent."""

    name: Text = ""
    source_match: LabelTexts = Field(default_factory=dict)
    source_match_re: LabelTexts = Field(default_factory=dict)
    source_matchers: Matchers = ()
    target_match: LabelTexts = Field(default_factory=dict)
    target_match_re: LabelTexts = Field(default_factory=dict)
    target_matchers: Matchers = ()
    equal: Many[str] = ()

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


class TimeRangeSpec(StrictModel):
    """One element of a time interval; its values are read and not applied yet."""

    times: list[dict[str, Text]] | None = None
    weekdays: list[Text] | None = None
    days_of_month: list[Text] | None = None
    months: list[Text] | None = None
    years: list[Text] | None = None
    location: str | None = None


class TimeInterval(StrictModel):
    """A named time interval that routes refer to."""

    name: str
    time_intervals: Many[TimeRangeSpec] = ()


class AlertmanagerConfig(StrictModel):
    """Alertmanager's file, whole. Holds its secrets so that they cannot be printed."""

    global_: GlobalConfig = GlobalConfig()
    route: Route
    inhibit_rules: Many[InhibitRule] = ()
    receivers: Many[Receiver] = ()
    templates: Many[Path] = ()
    mute_time_intervals: Many[TimeInterval] = ()
    time_intervals: Many[TimeInterval] = ()
    tracing: Dropped = None
    event_recorder: Dropped = None

    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"))

    @model_validator(mode="before")
    @classmethod
    def _empty_global(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("global", data) is None:
            return {key: value for key, value in data.items() if key != "global"}
        return data

    def redacted_yaml(self) -> str:
        """The configuration in force, its secrets written `<secret>` as Alertmanager does, so that amtool reads it."""
        plain = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
        return text.replace(f"'{_MASKED}'", "<secret>").replace(_MASKED, "<secret>")


def load_alertmanager(path: Path) -> AlertmanagerConfig:
    """The configuration in a file; relative paths in it are taken from its folder.

    Raises ConfigError with every mistake found, each with file, line and key; never with a secret.
    """
    documents = load_documents(path)
    document = documents[0]
    if len(documents) > 1:
        document.problems.append(
            Problem(str(path), documents[1].lines.get(()), "", "one YAML document is wanted, here is another")
        )
    return parse_alertmanager(document, path.parent)


def parse_alertmanager(document: Document, folder: Path) -> AlertmanagerConfig:
    """As `load_alertmanager`, of a document that is read already."""
    found = cross_check(document)
    document.data = _from_folder(document.data, folder)
    try:
        config = validate(document, AlertmanagerConfig)
    except ConfigError as error:
        found += error.problems
    if found:
        told = {(p.line, p.key): p for p in reversed(found)}
        raise ConfigError(sorted(told.values(), key=lambda p: (p.line or 0, p.key)))
    return config


def check_alertmanager(path: Path) -> list[str]:
    """What a user should know about a file that is right: keys that are read and not acted upon yet.

    Raises ConfigError as `load_alertmanager` does.
    """
    config = load_alertmanager(path)
    return [f"{path}: {notice}" for notice in notices(config)]


def notices(config: AlertmanagerConfig) -> list[str]:
    """What is read and not acted upon yet, and what may surprise."""
    found: list[str] = []
    for i, receiver in enumerate(config.receivers):
        found += [f"receivers[{i}].{kind}: not sent yet (receiver {receiver.name!r})" for kind in receiver.unsent()]
        for j, slack in enumerate(receiver.slack_configs):
            found += [
                f"receivers[{i}].slack_configs[{j}].{key}: templates come later; the default message is used"
                for key, text in slack.texts().items()
                if is_template(text)
            ]
    if config.time_intervals or config.mute_time_intervals:
        found.append("time_intervals: read but not applied yet; notifications go out at all times")
    if config.templates:
        found.append("templates: read but not used yet; the default message is used")
    found += _timer_notices(config.route, "route", DEFAULT_GROUP_INTERVAL_MS, DEFAULT_REPEAT_INTERVAL_MS)
    return found


def _timer_notices(route: Route, key: str, interval_ms: int, repeat_ms: int) -> list[str]:
    interval_ms, repeat_ms = route.group_interval or interval_ms, route.repeat_interval or repeat_ms
    found = []
    if (route.group_interval or route.repeat_interval) and repeat_ms < interval_ms:
        found.append(
            f"{key}.repeat_interval: is less than group_interval; "
            "notifications will not repeat until the next group_interval"
        )
    for i, child in enumerate(route.routes):
        found += _timer_notices(child, f"{key}.routes[{i}]", interval_ms, repeat_ms)
    return found


def _from_folder(data: Any, folder: Path, key: str = "") -> Any:
    if isinstance(data, dict):
        return {k: _from_folder(v, folder, str(k)) for k, v in data.items()}
    if isinstance(data, list):
        return [_from_folder(item, folder, key) for item in data]
    if isinstance(data, str) and data and (key.endswith("_file") or key == "templates"):
        return str(folder / data)
    return data
