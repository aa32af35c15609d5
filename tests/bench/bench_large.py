"""The queries of compare.py over many series and hours, beside a peer.

Run: python -m tests.bench.bench_large PATH/compare.py [--servers prometheus watchhouse] [--series 100000] [--hours 6].
One server at a time is loaded by remote write and asked; a step is a 240th of the time. Prints milliseconds, the best
of three, and the geometric mean of Watchhouse over each peer.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cramjam
import httpx
import numpy as np

SCRAPE_S, A_REQUEST, AT_ONCE, STEPS, TIMES = 15, 2_000, 10, 240, 3


def bodies(compare: ModuleType, series: int, scrapes: int, begin_s: int) -> Iterator[bytes]:
    """Remote write bodies with compare.py's series: `AT_ONCE` samples of `A_REQUEST` series each."""
    labels = [
        compare.label_bytes(
            {"__name__": "http_requests_total", "job": "api", "instance": f"host-{i % 200}"}
            | {"code": str(200 + i % 5), "path": f"/p/{i // 200}"}
        )
        for i in range(series)
    ]
    heads = [b"\x0a" + compare.varint(len(one) + 18 * AT_ONCE) + one for one in labels]
    noise = np.random.default_rng(2)
    slope = 1 + np.arange(series) % 7
    for first in range(0, scrapes, AT_ONCE):
        steps = np.arange(first, first + AT_ONCE)
        times = np.array([list(compare.varint((begin_s + int(k) * SCRAPE_S) * 1000)) for k in steps], np.uint8)
        values = steps * slope[:, None] + noise.integers(0, 3, (series, AT_ONCE))
        samples = np.empty((series, AT_ONCE, 18), np.uint8)
        samples[:, :, :3], samples[:, :, 11], samples[:, :, 12:] = (0x12, 0x10, 0x09), 0x10, times
        samples[:, :, 3:11] = values.astype("<f8")[:, :, None].view(np.uint8)
        rows = samples.reshape(series, -1)
        for low in range(0, series, A_REQUEST):
            part = range(low, min(low + A_REQUEST, series))
            yield bytes(cramjam.snappy.compress_raw(b"".join(heads[i] + rows[i].tobytes() for i in part)))


def ask(url: str, queries: list[str], begin_s: int, seconds: int) -> Iterator[tuple[str, float]]:
    """Each query and its best time in ms, NaN where the server refused it."""
    with httpx.Client(timeout=300) as client:
        for query in queries:
            best = math.inf
            for _ in range(TIMES):
                times = {"start": begin_s + 7, "end": begin_s + seconds + 7, "step": seconds // STEPS, "nocache": 1}
                began = time.monotonic()
                answer = client.get(f"{url}/api/v1/query_range", params={"query": query, **times})
                best = min(best, time.monotonic() - began) if answer.status_code == 200 else math.nan
            yield query, best * 1000


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("compare")
    parser.add_argument("--servers", nargs="+", default=["prometheus", "victoriametrics", "watchhouse"])
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--hours", type=int, default=6)
    parser.add_argument("--watchhouse", default=".venv/bin/watchhouse")
    options = parser.parse_args()
    spec = importlib.util.spec_from_file_location("compare", options.compare)
    assert spec is not None
    assert spec.loader is not None
    compare = importlib.util.module_from_spec(spec)
    sys.modules["compare"] = compare
    spec.loader.exec_module(compare)
    seconds = options.hours * 3600
    begin_s = (int(time.time()) - seconds - 60) // SCRAPE_S * SCRAPE_S
    found: dict[str, dict[str, float]] = {}
    for name in options.servers:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            server = compare.start(name, stack, Path(folder), SimpleNamespace(watchhouse=options.watchhouse))
            began = time.monotonic()
            with httpx.Client(timeout=120) as client:
                for body in bodies(compare, options.series, seconds // SCRAPE_S, begin_s):
                    client.post(f"{server.url}/api/v1/write", content=body, headers=compare.HEADERS).raise_for_status()
            print(f"{name}: loaded in {time.monotonic() - began:.0f} s", flush=True)
            time.sleep(10)
            found[name] = {}
            for query, ms in ask(server.url, compare.QUERIES, begin_s, seconds):
                found[name][query] = ms
                print(f"{name}: {query}: {ms:.0f} ms", flush=True)
    for peer in [name for name in found if name != "watchhouse" and "watchhouse" in found]:
        ratios = np.array([found["watchhouse"][q] / found[peer][q] for q in compare.QUERIES])
        print(f"watchhouse / {peer}: geometric mean {np.exp(np.nanmean(np.log(ratios))):.3f}, {np.round(ratios, 2)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
