"""`/federate` against what Prometheus's own parser of pages, and a Prometheus, make of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml

from app.api.gate import QueryGate
from app.api.prometheus_federate import exposition, federate_router
from app.config import Limits
from app.labels import Labels
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool
from app.store.metrics import STALE_NAN_BITS
from tests.integration.promql_world import put, series, serving
from tests.ports import free_port


@pytest.fixture
def url(embedded_pool: Pool) -> Iterator[str]:
    """A server over series that are fresh, stale, old, and of a name that needs quotes."""
    now = time.time_ns() // 1_000_000
    stale = float(np.array([STALE_NAN_BITS], np.uint64).view(np.float64)[0])
    put(
        embedded_pool,
        {
            series("b_total", job="x", instance="i"): [(now - 20_000, 1.0), (now - 10_000, 1.5e9)],
            series("b_total", job='qu"o\\te'): [(now - 10_000, 2.0)],
            series("a", job="x"): [(now - 10_000, float("nan"))],
            series("gone", job="x"): [(now - 20_000, 1.0), (now - 10_000, stale)],
            series("old", job="x"): [(now - 400_000, 1.0)],
            series("dotted.name", job="x"): [(now - 10_000, 3.0)],
        },
    )
    limits = Limits()
    engine = PromQLEngine(embedded_pool, limits)
    federation = federate_router(engine, QueryGate(limits), lambda: {"region": "eu"})
    with serving(embedded_pool, limits, engine, [federation]) as base:
        yield base


def page(url: str, accept: str = "", *matches: str) -> list[str]:
    """The lines of a page, without times."""
    answer = httpx.get(f"{url}/federate", params={"match[]": list(matches)}, headers={"Accept": accept or "*/*"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return [line if line.startswith("#") else line.rpartition(" ")[0] for line in answer.text.splitlines()]


def test_a_page_holds_the_newest_samples(url: str) -> None:
    """By name, without what is stale or old, with the external labels, and with times."""
    everything = '{__name__=~".+"}'
    assert page(url, "", everything, "b_total") == [
        "# TYPE a untyped",
        'a{job="x",instance="",region="eu"} NaN',
        "# TYPE b_total untyped",
        'b_total{instance="i",job="x",region="eu"} 1.5e+09',
        'b_total{job="qu\\"o\\\\te",instance="",region="eu"} 2',
        "# TYPE dotted_name untyped",
        'dotted_name{job="x",instance="",region="eu"} 3',
    ]
    assert page(url, "text/plain;version=1.0.0;escaping=allow-utf-8", '{"dotted.name"}') == [
        '# TYPE "dotted.name" untyped',
        '{"dotted.name",job="x",instance="",region="eu"} 3',
    ]
    assert page(url) == []
    refused = httpx.get(f"{url}/federate", params={"match[]": "rate(a[1m])"})
    assert (refused.status_code, refused.headers["content-type"]) == (400, "text/plain; charset=utf-8")


def test_labels_that_are_there_win() -> None:
    """An external label is added only to series that do not have it."""
    own: Labels = (("__name__", "a"), ("region", "us"))
    assert exposition([(own, 5, 1.0)], {"region": "eu"}, False) == '# TYPE a untyped\na{region="us",instance=""} 1 5\n'


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs the prometheus binary")
def test_a_prometheus_federates_from_here(url: str, tmp_path: Path) -> None:
    """A real Prometheus scrapes the page, honouring labels and times."""
    job = {
        "job_name": "federate",
        "metrics_path": "/federate",
        "honor_labels": True,
        "params": {"match[]": ['{job="x"}']},
        "static_configs": [{"targets": [url.removeprefix("http://")]}],
    }
    config = tmp_path / "prometheus.yml"
    config.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
    port = free_port()
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    with (tmp_path / "log").open("wb") as log:
        peer = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 40
        found: list[Any] = []
        while not found and time.monotonic() < deadline:
            time.sleep(0.2)
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": "b_total"})
                found = answer.json()["data"]["result"]
            except (httpx.HTTPError, json.JSONDecodeError):
                continue
        assert [(s["metric"], s["value"][1]) for s in found] == [
            ({"__name__": "b_total", "instance": "i", "job": "x", "region": "eu"}, "1500000000")
        ]
    finally:
        peer.kill()
        peer.wait(10)
