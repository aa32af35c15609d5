"""Prometheus's own configuration file: `global` and `scrape_configs`, unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from app.durations import DurationMs, format_duration_ms, parse_duration_ms
from app.errors import ConfigError, Problem
from app.yamlfile import Document, KeyPath, StrictModel, load_documents, validate
from ingest.scrape.httpoptions import Base2Size, HttpOptions
from ingest.scrape.relabel import LABEL_NAME, RelabelRule

DEFAULT_INTERVAL_MS = 60_000
DEFAULT_TIMEOUT_MS = 10_000
_IGNORED_SECTIONS = (
    "rule_files",
    "alerting",
    "remote_write",
    "remote_read",
    "storage",
    "tracing",
    "otlp",
    "runtime",
)
_SUPPORTED_SD = ("static_configs", "file_sd_configs")
_NOT_YET = ("oauth2", "proxy_connect_header", "proxy_from_environment", "no_proxy", "sigv4", "azuread", "google_iam")


def _text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _label_names(labels: dict[str, str]) -> dict[str, str]:
    for name in labels:
        if not LABEL_NAME.fullmatch(name):
            raise ValueError(f"not a label name: {name!r}")
    return labels


Text = Annotated[str, BeforeValidator(_text)]


class TargetGroup(StrictModel):
    """Addresses that share labels: an entry of static_configs, or of a file of file_sd_configs."""

    targets: tuple[str, ...] = ()
    labels: dict[str, Text] = Field(default_factory=dict)

    _names = field_validator("labels")(_label_names)

    @field_validator("targets")
    @classmethod
    def _addresses(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        for address in targets:
            if "/" in address:
                raise ValueError(f"{address!r} is not a host or host:port (scheme and path are keys of their own)")
        return targets


class FileSd(StrictModel):
    """Target groups in JSON or YAML files, read again when they change."""

    files: tuple[str, ...] = Field(min_length=1)
    refresh_interval: DurationMs = 300_000

    @field_validator("files")
    @classmethod
    def _readable(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        for name in files:
            if not name.endswith((".json", ".yml", ".yaml")):
                raise ValueError(f"{name!r} must end in .json, .yml or .yaml")
        return files


class PageLimits(StrictModel):
    """Bounds on a page; 0 means no bound of the user's own."""

    body_size_limit: Base2Size = 0
    sample_limit: int = Field(0, ge=0)
    target_limit: int = Field(0, ge=0)
    label_limit: int = Field(0, ge=0)
    label_name_length_limit: int = Field(0, ge=0)
    label_value_length_limit: int = Field(0, ge=0)
    # Prometheus's keys that say nothing about text formats; read so that its files are taken unchanged
    keep_dropped_targets: int = Field(0, ge=0)
    scrape_protocols: tuple[str, ...] = ()
    scrape_native_histograms: bool = False
    always_scrape_classic_histograms: bool = False
    convert_classic_histograms_to_nhcb: bool = False
    native_histogram_bucket_limit: int = Field(0, ge=0)
    native_histogram_min_bucket_factor: float = 0
    metric_name_validation_scheme: str = ""
    metric_name_escaping_scheme: str = ""
    scrape_failure_log_file: str = ""
    extra_scrape_metrics: bool = False


class GlobalConfig(PageLimits):
    """What scrape configurations inherit."""

    scrape_interval: DurationMs = DEFAULT_INTERVAL_MS
    scrape_timeout: DurationMs = 0
    evaluation_interval: DurationMs = DEFAULT_INTERVAL_MS
    rule_query_offset: DurationMs = 0
    query_log_file: str = ""
    external_labels: dict[str, Text] = Field(default_factory=dict)

    _names = field_validator("external_labels")(_label_names)

    @property
    def interval_ms(self) -> int:
        """The interval in force; 0 is Prometheus's way to say the default."""
        return self.scrape_interval or DEFAULT_INTERVAL_MS

    @property
    def timeout_ms(self) -> int:
        """The timeout in force: the default is never longer than the interval."""
        return self.scrape_timeout or min(DEFAULT_TIMEOUT_MS, self.interval_ms)


