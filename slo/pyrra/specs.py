"""Pyrra's ServiceLevelObjective as an SLO, with the alerts Pyrra's rules would have."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from app.durations import format_duration_ms
from app.errors import ConfigError, Problem
from app.labels import labels_from
from app.yamlfile import Document, KeyPath, validate
from slo.annotations import PREFIX, Extensions, read_extensions
from slo.openslo.fields import label_name
from slo.period import Rolling
from slo.pyrra.indicators import Reader, Selected
from slo.pyrra.model import Metadata, ServiceLevelObjective, Spec
from slo.pyrra.windows import MINUTE_MS, exhaustion_ms, pyrra_windows
from slo.reading import Reading
from slo.spec import AlertSpec, Component, NoDataCondition, SloSpec

GROUP = "pyrra.dev/"
_ABSENT_MS = 5 * MINUTE_MS
"""How long Prometheus takes a series for there after its last sample."""
_OWN = {"grouping": "indicator.grouping", "objective": "target"}


def is_pyrra(document: Document) -> bool:
    """Whether a document is one of Pyrra's, of whatever version."""
    data: Any = document.data
    return isinstance(data, dict) and str(data.get("apiVersion", "")).startswith(GROUP)


def read_pyrra(document: Document) -> Reading:
    """The SLO of one document. Raises ConfigError with every problem found."""
    found = validate(document, ServiceLevelObjective)
    metadata, spec = found.metadata, found.spec
    reader = Reader(document)
    selected = reader.read(spec.indicator)
    extensions, problems = _extensions(document, metadata)
    problems += reader.problems
    if problems or selected is None:
        raise ConfigError(sorted(problems, key=lambda p: p.line or 0))
    notices = [*reader.notices, *_notices(document, spec)]
    return Reading((_slo(document, metadata, spec, selected, extensions),), tuple(notices))


def _slo(document: Document, metadata: Metadata, spec: Spec, selected: Selected, extensions: Extensions) -> SloSpec:
    own = _propagated(metadata.labels)
    annotations = _propagated(metadata.annotations)
    return SloSpec(
        name=metadata.name,
        service=own.get("service") or metadata.namespace or "default",
        objective=float(spec.target),
        components=(Component(selected.sli, float(spec.target)),),
        period=Rolling(spec.window),
        alerts=(*_alerts(spec, annotations), *extensions.alerts()),
        description=spec.description.strip(),
        labels=labels_from({**own, **selected.labels, "slo": metadata.name}),
        grouping=selected.grouping,
        sla=extensions.sla,
        format="pyrra",
        file=document.file,
        line=document.line_of(()),
    )


def _extensions(document: Document, metadata: Metadata) -> tuple[Extensions, list[Problem]]:
    path: KeyPath = ("metadata", "annotations")
    extensions, problems = read_extensions(document, path, metadata.annotations)
    for name, instead in _OWN.items():
        if PREFIX + name in metadata.annotations:
            problems.append(document.problem((*path, PREFIX + name), f"Pyrra has a key for that: spec.{instead}"))
    return extensions, problems


def _notices(document: Document, spec: Spec) -> Iterator[Problem]:
    if float(spec.target) < 1:
        message = f"is {spec.target} %: it is written from 0 to 100, not from 0 to 1"
        yield document.problem(("spec", "target"), message)


def _alerts(spec: Spec, annotations: dict[str, str]) -> Iterator[AlertSpec]:
    alerting = spec.alerting
    severities = alerting.severities
    named = (severities.fast_burn, severities.medium_burn, severities.slow_burn, severities.long_term_burn)
    windows = pyrra_windows(spec.window)
    for severity, window in zip(named, windows, strict=True):
        if alerting.disabled or not alerting.burnrates:
            break
        labels = {
            "severity": severity,
            "short": format_duration_ms(window.short_ms),
            "long": format_duration_ms(window.long_ms),
            "exhaustion": format_duration_ms(exhaustion_ms(spec.window, window.factor)),
        }
        yield AlertSpec(
            key=f"{window.severity}-{window.factor}",
            name=alerting.name,
            severity=severity,
            conditions=(window.condition,),
            labels=labels_from(labels),
            annotations=labels_from(annotations),
            for_ms=window.for_ms,
        )
    if alerting.absent:
        yield AlertSpec(
            key="absent",
            name=alerting.absent_name,
            severity=severities.absent,
            conditions=(NoDataCondition(_ABSENT_MS),),
            labels=(("severity", severities.absent),),
            annotations=labels_from(annotations),
            for_ms=absent_for_ms(spec.target, spec.window),
        )


def absent_for_ms(target: str, period_ms: int) -> int:
    """As long as total failure would take to the fastest alert: factor * (1 - target) * long window + its `for`.

    In whole seconds, then rounded to a minute (`AbsentDuration` in pyrra's slo/slo.go).
    """
    fastest = pyrra_windows(period_ms)[0]
    budget = 1 - Fraction(target) / 100
    passed_s = math.floor(fastest.factor * budget * fastest.long_ms / 1000)
    return (passed_s * 1000 + fastest.for_ms + MINUTE_MS // 2) // MINUTE_MS * MINUTE_MS


def _propagated(pairs: dict[str, str]) -> dict[str, str]:
    """What Pyrra takes over from an object's labels or annotations into its alerts, under names Prometheus takes."""
    return {label_name(key.removeprefix(GROUP)): value for key, value in pairs.items() if key.startswith(GROUP)}
