"""Sloth files: read as they are, in both forms, with Watchhouse's own keys beside Sloth's."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from app.errors import ConfigError
from app.yamlfile import read_documents
from slo.period import DAY_MS, Rolling
from slo.sloth import load_sloth, sloth_specs
from slo.spec import AlertSpec, BudgetCondition, BurnCondition, EventsSli, Query, RatioSli, SloSpec, sli_key
from slo.windows import PyrraWindows, Windows, load_windows

FILES = Path(__file__).parent / "test_slo_files"
HOUR = 3_600_000
SPEC = """\
version: prometheus/v1
service: shop
slos:
  - name: availability
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(bad[{{.window}}]))
        total_query: sum(rate(all[{{.window}}]))
    alerting:
      name: ShopAvailability
"""
KUBERNETES = """\
apiVersion: sloth.slok.dev/v1
kind: PrometheusServiceLevel
metadata:
  name: shop
  namespace: monitoring
  labels: {prometheus: k8s}
  creationTimestamp: "2026-01-01T00:00:00Z"
spec:
  service: shop
  labels:
    owner: checkout
  slos:
    - name: availability
      objective: 99.9
      labels: {category: availability}
      sli:
        events:
          errorQuery: sum(rate(bad[{{.window}}]))
          totalQuery: sum(rate(all[{{.window}}]))
      alerting:
        name: ShopAvailability
        labels: {team: shop}
        pageAlert:
          labels: {severity: critical}
        ticketAlert:
          disable: true
    - name: reachable
      objective: 95
      sli:
        raw:
          errorRatioQuery: 1 - avg(avg_over_time(probe_success[{{.window}}]))
      alerting:
        pageAlert: {disable: true}
        ticketAlert: {disable: true}
status:
  processedSLOs: 2
"""


def read(text: str, windows: Windows | None = None) -> list[SloSpec]:
    """The SLOs of one document."""
    (document,) = read_documents("slos.yml", text)
    return sloth_specs(document, windows or load_windows())


def sli(spec: SloSpec) -> object:
    """The one SLI of an SLO."""
    (component,) = spec.components
    assert component.objective == spec.objective
    return component.sli


def alert(spec: SloSpec, key: str) -> AlertSpec:
    """An alert that must be there."""
    found = spec.alert(key)
    assert found is not None
    return found


def test_a_file_becomes_slos() -> None:
    """Every field of a Sloth file arrives where it belongs, from all documents of the file."""
    availability, latency, reachable = load_sloth(FILES / "good.yaml")
    assert (availability.id, availability.objective) == ("shop-availability", 99.9)
    assert availability.period == Rolling(30 * DAY_MS)
    assert availability.description == "Requests are answered."
    assert availability.labels == (("category", "availability"), ("owner", "shop-team"), ("tier", "2"))
    assert sli(availability) == EventsSli(
        bad=Query('sum(rate(http_requests_total{job="shop",code=~"5.."}[{{.window}}]))'),
        total=Query('sum(rate(http_requests_total{job="shop"}[{{.window}}]))'),
    )
    page, ticket = alert(availability, "page"), alert(availability, "ticket")
    assert (page.name, page.severity, page.for_ms) == ("ShopAvailability", "page", 0)
    assert page.labels == (("severity", "critical"), ("team", "shop"))
    assert page.annotations == (("runbook", "https://example.com/runbook"),)
    assert page.conditions == (
        BurnCondition((HOUR, HOUR // 12), Fraction("14.4")),
        BurnCondition((6 * HOUR, HOUR // 2), Fraction(6)),
    )
    assert dict(ticket.annotations)["summary"] == "Look at the shop."
    assert [condition.factor for condition in availability.burn_conditions()] == [Fraction("14.4"), 6, 3, 1]
    assert [a.key for a in latency.alerts] == ["ticket"]
    assert isinstance(sli(reachable), RatioSli)
    assert reachable.alerts == ()
    assert (reachable.format, reachable.file, reachable.line) == ("sloth", str(FILES / "good.yaml"), 50)


def test_the_kubernetes_form_says_the_same() -> None:
    """The object's spec is read with its camelCase keys; what is Kubernetes's own is left alone."""
    availability, reachable = read(KUBERNETES)
    assert availability.id == "shop-availability"
    assert availability.labels == (("category", "availability"), ("owner", "checkout"))
    assert sli(availability) == sli(read(SPEC)[0])
    (page,) = availability.alerts
    assert (page.key, page.name, page.labels) == (
        "page",
        "ShopAvailability",
        (("severity", "critical"), ("team", "shop")),
    )
    assert sli(reachable) == RatioSli(Query("1 - avg(avg_over_time(probe_success[{{.window}}]))"))
    assert (reachable.alerts, reachable.line) == ((), 27)


def test_templates_stay_text() -> None:
    """Labels and annotations keep Sloth's template actions as they are."""
    (spec,) = read(SPEC + "      annotations:\n        summary: '{{$labels.instance}} fails'\n")
    assert alert(spec, "page").annotations == (("summary", "{{$labels.instance}} fails"),)


def test_keys_without_a_value_are_none() -> None:
    """As in Go: an empty `labels:` is one that is not there."""
    (spec,) = read(SPEC + "      labels:\n      page_alert:\n")
    assert alert(spec, "page").labels == ()


