"""What Sloth's generated rules say of our specs, we say too: series, labels, objectives, alerts and what they say."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest

from app.durations import format_duration_ms, parse_duration_ms
from slo.notice import alert_annotations, alert_labels
from slo.series import series_of
from slo.spec import BurnCondition, SloSpec
from tests.sloth_rules import PERIODS, Rule, our_specs, sloth_rules

_BURNS = re.compile(r"ratio_rate(\w+)\{[^}]*\} > \(([\d.]+) \* ([\d.]+)\)")


def both(period: str) -> list[tuple[SloSpec, list[Rule]]]:
    """Each of our SLOs, and Sloth's rules for it."""
    rules = sloth_rules(period)
    specs = our_specs(period)
    assert set(rules) == {spec.id for spec in specs}
    return [(spec, rules[spec.id]) for spec in specs]


def _filled(text: str, spec: SloSpec) -> str:
    """An annotation as Prometheus would fill it in."""
    return text.replace("{{$labels.sloth_service}}", spec.service).replace("{{$labels.sloth_slo}}", spec.name)


@pytest.mark.parametrize("period", PERIODS)
def test_series_have_sloths_names_and_labels(period: str) -> None:
    """Every series its rules record is one of ours with the same labels, but who made it; and we have no others."""
    for spec, rules in both(period):
        records = [rule for rule in rules if not rule.alerts]
        windows = [parse_duration_ms(rule.labels["sloth_window"]) for rule in records if "sloth_window" in rule.labels]
        theirs = {(("__name__", rule.name), *sorted(rule.labels.items())) for rule in records}
        mode, version = ("sloth_mode", "watchhouse"), ("sloth_version", "1")
        ours = {
            tuple(
                {mode: ("sloth_mode", "cli-gen-prom"), version: ("sloth_version", "dev")}.get(pair, pair)
                for pair in labels
            )
            for labels in series_of(spec, windows[:-1], "1")
        }
        assert {tuple(sorted(labels)) for labels in ours} == {tuple(sorted(labels)) for labels in theirs}
        assert windows[-1] == spec.period.length_ms
        assert set(spec.windows_ms) <= set(windows)


@pytest.mark.parametrize("period", PERIODS)
def test_objectives_and_periods_are_sloths(period: str) -> None:
    """The constants its rules record."""
    for spec, rules in both(period):
        exprs = {rule.name: rule.expr for rule in rules}
        assert float(exprs["slo:objective:ratio"].removeprefix("vector(").rstrip(")")) == pytest.approx(
            spec.objective / 100, rel=1e-12
        )
        assert exprs["slo:time_period:days"] == f"vector({spec.period.length_ms // 86_400_000})"


@pytest.mark.parametrize("period", PERIODS)
def test_alerts_have_sloths_windows_factors_labels_and_annotations(period: str) -> None:
    """The same alerts by name and severity; pairs and limits as in their expressions, ours without rounding."""
    for spec, rules in both(period):
        alerts = [rule for rule in rules if rule.alerts]
        assert [rule.labels["sloth_severity"] for rule in alerts] == [alert.severity for alert in spec.alerts]
        for rule, alert in zip(alerts, spec.alerts, strict=True):
            burns = _BURNS.findall(rule.expr)
            theirs = [
                (short, long, float(factor), float(budget))
                for (short, factor, budget), (long, _, _) in zip(burns[::2], burns[1::2], strict=True)
            ]
            ours = [c for c in alert.conditions if isinstance(c, BurnCondition)]
            assert len(ours) == len(alert.conditions) == 2
            budget = 1 - Fraction(repr(spec.objective)) / 100
            for (short, long, factor, their_budget), condition in zip(theirs, ours, strict=True):
                assert [format_duration_ms(w) for w in condition.windows_ms] == [long, short]
                assert float(condition.factor) == pytest.approx(factor, rel=1e-15)
                assert float(budget) == pytest.approx(their_budget, rel=1e-12)
            own = dict(spec.labels) | {"sloth_id": spec.id, "sloth_service": "shop", "sloth_slo": spec.name}
            assert dict(alert_labels(spec, alert)) == own | rule.labels | {"alertname": rule.name}
            said = {key: _filled(text, spec) for key, text in rule.annotations.items()}
            assert dict(alert_annotations(spec, alert, alert.conditions[0])) == said
