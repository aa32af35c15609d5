"""OpenSLO's objects become the SLOs they describe."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from app.yamlfile import load_documents, read_documents
from slo.openslo import openslo_specs
from slo.period import DAY_MS, Calendar, Rolling
from slo.spec import (
    BudgetCondition,
    BurnCondition,
    EventsSli,
    NoDataCondition,
    Occurrences,
    Query,
    RatioSli,
    RatioTimeslices,
    SloSpec,
    ThresholdSli,
    Timeslices,
)
from tests.unit.openslo_windows import Windows

FILES = Path(__file__).parent / "test_openslo_files"
HOUR_MS = 3_600_000
SLO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: a}
spec:
  service: s
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
  indicator: {metadata: {name: i}, spec: {ratioMetric: {counter: true,
    good: {metricSource: {type: Prometheus, spec: {query: sum(x)}}},
    total: {metricSource: {type: Prometheus, spec: {query: sum(y)}}}}}}
"""


@pytest.fixture(scope="module")
def specs() -> dict[str, SloSpec]:
    """The SLOs of the two files, by name."""
    documents = [*load_documents(FILES / "alerts.yaml"), *load_documents(FILES / "shop.yaml")]
    return {spec.name: spec for spec in openslo_specs(documents, Windows())}


def test_every_slo_is_there(specs: dict[str, SloSpec]) -> None:
    """One SLO an objective of the same SLI, one a composite; each knows where it stands."""
    assert list(specs) == ["availability-most-minutes", "availability-2", "fresh", "journey", "by-handler"]
    assert {spec.format for spec in specs.values()} == {"openslo"}
    lines = (FILES / "shop.yaml").read_text().splitlines()
    for name in ("fresh", "journey", "by-handler"):
        line = specs[name].line
        assert line is not None
        assert (specs[name].file, lines[line + 2].strip()) == (str(FILES / "shop.yaml"), f"name: {name}")


def test_an_slo_has_what_its_object_says(specs: dict[str, SloSpec]) -> None:
    """Names, text, labels of service and SLO, target, slices, calendar and SLA arrive where they belong."""
    first, second = specs["availability-most-minutes"], specs["availability-2"]
    assert (first.id, first.service) == ("shop-availability-most-minutes", "shop")
    assert (first.display_name, second.display_name) == ("Availability: Most minutes", "Availability")
    assert first.description == "Requests are answered."
    assert first.labels == (("cost_centre", "12,13"), ("owner", "shop-team"), ("tier", "1"))
    assert (first.objective, second.objective) == (99.9, 50.0)
    assert (first.budgeting, second.budgeting) == (Timeslices(300_000, 0.95), Timeslices(600_000, 0.99))
    assert first.period == Calendar(datetime(2026, 1, 1), "Europe/Berlin", "M", 1)
    assert first.sla == 99.5
    assert not first.composite


def test_good_comes_from_logs_and_total_from_a_counter(specs: dict[str, SloSpec]) -> None:
    """Each metric has the language of its data source; a bare counter is counted over the window."""
    sli = specs["availability-2"].components[0].sli
    assert sli == EventsSli(
        bad=None,
        total=Query('sum(increase(http_requests_total{job="shop"}[{{.window}}]))'),
        good=Query('sum(count_over_time({app="shop"} |= "done" [{{.window}}]))', "logql"),
    )


def test_a_threshold_has_the_objectives_operator(specs: dict[str, SloSpec]) -> None:
    """A value is good where `value op limit`; its query is taken as it is."""
    fresh = specs["fresh"]
    assert fresh.components[0].sli == ThresholdSli(Query('max(queue_lag_seconds{job="shop"})'), "lte", 30.0)
    assert fresh.budgeting == RatioTimeslices(HOUR_MS)
    assert fresh.period == Rolling(28 * DAY_MS)
    assert fresh.alerts == ()


def test_a_composite_has_components_with_weights(specs: dict[str, SloSpec]) -> None:
    """Each objective is a component; the SLO's own objective is the annotation's."""
    journey = specs["journey"]
    answers, payments = journey.components
    assert (journey.objective, journey.budgeting, journey.composite) == (95.0, Occurrences(), True)
    assert (answers.name, answers.objective, answers.weight) == ("answers", 99.0, 1.0)
    assert (payments.name, payments.objective, payments.weight) == ("payments", 99.9, 2.5)
    assert answers.sli == specs["availability-2"].components[0].sli
    assert payments.sli == RatioSli(Query("avg(payment_success_ratio)"), "good")
    assert journey.period == Rolling(Windows.period_ms)


def test_a_composites_objective_is_the_strictest() -> None:
    """Without the annotation a composite aims at what its strictest component does."""
    text = (FILES / "shop.yaml").read_text().replace('    annotations: {watchhouse.io/objective: "95"}\n', "")
    documents = [*read_documents("shop.yaml", text), *load_documents(FILES / "alerts.yaml")]
    (journey,) = (spec for spec in openslo_specs(documents, Windows()) if spec.name == "journey")
    assert journey.objective == 99.9


def test_a_grouped_slo_sums_by_its_labels(specs: dict[str, SloSpec]) -> None:
    """A lone selector may give several series: they are summed by the grouping; samples that are numbers add up."""
    grouped = specs["by-handler"]
    assert grouped.grouping == ("handler", "method")
    assert grouped.components[0].sli == EventsSli(
        bad=Query("sum by (handler, method) (sum_over_time(shop_errors[{{.window}}]))"),
        total=Query("sum by (handler, method) (sum_over_time(shop_requests[{{.window}}] offset 1m))"),
    )


