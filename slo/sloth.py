"""Sloth's `prometheus/v1` files, read as they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from app.errors import ConfigError, Problem
from app.labels import Labels, labels_from
from app.yamlfile import Document, KeyPath, StrictModel, load_documents, validate
from slo.queries import SliQueryError, check_query
from slo.spec import DAY_MS, SEVERITIES, AlertSpec, EventsSli, RatioSli, Severity, SloSpec

VERSION = "prometheus/v1"
_NAME = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
_LABEL = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")


def _name(value: str) -> str:
    if not _NAME.match(value):
        raise ValueError("letters, digits, '-', '_' and '.' are allowed, beginning and ending with a letter or digit")
    return value


def _label_name(value: str) -> str:
    if not _LABEL.match(value) or value.startswith("__"):
        raise ValueError(f"not a label name: {value!r}")
    return value


def _text(value: object) -> object:
    # Go's YAML gives a plain number to a text field as it is written; only whole numbers are sure to be that here
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_Name = Annotated[str, AfterValidator(_name)]
_Text = Annotated[str, BeforeValidator(_text)]
_LabelMap = dict[Annotated[str, AfterValidator(_label_name)], _Text]


class _Plugin(StrictModel):
    id: str
    config: dict[str, Any] = Field(default_factory=dict)
    priority: int = 0


class _Plugins(StrictModel):
    override_previous: bool = Field(False, alias="overridePrevious")
    chain: tuple[_Plugin, ...] = ()


class _Raw(StrictModel):
    error_ratio_query: str


class _Events(StrictModel):
    error_query: str
    total_query: str


class _SliPlugin(StrictModel):
    id: str
    options: dict[str, Any] = Field(default_factory=dict)


class _Sli(StrictModel):
    raw: _Raw | None = None
    events: _Events | None = None
    plugin: _SliPlugin | None = None


class _Alert(StrictModel):
    disable: bool = False
    labels: _LabelMap = Field(default_factory=dict)
    annotations: _LabelMap = Field(default_factory=dict)


class _Alerting(StrictModel):
    name: str = ""
    labels: _LabelMap = Field(default_factory=dict)
    annotations: _LabelMap = Field(default_factory=dict)
    page_alert: _Alert = _Alert()
    ticket_alert: _Alert = _Alert()


class _Slo(StrictModel):
    name: _Name
    description: str = ""
    objective: float = Field(gt=0, le=100)
    labels: _LabelMap = Field(default_factory=dict)
    plugins: _Plugins = _Plugins()
    sli: _Sli
    alerting: _Alerting = _Alerting()


class _File(StrictModel):
    version: Literal["prometheus/v1"]
    service: _Name
    labels: _LabelMap = Field(default_factory=dict)
    slo_plugins: _Plugins = _Plugins()
    slos: tuple[_Slo, ...] = Field(min_length=1)


def load_sloth(path: Path, period_ms: int = 30 * DAY_MS) -> list[SloSpec]:
    """The SLOs of a file, which may hold several YAML documents. Raises ConfigError with every problem found."""
    specs: list[SloSpec] = []
    problems: list[Problem] = []
    for document in load_documents(path):
        try:
            specs += sloth_specs(document, period_ms)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return specs


def sloth_specs(document: Document, period_ms: int = 30 * DAY_MS) -> list[SloSpec]:
    """The SLOs of one document. Raises ConfigError with every problem found."""
    file = validate(document, _File)
    problems = _chain_problems(document, ("slo_plugins",), file.slo_plugins)
    specs = []
    for i, slo in enumerate(file.slos):
        path: KeyPath = ("slos", i)
        problems += _chain_problems(document, (*path, "plugins"), slo.plugins)
        sli, found = _read_sli(document, (*path, "sli"), slo.sli)
        problems += found
        if any(other.name == slo.name for other in file.slos[:i]):
            problems.append(document.problem((*path, "name"), f"the service has another SLO named {slo.name!r}"))
        alerts = {severity: _alert(slo.alerting, severity) for severity in SEVERITIES}
        if not slo.alerting.name and any(alerts.values()):
            key = (*path, "alerting", "name")
            problems.append(document.problem(key, "missing: it becomes the alertname (or disable both alerts)"))
        if sli is not None:
            specs.append(
                SloSpec(
                    name=slo.name,
                    service=file.service,
                    objective=slo.objective,
                    sli=sli,
                    description=slo.description,
                    labels=labels_from({**file.labels, **slo.labels}),
                    period_ms=period_ms,
                    page=alerts["page"],
                    ticket=alerts["ticket"],
                    file=document.file,
                    line=document.line_of(path),
                )
            )
    if problems:
        raise ConfigError(sorted(problems, key=lambda p: p.line or 0))
    return specs


def _chain_problems(document: Document, path: KeyPath, plugins: _Plugins) -> list[Problem]:
    return [
        document.problem((*path, "chain", i), f"the SLO plugin {plugin.id!r} cannot be run here")
        for i, plugin in enumerate(plugins.chain)
    ]


def _read_sli(document: Document, path: KeyPath, sli: _Sli) -> tuple[EventsSli | RatioSli | None, list[Problem]]:
    given = [kind for kind in ("events", "raw", "plugin") if getattr(sli, kind) is not None]
    if len(given) != 1:
        return None, [document.problem(path, "exactly one of events, raw is wanted")]
    if sli.plugin is not None:
        message = f"the SLI plugin {sli.plugin.id!r} cannot be run here: write its queries as events or raw"
        return None, [document.problem((*path, "plugin"), message)]
    problems = []
    part = sli.events or sli.raw
    for key, query in part.model_dump().items() if part else ():
        try:
            check_query(query, events=sli.events is not None)
        except SliQueryError as error:
            problems.append(document.problem((*path, given[0], key), str(error)))
    if sli.events is not None:
        return EventsSli(sli.events.error_query, sli.events.total_query), problems
    assert sli.raw is not None
    return RatioSli(sli.raw.error_ratio_query), problems


def _alert(alerting: _Alerting, severity: Severity) -> AlertSpec | None:
    own = alerting.page_alert if severity == "page" else alerting.ticket_alert
    if own.disable:
        return None
    labels: Labels = labels_from({**alerting.labels, **own.labels})
    return AlertSpec(alerting.name, labels, labels_from({**alerting.annotations, **own.annotations}))
