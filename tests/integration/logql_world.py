"""Lines in the store, and what a query gives of each: for tests that compare the SQL with a model in Python."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from app.query.logql.engine import LogQLEngine
from app.query.logql.result import Line, LogResult
from app.store.client import Pool
from app.store.logs import LOG_SCHEMA, StreamRow, insert_lines, insert_streams
from ingest.series import label_set_id

T = 1_700_000_000 * 10**9


def put(
    pool: Pool,
    texts: Sequence[str],
    stream: dict[str, str] | None = None,
    attributes: dict[str, str] | None = None,
    step_ns: int = 1,
    start_ns: int = T,
) -> None:
    """Keeps lines of one stream, `step_ns` apart."""
    labels = tuple(sorted((stream or {"app": "x"}).items()))
    n, stream_id = len(texts), label_set_id(labels)
    columns = {
        "ts": [start_ns + i * step_ns for i in range(n)],
        "service": [""] * n,
        "stream_id": [stream_id] * n,
        "seq": list(range(n)),
        "source": ["test"] * n,
        "severity": [""] * n,
        "body": list(texts),
        "attributes": [list((attributes or {}).items())] * n,
        "trace_id": [""] * n,
        "span_id": [""] * n,
    }
    insert_lines(
        pool, pa.table({name: pa.array(columns[name], LOG_SCHEMA.field(name).type) for name in LOG_SCHEMA.names})
    )
    start_ms = start_ns // 1_000_000
    insert_streams(pool, [StreamRow(stream_id, "", labels, start_ms, start_ms + n * step_ns // 1_000_000 + 1)])


def clear(pool: Pool) -> None:
    """Takes all lines away."""
    pool.command("TRUNCATE TABLE logs")
    pool.command("TRUNCATE TABLE log_streams")


def lines(engine: LogQLEngine, query: str, hours: int = 1) -> list[Line]:
    """The lines a query gives, oldest first."""
    result = engine.range(query, T, T + hours * 3600 * 10**9, step_ms=1000, limit=5000, direction="forward")
    assert isinstance(result, LogResult)
    return result.lines