def test_an_sla_and_budget_alerts_stand_beside() -> None:
    """`sla`, and `budget_alerts` with labels of their own over those of all alerts."""
    text = SPEC.replace("    objective: 99.9\n", "    objective: 99.9\n    sla: 99.5\n")
    (spec,) = read(
        text
        + """\
      labels: {team: shop, pager: one}
      budget_alerts:
        - consumed: 50
        - {consumed: 92.5, severity: page, labels: {pager: two}, annotations: {summary: Nearly used.}}
"""
    )
    assert spec.sla == 99.5
    assert [a.key for a in spec.alerts] == ["page", "ticket", "budget-50", "budget-92.5"]
    half, most = alert(spec, "budget-50"), alert(spec, "budget-92.5")
    assert (half.name, half.severity) == ("ErrorBudgetConsumed", "ticket")
    assert half.conditions == (BudgetCondition(Fraction(1, 2)),)
    assert dict(half.labels) == {"team": "shop", "pager": "one", "severity": "ticket", "budget_consumed": "50"}
    assert (most.severity, most.conditions) == ("page", (BudgetCondition(Fraction("0.925")),))
    assert dict(most.labels)["pager"] == "two"
    assert most.annotations == (("summary", "Nearly used."),)


def test_good_may_come_from_logs() -> None:
    """A query may be LogQL, mixed with PromQL."""
    lines = 'sum(count_over_time({app="shop"} |= "failed" [{{.window}}]))'
    (spec,) = read(SPEC.replace("sum(rate(bad[{{.window}}]))", f"{{logql: '{lines}'}}"))
    assert sli(spec) == EventsSli(bad=Query(lines, "logql"), total=Query("sum(rate(all[{{.window}}]))"))


@pytest.mark.parametrize(
    "query",
    [
        "sum by (handler) (rate(x[{{.window}}]))",
        "sum without (instance) (rate(x[{{.window}}]))",
        "sum by (handler) (rate(x[{{.window}}])) or sum by (code, handler) (rate(y[{{.window}}]))",
        "rate(x[{{.window}}])",
        "sum by (handler) (rate(x[{{.window}}])) * on () group_left sum(rate(y[{{.window}}]))",
    ],
)
def test_a_grouped_slo_keeps_its_labels(query: str) -> None:
    """A grouping is taken where the queries keep its labels, or may."""
    text = SPEC.replace("    objective: 99.9\n", "    objective: 99.9\n    grouping: [handler]\n")
    for part in ("bad", "all"):
        text = text.replace(f"sum(rate({part}[{{{{.window}}}}]))", query)
    (spec,) = read(text)
    assert spec.grouping == ("handler",)


def test_plugins_that_change_nothing_are_taken() -> None:
    """Sloth's own steps, in their default order or with a look at them, leave an SLO what it is."""
    chain = "".join(f"    - id: sloth.dev/core/{n}_rules/v1\n" for n in ("sli", "metadata", "alert"))
    plugins = f"slo_plugins:\n  overridePrevious: true\n  chain:\n{chain}    - id: sloth.dev/core/debug/v1\n"
    assert read(SPEC.replace("slos:", plugins + "slos:"))[0].alerts == read(SPEC)[0].alerts


def test_pyrras_windows_make_four_alerts() -> None:
    """With them each alert has a `for` and labels of its own, beside the file's."""
    (spec,) = read(SPEC + "      page_alert: {labels: {severity: critical}}\n", PyrraWindows(28 * DAY_MS))
    assert spec.period == Rolling(28 * DAY_MS)
    assert [(a.key, a.severity, a.for_ms // 60_000) for a in spec.alerts] == [
        ("page-14", "page", 2),
        ("page-7", "page", 15),
        ("ticket-2", "ticket", 60),
        ("ticket-1", "ticket", 180),
    ]
    assert dict(spec.alerts[0].labels) == {"long": "1h", "short": "5m", "severity": "critical"}


def test_only_an_empty_list_is_called_empty(tmp_path: Path) -> None:
    """A wrong SLO is told by its own mistake alone; a list without any is told as such."""
    path = tmp_path / "slos.yml"
    for slos, wanted in (("[{name: a, objective: 99, sli: 3}]", "slos[0].sli: "), ("[]", "slos: ")):
        path.write_text(f"version: prometheus/v1\nservice: s\nslos: {slos}\n")
        with pytest.raises(ConfigError) as caught:
            load_sloth(path)
        (problem,) = caught.value.problems
        assert str(problem).startswith(f"{path}:3: {wanted}")


def test_the_key_of_counts_follows_the_queries() -> None:
    """Another query makes old counts void; another objective or period does not."""
    first, other = read(SPEC)[0], read(SPEC.replace("99.9", "99"), PyrraWindows(DAY_MS))[0]
    (changed,) = read(SPEC.replace("rate(bad", "rate(worse"))
    key = sli_key(first.components[0].sli)
    assert sli_key(other.components[0].sli) == key
    assert sli_key(changed.components[0].sli) != key
    assert sli_key(first.components[0].sli, ("handler",)) != key
