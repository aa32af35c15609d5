"""Remote read: asked by hand, and by a Prometheus."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cramjam
import httpx
import pytest
import yaml

from app.api.gate import QueryGate
from app.api.prometheus_read import read_router
from app.config import Limits
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool
from ingest import prompb
from tests.integration.promql_world import put, series, serving
from tests.ports import free_port
from tests.unit.promql.test_xor_chunks import decode

T0 = 1_700_000_000_000
POINTS = [(T0 + i * 15_000, i * 1.5) for i in range(300)]


@pytest.fixture
def url(embedded_pool: Pool) -> Iterator[str]:
    """A server over two series of 300 samples, with an external label."""
    put(embedded_pool, {series("up", job="b"): POINTS, series("up", job="a"): POINTS})
    limits = Limits()
    engine = PromQLEngine(embedded_pool, limits)
    router = read_router(engine, QueryGate(limits), limits, lambda: {"region": "eu"})
    with serving(embedded_pool, limits, engine, [router]) as base:
        yield base


def ask(url: str, accepted: list[int], *matchers: tuple[int, str, str]) -> httpx.Response:
    """The answer to a query of all the time."""
    request = prompb.ReadRequest(accepted_response_types=accepted)
    query = request.queries.add(start_timestamp_ms=T0, end_timestamp_ms=POINTS[-1][0])
    for kind, name, value in matchers:
        query.matchers.add(type=kind, name=name, value=value)
    body = bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
    return httpx.post(f"{url}/api/v1/read", content=body, headers={"Content-Encoding": "snappy"})


def labels(found: Any) -> list[tuple[bytes, bytes]]:
    """The label pairs of a series."""
    return [(pair.name, pair.value) for pair in found.labels]


LABELS = [[(b"__name__", b"up"), (b"job", job), (b"region", b"eu")] for job in (b"a", b"b")]


def test_samples_are_answered_whole(url: str) -> None:
    """Without a wish, or with this one, all samples from start to end, both included, snappy in one message."""
    answer = ask(url, [], (0, "__name__", "up"), (0, "region", "eu"))
    assert (answer.status_code, answer.headers["content-encoding"]) == (200, "snappy")
    found = prompb.ReadResponse.FromString(bytes(cramjam.snappy.decompress_raw(answer.content)))
    assert [labels(s) for s in found.results[0].timeseries] == LABELS
    assert [(s.timestamp, s.value) for s in found.results[0].timeseries[1].samples] == POINTS


@pytest.mark.parametrize(
    ("matcher", "jobs"),
    [
        ((1, "job", "a"), LABELS[1:]),
        ((2, "job", "a|b"), LABELS),
        ((3, "job", "a.*"), LABELS[1:]),
        ((0, "region", "us"), []),
    ],
)
def test_every_matcher_is_understood(url: str, matcher: tuple[int, str, str], jobs: list[Any]) -> None:
    """Equal, not equal, and regular expressions; a stream has a frame for each series, in chunks of 120 samples."""
    answer = ask(url, [1, 0], (0, "__name__", "up"), matcher)
    assert answer.headers["content-type"].startswith("application/x-streamed-protobuf")
    rest, found = answer.content, []
    while rest:
        length, used = 0, 0
        while True:
            length |= (rest[used] & 0x7F) << (7 * used)
            used += 1
            if rest[used - 1] < 0x80:
                break
        message, rest = rest[used + 4 : used + 4 + length], rest[used + 4 + length :]
        found += prompb.ChunkedReadResponse.FromString(message).chunked_series
    assert [labels(s) for s in found] == jobs
    for one in found:
        assert [c.min_time_ms for c in one.chunks] == [POINTS[i][0] for i in (0, 120, 240)]
        assert [t for c in one.chunks for t in decode(c.data)[0]] == [t for t, _ in POINTS]


def test_what_is_no_request_is_refused(url: str) -> None:
    """Bytes that are none, a wrong pattern, and a form of answer nobody knows are told with 400."""
    assert httpx.post(f"{url}/api/v1/read", content=b"nonsense").status_code == 400
    assert ask(url, [], (2, "job", "(")).status_code == 400
    assert ask(url, [7], (0, "job", "a")).status_code == 400


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs the prometheus binary")
def test_a_prometheus_reads_from_here(url: str, tmp_path: Path) -> None:
    """A real Prometheus answers a query with the samples that are here, over its streamed reader."""
    config = tmp_path / "prometheus.yml"
    config.write_text(yaml.safe_dump({"remote_read": [{"url": f"{url}/api/v1/read", "read_recent": True}]}))
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
                params = {"query": "sum_over_time(up[80m])", "time": str(POINTS[-1][0] / 1000)}
                found = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params=params).json()["data"]["result"]
            except (httpx.HTTPError, ValueError):
                continue
        assert {s["metric"]["job"]: float(s["value"][1]) for s in found} == dict.fromkeys(
            "ab", sum(v for _, v in POINTS)
        )
    finally:
        peer.kill()
        peer.wait(10)
