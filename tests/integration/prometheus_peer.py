"""A real Prometheus beside us: started, filled by remote write, and asked the same questions."""

from __future__ import annotations

import math
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import cramjam
import httpx
import pytest

from app.errors import QueryError
from app.labels import Labels
from app.query.promql.engine import PromQLEngine
from app.store.metrics import STALE_NAN_BITS
from app.store.native import varint
from tests.integration.promql_world import Points
from tests.ports import free_port

_SERIES_A_REQUEST = 500


def prometheus_binary() -> str:
    """The Prometheus on PATH, or what WATCHHOUSE_PROMETHEUS_BIN names; without one the test is skipped."""
    binary = os.environ.get("WATCHHOUSE_PROMETHEUS_BIN") or shutil.which("prometheus")
    if binary is None:
        pytest.skip("no prometheus on PATH (Debian's package of that name)")
    return binary


@contextmanager
def running_prometheus(folder: Path, data: Mapping[Labels, Points], *options: str) -> Iterator[str]:
    """The URL of a Prometheus that holds the samples: the one on PATH, or what WATCHHOUSE_PROMETHEUS_BIN names."""
    binary = prometheus_binary()
    (folder / "prometheus.yml").write_text("global: {}\n")
    address = f"127.0.0.1:{free_port()}"
    command = [binary, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    command += [f"--web.listen-address={address}", "--web.enable-remote-write-receiver", *options]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_ready(f"http://{address}", process, folder / "log")
        rows = list(data.items())
        for i in range(0, len(rows), _SERIES_A_REQUEST):
            body = bytes(cramjam.snappy.compress_raw(write_request(dict(rows[i : i + _SERIES_A_REQUEST]))))
            headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
            answer = httpx.post(f"http://{address}/api/v1/write", content=body, headers=headers, timeout=60)
            assert answer.status_code < 300, answer.text
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)


def wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Returns when it answers. Fails with its log when it does not."""
    with httpx.Client(transport=httpx.HTTPTransport(retries=10)) as client:
        for _ in range(300):
            if process.poll() is not None:
                raise AssertionError(log.read_text()[-2000:])
            try:
                if client.get(f"{url}/-/ready").status_code == 200:
                    return
            except httpx.ConnectError:
                pass
            time.sleep(0.1)  # another process: there is nothing to wait on but its answer
    raise AssertionError("prometheus was not ready in time")


def write_request(data: Mapping[Labels, Points]) -> bytes:
    """A remote write request; a NaN is a stale marker."""
    out = b""
    for labels, points in data.items():
        body = b"".join(_field(1, _field(1, k.encode()) + _field(2, v.encode())) for k, v in labels)
        for at, value in points:
            # the marker's bits, not a float that may have lost them
            bits = struct.pack("<Q", STALE_NAN_BITS) if math.isnan(value) else struct.pack("<d", value)
            body += _field(2, b"\x09" + bits + b"\x10" + varint(at))
        out += _field(1, body)
    return out


def _field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def random_times_ms() -> tuple[int, int, int, int]:
    """Where an hour of samples every 15 s may begin, and (first, last, step) to ask about it: all in ms.

    The second of the minute is always the same one. No window of `differential.grammar` then begins on a sample, or on
    a step of a subquery: a Prometheus 2 would count it, as its windows are closed at both ends.
    """
    begins = (int(time.time()) - 3720) // 60 * 60 + 7
    return begins * 1000, (begins + 610) * 1000, (begins + 3590) * 1000, 150_000


Answer = dict[Labels, dict[float, float]] | str
"""Values by series and time, or why there are none."""


def differences(
    engine: PromQLEngine, url: str, queries: Iterable[str], first_ms: int, last_ms: int, step_ms: int
) -> list[str]:
    """What is not as the Prometheus at `url` says, a line for each query that differs."""
    wrong = []
    with httpx.Client(base_url=url, timeout=60) as client:
        for query in queries:
            ours = _ours(engine, query, first_ms, last_ms, step_ms)
            reason = _difference(ours, _theirs(client, query, first_ms / 1000, last_ms / 1000, step_ms / 1000))
            if reason:
                wrong.append(f"{query}: {reason}")
    return wrong


def _ours(engine: PromQLEngine, query: str, first_ms: int, last_ms: int, step_ms: int) -> Answer:
    try:
        result = engine.range(query, first_ms, last_ms, step_ms)
    except QueryError as error:
        return str(error)
    return {
        labels: dict(zip((result.series(i)[0] / 1000).tolist(), result.series(i)[1].tolist(), strict=True))
        for i, labels in enumerate(result.labels)
    }


def _theirs(client: httpx.Client, query: str, start: float, end: float, step: float) -> Answer:
    params: dict[str, str | float] = {"query": query, "start": start, "end": end, "step": step}
    body = client.get("/api/v1/query_range", params=params).json()
    if body["status"] != "success":
        return str(body["error"])
    return {
        tuple(sorted(s["metric"].items())): {float(t): float(v) for t, v in s["values"]} for s in body["data"]["result"]
    }


def _difference(ours: Answer, theirs: Answer) -> str:
    if isinstance(ours, str) or isinstance(theirs, str):
        one_only = isinstance(ours, str) != isinstance(theirs, str)
        return f"{str(ours)[:200]} | Prometheus: {str(theirs)[:200]}" if one_only else ""
    if set(ours) != set(theirs):
        return f"series {sorted(set(ours) ^ set(theirs))[:3]}"
    for labels, points in theirs.items():
        if set(points) != set(ours[labels]):
            return f"{labels} has samples at other times: {sorted(set(points) ^ set(ours[labels]))[:3]}"
        for at, value in points.items():
            if not _same(ours[labels][at], value):
                return f"{labels} at {at}: {ours[labels][at]!r}, Prometheus says {value!r}"
    return ""


def _same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
