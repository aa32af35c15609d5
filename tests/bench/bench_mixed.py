"""Queries and remote write at once. Run: python -m tests.bench.bench_mixed [--seconds 30] [--clients 32].

Loads an hour of 20,000 series, finds how fast remote write goes alone, and then asks nine queries over the hour from
many clients while remote write runs at half that speed. Prints a line for each of the three; status 1 where a query or
a write failed, or where one write in a hundred waited for more than a second.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cramjam
import httpx
import numpy as np

from tests.bench.bench_remote_write import SERIES as A_REQUEST
from tests.bench.bench_remote_write import body
from tests.integration.service import ServiceProcess

HEADERS = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
REQUESTS_A_SCRAPE, SCRAPES, AT_ONCE = 10, 240, 10
SENDERS_ALONE, SENDERS_BESIDE = 8, 32
"""Beside queries a request waits longer, so more must be under way to offer as many."""
X = "http_requests_total"
QUERIES = (
    f"sum by (code) (rate({X}[5m]))",
    f"sum(rate({X}[5m]))",
    f"topk(5, sum by (instance) (rate({X}[5m])))",
    f'rate({X}{{instance="host-3"}}[5m])',
    f'{X}{{instance="host-3"}}',
    f"sum by (code) (increase({X}[1h]))",
    f'max_over_time({X}{{instance=~"host-1.*"}}[10m])',
    f"count({X})",
    f'quantile_over_time(0.9, {X}{{instance="host-3"}}[10m])',
)


def requests(begin_ms: int, samples: int) -> Iterator[bytes]:
    """Bodies of the 20,000 series, `samples` of each in a body, for ever later."""
    for n in itertools.count():
        for k in range(REQUESTS_A_SCRAPE):
            order = list(range(k * A_REQUEST, (k + 1) * A_REQUEST))
            yield bytes(cramjam.snappy.compress_raw(body(order, samples, begin_ms + n * samples * 15_000)))


def send(url: str, bodies: list[bytes], every_s: float, seconds: float, senders: int, out: Any) -> None:
    """Writes from so many connections, a request every `every_s` unless that is 0; puts (waited s, status) rows."""
    waited: list[tuple[float, int]] = []
    turn, lock = itertools.count(), threading.Lock()
    began = time.monotonic()

    def one() -> None:
        with httpx.Client(timeout=60) as client:
            while True:
                with lock:
                    n = next(turn)
                due = began + n * every_s
                if n >= len(bodies) or due > began + seconds or time.monotonic() > began + seconds:
                    return
                time.sleep(max(0.0, due - time.monotonic()))
                asked = time.monotonic()
                status = client.post(f"{url}/api/v1/write", content=bodies[n], headers=HEADERS).status_code
                waited.append((time.monotonic() - asked, status))

    threads = [threading.Thread(target=one) for _ in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out.put((time.monotonic() - began, waited))


def ask(url: str, clients: int, begin_s: int, seconds: float, out: Any) -> None:
    """Asks the queries in turn from each client; puts (waited s, status) rows."""
    waited: list[tuple[float, int]] = []
    ends = time.monotonic() + seconds

    def one(first: int) -> None:
        with httpx.Client(timeout=300) as client:
            for n in itertools.count(first):
                if time.monotonic() > ends:
                    return
                times = {"start": begin_s + 7, "end": begin_s + 3607, "step": 15, "nocache": 1}
                params: dict[str, str | int] = {"query": QUERIES[n % len(QUERIES)], **times}
                asked = time.monotonic()
                answer = client.get(f"{url}/api/v1/query_range", params=params)
                waited.append((time.monotonic() - asked, answer.status_code))

    threads = [threading.Thread(target=one, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out.put((seconds, waited))


def told(what: str, took: float, waited: list[tuple[float, int]], rows_each: int = 0) -> tuple[int, float]:
    """Prints a line; gives (failed, 99th percentile of the waits in s)."""
    waits = np.array([w for w, _ in waited])
    failed = sum(status >= 300 for _, status in waited)
    middle, late = (float(np.percentile(waits, p)) for p in (50, 99))
    ms = f"{middle * 1000:.0f} ms, p99 {late * 1000:.0f} ms"
    rows = f", {len(waits) * rows_each / took:,.0f} samples/s" if rows_each else ""
    print(f"{what}: {len(waits) / took:.1f}/s{rows}, waited {ms}, {failed} failed")
    return failed, late


def main() -> int:
    """Measures and prints; gives the status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--clients", type=int, default=32)
    options = parser.parse_args()
    begin_s = (int(time.time()) - SCRAPES * 15 - 60) // 15 * 15
    history = list(itertools.islice(requests(begin_s * 1000, AT_ONCE), REQUESTS_A_SCRAPE * SCRAPES // AT_ONCE))
    # a series of its own time: what is written meanwhile is not what is asked for
    live = list(itertools.islice(requests((begin_s - 86_400) * 1000, 1), 6_000))
    results: Any = multiprocessing.Queue()
    with tempfile.TemporaryDirectory() as folder, ServiceProcess(Path(folder)) as service:
        send(service.url, history, 0, 600, SENDERS_ALONE, results)
        results.get()
        send(service.url, live, 0, 5, SENDERS_ALONE, results)
        took, waited = results.get()
        told("remote write alone", took, waited, A_REQUEST)
        half = 2 * took / len(waited)
        rest = live[len(waited) :] + live
        writer = multiprocessing.Process(
            target=send, args=(service.url, rest, half, options.seconds, SENDERS_BESIDE, results)
        )
        queries: Any = multiprocessing.Queue()
        reader = multiprocessing.Process(
            target=ask, args=(service.url, options.clients, begin_s, options.seconds, queries)
        )
        for process in (writer, reader):
            process.start()
        written, asked = results.get(), queries.get()
        lost, late = told("remote write beside queries", written[0], written[1], A_REQUEST)
        failed, _ = told(f"queries of {options.clients} clients", asked[0], asked[1])
    return int(lost > 0 or failed > 0 or late > 1)


if __name__ == "__main__":
    raise SystemExit(main())
