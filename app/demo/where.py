"""Where to look while the demo runs."""

from __future__ import annotations

from app.demo import ask
from app.demo.files import Ports


def url(ports: Ports) -> str:
    """The service's URL."""
    return f"http://127.0.0.1:{ports.http}"


def text(ports: Ports) -> str:
    """Addresses and commands to paste into another terminal."""
    base = url(ports)
    return f"""where to look, from another terminal:
  API            {base}/docs
  Grafana        data sources of type Prometheus, Loki and Alertmanager (implementation: Prometheus) at {base}
  metrics        watchhouse query --url {base} '{ask.RATE}'
  logs           watchhouse logs --url {base} '{ask.FAILURES}'
  SLO            watchhouse slo list --url {base}
  SQL            curl {base}/clickhouse -d 'SELECT metric, count() FROM metric_samples GROUP BY metric'"""
