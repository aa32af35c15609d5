"""Every query of the dashboard most people import first, "Node Exporter Full", as a real Prometheus answers it.

The samples are 120 recorded pages of a node-exporter, given the times of an hour of scrapes. Steps lie off them:
Debian's Prometheus 2.42 closes windows at both ends.
"""

from __future__ import annotations

import json
import os
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.config import Limits
from app.labels import Labels, labels_from
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool
from tests.integration.prometheus_peer import differences, running_prometheus
from tests.integration.promql_world import put

ORACLES = Path(os.environ.get("WATCHHOUSE_ORACLES_DIR", "../shared/oracles"))
DASHBOARD = ORACLES / "dashboards" / "node-exporter-full-1860.json"
PAGES = ORACLES / "scrapes" / "node_exporter.tar.xz"
EVERY_MS = 30_000
VARIABLES = {"$job": "node", "$node": "machine:9100", "$__rate_interval": "2m"}


def expressions(part: Any) -> set[str]:
    """The queries of a dashboard, with its variables filled in."""
    if isinstance(part, list):
        return set().union(*map(expressions, part))
    if not isinstance(part, dict):
        return set()
    found = set().union(*map(expressions, part.values()))
    text = part.get("expr")
    if isinstance(text, str):
        for name, value in VARIABLES.items():
            text = text.replace(name, value)
        found.add(text)
    return found


def scraped(start_ms: int) -> dict[Labels, list[tuple[int, float]]]:
    """The pages' samples as scrapes a while apart would have them."""
    found: dict[Labels, list[tuple[int, float]]] = {}
    with tarfile.open(PAGES) as archive:
        for i, member in enumerate(sorted(archive.getmembers(), key=lambda m: m.name)):
            page = archive.extractfile(member)
            assert page is not None
            for family in text_string_to_metric_families(page.read().decode()):
                for sample in family.samples:
                    own = {**sample.labels, "__name__": sample.name, "job": "node", "instance": "machine:9100"}
                    found.setdefault(labels_from(own), []).append((start_ms + i * EVERY_MS, sample.value))
    return found


def test_every_query_of_node_exporter_full(embedded_pool: Pool, tmp_path: Path) -> None:
    """The same series, times and values, over an hour."""
    if not DASHBOARD.is_file() or not PAGES.is_file():
        pytest.skip(f"no dashboard and scrapes in {ORACLES} (WATCHHOUSE_ORACLES_DIR)")
    queries = sorted(expressions(json.loads(DASHBOARD.read_text(encoding="utf-8"))))
    assert len(queries) > 200
    assert not [query for query in queries if "$" in query]
    start_ms = (int(time.time()) - 3700) * 1000
    data = scraped(start_ms)
    put(embedded_pool, data)
    engine = PromQLEngine(embedded_pool, Limits())
    first, last = start_ms + 307_000, start_ms + 119 * EVERY_MS - 4000
    with running_prometheus(tmp_path, data) as url:
        wrong = differences(engine, url, queries, first, last, 60_000)
    assert not wrong, "\n".join(wrong)
    answered = sum(bool(engine.instant(query, last).labels) for query in queries)
    assert answered > len(queries) // 2, "most panels show something"
