"""A first SLO file: which metrics are known, what is proposed from them, and how it is written."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from app.yamlfile import read_documents
from slo.files import read_slos
from slo.init.known import known_metrics
from slo.init.render import MAX_SERVICES, render
from slo.init.survey import MAX_METRICS, Proposal, Sample, Service, Survey, fast_enough, objective_of, survey
from slo.windows import load_windows


class Metrics:
    """A source whose every series has all the labels of its metric, and whose every answer is the same."""

    def __init__(self, metrics: Mapping[str, tuple[str, ...]], value: float = 1e6) -> None:
        self._metrics = metrics
        self._value = value
        self.asked: list[str] = []

    def names(self) -> frozenset[str]:
        """The names of all metrics."""
        return frozenset(self._metrics)

    def labels(self, metric: str) -> frozenset[str]:
        """The labels of a metric."""
        return frozenset(self._metrics[metric])

    def query(self, promql: str) -> list[Sample]:
        """One service; no errors, and one finite bucket."""
        self.asked.append(promql)
        by = promql[promql.index("(") + 1 : promql.index(")")].split(", ") if promql.startswith("sum by") else []
        labels = {label: "shop" for label in by if label != "le"}
        if "le" in by:
            return [({**labels, "le": le}, self._value) for le in ("0.5", "+Inf")]
        return [] if '=~"' in promql else [(labels, self._value)]


@pytest.mark.parametrize(
    ("metric", "labels", "failed", "buckets"),
    [
        ("http_requests_total", ("job", "status"), 'status=~"5.."', "http_request_duration_seconds_bucket"),
        ("shop_http_requests_total", ("job", "code"), 'code=~"5.."', "shop_http_request_duration_seconds_bucket"),
        (
            "http_server_requests_seconds_count",
            ("job", "status"),
            'status=~"5.."',
            "http_server_requests_seconds_bucket",
        ),
        (
            "http_server_request_duration_seconds_count",
            ("job", "http_response_status_code"),
            'http_response_status_code=~"5.."',
            "http_server_request_duration_seconds_bucket",
        ),
        (
            "grpc_server_handled_total",
            ("job", "grpc_code"),
            'grpc_code=~"Unknown|DeadlineExceeded|Unimplemented|Internal|Unavailable|DataLoss"',
            "grpc_server_handling_seconds_bucket",
        ),
        (
            "nginx_ingress_controller_requests",
            ("ingress", "status"),
            'status=~"5.."',
            "nginx_ingress_controller_request_duration_seconds_bucket",
        ),
        (
            "traefik_service_requests_total",
            ("service", "code"),
            'code=~"5.."',
            "traefik_service_request_duration_seconds_bucket",
        ),
        (
            "istio_requests_total",
            ("destination_service_name", "response_code"),
            'response_code=~"5.."',
            "istio_request_duration_milliseconds_bucket",
        ),
        (
            "envoy_cluster_upstream_rq",
            ("envoy_cluster_name", "envoy_response_code"),
            'envoy_response_code=~"5.."',
            None,
        ),
        ("haproxy_backend_http_responses_total", ("proxy", "code"), 'code=~"5xx"', None),
        (
            "caddy_http_request_duration_seconds_count",
            ("server", "code"),
            'code=~"5.."',
            "caddy_http_request_duration_seconds_bucket",
        ),
    ],
)
def test_well_known_counters_are_known(metric: str, labels: tuple[str, ...], failed: str, buckets: str | None) -> None:
    """A counter's errors are told by its own label, its service by the first label that names one, both in the file."""
    metrics = {metric: labels} if buckets is None else {metric: labels, buckets: (*labels, "le")}
    found = survey(Metrics(metrics), "7d")
    (service,) = found.services
    availability = service.slos[0]
    assert (service.name, found.left_out) == ("shop", ())
    assert f'{labels[0]}="shop"' in availability.error_query
    assert failed in availability.error_query
    assert failed not in availability.total_query
    assert availability.objective == 99.9
    assert [slo.name for slo in service.slos[1:]] == ([] if buckets is None else ["latency"])
    if buckets is not None:
        assert f"sum(rate({buckets}{{" in service.slos[1].error_query
        assert 'le="0.5"' in service.slos[1].error_query
    reading = read_slos(read_documents("slos.yml", render(found, "here")), load_windows())
    assert [(spec.service, spec.name) for spec in reading.specs] == [("shop", slo.name) for slo in service.slos]


def test_every_known_metric_is_well_formed() -> None:
    """All of known_metrics.yaml is of the form that is read, and no name is two counters."""
    known = known_metrics()
    plain = [counter.metric for counter in known.counters if "(" not in counter.metric]
    assert len(set(plain)) == len(plain) > 10
    assert [gauge.metric for gauge in known.gauges] == ["probe_success", "up"]


