"""Grafana's provisioning and dashboards: every panel asks for series that exist, in a language that parses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import promql_parser
import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from app.telemetry import REGISTRY
from slo.budgeting import SLOTHS_WINDOWS_MS
from slo.series import series_of
from tests.slo_judging import WORKBOOK, alert, slo

GRAFANA = Path(__file__).parents[2] / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
# what every scrape writes, and what prometheus-client says of its process
GIVEN = {
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
}
VARIABLES = {
    "$__rate_interval": "5m",
    "$__interval": "1m",
    "$__range": "1h",
    "$instance": ".*",
    "$service": ".*",
    "$slo": ".*",
    "$window": "1h",
}
# what every SLO is written as
SLO_SERIES = {
    "ALERTS": {"alertname", "alertstate", "sloth_id", "sloth_service", "sloth_slo", "sloth_severity"},
    **{
        labels["__name__"]: set(labels)
        for labels in map(dict, series_of(slo(alert(*WORKBOOK)), SLOTHS_WINDOWS_MS, "1"))
    },
}
_NAME = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{|\b(up|scrape_[a-z_]+|process_[a-z_]+|watchhouse_[a-z0-9_]+)\b")


def panels_of(dashboard: Any) -> Iterator[Any]:
    """The panels, also those inside collapsed rows."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def queries(kind: str) -> list[Any]:
    """The queries to data sources of a kind, as (title, expression)."""
    found = []
    for path in DASHBOARDS:
        for panel in panels_of(json.loads(path.read_text())):
            for target in panel.get("targets", []):
                if target["datasource"]["type"] == kind:
                    name = f"{path.stem}-{panel['title']}-{target['refId']}".replace(" ", "_")
                    found.append(pytest.param(target["expr"], id=name))
    return found


def own_collectors() -> list[MetricWrapperBase]:
    """The counters, gauges and histograms of our registry, which holds nothing else."""
    return [cast(MetricWrapperBase, collector) for collector in list(REGISTRY._collector_to_names)]


def sample_names() -> dict[str, set[str]]:
    """The names our own metrics have on a page, each with its label names."""
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    found: dict[str, set[str]] = {}
    for collector in own_collectors():
        labels = set(getattr(collector, "_labelnames", ()))
        for family in collector.describe():
            for suffix in suffixes[family.type]:
                found[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return found


def filled(expression: str) -> str:
    """The expression with Grafana's variables filled in."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


@pytest.mark.parametrize("expression", queries("prometheus"))
def test_a_query_parses_and_asks_for_series_that_exist(expression: str) -> None:
    """A PromQL query of a panel parses, and each metric in it is one we or every scrape write."""
    assert "$" not in filled(expression)
    promql_parser.parse(filled(expression))
    names = {first or second for first, second in _NAME.findall(filled(expression))}
    assert names
    assert names <= GIVEN | set(sample_names()) | set(SLO_SERIES)


@pytest.mark.parametrize("expression", queries("prometheus"))
def test_a_query_groups_by_labels_its_series_have(expression: str) -> None:
    """What a panel groups its own metrics by is a label of each of them."""
    names = {first or second for first, second in _NAME.findall(filled(expression))}
    own = [sample_names()[name] | {"job", "instance"} for name in names if name.startswith("watchhouse_")]
    own += [SLO_SERIES[name] for name in names if name in SLO_SERIES]
    for labels in re.findall(r"\bby \(([^)]*)\)", expression):
        for known in own:
            assert {label.strip() for label in labels.split(",")} <= known


def test_every_metric_of_our_own_is_on_the_overview() -> None:
    """A metric we add is shown to those who run Watchhouse."""
    text = (GRAFANA / "dashboards/overview.json").read_text()
    missing = [
        family.name
        for collector in own_collectors()
        for family in collector.describe()
        if family.name.startswith("watchhouse_") and family.name not in text
    ]
    assert not missing


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_can_be_provisioned(path: Path) -> None:
    """A dashboard has a fixed uid, no id of some other Grafana's database, and panels that do not overlap."""
    dashboard = json.loads(path.read_text())
    assert dashboard["uid"]
    assert "id" not in dashboard
    panels = list(panels_of(dashboard))
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        mine = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not mine & cells, panel["title"]
        cells |= mine


def test_dashboards_use_the_data_sources_that_are_provisioned() -> None:
    """Every data source a panel or a variable names is there, by uid and type, and carries the token."""
    provisioned = yaml.safe_load((GRAFANA / "provisioning/datasources/watchhouse.yaml").read_text())["datasources"]
    known = {(source["type"], source["uid"]) for source in provisioned}
    for source in provisioned:
        assert source["jsonData"]["httpHeaderName1"] == "Authorization"
        assert source["secureJsonData"]["httpHeaderValue1"] == "Bearer $__file{/run/secrets/query_token}"
    used = set()
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        asked = [*panels_of(dashboard), *dashboard["templating"]["list"]]
        asked += [target for panel in panels_of(dashboard) for target in panel.get("targets", [])]
        used |= {(item["datasource"]["type"], item["datasource"]["uid"]) for item in asked if "datasource" in item}
    assert used == known
