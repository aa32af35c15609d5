"""Which streams there are."""

from __future__ import annotations

from collections.abc import Sequence

from app.labels import Labels, Matcher, labels_from
from app.query.logql.conditions import stream_condition
from app.query.promql.conditions import Parameters
from app.query.promql.context import Context
from app.store.client import Pool


def select_streams(
    pool: Pool, matcher_sets: Sequence[tuple[Matcher, ...]], start_ns: int, end_ns: int, context: Context
) -> dict[int, Labels]:
    """Labels by id of the streams that any of the matcher sets selects, seen between the times (to the hour).

    Raises QueryLimit above limits.query_max_series, and what a query raises.
    """
    parameters = Parameters()
    wanted = [stream_condition(m, start_ns, end_ns, parameters) for m in matcher_sets]
    # no ORDER and no FINAL: the rows of one stream that are not merged yet all have the same labels
    sql = (
        "-- LogQL: streams\nSELECT stream_id, any(labels) AS label_set FROM log_streams\n"
        f"WHERE ({') OR ('.join(wanted)})\nGROUP BY service, stream_id"
    )
    with context.asking():
        rows = pool.query(sql, parameters.values, timeout_s=context.remaining_s(), settings=context.settings())
    ids = rows.column("stream_id").to_pylist()
    return {i: labels_from(pairs) for i, pairs in zip(ids, rows.column("label_set").to_pylist(), strict=True)}
