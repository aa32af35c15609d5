"""A quiet hour before the demo, by remote write: without one, the budget would be that of a minute's traffic."""

from __future__ import annotations

import time
from collections.abc import Iterator

import cramjam
import httpx
import numpy as np

from app.demo.files import PERIOD_S, SLO_INTERVAL_S
from app.demo.shop.settings import HEALTHY
from ingest import prompb

INSTANCE = "history"
"""The `instance` label of what is made up, so that everybody can tell it from what was measured."""


async def write_history(http: httpx.AsyncClient, requests_per_second: float) -> int:
    """Writes an hour of the frontend's request counter up to now; gives the number of samples. Raises httpx.HTTPError.

    A sample an SLO interval, as counts of an interval without a sample would be missing.
    """
    step_ms = SLO_INTERVAL_S * 1000
    end_ms = int(time.time() * 1000) // step_ms * step_ms
    times = np.arange(end_ms - PERIOD_S * 1000, end_ms + 1, step_ms)
    request = prompb.WriteRequest()
    for labels, speed in _series(requests_per_second):
        entry = request.timeseries.add()
        for name, value in sorted(labels.items()):
            entry.labels.add(name=name.encode(), value=value.encode())
        counts = np.random.default_rng(1).poisson(speed * SLO_INTERVAL_S, len(times)).cumsum()
        for at_ms, count in zip(times.tolist(), counts.tolist(), strict=True):
            entry.samples.add(timestamp=at_ms, value=float(count))
    body = bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
    headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
    answer = await http.post("/api/v1/write", content=body, headers=headers)
    answer.raise_for_status()
    return sum(len(entry.samples) for entry in request.timeseries)


def _series(requests_per_second: float) -> Iterator[tuple[dict[str, str], float]]:
    half = requests_per_second / 2
    base = {"__name__": "http_requests_total", "job": "frontend", "instance": INSTANCE}
    yield {**base, "method": "GET", "route": "/products", "code": "200"}, half
    yield {**base, "method": "POST", "route": "/checkout", "code": "200"}, half * (1 - HEALTHY)
    yield {**base, "method": "POST", "route": "/checkout", "code": "502"}, half * HEALTHY
