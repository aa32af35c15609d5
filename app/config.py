"""watchhouse.yaml as typed, validated models: defaults, then the file, then the environment."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from app.durations import DurationMs
from app.errors import ConfigError, Problem
from app.yamlfile import StrictModel

ENV_PREFIX = "WATCHHOUSE_"
_SIZE = re.compile(r"^([0-9]+)\s*(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)?$")
_SIZE_UNITS = {
    "B": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}


def parse_size(value: object) -> object:
    """Bytes of a size such as `10GiB`; whole numbers pass unchanged. Raises ValueError."""
    if not isinstance(value, str):
        return value
    match = _SIZE.match(value.strip())
    if match is None:
        raise ValueError(f"not a size: {value!r} (write it like 512MiB or 10GiB)")
    return int(match[1]) * _SIZE_UNITS[match[2] or "B"]


SizeBytes = Annotated[int, BeforeValidator(parse_size), Field(ge=0)]


class Address(StrictModel):
    """A host and a port to listen on."""

    host: str
    port: int = Field(ge=0, le=65535)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(value: object) -> object:
    """`host:port`, `[v6]:port` or `:port` as an Address. Raises ValueError."""
    if isinstance(value, Address):
        return value
    host, colon, port = str(value).rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError(f"not an address: {value!r} (write it like 127.0.0.1:9470)")
    return Address(host=host.strip("[]") or "0.0.0.0", port=int(port))


Listen = Annotated[Address, BeforeValidator(parse_address), PlainSerializer(str)]
"""An address written as `host:port`."""


class TlsFiles(StrictModel):
    """A server's certificate and key, as PEM files."""

    cert_file: Path
    key_file: Path


class Http(StrictModel):
    """The main listener."""

    listen: Listen = Address(host="127.0.0.1", port=9470)
    tls: TlsFiles | None = None


Role = Literal["ingest", "query", "admin"]


class Token(StrictModel):
    """A bearer token that a sender or reader presents; the token itself stands in a file."""

    name: str
    token_file: Path
    roles: tuple[Role, ...] = Field(min_length=1)


class Auth(StrictModel):
    """Who may do what. Without tokens, only loopback is served."""

    allow_anonymous: bool = False
    tokens: tuple[Token, ...] = ()


class Retention(StrictModel):
    """How long data is kept."""

    metrics: DurationMs = 15 * 86_400_000
    logs: DurationMs = 7 * 86_400_000
    max_size: SizeBytes = 10 * 2**30


def _store_url(value: str) -> str:
    if value == "embedded" or re.match(r"^clickhouses?://", value):
        return value
    raise ValueError("write `embedded`, or clickhouse://user@host:8123/database")


class StoreConfig(StrictModel):
    """Where data is kept."""

    url: Annotated[str, AfterValidator(_store_url)] = "embedded"
    password_file: Path | None = None
    retention: Retention = Retention()
    memory_limit: SizeBytes = 2 * 2**30
    cluster: str | None = None
    http_writable: bool = False
    """Whether /clickhouse takes statements that write; only on a loopback listener."""


class OtlpReceiver(StrictModel):
    """OTLP listeners; null switches one off."""

    grpc_listen: Listen | None = Address(host="127.0.0.1", port=4317)
    http_listen: Listen | None = Address(host="127.0.0.1", port=4318)


class FluentForward(StrictModel):
    """The Fluent forward listener."""

    listen: Listen = Address(host="127.0.0.1", port=24224)
    shared_key_file: Path | None = None
    tls: TlsFiles | None = None


KafkaFormat = Literal["fluentbit_json", "fluentbit_msgpack", "otlp_proto", "otlp_json", "prometheus_remote_write"]


class KafkaTopic(StrictModel):
    """A topic to read and what its records are. `signal` says what an OTLP topic carries."""

    name: str
    format: KafkaFormat
    signal: Literal["metrics", "logs"] = "logs"


class Kafka(StrictModel):
    """The Kafka receiver."""

    bootstrap_servers: tuple[str, ...] = Field(min_length=1)
    group_id: str = "watchhouse"
    topics: tuple[KafkaTopic, ...] = Field(min_length=1)
    dead_letter_topic: str = "watchhouse-dead-letter"


class Receivers(StrictModel):
    """Everything that listens for senders; null switches one off."""

    otlp: OtlpReceiver | None = OtlpReceiver()
    fluent_forward: FluentForward | None = FluentForward()
    kafka: Kafka | None = None


class Scrape(StrictModel):
    """Scrape targets: Prometheus files, or the same syntax in place."""

    files: tuple[Path, ...] = ()
    scrape_configs: tuple[dict[str, Any], ...] = Field((), repr=False)