def test_requests_are_counted_by_one_metric() -> None:
    """A service that has two known counters has one availability; the other counter is told."""
    labels = ("job", "code")
    found = survey(Metrics({"http_requests_total": labels, "http_request_duration_seconds_count": labels}), "7d")
    assert [[slo.name for slo in service.slos] for service in found.services] == [["availability"]]
    assert "http_requests_total{" in found.services[0].slos[0].total_query
    assert found.left_out == (
        "http_request_duration_seconds_count: the availability of shop is counted by another metric",
    )


def test_up_is_for_those_nothing_else_is_known_of() -> None:
    """A service with requests needs no SLO of its scrapes; a lone one gets that."""
    with_requests = survey(Metrics({"up": ("job",), "http_requests_total": ("job", "code")}), "7d")
    assert [slo.name for slo in with_requests.services[0].slos] == ["availability"]
    alone = survey(Metrics({"up": ("job",)}), "7d")
    assert [slo.name for slo in alone.services[0].slos] == ["up"]


def test_without_a_label_all_is_one_service() -> None:
    """A counter that names no service is of one called `all`."""
    found = survey(Metrics({"http_requests_total": ("code",)}), "7d")
    assert [service.name for service in found.services] == ["all"]
    assert found.services[0].slos[0].total_query == "sum(rate(http_requests_total[{{.window}}]))"


def test_no_more_than_a_bound_is_asked() -> None:
    """Of a hundred counters with names that are alike the first fifty are asked for, the others told."""
    metrics = {f"a{i:03}_http_requests_total": ("job", "code") for i in range(2 * MAX_METRICS)}
    source = Metrics(metrics)
    found = survey(source, "7d")
    assert len(source.asked) == 2 * MAX_METRICS
    assert sum("more than" in text for text in found.left_out) == MAX_METRICS


@pytest.mark.parametrize(
    ("good", "total", "objective"),
    [
        (1_000_000, 1_000_000, 99.9),
        (999_000, 1_000_000, 99.9),
        (998_999, 1_000_000, 99.5),
        (990, 1000, 99),
        (500, 500, 99.5),
        (100, 100, 99),
        (10, 10, 90),
        (1, 1, 50),
        (0, 1000, 50),
        (0, 0, 99),
        (float("nan"), float("nan"), 99),
        (999, 1000, 99.9),
    ],
)
def test_an_objective_is_what_was_kept(good: float, total: float, objective: float) -> None:
    """It is rounded down, allows a failure in as many events as there were, and is a guess without any."""
    assert objective_of(good, total) == objective


@pytest.mark.parametrize(
    ("counts", "le"),
    [
        ({"0.1": 900, "0.25": 990, "1": 1000, "+Inf": 1000}, "0.25"),
        ({"0.1": 900, "0.25": 989, "1.0": 1000, "+Inf": 1000}, "1.0"),
        ({"0.1": 500, "+Inf": 1000}, "0.1"),
        ({"10": 1000, "9.5": 1000, "+Inf": 1000}, "9.5"),
        ({"0.1": 0, "+Inf": 0}, None),
        ({"+Inf": 5}, None),
        ({}, None),
    ],
)
def test_fast_enough_is_near_the_99th_percentile(counts: dict[str, float], le: str | None) -> None:
    """The smallest bucket that holds 99 %, as its label is written, else the highest that is finite."""
    assert fast_enough(counts) == le


def test_names_are_made_fit() -> None:
    """Whatever a service is called the file loads: names are of allowed characters, and none is there twice."""
    slo = Proposal(
        "availability",
        'It\'s: "fine" # really',
        "sum(rate(x{a=\"\\\\ 'b'\"}[{{.window}}]))",
        "sum(rate(x[{{.window}}]))",
        99,
        "x",
    )
    names = ["a/b", "a b", "ü", "-x-", "a-b", "yes", "1.5"]
    found = Survey(tuple(Service(name, (slo,)) for name in names), ())
    specs = read_slos(read_documents("slos.yml", render(found, "here")), load_windows()).specs
    assert [spec.service for spec in specs] == ["a-b", "a-b-2", "service", "x", "a-b-3", "yes", "1.5"]
    assert {spec.description for spec in specs} == {slo.description}
    assert specs[0].alerts[0].name == "ABAvailability"


def test_a_file_has_a_bound() -> None:
    """Services above the bound are told, by name, in a comment."""
    slo = Proposal("up", "", "count(x[{{.window}}])", "sum(x[{{.window}}])", 99, "x")
    text = render(Survey(tuple(Service(f"s{i}", (slo,)) for i in range(MAX_SERVICES + 1)), ()), "here")
    assert text.count("version: prometheus/v1") == MAX_SERVICES
    assert text.endswith(f"# - s{MAX_SERVICES}: more than {MAX_SERVICES} services\n")
