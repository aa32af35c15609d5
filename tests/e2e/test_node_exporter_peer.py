"""A real node-exporter scraped by Watchhouse and by Prometheus: the same answers to a dashboard's queries.

The two cannot scrape in one instant, so a page cache stands between: it fetches the exporter once a second and writes
that second into every sample as its timestamp. Both read it twice a second, so neither misses one, and both then
hold the same samples: any difference is ours.
"""

from __future__ import annotations

import http.server
import json
import math
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.integration.service import ServiceProcess
from tests.ports import free_port

DASHBOARD = (
    Path(os.environ.get("WATCHHOUSE_ORACLES", Path(__file__).parents[3] / "shared" / "oracles"))
    / "dashboards"
    / "node-exporter-full-1860.json"
)
SECONDS = 25
# queries of the dashboard that this machine's exporter has data for, by the text that finds them
WANTED = [
    "100 * (1 - avg(rate(node_cpu_seconds_total",
    "scalar(node_load1",
    "clamp_min((1 - (node_memory_MemAvailable_bytes",
    "count(count(node_cpu_seconds_total",
    'node_memory_MemTotal_bytes{instance="$node",job="$job"} - node_memory_MemFree_bytes',
    "rate(node_network_receive_bytes_total",
    '((node_filesystem_size_bytes{instance="$node", job="$job", device!~\'rootfs\'}',
    'sum(rate(node_cpu_seconds_total{mode="system"',
    "avg(sum without (mode) (rate(node_cpu_seconds_total",
    'node_time_seconds{instance="$node",job="$job"} - node_boot_time_seconds',
]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


@pytest.fixture(scope="module")
def exporter() -> Iterator[str]:
    """The address of a running node-exporter."""
    if shutil.which("prometheus-node-exporter") is None:
        pytest.skip("prometheus-node-exporter is not installed")
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        ["prometheus-node-exporter", f"--web.listen-address={address}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _until(f"http://{address}/metrics")
        yield address
    finally:
        _stop(process)


class PageCache(http.server.ThreadingHTTPServer):
    """One page of the exporter a second, every sample with that second as its timestamp."""

    def __init__(self, exporter: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.exporter = exporter
        self.lock = threading.Lock()
        self.second = 0
        self.page = b""

    def current(self) -> bytes:
        """The page of this second."""
        with self.lock:
            second = int(time.time())
            if second != self.second:
                text = httpx.get(f"http://{self.exporter}/metrics").text
                stamp = f" {second * 1000}"
                lines = [line + stamp if line and line[0] != "#" else line for line in text.splitlines()]
                self.second, self.page = second, ("\n".join(lines) + "\n").encode()
            return self.page


class _Handler(http.server.BaseHTTPRequestHandler):
    server: PageCache

    def do_GET(self) -> None:
        body = self.server.current()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def scraped(exporter: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str, int]]:
    """(Watchhouse's URL, Prometheus's URL, the cached target, its last whole second) after a while of scraping."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    folder = tmp_path_factory.mktemp("peer")
    cache = PageCache(exporter)
    threading.Thread(target=cache.serve_forever, daemon=True).start()
    target = f"127.0.0.1:{cache.server_address[1]}"
    jobs = [{"job_name": "node", "static_configs": [{"targets": [target]}]}]
    jobs_here = [*jobs, {"job_name": "direct", "scrape_interval": "1s", "static_configs": [{"targets": [exporter]}]}]
    interval = {"scrape_interval": "500ms", "scrape_timeout": "500ms"}
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"global": interval, "scrape_configs": jobs}))
    (folder / "scrape.yml").write_text(yaml.safe_dump({"global": interval, "scrape_configs": jobs_here}))
    port = free_port()
    prometheus = subprocess.Popen(
        ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
         f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    peer = f"http://127.0.0.1:{port}"
    try:
        with ServiceProcess(folder / "wh", {"scrape": {"files": [str(folder / "scrape.yml")]}}) as service:
            _until(f"{peer}/-/ready")
            # a fresh Prometheus takes seconds to find its targets
            for url in (peer, service.url):
                deadline = time.monotonic() + 30
                while not _range(url, 'up{job="node"} == 1', time.time() - 1, time.time()):
                    assert time.monotonic() < deadline, f"{url} scrapes nothing"
                    time.sleep(0.2)
            began = time.time()
            while time.time() < began + SECONDS:
                time.sleep(0.5)
            yield service.url, peer, target, int(time.time()) - 2
    finally:
        _stop(prometheus)
        cache.shutdown()


def _until(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            assert time.monotonic() < deadline, f"{url} does not answer"
        time.sleep(0.1)


def _range(url: str, query: str, start: float, end: float) -> dict[frozenset[Any], dict[float, float]]:
    answer = httpx.get(
        f"{url}/api/v1/query_range", params={"query": query, "start": start, "end": end, "step": 1}, timeout=60
    )
    assert answer.status_code == 200, f"{url}: {query}: {answer.text[:500]}"
    return {
        frozenset(series["metric"].items()): {float(t): float(v) for t, v in series["values"]}
        for series in answer.json()["data"]["result"]
    }


def test_the_exporter_itself_is_up(scraped: tuple[str, str, str, int], exporter: str) -> None:
    """Scraped every second, straight from the exporter: up is 1, without a gap."""
    url, _, _, last = scraped
    (values,) = _range(url, f'up{{job="direct",instance="{exporter}"}}', last - 15, last).values()
    assert set(values.values()) == {1.0}
    assert len(values) == 16
    counted = httpx.get(
        f"{url}/api/v1/query", params={"query": 'count_over_time(up{job="direct"}[10s])', "time": last}
    ).json()
    assert float(counted["data"]["result"][0]["value"][1]) >= 9


@pytest.mark.parametrize("text", WANTED)
def test_a_dashboard_query_gives_what_prometheus_gives(scraped: tuple[str, str, str, int], text: str) -> None:
    """The same series, the same steps, the same values to 1 part in 10¹², for a query people have on the wall."""
    if not DASHBOARD.exists():
        pytest.skip(f"the dashboard is not at {DASHBOARD}")
    url, peer, target, last = scraped
    query = next(q for q in _queries(json.loads(DASHBOARD.read_text())["panels"]) if q.startswith(text))
    query = query.replace("$node", target).replace("$job", "node").replace("$__rate_interval", "10s")
    # 0.4 s off the samples: Prometheus 2 counts both edges of a window, Prometheus 3 and we the right one
    start, end = last - 12 + 0.4, last + 0.4
    ours, theirs = _range(url, query, start, end), _range(peer, query, start, end)
    assert theirs, "the peer has no data for this query; choose another"
    assert ours.keys() == theirs.keys()
    for series, points in theirs.items():
        assert ours[series].keys() == points.keys()
        for at, value in points.items():
            assert math.isclose(ours[series][at], value, rel_tol=1e-12, abs_tol=1e-12), (dict(series), at)


def _queries(panels: list[dict[str, Any]]) -> Iterator[str]:
    for panel in panels:
        yield from (target["expr"] for target in panel.get("targets", []) if "expr" in target)
        yield from _queries(panel.get("panels", []))
