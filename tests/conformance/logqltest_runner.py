"""Runs a script against the engine and says which evals came out as they should."""

from __future__ import annotations

import re
from functools import partial

import pyarrow as pa

from app.errors import QueryError
from app.labels import Labels
from app.query.logql.engine import LogQLEngine
from app.query.logql.result import LogResult
from app.query.result import QueryResult
from app.store.client import Pool
from app.store.logs import LOG_SCHEMA, StreamRow, insert_lines, insert_streams
from ingest.series import label_set_id
from tests.conformance.logqltest_script import Eval, Load, read_script
from tests.conformance.promqltest_runner import almost_equal
from tests.conformance.scripts import Failures, Mismatch, run


def run_script(text: str, pool: Pool, engine: LogQLEngine) -> tuple[int, Failures[Eval]]:
    """(number of evals, those that failed with the reason)."""
    tables = ("logs", "log_streams")
    return run(read_script(text), pool, tables, (Load, partial(load, pool)), (Eval, partial(check, engine)))


def load(pool: Pool, command: Load) -> None:
    """Puts the lines of a load into the store."""
    entries = command.entries
    streams = {entry.stream: label_set_id(entry.stream) for entry in entries}
    rows = {
        "ts": [entry.ts_ns for entry in entries],
        "service": [""] * len(entries),
        "stream_id": [streams[entry.stream] for entry in entries],
        "seq": list(range(len(entries))),
        "source": ["script"] * len(entries),
        "severity": [""] * len(entries),
        "body": [entry.text for entry in entries],
        "attributes": [list(entry.metadata) for entry in entries],
        "trace_id": [""] * len(entries),
        "span_id": [""] * len(entries),
    }
    insert_lines(pool, pa.table({name: pa.array(rows[name], LOG_SCHEMA.field(name).type) for name in LOG_SCHEMA.names}))
    times = [entry.ts_ns // 1_000_000 for entry in entries]
    first, last = min(times), max(times)
    insert_streams(pool, [StreamRow(i, "", labels, first - 3_600_000, last + 1) for labels, i in streams.items()])


def check(engine: LogQLEngine, command: Eval) -> None:
    """Runs an eval. Raises Mismatch."""
    try:
        result = _answer(command, engine)
    except QueryError as error:
        if command.fails is None:
            raise Mismatch(f"{type(error).__name__}: {error}") from error
        how, text = command.fails
        found = re.search(text, str(error)) if how == "regex" else text in str(error)
        if not found:
            raise Mismatch(f"failed with {error}, not with {text}") from error
        return
    if command.fails is not None:
        raise Mismatch("should have failed")
    if command.scalar is not None:
        if not almost_equal(command.scalar, float(result.values[0, 0])):
            raise Mismatch(f"scalar {result.values[0, 0]}, expected {command.scalar}")
        return
    _check_series(command, result)


def _answer(command: Eval, engine: LogQLEngine) -> QueryResult:
    if not command.step_ms:
        return engine.instant(command.query, command.start_ms * 1_000_000)
    start_ns, end_ns = command.start_ms * 1_000_000, command.end_ms * 1_000_000
    result = engine.range(command.query, start_ns, end_ns, step_ms=command.step_ms)
    if isinstance(result, LogResult):
        raise Mismatch("lines, not values")
    return result


def _check_series(command: Eval, result: QueryResult) -> None:
    found: dict[Labels, dict[int, float]] = {}
    for i, labels in enumerate(result.labels):
        times, values = result.series(i)
        found[labels] = dict(zip(times.tolist(), values.tolist(), strict=True))
    wanted = {
        labels: {command.start_ms + i * command.step_ms: p for i, p in enumerate(points) if p is not None}
        for labels, points in command.series
    }
    if command.ordered and list(wanted) != result.labels:
        raise Mismatch(f"order is {result.labels}")
    if set(wanted) != set(found):
        raise Mismatch(f"series {sorted(found)}, expected {sorted(wanted)}")
    for labels, points in wanted.items():
        same = set(points) == set(found[labels]) and all(almost_equal(p, found[labels][t]) for t, p in points.items())
        if not same:
            raise Mismatch(f"{labels}: {list(found[labels].values())}, expected {list(points.values())}")
