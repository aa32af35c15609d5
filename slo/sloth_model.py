"""Sloth's two forms as models: `prometheus/v1` with snake_case keys, and the Kubernetes one with camelCase keys.

Beside Sloth's own keys an SLO may have `sla`, `grouping` and `alerting.budget_alerts`, and a query may be LogQL.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, InstanceOf
from pydantic.alias_generators import to_camel

from app.yamlfile import GoModel
from slo.spec import Query

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
    # Go's YAML gives a plain value to a text field as it is written; of these it is sure how that was
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


def _query(value: object) -> Query:
    if isinstance(value, str):
        return Query(value)
    if isinstance(value, dict) and len(value) == 1:
        (language, text), *_ = value.items()
        if language in ("promql", "logql") and isinstance(text, str):
            return Query(text, language)
    raise ValueError('a PromQL query is wanted, or one of LogQL written {logql: "…"}')


def _unique(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(value)) < len(value):
        raise ValueError("holds a label twice")
    return value


Name = Annotated[str, AfterValidator(_name)]
Label = Annotated[str, AfterValidator(_label_name)]
Text = Annotated[str, BeforeValidator(_text)]
LabelMap = dict[Label, Text]
SliQuery = Annotated[InstanceOf[Query], BeforeValidator(_query)]
Percent = Annotated[float, Field(gt=0, le=100)]


class Plugin(GoModel):
    """A step of Sloth's chain of plugins."""

    id: str
    config: dict[str, Any] = Field(default_factory=dict)
    priority: int = 0


class Plugins(GoModel):
    """Sloth's chain of plugins."""

    override_previous: bool = Field(False, alias="overridePrevious")
    chain: tuple[Plugin, ...] = ()


class Raw(GoModel):
    """A ready-made ratio of errors."""

    error_ratio_query: SliQuery


class Events(GoModel):
    """Bad events and all events."""

    error_query: SliQuery
    total_query: SliQuery


class SliPlugin(GoModel):
    """An SLI that Sloth asks a plugin for."""

    id: str
    options: dict[str, Any] = Field(default_factory=dict)


class Sli(GoModel):
    """Exactly one of the three."""

    raw: Raw | None = None
    events: Events | None = None
    plugin: SliPlugin | None = None


class Alert(GoModel):
    """One of the two alerts."""

    disable: bool = False
    labels: LabelMap = Field(default_factory=dict)
    annotations: LabelMap = Field(default_factory=dict)


class BudgetAlert(GoModel):
    """Watchhouse's own: an alert once so many per cent of the budget are used."""

    consumed: Percent
    severity: str = Field("ticket", min_length=1)
    labels: LabelMap = Field(default_factory=dict)
    annotations: LabelMap = Field(default_factory=dict)


class Alerting(GoModel):
    """The alerts of an SLO."""

    name: str = ""
    labels: LabelMap = Field(default_factory=dict)
    annotations: LabelMap = Field(default_factory=dict)
    page_alert: Alert = Alert()
    ticket_alert: Alert = Alert()
    budget_alerts: tuple[BudgetAlert, ...] = ()


class Slo(GoModel):
    """One SLO of a service."""

    name: Name
    description: str = ""
    objective: Percent
    sla: Percent | None = None
    labels: LabelMap = Field(default_factory=dict)
    grouping: Annotated[tuple[Label, ...], AfterValidator(_unique)] = ()
    plugins: Plugins = Plugins()
    sli: Sli
    alerting: Alerting = Alerting()


class Service(GoModel):
    """The SLOs of one service."""

    service: Name
    labels: LabelMap = Field(default_factory=dict)
    slo_plugins: Plugins = Plugins()
    slos: tuple[Slo, ...] = Field(min_length=1)


class File(Service):
    """A document of `prometheus/v1`."""

    version: Literal["prometheus/v1"]


_CAMEL = ConfigDict(alias_generator=to_camel, populate_by_name=False)


class KubernetesRaw(Raw):
    """`errorRatioQuery`."""

    model_config = _CAMEL


class KubernetesEvents(Events):
    """`errorQuery`, `totalQuery`."""

    model_config = _CAMEL


class KubernetesSli(Sli):
    """Exactly one of the three."""

    raw: KubernetesRaw | None = None
    events: KubernetesEvents | None = None


class KubernetesAlerting(Alerting):
    """`pageAlert`, `ticketAlert`, `budgetAlerts`."""

    model_config = _CAMEL


class KubernetesSlo(Slo):
    """One SLO of a service."""

    sli: KubernetesSli
    alerting: KubernetesAlerting = KubernetesAlerting()


class KubernetesService(Service):
    """The `spec` of an object, with `sloPlugins`."""

    model_config = _CAMEL
    slos: tuple[KubernetesSlo, ...] = Field(min_length=1)


class Metadata(GoModel):
    """What Kubernetes has to say of an object; only its name must be there."""

    model_config = ConfigDict(extra="allow")

    name: Name


class KubernetesObject(GoModel):
    """A document of `sloth.slok.dev/v1 PrometheusServiceLevel`."""

    api_version: Literal["sloth.slok.dev/v1"] = Field(alias="apiVersion")
    kind: Literal["PrometheusServiceLevel"]
    metadata: Metadata
    spec: KubernetesService
    status: dict[str, Any] = Field(default_factory=dict)