class Buffer(StrictModel):
    """A Kafka between receivers and writers."""

    kafka: dict[str, Any] | None = None


class Files(StrictModel):
    """Files by path or glob pattern, relative to watchhouse.yaml."""

    files: tuple[str, ...] = ()


class SilenceLimits(StrictModel):
    """How many silences are kept, expired ones among them, how large one may be, and how long after its end."""

    retention: DurationMs = 120 * 3_600_000
    max_silences: int = Field(10_000, ge=1)
    max_bytes: int = Field(65_536, ge=256)


class RulesConfig(Files):
    """Rule files of Prometheus's form, and the rules that come with the service."""

    logql_files: tuple[str, ...] = ()
    """As `files`, with LogQL in them, as Loki's ruler has them."""
    interval: Annotated[DurationMs, Field(gt=0)] = 60_000
    """How often groups are evaluated that do not say so (Prometheus's global.evaluation_interval)."""
    query_offset: DurationMs = 0
    """How far in the past groups are evaluated that do not say so (Prometheus's global.rule_query_offset)."""
    builtin: bool = True
    builtin_off: tuple[str, ...] = ()
    """Names of rules that come with the service and are not wanted."""


class Alerting(StrictModel):
    """The Alertmanager file, and where links in messages lead."""

    config: Path | None = None
    external_url: str | None = None
    peer_timeout: DurationMs = 15_000
    """How long one instance waits for the one before it to tell, where several share a store."""
    silences: SilenceLimits = SilenceLimits()


class GrafanaLinks(StrictModel):
    """Where links of messages to Grafana's Explore lead."""

    url: str
    datasource: str = "watchhouse-metrics"
    """The uid of the data source that has this service's metrics."""

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if not value.startswith(("https://", "http://")):
            raise ValueError("must start with https:// or http://")
        return value


class Slack(StrictModel):
    """The Slack app: its secrets, what people may do from Slack, and what messages show. docs/slack.md has more."""

    signing_secret_file: Path | None = None
    """With it messages have buttons, and /slack/interactive, /slack/command and /slack/events are served."""
    bot_token_file: Path | None = None
    """For answers to mentions; messages have their token from the Alertmanager file."""
    api_url: str = "https://slack.com/api"
    allow_actions: Literal["everyone"] | tuple[str, ...] = "everyone"
    """Who may acknowledge and silence: everyone who sees a message, or these user ids; [] for nobody."""
    commands: Literal["read_only", "all", "off"] = "read_only"
    charts: Literal["auto", "upload", "off"] = "auto"
    """auto: uploaded with a token, else by a signed URL if Slack can reach `alerting.external_url`."""
    grafana: GrafanaLinks | None = None

    @field_validator("allow_actions")
    @classmethod
    def _are_ids(cls, value: Literal["everyone"] | tuple[str, ...]) -> Literal["everyone"] | tuple[str, ...]:
        for name in value if isinstance(value, tuple) else ():
            if not re.fullmatch(r"[UW][A-Z0-9]{4,}", name):
                raise ValueError(f"{name!r} is no user id of Slack, such as U012AB3CD: names can be changed")
        return value


class SloConfig(Files):
    """SLO files and how they are counted."""

    interval: Annotated[DurationMs, Field(ge=1000)] = 60_000
    """Length of the intervals in which good and total are counted."""
    windows: Literal["google", "pyrra"] | Path = "google"
    """The SRE Workbook's burn-rate alerts, Pyrra's, or those of a Sloth AlertWindows file."""
    coverage_floor: float = Field(0.5, ge=0, le=1)
    """The share of a window that must be known for an alert to change by it."""
    false_alarms: float = Field(0.01, ge=0, lt=1)
    """The probability of an alert by chance in a whole period while there is little traffic; 0 for no such guard."""
    series: bool = True
    """Whether SLOs are written as series under Sloth's names."""

    @field_validator("windows", mode="before")
    @classmethod
    def _default_windows(cls, value: object) -> object:
        return "google" if value is None else value


