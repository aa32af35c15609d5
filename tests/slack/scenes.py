"""Groups of alerts as a person on call meets them: the pictures in the documentation and some tests show these."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from alerting.notify.base import Acknowledgement, Notification, SuppressedAlert
from alerting.slack.extras import BurnDown, Grafana, Look, Offender
from app.alert import Alert
from app.labels import Labels, labels_from

NOW = datetime(2026, 3, 3, 14, 26, tzinfo=UTC)
HOME = "https://watchhouse.example.com"
LOOK = Look(
    external_url=HOME,
    grafana=Grafana("https://grafana.example.com"),
    buttons=frozenset({"acknowledge", "silence", "logs"}),
)
FACTS: dict[str, object] = {
    "slo": "checkout-availability",
    "service": "shop",
    "objective": 99.9,
    "severity": "page",
    "cause": "burn",
    "condition": "burns faster than 14.4× over 1h and 5m",
    "long_window_ms": 3_600_000,
    "short_window_ms": 300_000,
    "threshold": 14.4,
    "long_burn": 31.2,
    "short_burn": 44.8,
    "budget_left": 0.412,
    "budget_left_events": 41_830.0,
    "budget_left_minutes": 17.8,
    "exhausted_in_ms": 9.51 * 3_600_000,
    "description": "Checkouts that were answered without a server error.",
}
OFFENDERS = [
    Offender("payment_provider", "acme", 2_204, 0.913, 0.22),
    Offender("route", "/checkout/pay", 2_310, 0.957, 0.31),
    Offender("version", "2026.03.03-1", 1_930, 0.80, 0.25),
]


def slo_page(**more: object) -> Alert:
    """A page of a burning SLO, 14 minutes old."""
    labels = labels_from(
        {"alertname": "CheckoutBurn", "sloth_id": "shop-checkout-availability", "severity": "page", "team": "payments"}
    )
    annotations = labels_from({"runbook_url": "https://wiki.example.com/runbooks/checkout"})
    url = f"{HOME}/api/v1/slos/shop-checkout-availability"
    return Alert(labels, NOW - timedelta(minutes=14), None, annotations, url, FACTS | more)


def burn_down() -> BurnDown:
    """The budget of that SLO over six hours."""
    count = 180
    at = [NOW - timedelta(hours=6) + timedelta(minutes=2 * i) for i in range(count + 1)]
    # 1× until 24 minutes ago, 31.2× since: so much of a budget of 30 days in two minutes
    rate = np.where(np.arange(count + 1) < 168, 1.0, 31.2) * 2 / 43_200
    left = -np.cumsum(rate)
    left += 0.412 - left[-1]
    gone_at = NOW + timedelta(hours=9.51)
    return BurnDown("checkout-availability", 99.9, at, [float(x) for x in left], gone_at, NOW - timedelta(minutes=14))


def crash(pod: str, minutes: int, value: float = 5, ended: int | None = None) -> Alert:
    """A container that is restarted again and again."""
    labels = {
        "alertname": "KubePodCrashLooping", "namespace": "payments", "pod": pod, "container": "api",
        "severity": "warning", "job": "kube-state-metrics",
    }  # fmt: skip
    annotations = {
        "summary": "A container is crash looping",
        "description": "It was restarted more than 3 times in 10 minutes; the last exit was OOMKilled.",
        "runbook_url": "https://wiki.example.com/runbooks/crash-loop",
    }
    url = "https://prometheus.example.com/graph?g0.expr=increase%28kube_pod_container_status_restarts_total%5B10m%5D%29"
    until = None if ended is None else NOW - timedelta(minutes=ended)
    start = NOW - timedelta(minutes=minutes)
    return Alert(labels_from(labels), start, until, labels_from(annotations), url, {"value": value})


def disk() -> Alert:
    """A disk that fills up."""
    labels = {"alertname": "DiskFilling", "instance": "db-2:9100", "mountpoint": "/var/lib/postgresql", "device": "sdb"}
    annotations = {
        "summary": "/var/lib/postgresql of db-2 is full in 3 h",
        "description": "91 % are used, and it grows by 1.9 GiB an hour.",
        "dashboard_url": "https://grafana.example.com/d/node?var-instance=db-2",
    }
    return Alert(
        labels_from({**labels, "severity": "critical", "job": "node"}), NOW - timedelta(minutes=6), None,
        labels_from(annotations), "https://prometheus.example.com/graph?g0.expr=predict", {"value": 0.913},
    )  # fmt: skip


def told(*alerts: Alert, group: Labels = (), **more: object) -> Notification:
    """A group of alerts on its way."""
    return Notification(
        "{}:{}",
        group,
        "team",
        alerts,
        NOW,
        14_400_000,
        NOW + timedelta(minutes=5),
        **more,  # type: ignore[arg-type]
    )


def silenced(alert: Alert) -> SuppressedAlert:
    """An alert somebody silenced from Slack."""
    until = NOW + timedelta(minutes=56)
    return SuppressedAlert(alert, "silence", ("4f1c",), until, "Kim", "the provider is told")


def acknowledged(alert: Alert) -> Acknowledgement:
    """Somebody looks after it."""
    return Acknowledgement(alert.fingerprint, "Kim", NOW - timedelta(minutes=3))
