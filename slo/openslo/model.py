"""OpenSLO v1's seven kinds as models: the fields there are and each one's own rule.

What one field asks of another is in `slo.openslo.rules`, so that both are told at once.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from slo.openslo.alert_model import AlertCondition, AlertNotificationTarget, AlertPolicy, AlertPolicySpec
from slo.openslo.fields import (
    Description,
    Duration,
    Flag,
    Metadata,
    Name,
    Number,
    OpenSloModel,
    SliceWindow,
    StartTime,
    Text,
    Version,
    Zone,
)
from slo.spec import Op

Method = Literal["Occurrences", "Timeslices", "RatioTimeslices"]


class ServiceSpec(OpenSloModel):
    """Of a Service."""

    description: Description = ""


class Service(OpenSloModel):
    """A group of SLOs."""

    api_version: Version
    kind: Literal["Service"]
    metadata: Metadata
    spec: ServiceSpec = ServiceSpec()


class DataSourceSpec(OpenSloModel):
    """Of a DataSource. The connection is anything but nothing."""

    description: Description = ""
    type: Text
    connection_details: Any


class DataSource(OpenSloModel):
    """Where metrics are."""

    api_version: Version
    kind: Literal["DataSource"]
    metadata: Metadata
    spec: DataSourceSpec


class MetricSource(OpenSloModel):
    """A query, in whatever form its data source has."""

    metric_source_ref: Name | None = None
    type: str = ""
    spec: dict[str, Any] = Field(min_length=1)


class Metric(OpenSloModel):
    """A metric of an SLI."""

    metric_source: MetricSource


class RatioMetric(OpenSloModel):
    """Good or bad of a total, or a ready-made ratio."""

    counter: Flag = False
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric | None = None
    raw_type: Literal["success", "failure"] | None = None
    raw: Metric | None = None


class SliSpec(OpenSloModel):
    """Of an SLI, inline too."""

    description: Description = ""
    threshold_metric: Metric | None = None
    ratio_metric: RatioMetric | None = None


class Sli(OpenSloModel):
    """How a service's level is measured."""

    api_version: Version
    kind: Literal["SLI"]
    metadata: Metadata
    spec: SliSpec


class Indicator(OpenSloModel):
    """An SLI written inside an SLO."""

    metadata: Metadata
    spec: SliSpec


class PolicyUse(OpenSloModel):
    """An AlertPolicy inside an SLO, or the name of one."""

    alert_policy_ref: Name | None = None
    kind: Literal["AlertPolicy"] | None = None
    metadata: Metadata | None = None
    spec: AlertPolicySpec | None = None


class CalendarWindow(OpenSloModel):
    """From when on, and on whose clock."""

    start_time: StartTime
    time_zone: Zone


class TimeWindow(OpenSloModel):
    """The period of a budget."""

    duration: Duration
    is_rolling: Flag = False
    calendar: CalendarWindow | None = None


class Objective(OpenSloModel):
    """What is aimed at; in a composite of what, too."""

    display_name: str = ""
    op: Op | None = None
    value: Number | None = None
    target: Annotated[Number, Field(ge=0, lt=1)] | None = None
    target_percent: Annotated[Number, Field(ge=0, lt=100)] | None = None
    time_slice_target: Annotated[Number, Field(gt=0, le=1)] | None = None
    time_slice_window: SliceWindow | None = None
    indicator: Indicator | None = None
    indicator_ref: Name | None = None
    composite_weight: Annotated[Number, Field(gt=0)] | None = None

    @property
    def measures(self) -> bool:
        """Whether it has an SLI of its own, as those of a composite have."""
        return self.indicator is not None or self.indicator_ref is not None


class SloBody(OpenSloModel):
    """Of an SLO. Without alertPolicies the default alerts are made, with an empty list none."""

    description: Description = ""
    service: Text
    indicator: Indicator | None = None
    indicator_ref: Name | None = None
    budgeting_method: Method
    time_window: tuple[TimeWindow, ...] | None = None
    objectives: tuple[Objective, ...] = ()
    alert_policies: tuple[PolicyUse, ...] | None = None


class Slo(OpenSloModel):
    """A service level objective."""

    api_version: Version
    kind: Literal["SLO"]
    metadata: Metadata
    spec: SloBody


Object = Service | DataSource | Sli | Slo | AlertPolicy | AlertCondition | AlertNotificationTarget
KINDS: dict[str, type[Object]] = {
    "Service": Service,
    "DataSource": DataSource,
    "SLI": Sli,
    "SLO": Slo,
    "AlertPolicy": AlertPolicy,
    "AlertCondition": AlertCondition,
    "AlertNotificationTarget": AlertNotificationTarget,
}
