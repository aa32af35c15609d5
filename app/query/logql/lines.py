"""Log queries: the lines themselves."""

from __future__ import annotations

from typing import Literal

from app.errors import StoreError
from app.query.logql.ast import LogQuery
from app.query.logql.conditions import lines_condition
from app.query.logql.result import Line, LogResult
from app.query.logql.streams import select_streams
from app.query.promql.conditions import Parameters
from app.query.promql.context import Context
from app.store.client import Pool

Direction = Literal["forward", "backward"]
LEVEL = "detected_level"
"""The attribute that tells a line's severity, as Loki's own does."""


def read_lines(
    pool: Pool, query: LogQuery, start_ns: int, end_ns: int, limit: int, direction: Direction, context: Context
) -> LogResult:
    """At most `limit` lines with start <= ts < end: the oldest first, or with `backward` the newest first."""
    streams = select_streams(pool, [query.matchers], start_ns, end_ns, context)
    if not streams or not limit or start_ns >= end_ns:
        return LogResult([])
    parameters = Parameters()
    where = lines_condition(query, start_ns, end_ns, parameters)
    order = "ts DESC, seq DESC" if direction == "backward" else "ts, seq"
    sql = (
        "-- LogQL: lines\nSELECT stream_id, toUnixTimestamp64Nano(ts) AS ns, body, attributes,"
        f" toString(severity) AS level, trace_id, span_id\nFROM logs\nWHERE {where}\nORDER BY {order}\nLIMIT {limit:d}"
    )
    settings = {**context.settings(), "max_result_rows": 0}
    try:
        rows = pool.query(sql, parameters.values, timeout_s=context.remaining_s(), settings=settings)
    except StoreError as error:
        raise context.store_error(error) from error
    lines = []
    columns = [rows.column(name).to_pylist() for name in ("stream_id", "ns", "body", "attributes", "level")]
    ids = [rows.column(name).to_pylist() for name in ("trace_id", "span_id")]
    for stream_id, ns, body, pairs, level, trace_id, span_id in zip(*columns, *ids, strict=True):
        labels = streams.get(stream_id)
        # a stream that was not there a moment ago is told the next time
        if labels is not None:
            lines.append(Line(labels, ns, body, _attributes(dict(pairs), level, trace_id, span_id)))
    return LogResult(lines)


def _attributes(found: dict[str, str], level: str, trace_id: str, span_id: str) -> dict[str, str]:
    for name, value in ((LEVEL, level), ("trace_id", trace_id), ("span_id", span_id)):
        if value:
            found.setdefault(name, value)
    return dict(sorted(found.items()))
