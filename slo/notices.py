"""What is allowed in an SLO, whatever its format, but may surprise its author."""

from __future__ import annotations

from collections.abc import Iterator

from app.durations import format_duration_ms
from app.errors import Problem
from slo.burn import parts_of
from slo.spec import BurnCondition, Op, RatioSli, SloSpec
from slo.windows import SEVERITIES, Windows

_BY_WINDOWS: tuple[Op, ...] = ("gt", "gte")


def notices(spec: SloSpec, windows: Windows) -> list[Problem]:
    """Every such thing of a spec. `windows` are those it was read with."""
    texts = [*_of_objective(spec), *_of_windows(spec, windows), *_of_alerts(spec)]
    return [Problem(spec.file, spec.line, spec.id, text) for text in texts]


def _of_objective(spec: SloSpec) -> Iterator[str]:
    if any(isinstance(component.sli, RatioSli) for component in spec.components):
        yield "a raw error ratio knows no events: every interval weighs the same, however much traffic it had"
    if spec.sla is not None and spec.objective < spec.sla:
        yield (
            f"the objective, {spec.objective:g} %, is below the SLA, {spec.sla:g} %:"
            " the budget is not yet used up when the SLA is broken"
        )


def _of_windows(spec: SloSpec, windows: Windows) -> Iterator[str]:
    length_ms = spec.period.length_ms
    if spec.format == "pyrra" or not _has_default_alerts(spec, windows):
        return
    for condition in windows.dropped(length_ms):
        yield (
            f"there is no alert over {_windows_text(condition)}:"
            f" the period, {format_duration_ms(length_ms)}, is shorter than its long window"
        )


def _has_default_alerts(spec: SloSpec, windows: Windows) -> bool:
    rules = [rule for severity in SEVERITIES for rule in windows.rules(severity, spec.period.length_ms)]
    # of a period too short for any pair there are none to be found
    return not (rules or spec.alerts) or any(
        rule.conditions == alert.conditions for alert in spec.alerts for rule in rules
    )


def _of_alerts(spec: SloSpec) -> Iterator[str]:
    parts = parts_of(spec)
    if any(part.budget <= 0 for part in parts):
        return
    most = sum(part.weight / part.budget for part in parts)
    for alert in spec.alerts:
        for condition in alert.conditions:
            if not isinstance(condition, BurnCondition) or condition.op not in _BY_WINDOWS:
                continue
            if condition.factor > most or (condition.factor == most and condition.op == "gt"):
                yield (
                    f"the {alert.severity} alert at {float(condition.factor):g}x over {_windows_text(condition)}"
                    f" can never fire: with an objective of {spec.objective:g} %"
                    f" even total failure burns only {float(most):.4g}x"
                )


def _windows_text(condition: BurnCondition) -> str:
    return "/".join(format_duration_ms(window) for window in condition.windows_ms)
