"""Pyrra's `pyrra.dev/v1alpha1 ServiceLevelObjective` as models."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from app.durations import DurationMs
from app.yamlfile import GoModel
from slo.sloth_model import Label, Name, Text

Severity = Annotated[str, Field(min_length=1)]


def _target(value: object) -> object:
    # a text in Kubernetes, which has no floats; Pyrra's own files have plain numbers too
    return repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _percent(value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number <= 100:
        raise ValueError("a percentage above 0 and at most 100 is wanted, like '99.9'")
    return value


def _unique(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(value)) < len(value):
        raise ValueError("holds a label twice")
    return value


Grouping = Annotated[tuple[Label, ...], AfterValidator(_unique)]
Target = Annotated[str, BeforeValidator(_target), AfterValidator(_percent)]


class Metadata(GoModel):
    """What Kubernetes has to say of an object."""

    model_config = ConfigDict(extra="allow")

    name: Name
    namespace: str = ""
    labels: dict[str, Text] = Field(default_factory=dict)
    annotations: dict[str, Text] = Field(default_factory=dict)


class Metric(GoModel):
    """A selector of series."""

    metric: str = Field(min_length=1)


class Ratio(GoModel):
    """Errors among all events."""

    errors: Metric
    total: Metric
    grouping: Grouping = ()


class Latency(GoModel):
    """Requests in a bucket of a histogram among all of them."""

    success: Metric
    total: Metric
    grouping: Grouping = ()


class LatencyNative(GoModel):
    """Requests faster than `latency` in a native histogram."""

    total: Metric
    latency: DurationMs = Field(gt=0)
    grouping: Grouping = ()


class BoolGauge(Metric):
    """A gauge that is 1 while all is well, else 0."""

    grouping: Grouping = ()


class Indicator(GoModel):
    """Exactly one of the four."""

    ratio: Ratio | None = None
    latency: Latency | None = None
    latency_native: LatencyNative | None = Field(None, alias="latencyNative")
    bool_gauge: BoolGauge | None = None


class Severities(GoModel):
    """The label `severity` of each alert."""

    absent: Severity = "critical"
    fast_burn: Severity = Field("critical", alias="fastBurn")
    medium_burn: Severity = Field("critical", alias="mediumBurn")
    slow_burn: Severity = Field("warning", alias="slowBurn")
    long_term_burn: Severity = Field("warning", alias="longTermBurn")


class Alerting(GoModel):
    """Which alerts there are, and how they are named."""

    disabled: bool = False
    burnrates: bool = True
    absent: bool = True
    name: str = "ErrorBudgetBurn"
    absent_name: str = Field("SLOMetricAbsent", alias="absentName")
    severities: Severities = Severities()


class RuleOutput(GoModel):
    """Labels of the Kubernetes objects Pyrra writes; nothing here."""

    short_rules_labels: dict[str, Text] = Field(default_factory=dict, alias="shortRulesLabels")
    long_rules_labels: dict[str, Text] = Field(default_factory=dict, alias="longRulesLabels")
    enable_description_as_label: bool = Field(False, alias="enableDescriptionAsLabel")


class Spec(GoModel):
    """One SLO, or one for each group."""

    description: str = ""
    target: Target
    window: DurationMs = Field(gt=0)
    indicator: Indicator
    alerting: Alerting = Alerting()
    partial_response_strategy: Literal["abort", "warn", ""] = ""
    performance_over_accuracy: bool = Field(False, alias="performanceOverAccuracy")
    rule_output: RuleOutput = Field(RuleOutput(), alias="ruleOutput")


class ServiceLevelObjective(GoModel):
    """A document."""

    api_version: Literal["pyrra.dev/v1alpha1"] = Field(alias="apiVersion")
    kind: Literal["ServiceLevelObjective"]
    metadata: Metadata
    spec: Spec
    status: dict[str, Any] = Field(default_factory=dict)
