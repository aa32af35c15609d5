"""The configuration files of the demo, as a user would write them, in a folder of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SLO_ID = "shop-checkout-availability"
SLO_NAME = "checkout-availability"
OBJECTIVE = 99.0
PERIOD_S = 3600
SLO_INTERVAL_S = 5

# An hour instead of 30 days, and windows to match. A page needs 9.6x over 30 s and over 10 s: with 40 % of the orders
# failing (40x) that is so after about 8 s; the short window forgets the incident 10 s after its end. The slow pair has
# the same factor and the same short window, so that it neither fires before the quick one nor outlives it.
WINDOWS = """\
apiVersion: sloth.slok.dev/v1
kind: AlertWindows
spec:
  sloPeriod: 1h
  page:
    quick: {errorBudgetPercent: 8, shortWindow: 10s, longWindow: 30s}
    slow: {errorBudgetPercent: 80, shortWindow: 10s, longWindow: 5m}
  ticket:
    quick: {errorBudgetPercent: 50, shortWindow: 1m, longWindow: 10m}
    slow: {errorBudgetPercent: 50, shortWindow: 5m, longWindow: 30m}
"""

SLOS = f"""\
version: prometheus/v1
service: shop
labels: {{team: shop}}
slos:
  - name: {SLO_NAME}
    objective: {OBJECTIVE:g}
    description: Orders are taken, whatever happens behind the shop's front door.
    sli:
      events:
        error_query: sum(rate(http_requests_total{{job="frontend",route="/checkout",code=~"5.."}}[{{{{.window}}}}]))
        total_query: sum(rate(http_requests_total{{job="frontend",route="/checkout"}}[{{{{.window}}}}]))
    alerting:
      name: CheckoutBurnsItsBudget
      page_alert:
        labels: {{severity: page}}
      ticket_alert:
        disable: true
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the service listens, on loopback."""

    http: int
    otlp_grpc: int
    otlp_http: int
    forward: int


DEFAULT_PORTS = Ports(9470, 4317, 4318, 24224)


def write_files(folder: Path, data_dir: Path, ports: Ports, targets: dict[str, int], webhook: str) -> Path:
    """Writes everything but the SLO, which `write_slo` adds to the running service; gives watchhouse.yaml's path.

    `targets` are the ports to scrape by job name; `webhook` is the URL alerts are posted to.
    """
    (folder / "slos").mkdir()
    (folder / "windows.yml").write_text(WINDOWS, encoding="utf-8")
    _dump(folder / "prometheus.yml", _prometheus({**targets, "watchhouse": ports.http}))
    _dump(folder / "alertmanager.yml", _alertmanager(webhook))
    config = folder / "watchhouse.yaml"
    _dump(config, _watchhouse(data_dir, ports))
    return config


def write_slo(folder: Path) -> Path:
    """Writes the SLO file where watchhouse.yaml looks for it."""
    path = folder / "slos" / "shop.yml"
    path.write_text(SLOS, encoding="utf-8")
    return path


def _watchhouse(data_dir: Path, ports: Ports) -> dict[str, Any]:
    return {
        "data_dir": str(data_dir),
        "http": {"listen": f"127.0.0.1:{ports.http}"},
        "receivers": {
            "otlp": {"grpc_listen": f"127.0.0.1:{ports.otlp_grpc}", "http_listen": f"127.0.0.1:{ports.otlp_http}"},
            "fluent_forward": {"listen": f"127.0.0.1:{ports.forward}"},
        },
        "scrape": {"files": ["prometheus.yml"]},
        "slo": {"files": ["slos/*.yml"], "interval": f"{SLO_INTERVAL_S}s", "windows": "windows.yml"},
        "alerting": {"config": "alertmanager.yml", "external_url": f"http://127.0.0.1:{ports.http}"},
    }


def _prometheus(targets: dict[str, int]) -> dict[str, Any]:
    jobs = [
        {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]} for name, port in targets.items()
    ]
    return {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}


def _alertmanager(webhook: str) -> dict[str, Any]:
    return {
        "route": {
            "receiver": "slack",
            "group_by": ["alertname", "sloth_id"],
            "group_wait": "1s",
            "group_interval": "5s",
            "repeat_interval": "4h",
        },
        "receivers": [
            {
                "name": "slack",
                "slack_configs": [{"api_url": webhook, "channel": "#shop-alerts", "send_resolved": True}],
            }
        ],
    }


def _dump(path: Path, data: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