def test_a_policy_is_an_alert(specs: dict[str, SloSpec]) -> None:
    """Condition, severity, delay, labels, annotations and targets of a policy are those of the alert."""
    fast, silence, half, most = specs["availability-2"].alerts
    assert (fast.key, fast.name, fast.severity, fast.for_ms) == ("fast-burn", "ShopBurnsFast", "page", 300_000)
    assert fast.conditions == (BurnCondition((HOUR_MS,), Fraction("14.4"), "gt"),)
    assert fast.labels == (("openslo_target", "shop-slack"), ("severity", "page"), ("team", "shop,web"))
    assert dict(fast.annotations) == {
        "description": "The budget burns fast.",
        "runbook_example_com_url": "https://example.com/runbook",
    }
    assert (fast.when_no_data, fast.tell_resolved) == (True, True)
    assert (silence.key, silence.name, silence.severity) == ("silence", "ShopIsSilent", "ticket")
    assert silence.conditions == (NoDataCondition(6 * HOUR_MS),)
    assert silence.labels == (("openslo_target", "shop-slack,office"), ("severity", "ticket"))
    assert dict(silence.annotations)["description"] == "Nothing comes from the shop."
    assert (silence.when_no_data, silence.tell_resolved) == (False, False)
    assert [alert.key for alert in (half, most)] == ["budget-50", "budget-90"]
    assert half.conditions == (BudgetCondition(Fraction(1, 2)),)
    assert (half.severity, half.labels) == ("ticket", (("budget_consumed", "50"), ("severity", "ticket")))


def test_an_slo_without_policies_has_the_default_alerts(specs: dict[str, SloSpec]) -> None:
    """A page and a ticket by the windows given, for the SLO's own period; a key without a value is none."""
    page, ticket = specs["by-handler"].alerts
    assert (page.key, page.name, page.severity) == ("page", "ErrorBudgetBurn", "page")
    assert page.conditions == (BurnCondition((HOUR_MS, 300_000), Fraction(7)),)
    assert (ticket.key, ticket.labels) == ("ticket", (("severity", "ticket"),))
    (spec,) = openslo_specs(read_documents("a.yaml", SLO + "  alertPolicies:\n"), Windows())
    assert [alert.key for alert in spec.alerts] == ["page", "ticket"]
    assert spec.alerts[0].conditions == (BurnCondition((HOUR_MS, 300_000), Fraction(28)),)


def test_a_policy_that_never_alerts_makes_no_alert() -> None:
    """Neither when breaching nor without data: there is nothing to fire."""
    text = (FILES / "shop.yaml").read_text().replace("alertWhenNoData: true", "alertWhenResolved: true")
    documents = [*read_documents("shop.yaml", text), *load_documents(FILES / "alerts.yaml")]
    spec = openslo_specs(documents, Windows())[0]
    assert [alert.key for alert in spec.alerts] == ["fast-burn", "budget-50", "budget-90"]


@pytest.mark.parametrize(
    ("duration", "length_ms"),
    [
        ("90m", 5_400_000),
        ("36h", 129_600_000),
        ("07d", 7 * DAY_MS),
        ("4w", 28 * DAY_MS),
        ("1M", 30 * DAY_MS),
        ("1Q", 90 * DAY_MS),
        ("1Y", 365 * DAY_MS),
    ],
)
def test_durations(duration: str, length_ms: int) -> None:
    """A rolling window of months, quarters or years has their nominal length."""
    window = f"  timeWindow: [{{duration: {duration}, isRolling: true}}]\n"
    (spec,) = openslo_specs(read_documents("a.yaml", SLO + window), Windows())
    assert spec.period == Rolling(length_ms)


@pytest.mark.parametrize("target", ["0.999", "0.99999", "0.57", "0.3", "0.123456789"])
def test_a_target_is_exact_in_per_cent(target: str) -> None:
    """`target` and the same `targetPercent` are the same objective, to the last digit."""
    share = read_documents("a.yaml", SLO.replace("0.99", target))
    percent = read_documents("a.yaml", SLO.replace("target: 0.99", f"targetPercent: {Decimal(target) * 100}"))
    assert openslo_specs(share, Windows()) == openslo_specs(percent, Windows())


@pytest.mark.parametrize(
    ("query", "counted"),
    [
        ("sum(x)", "sum(increase(x[{{.window}}]))"),
        ("sum(increase(x[{{.window}}]))", "sum(increase(x[{{.window}}]))"),
        ("sum(rate(x[ {{ .window }} ]))", "sum(rate(x[ {{ .window }} ]))"),
        ("x", "sum(increase(x[{{.window}}]))"),
        ("increase(x[{{.window}}])", "sum(increase(x[{{.window}}]))"),
        (
            "sum(x) - sum(x_bucket{le='1'})",
            'sum(increase(x[{{.window}}])) - sum(increase(x_bucket{le="1"}[{{.window}}]))',
        ),
        ("sum(x{a=' offset 5m'} offset 1h)", 'sum(increase(x{a=" offset 5m"}[{{.window}}] offset 1h))'),
        ("sum by (job) (x @ 60)", "sum by (job) (increase(x[{{.window}}] @ 60.000))"),
        ('sum({"http.requests"})', 'sum(increase({__name__="http.requests"}[{{.window}}]))'),
    ],
)
def test_bare_counters_are_counted_over_the_window(query: str, counted: str) -> None:
    """A bare selector becomes its increase; a query with the window in it stays; lone series are summed."""
    (spec,) = openslo_specs(read_documents("a.yaml", SLO.replace("sum(x)", repr(query))), Windows())
    sli = spec.components[0].sli
    assert isinstance(sli, EventsSli)
    assert sli.good is not None
    assert " ".join(sli.good.text.split()).replace("( ", "(").replace(" )", ")") == counted
