"""Pyrra's objects become the SLOs they describe, with the alerts of its rules."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from app.yamlfile import load_documents, read_documents
from slo.period import DAY_MS, Rolling
from slo.pyrra.specs import absent_for_ms, read_pyrra
from slo.spec import AlertSpec, BudgetCondition, BurnCondition, Component, EventsSli, NoDataCondition, Query, SloSpec

FILE = Path(__file__).parent / "test_slo_files" / "pyrra.yaml"
HOUR, MINUTE = 3_600_000, 60_000


@pytest.fixture(scope="module")
def specs() -> dict[str, SloSpec]:
    """The SLOs of the file, by name."""
    found = [spec for document in load_documents(FILE) for spec in read_pyrra(document).specs]
    return {spec.name: spec for spec in found}


def sli(spec: SloSpec) -> EventsSli:
    """The one SLI of an SLO."""
    (component,) = spec.components
    assert isinstance(component.sli, EventsSli)
    return component.sli


def test_a_ratio_is_errors_of_all(specs: dict[str, SloSpec]) -> None:
    """Errors and total are increases of their selectors, by the labels of the grouping."""
    spec = specs["checkout-errors"]
    orders = 'handler=~"/order.*",job="shop"'
    assert spec.components == (
        Component(
            EventsSli(
                bad=Query(f'sum by (handler) (increase(http_requests_total{{code=~"5..",{orders}}}[{{{{.window}}}}]))'),
                total=Query(f"sum by (handler) (increase(http_requests_total{{{orders}}}[{{{{.window}}}}]))"),
            ),
            99.5,
        ),
    )
    assert (spec.id, spec.objective, spec.sla, spec.period) == (
        "shop-checkout-errors",
        99.5,
        99.0,
        Rolling(28 * DAY_MS),
    )
    assert (spec.format, spec.description, spec.grouping) == ("pyrra", "Orders are taken.", ("handler",))
    assert (spec.file, spec.line) == (str(FILE), 1)


def test_labels_are_those_of_pyrras_rules(specs: dict[str, SloSpec]) -> None:
    """The name as `slo`, what is propagated, and what all series of the total have, without the grouping."""
    assert dict(specs["checkout-errors"].labels) == {
        "slo": "checkout-errors",
        "team": "checkout",
        "cost_centre": "12",
        "job": "shop",
    }


def test_alerts_are_those_of_pyrras_rules(specs: dict[str, SloSpec]) -> None:
    """Four pairs with their `for` and labels, one for absence, and one on the budget that an annotation asks for."""
    spec = specs["checkout-errors"]
    runbook = (("runbook", "https://example.com/runbook"),)
    assert spec.alerts[0] == AlertSpec(
        key="critical-14",
        name="CheckoutBurns",
        severity="page",
        conditions=(BurnCondition((HOUR, 5 * MINUTE), Fraction(14)),),
        labels=(("exhaustion", "2d"), ("long", "1h"), ("severity", "page"), ("short", "5m")),
        annotations=runbook,
        for_ms=2 * MINUTE,
    )
    assert [(a.key, a.severity, a.for_ms // MINUTE) for a in spec.alerts[1:4]] == [
        ("critical-7", "critical", 15),
        ("warning-2", "warning", 60),
        ("warning-1", "warning", 180),
    ]
    assert [dict(a.labels)["exhaustion"] for a in spec.alerts[1:4]] == ["4d", "2w", "4w"]
    assert spec.alerts[4] == AlertSpec(
        key="absent",
        name="CheckoutIsAbsent",
        severity="warning",
        conditions=(NoDataCondition(5 * MINUTE),),
        labels=(("severity", "warning"),),
        annotations=runbook,
        for_ms=6 * MINUTE,
    )
    assert (spec.alerts[5].key, spec.alerts[5].conditions) == ("budget-90", (BudgetCondition(Fraction(9, 10)),))


def test_a_bucket_is_what_is_fast_enough(specs: dict[str, SloSpec]) -> None:
    """Good is the bucket, whether le is written as Prometheus 2 or 3 does; without burn rates absence is left."""
    spec = specs["checkout-latency"]
    bucket = r'http_request_duration_seconds_bucket{job="shop",le=~"1(\\.0)?"}'
    assert sli(spec) == EventsSli(
        bad=None,
        total=Query('sum(increase(http_request_duration_seconds_count{job="shop"}[{{.window}}]))'),
        good=Query(f"sum(increase({bucket}[{{{{.window}}}}]))"),
    )
    assert (spec.id, spec.service, spec.objective) == ("checkout-checkout-latency", "checkout", 99.0)
    assert [(a.key, a.name) for a in spec.alerts] == [("absent", "SLOMetricAbsent")]


def test_native_histograms_are_cut_at_the_latency(specs: dict[str, SloSpec]) -> None:
    """Good is the fraction below, times the count; what Pyrra needs for its rules only changes nothing."""
    spec = specs["checkout-latency-native"]
    histogram = 'sum by (handler, method) (increase(http_request_duration_seconds{job="shop"}[{{.window}}]))'
    assert sli(spec) == EventsSli(
        bad=None,
        total=Query(f"histogram_count({histogram})"),
        good=Query(f"histogram_fraction(0, 0.2, {histogram}) * histogram_count({histogram}) >= 0"),
    )
    assert (spec.id, spec.alerts) == ("default-checkout-latency-native", ())


def test_a_gauge_counts_its_samples(specs: dict[str, SloSpec]) -> None:
    """Each sample is an event, good where it is 1."""
    over = 'by (instance) ({}_over_time(probe_success{{job="blackbox"}}[{{{{.window}}}}]))'
    assert sli(specs["reachable"]) == EventsSli(
        bad=None, total=Query("sum " + over.format("count")), good=Query("sum " + over.format("sum"))
    )
    assert [dict(a.labels).get("long") for a in specs["reachable"].alerts] == [
        "1h4m",
        "6h26m",
        "25h43m",
        "102h51m",
        None,
    ]


@pytest.mark.parametrize(
    ("target", "days", "minutes"),
    [("99", 28, 10), ("99.9", 28, 3), ("95", 28, 44), ("99", 7, 3), ("90", 28, 86), ("100", 28, 2)],
)
def test_absence_waits_as_long_as_failure(target: str, days: int, minutes: int) -> None:
    """factor * (1 - target) * long + for, rounded to a minute: 99 % over 4w are 14 * 0.01 * 60m + 2m, 10m."""
    assert absent_for_ms(target, days * DAY_MS) == minutes * MINUTE


def test_what_may_surprise_is_noticed() -> None:
    """A target that looks like a share, and errors that are all events, are told."""
    (document,) = read_documents(
        "slo.yaml",
        """\
apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata: {name: a}
spec:
  target: 0.99
  window: 1w
  indicator:
    ratio:
      errors: {metric: x}
      total: {metric: x}
""",
    )
    notices = read_pyrra(document).notices
    assert [(notice.line, notice.key) for notice in notices] == [
        (9, "spec.indicator.ratio.errors.metric"),
        (5, "spec.target"),
    ]
