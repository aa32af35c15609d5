"""Log queries: the lines themselves."""

from __future__ import annotations

from typing import Literal

from app.query.logql.ast import LogQuery
from app.query.logql.pipeline import DEEP, names_read, selected, split
from app.query.logql.result import Line, LogResult
from app.query.logql.rows import IDS
from app.query.logql.stages.label_filter import LabelFilter
from app.query.logql.stages.line_filter import LineFilter
from app.query.promql.conditions import Parameters
from app.query.promql.context import Context
from app.store.client import Pool

Direction = Literal["forward", "backward"]
_ORDER = {"backward": "ts DESC, seq DESC", "forward": "ts, seq"}


def read_lines(
    pool: Pool, query: LogQuery, start_ns: int, end_ns: int, limit: int, direction: Direction, context: Context
) -> LogResult:
    """At most `limit` lines with start <= ts < end: the oldest first, or with `backward` the newest first."""
    if not limit or start_ns >= end_ns:
        return LogResult([])
    parameters = Parameters()
    sql = _sql(query, start_ns, end_ns, limit, _ORDER[direction], parameters)
    settings = {**context.settings(), "max_result_rows": 0, **DEEP}
    with context.asking():
        rows = pool.query(sql, parameters.values, timeout_s=context.remaining_s(), settings=settings)
    columns = [rows.column(name).to_pylist() for name in ("stream", "ns", "line", "meta", "parsed")]
    return LogResult(
        [
            Line(tuple(sorted(stream)), ns, text, dict(sorted(meta)), dict(sorted(parsed)))
            for stream, ns, text, meta, parsed in zip(*columns, strict=True)
        ]
    )


def _sql(query: LogQuery, start_ns: int, end_ns: int, limit: int, order: str, parameters: Parameters) -> str:
    _, stages = split(query.stages)
    last = max((i for i, stage in enumerate(stages) if stage.leaves_out), default=-1)
    names = names_read(stages[: last + 1])
    rows, _ = selected(query, start_ns, end_ns, names, IDS & names, parameters)
    # which lines are wanted is told by the labels that filters read; only of those lines all labels are found
    for stage in stages[: last + 1]:
        stage.apply(rows)
    rows = rows.first_as_written(order, limit, None, IDS)
    for number, stage in enumerate(stages):
        if number > last or not (isinstance(stage, LineFilter) or (isinstance(stage, LabelFilter) and stage.certain)):
            stage.apply(rows)
    rows.join()
    columns = (
        f"toUnixTimestamp64Nano(ts) AS ns, {rows.line} AS line, {rows.stream} AS stream, {rows.meta} AS meta,"
        f" {rows.labels_found()} AS parsed"
    )
    return f"-- LogQL: lines\n{rows.sql(columns, f'ORDER BY {order}')}"
