"""OpenSLO's alert policies as alerts."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from app.errors import Problem
from app.labels import Labels, labels_from
from app.yamlfile import Document, KeyPath
from slo.annotations import PREFIX
from slo.openslo.alert_model import (
    AlertCondition,
    AlertConditionSpec,
    AlertPolicy,
    AlertPolicySpec,
    ConditionUse,
    TargetUse,
)
from slo.openslo.fields import Metadata, duration_ms, label_name
from slo.openslo.load import Objects
from slo.openslo.model import PolicyUse
from slo.spec import AlertSpec, BurnCondition, NoDataCondition
from slo.windows import SEVERITIES, Windows

TARGET_LABEL = "openslo_target"
"""Holds the names of a policy's notification targets, with commas between, so that a route can match them."""
DEFAULT_NAME = "ErrorBudgetBurn"


@dataclass(frozen=True, slots=True)
class Policy:
    """An alert policy, inline or referred to, and where it stands."""

    document: Document
    path: KeyPath
    metadata: Metadata
    spec: AlertPolicySpec


def default_alerts(windows: Windows, period_length_ms: int) -> tuple[AlertSpec, ...]:
    """Pages and tickets: one of each with the Workbook's windows."""
    return tuple(
        AlertSpec(
            key=rule.key,
            name=DEFAULT_NAME,
            severity=severity,
            conditions=rule.conditions,
            labels=labels_from({"severity": severity, **dict(rule.labels)}),
            for_ms=rule.for_ms,
        )
        for severity in SEVERITIES
        for rule in windows.rules(severity, period_length_ms)
    )


def policy_of(objects: Objects, document: Document, path: KeyPath, use: PolicyUse) -> Policy | None:
    """The policy an SLO uses; None where it is wrong, which is told already."""
    if use.alert_policy_ref is not None:
        found = objects.find(AlertPolicy, use.alert_policy_ref)
        return found and Policy(found[0], (), found[1].metadata, found[1].spec)
    assert use.metadata is not None
    assert use.spec is not None
    return Policy(document, path, use.metadata, use.spec)


def alert_of(objects: Objects, policy: Policy) -> AlertSpec | None:
    """The alert of a policy; None where it makes none, or its condition is wrong, which is told already.

    `alertWhenBreaching` tells whether the condition alerts at all, `alertWhenNoData` whether silence does,
    `alertWhenResolved` whether an end is told.
    """
    spec = policy.spec
    condition = _condition(objects, spec.conditions[0])
    if condition is None or not (spec.alert_when_breaching or spec.alert_when_no_data):
        return None
    rule = condition.condition
    window = duration_ms(rule.lookback_window)
    burn = BurnCondition((window,), Fraction(repr(rule.threshold)), rule.op)
    description = spec.description or condition.description
    return AlertSpec(
        key=policy.metadata.name,
        name=policy.metadata.display_name or policy.metadata.name,
        severity=condition.severity,
        conditions=(burn,) if spec.alert_when_breaching else (NoDataCondition(window),),
        labels=_labels(policy, condition.severity),
        annotations=_annotations(policy.metadata, description),
        for_ms=0 if rule.alert_after is None else duration_ms(rule.alert_after),
        when_no_data=spec.alert_when_breaching and spec.alert_when_no_data,
        tell_resolved=spec.alert_when_resolved,
    )


def plain_labels(metadata: Metadata) -> dict[str, str]:
    """An object's labels as Prometheus has them; several values are one, with commas between."""
    return {label_name(key): ",".join(values) for key, values in metadata.labels.items()}


def policy_notices(objects: Objects, policy: Policy) -> list[Problem]:
    """What a policy allows and may surprise its author with."""
    spec, at = policy.spec, (*policy.path, "spec")
    condition = _condition(objects, spec.conditions[0])
    found = []
    if not spec.alert_when_breaching:
        consequence = "alerts when there is no data only" if spec.alert_when_no_data else "never alerts"
        message = f"is not true, so the policy {policy.metadata.name!r} {consequence}"
        found.append(policy.document.problem((*at, "alertWhenBreaching"), message))
    if condition is not None and condition.condition.op in ("lt", "lte"):
        threshold, op = condition.condition.threshold, condition.condition.op
        message = f"alerts while the budget burns slowly: its rate is {op} {threshold:g}"
        found.append(policy.document.problem((*at, "conditions"), message))
    return found


def _condition(objects: Objects, use: ConditionUse) -> AlertConditionSpec | None:
    if use.condition_ref is None:
        return use.spec
    found = objects.find(AlertCondition, use.condition_ref)
    return found and found[1].spec


def _target(use: TargetUse) -> str:
    if use.target_ref is not None:
        return use.target_ref
    assert use.metadata is not None
    return use.metadata.name


def _labels(policy: Policy, severity: str) -> Labels:
    targets = ",".join(_target(use) for use in policy.spec.notification_targets)
    return labels_from({**plain_labels(policy.metadata), "severity": severity, TARGET_LABEL: targets})


def _annotations(metadata: Metadata, description: str) -> Labels:
    own = {label_name(key): value for key, value in metadata.annotations.items() if not key.startswith(PREFIX)}
    return labels_from({"description": description.strip(), **own})