class ScrapeJob(HttpOptions, PageLimits):
    """One scrape configuration; in a ScrapeSet, interval, timeout and limits are those in force."""

    job_name: str = Field(min_length=1)
    scrape_interval: DurationMs = 0
    scrape_timeout: DurationMs = 0
    metrics_path: str = "/metrics"
    scheme: Literal["http", "https"] = "http"
    params: dict[str, tuple[Text, ...]] = Field(default_factory=dict)
    honor_labels: bool = False
    honor_timestamps: bool = True
    track_timestamps_staleness: bool = False
    fallback_scrape_protocol: str = ""
    scrape_classic_histograms: bool = False
    static_configs: tuple[TargetGroup, ...] = ()
    file_sd_configs: tuple[FileSd, ...] = ()
    relabel_configs: tuple[RelabelRule, ...] = ()
    metric_relabel_configs: tuple[RelabelRule, ...] = ()


class _PrometheusFile(StrictModel):
    global_: GlobalConfig = Field(GlobalConfig(), alias="global")
    scrape_configs: tuple[ScrapeJob, ...] = ()


@dataclass(frozen=True, slots=True)
class ScrapeSet:
    """Jobs to scrape, their names distinct; paths in them are absolute or relative to the process."""

    jobs: tuple[ScrapeJob, ...] = ()
    external_labels: Mapping[str, str] | None = None

    def __add__(self, other: ScrapeSet) -> ScrapeSet:
        """Both sets as one. Raises ConfigError when a job is in both."""
        names = {job.job_name for job in self.jobs}
        for job in other.jobs:
            if job.job_name in names:
                message = f"job {job.job_name!r} is in more than one scrape file"
                raise ConfigError([Problem("scrape", None, "job_name", message)])
        return ScrapeSet(self.jobs + other.jobs, self.external_labels or other.external_labels)


def load_scrape_file(path: Path) -> tuple[ScrapeSet, list[str]]:
    """The jobs of a prometheus.yml, and notices about sections that are Prometheus's alone.

    Raises ConfigError with every mistake.
    """
    documents = load_documents(path)
    if len(documents) > 1:
        problem = Problem(str(path), documents[1].lines.get(()), "", "one YAML document is wanted, here is another")
        raise ConfigError([problem])
    return _read(documents[0], path.parent)


def scrape_set_from_inline(scrape_configs: Sequence[Mapping[str, Any]], document: Document) -> ScrapeSet:
    """The jobs of `scrape.scrape_configs` of a watchhouse.yaml, whose Document gives the lines.

    Raises ConfigError with every mistake.
    """
    lines = {path[1:]: line for path, line in document.lines.items() if path[:1] == ("scrape",)}
    data = {"scrape_configs": [dict(config) for config in scrape_configs]}
    try:
        return _read(Document(document.file, data, lines), Path(document.file).parent)[0]
    except ConfigError as error:
        raise ConfigError([replace(p, key=f"scrape.{p.key}") for p in error.problems]) from None


def _read(document: Document, folder: Path) -> tuple[ScrapeSet, list[str]]:
    notices: list[str] = []
    if isinstance(document.data, dict):
        for section in _IGNORED_SECTIONS:
            if section in document.data:
                where = f"{document.file}:{document.line_of((section,))}"
                notices.append(f"{where}: {section}: not used, only global and scrape_configs are")
        document.problems += _raw_problems(document)
        document.data = _without_told(document.data)
    found = validate(document, _PrometheusFile)
    jobs = tuple(_in_force(job, found.global_, folder) for job in found.scrape_configs)
    return ScrapeSet(jobs, found.global_.external_labels), notices


