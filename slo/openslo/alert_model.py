"""OpenSLO v1's AlertPolicy, AlertCondition and AlertNotificationTarget as models."""

from __future__ import annotations

from typing import Literal

from slo.openslo.fields import Delay, Description, Duration, Flag, Metadata, Name, Number, OpenSloModel, Text, Version
from slo.spec import Op


class AlertConditionRule(OpenSloModel):
    """When the budget burns too fast."""

    kind: Literal["burnrate"]
    op: Op
    threshold: Number
    lookback_window: Duration
    alert_after: Delay | None = None


class AlertConditionSpec(OpenSloModel):
    """Of an AlertCondition, inline too."""

    description: Description = ""
    severity: Text
    condition: AlertConditionRule


class AlertCondition(OpenSloModel):
    """When to alert."""

    api_version: Version
    kind: Literal["AlertCondition"]
    metadata: Metadata
    spec: AlertConditionSpec


class TargetSpec(OpenSloModel):
    """Of an AlertNotificationTarget, inline too."""

    description: Description = ""
    target: Text


class AlertNotificationTarget(OpenSloModel):
    """Whom to tell."""

    api_version: Version
    kind: Literal["AlertNotificationTarget"]
    metadata: Metadata
    spec: TargetSpec


class ConditionUse(OpenSloModel):
    """An AlertCondition inside an AlertPolicy, or the name of one."""

    condition_ref: Name | None = None
    kind: Literal["AlertCondition"] | None = None
    metadata: Metadata | None = None
    spec: AlertConditionSpec | None = None


class TargetUse(OpenSloModel):
    """An AlertNotificationTarget inside an AlertPolicy, or the name of one."""

    target_ref: Name | None = None
    kind: Literal["AlertNotificationTarget"] | None = None
    metadata: Metadata | None = None
    spec: TargetSpec | None = None


class AlertPolicySpec(OpenSloModel):
    """Of an AlertPolicy, inline too."""

    description: Description = ""
    alert_when_no_data: Flag = False
    alert_when_breaching: Flag = False
    alert_when_resolved: Flag = False
    conditions: tuple[ConditionUse, ...] = ()
    notification_targets: tuple[TargetUse, ...] = ()


class AlertPolicy(OpenSloModel):
    """When to alert whom."""

    api_version: Version
    kind: Literal["AlertPolicy"]
    metadata: Metadata
    spec: AlertPolicySpec