class Limits(StrictModel):
    """Every bound, with its default; docs/limits.md says what a client sees at each."""

    ingest_queue_rows: int = Field(2_000_000, gt=0)
    ingest_queue_bytes: SizeBytes = 512 * 2**20
    commit_rows: int = Field(100_000, gt=0)
    commit_delay: DurationMs = 200
    max_body_bytes: SizeBytes = 64 * 2**20
    max_decoded_bytes: SizeBytes = 256 * 2**20
    max_labels_per_series: int = Field(64, gt=0)
    max_label_name_bytes: int = Field(1024, gt=0)
    max_label_value_bytes: int = Field(8192, gt=0)
    max_log_line_bytes: SizeBytes = 256 * 2**10
    cached_series: int = Field(2_000_000, gt=0)
    query_timeout: DurationMs = 120_000
    query_concurrency: int = Field(8, gt=0)
    query_queue: int = Field(64, ge=0)
    query_max_samples: int = Field(1_000_000_000, gt=0)
    query_max_series: int = Field(500_000, gt=0)
    query_max_points: int = Field(11_000, gt=0)
    query_max_memory: SizeBytes = 1 * 2**30
    query_total_memory: SizeBytes = 2 * 2**30
    query_max_answer: SizeBytes = 512 * 2**20
    query_reuse_memory: SizeBytes = 128 * 2**20
    query_max_exemplars: int = Field(50_000, gt=0)
    log_query_max_lines: int = Field(5_000, gt=0)
    slo_groups: int = Field(1_000, gt=0)
    slo_max_intervals: int = Field(600_000, gt=0)

    @model_validator(mode="after")
    def _one_query_fits(self) -> Limits:
        if self.query_total_memory < self.query_max_memory:
            raise ValueError(
                f"query_total_memory is {self.query_total_memory} bytes, less than one query may have"
                f" (query_max_memory = {self.query_max_memory})"
            )
        return self


class _Environment(EnvSettingsSource):
    """Variables as YAML values, so that an address or a size needs no quotes of JSON."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        return yaml.safe_load(value) if isinstance(value, str) else value


class Config(BaseSettings):
    """The whole configuration of one process."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=ENV_PREFIX, env_nested_delimiter="__", hide_input_in_errors=True
    )

    data_dir: Path = Path("./data")
    http: Http = Http()
    auth: Auth = Auth()
    store: StoreConfig = StoreConfig()
    receivers: Receivers = Receivers()
    scrape: Scrape = Scrape()
    buffer: Buffer = Buffer()
    rules: RulesConfig = RulesConfig()
    slo: SloConfig = SloConfig()
    alerting: Alerting = Alerting()
    slack: Slack = Slack()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _no_open_door(self) -> Config:
        if self.auth.allow_anonymous:
            return self
        forward = self.receivers.fluent_forward
        for key, address in self.listeners().items():
            by_key = key.startswith("receivers.fluent_forward")
            guarded = bool(forward and forward.shared_key_file) if by_key else bool(self.auth.tokens)
            if not address.is_loopback and not guarded:
                guard = "receivers.fluent_forward.shared_key_file" if by_key else "auth.tokens"
                raise ValueError(
                    f"{key} is {address}, which other machines can reach, and no authentication is configured: "
                    f"listen on 127.0.0.1, give {guard}, or set auth.allow_anonymous: true"
                )
        return self

    @model_validator(mode="after")
    def _nothing_promised_in_vain(self) -> Config:
        given = {
            "store.cluster": self.store.cluster,
            "buffer.kafka": self.buffer.kafka,
        }
        for key, value in given.items():
            if value:
                raise ValueError(f"{key} is not supported yet: take it out")
        return self

    def listeners(self) -> dict[str, Address]:
        """Every address this process listens on, by the setting that changes it."""
        found: dict[str, Address] = {"http.listen": self.http.listen}
        if self.receivers.otlp:
            if self.receivers.otlp.grpc_listen:
                found["receivers.otlp.grpc_listen"] = self.receivers.otlp.grpc_listen
            if self.receivers.otlp.http_listen:
                found["receivers.otlp.http_listen"] = self.receivers.otlp.http_listen
        if self.receivers.fluent_forward:
            found["receivers.fluent_forward.listen"] = self.receivers.fluent_forward.listen
        return found

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file."""
        return _Environment(settings_cls), init_settings


def resolve_files(patterns: tuple[str, ...]) -> list[Path]:
    """The files of some glob patterns, sorted; a pattern without wildcards names its file, there or not."""
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        if not any(c in pattern for c in "*?["):
            found.append(path)
            continue
        anchor = Path(path.anchor) if path.is_absolute() else Path()
        found += sorted(anchor.glob(str(path.relative_to(path.anchor) if path.is_absolute() else path)))
    return found


def read_secret(path: Path) -> SecretStr:
    """A secret from a file, without the line end. Raises ConfigError naming the file, never its content."""
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError([Problem(str(path), None, "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(str(path), None, "", "is not UTF-8")]) from None
    if not secret:
        raise ConfigError([Problem(str(path), None, "", "holds no secret: the file is empty")])
    return SecretStr(secret)
