"""What the tables of Prometheus's and Alertmanager's templates were made with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from alerting.templates.prometheus import Sample, expand
from alerting.templates.values import KV, Alert, Alerts, Data
from app.errors import WatchhouseError

_LABELS = {
    "instance": "web-1.example.com:9100",
    "job": "node",
    "mount": "/var/lib",
    "ip": "10.0.0.1:80",
    "v6": "[::1]:9090",
    "weird": 'a"b<c>&d é',
}
_START = datetime(2024, 2, 29, 13, 4, 5, 123456, UTC)
_NEVER = datetime(1, 1, 1, tzinfo=UTC)
_SUMMARY = 'It\'s <slow> & "bad"'
_RUNBOOK = "https://run.example.com/a?b=c&d=e f"


def _ask(expression: str, now: datetime) -> list[Sample]:
    if expression == "none":
        return []
    if expression == "bad":
        raise WatchhouseError("query failed")
    return [
        Sample({"__name__": "up", "a": "b", "n": "10", "__value__": "v1"}, 3.0),
        Sample({"__name__": "up", "a": "a", "n": "9"}, 4.5),
        Sample({"__name__": "up", "a": "c", "n": "1"}, 1e9),
    ]


def expanded(text: str, value: float = 1234.5678) -> str:
    """An annotation of one alert."""
    return expand(
        text,
        name="__alert_Test",
        labels=_LABELS,
        value=value,
        external_labels={"region": "eu-1"},
        external_url="http://prom.example.com:9090/prom",
        now=datetime.fromtimestamp(1700000000.123, UTC),
        query=_ask,
    )


def _alert(severity: str, number: int, annotations: Mapping[str, str], fingerprint: str) -> Alert:
    labels = KV(alertname="HighLatency", job="api", severity=severity, instance=f"web-{number}:80")
    return Alert("firing", labels, KV(annotations), _START, _NEVER, "", f"0123456789abcd{fingerprint}")


def notification(name: str) -> Data:
    """A notification by the name a row has for it."""
    first = _alert("critical", 1, {"summary": _SUMMARY, "runbook": _RUNBOOK}, "ef")
    first.generator_url = "http://prom:9090/graph?g0.expr=up%3D%3D0&g0.tab=1"
    second = _alert("warning", 2, {}, "e0")
    second.starts_at, second.generator_url = _START + timedelta(minutes=90), "javascript:alert(1)"
    third = _alert("info", 3, {"summary": _SUMMARY}, "e1")
    third.status, third.ends_at = "resolved", _START + timedelta(hours=1)
    data = Data(
        receiver="team\\.a",
        status="firing",
        alerts=Alerts([first, second, third]),
        notification_reason="first",
        group_labels=KV(alertname="HighLatency"),
        common_labels=KV(alertname="HighLatency", job="api"),
        common_annotations=KV(),
        route_labels=KV(
            team="infra",
            greeting='Hi {{ routeLabels "team" }} on {{ .GroupLabels.alertname }}',
            loop='{{ routeLabels "pool" }}',
            pool='{{ routeLabels "loop" }}',
        ),
        external_url="http://am.example.com:9093",
    )
    if name == "resolved":
        data.status, data.alerts = "resolved", Alerts([third])
        data.common_labels, data.common_annotations = third.labels, third.annotations
    elif name == "one":
        data.alerts, data.group_labels = Alerts([first]), KV()
        data.common_labels, data.common_annotations = first.labels, first.annotations
    elif name == "grouped":
        data.group_labels = KV(job="api", alertname="HighLatency")
    return data