def _raw_problems(document: Document) -> Iterator[Problem]:
    """Mistakes that are seen best before validation, so that they are told along with all others."""
    overall = document.data.get("global")
    overall = overall if isinstance(overall, dict) else {}
    if "scrape_config_files" in document.data:
        yield document.problem(("scrape_config_files",), "not supported yet")
    yield from _timeout_problem(document, ("global",), overall, {})
    first: dict[str, KeyPath] = {}
    for i, job in _jobs_in(document.data):
        path: KeyPath = ("scrape_configs", i)
        for key in job:
            if _not_yet(key):
                yield document.problem((*path, key), f"{key}: not supported yet")
        name = job.get("job_name")
        if isinstance(name, str) and name in first:
            line = document.line_of(first[name])
            yield document.problem((*path, "job_name"), f"job {name!r} is already there, on line {line}")
        elif isinstance(name, str):
            first[name] = (*path, "job_name")
        yield from _timeout_problem(document, path, job, overall)


def _timeout_problem(
    document: Document, path: KeyPath, job: dict[str, Any], overall: dict[str, Any]
) -> Iterator[Problem]:
    try:
        interval = parse_duration_ms(str(job.get("scrape_interval") or overall.get("scrape_interval") or "1m"))
        timeout = parse_duration_ms(str(job.get("scrape_timeout") or 0))
    except ValueError:
        return  # told by validation
    if timeout > interval:
        both = f"{format_duration_ms(timeout)} is longer than the scrape interval, {format_duration_ms(interval)}"
        yield document.problem((*path, "scrape_timeout"), both)


def _jobs_in(data: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    jobs = data.get("scrape_configs")
    for i, job in enumerate(jobs if isinstance(jobs, list) else []):
        if isinstance(job, dict):
            yield i, job


def _not_yet(key: object) -> bool:
    name = str(key)
    return name in _NOT_YET or (name.endswith("_sd_configs") and name not in _SUPPORTED_SD)


def _without_told(data: dict[str, Any]) -> dict[str, Any]:
    """The data without what is ignored or already told to be a mistake."""
    kept = {k: v for k, v in data.items() if k not in _IGNORED_SECTIONS and k != "scrape_config_files"}
    for key in ("global", "scrape_configs"):
        if kept.get(key, "") is None:  # an empty section in YAML
            del kept[key]
    if isinstance(kept.get("scrape_configs"), list):
        kept["scrape_configs"] = [
            {k: v for k, v in job.items() if not _not_yet(k)} if isinstance(job, dict) else job
            for job in kept["scrape_configs"]
        ]
    return kept


def _in_force(job: ScrapeJob, overall: GlobalConfig, folder: Path) -> ScrapeJob:
    """The job with what it inherits, and its paths taken from the file's folder."""
    interval = job.scrape_interval or overall.interval_ms
    limits = {name: getattr(overall, name) for name in PageLimits.model_fields if name not in job.model_fields_set}
    update: dict[str, Any] = {
        **limits,
        "scrape_interval": interval,
        "scrape_timeout": job.scrape_timeout or min(overall.timeout_ms, interval),
        "file_sd_configs": tuple(
            sd.model_copy(update={"files": tuple(str(folder / name) for name in sd.files)})
            for sd in job.file_sd_configs
        ),
    }
    update |= _absolute(job, folder, ("bearer_token_file",))
    update["tls_config"] = _moved(job.tls_config, folder, ("ca_file", "cert_file", "key_file"))
    if job.basic_auth:
        update["basic_auth"] = _moved(job.basic_auth, folder, ("username_file", "password_file"))
    if job.authorization:
        update["authorization"] = _moved(job.authorization, folder, ("credentials_file",))
    update["http_headers"] = {
        name: header.model_copy(update={"files": tuple(folder / file for file in header.files)})
        for name, header in job.http_headers.items()
    }
    return job.model_copy(update=update)


def _moved(model: StrictModel, folder: Path, keys: Sequence[str]) -> StrictModel:
    return model.model_copy(update=_absolute(model, folder, keys))


def _absolute(model: StrictModel, folder: Path, keys: Sequence[str]) -> dict[str, Path]:
    return {key: folder / value for key in keys if (value := getattr(model, key)) is not None}
