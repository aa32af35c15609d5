"""Samples in the store, and the API over a real socket, for PromQL tests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import uvicorn
from fastapi import APIRouter

from app.api.prometheus import prometheus_router
from app.config import Auth, Limits
from app.labels import METRIC_NAME, Labels, labels_from
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool
from app.store.metrics import SeriesRow, insert_samples, insert_series
from app.web import TokenCheck, create_app
from ingest.series import label_set_id

Points = Sequence[tuple[int, float]]


def put(pool: Pool, series: Mapping[Labels, Points]) -> None:
    """Stores samples, as (ms, value), of series by label set."""
    names = sorted({dict(labels).get(METRIC_NAME, "") for labels in series})
    rows, codes, ids, times, values = [], [], [], [], []
    for labels, points in series.items():
        series_id = label_set_id(labels)
        rows.append(SeriesRow(series_id, labels, min(t for t, _ in points), max(t for t, _ in points)))
        for at, value in points:
            codes.append(names.index(dict(labels).get(METRIC_NAME, "")))
            ids.append(series_id)
            times.append(at)
            values.append(value)
    insert_series(pool, rows)
    ts_ms, numbers = np.array(times, np.int64), np.array(values, np.float64)
    insert_samples(pool, names, np.array(codes, np.int32), np.array(ids, np.uint64), ts_ms, numbers)


def series(name: str, **labels: str) -> Labels:
    """A label set."""
    return labels_from({METRIC_NAME: name, **labels})


@contextmanager
def serving(
    pool: Pool,
    limits: Limits | None = None,
    engine: PromQLEngine | None = None,
    more: Sequence[APIRouter] = (),
) -> Iterator[str]:
    """The base URL of a server of the query API, and of `more`."""
    limits = limits or Limits()
    router = prometheus_router(engine or PromQLEngine(pool, limits), pool, limits)
    app = create_app([router, *more], {}, TokenCheck(Auth()), "test")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
