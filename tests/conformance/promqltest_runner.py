"""Runs a test script against the engine and says which evals came out as they should."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import partial

import numpy as np

from app.errors import QueryError
from app.histogram import Histogram
from app.labels import METRIC_NAME, Labels
from app.query.promql.engine import PromQLEngine
from app.query.result import QueryResult
from app.store.client import Pool
from app.store.histograms import insert_histograms
from app.store.metrics import SeriesRow, insert_samples, insert_series
from ingest.series import label_set_id
from tests.conformance.promqltest_histograms import HistogramPoint, same_histogram, with_custom_buckets
from tests.conformance.promqltest_script import Eval, Load, Point, Series, read_script
from tests.conformance.scripts import Failures, Mismatch, run

_EPSILON = 1e-6


def run_script(text: str, pool: Pool, engine: PromQLEngine) -> tuple[int, Failures[Eval]]:
    """(number of evals, those that failed with the reason)."""
    tables = ("metric_samples", "metric_histograms", "metric_series")
    return run(read_script(text), pool, tables, (Load, partial(load, pool)), (Eval, partial(check, engine)))


def load(pool: Pool, command: Load) -> None:
    """Puts the samples of a load into the store."""
    names: dict[str, int] = {}
    rows: list[SeriesRow] = []
    codes, ids, times, values = [], [], [], []
    native: list[tuple[str, int, int, Histogram]] = []
    # a series that is there twice is what the second line says, as in Prometheus's own runner
    given = {series.labels: series for series in command.series}
    for series in [*given.values(), *(_custom_buckets(command) if command.with_nhcb else ())]:
        labels = series.labels or ()
        code = names.setdefault(dict(labels).get(METRIC_NAME, ""), len(names))
        series_id = label_set_id(labels)
        rows.append(SeriesRow(series_id, labels, 0, len(series.points) * command.step_ms))
        for i, point in enumerate(series.points):
            if isinstance(point, HistogramPoint):
                native.append((dict(labels)[METRIC_NAME], series_id, i * command.step_ms, point.histogram))
            elif point is not None:
                codes.append(code)
                ids.append(series_id)
                times.append(i * command.step_ms)
                values.append(point)
    insert_series(pool, rows)
    if native:
        metrics, series_ids, at, items = zip(*native, strict=True)
        insert_histograms(pool, metrics, np.array(series_ids, np.uint64), np.array(at, np.int64), items)
    if not codes:
        return
    insert_samples(
        pool,
        list(names),
        np.array(codes, np.int32),
        np.array(ids, np.uint64),
        np.array(times, np.int64),
        np.array(values, np.float64),
    )


def _custom_buckets(command: Load) -> list[Series]:
    classic = [
        (s.labels or (), [None if isinstance(p, HistogramPoint) else p for p in s.points]) for s in command.series
    ]
    return [
        Series(labels, [HistogramPoint(found[i], False) if i in found else None for i in range(max(found) + 1)])
        for labels, found in with_custom_buckets(classic).items()
        if found
    ]


def check(engine: PromQLEngine, command: Eval) -> None:
    """Runs an eval. Raises Mismatch."""
    fails = [e for e in command.expects if e[0] == "fail"]
    try:
        if command.step_ms:
            result = engine.range(command.query, command.start_ms, command.end_ms, command.step_ms)
        else:
            result = engine.instant(command.query, command.start_ms)
    except QueryError as error:
        if not fails:
            raise Mismatch(f"{type(error).__name__}: {error}") from error
        for _, how, wanted in fails:
            if how and not _says(how, wanted, str(error)):
                raise Mismatch(f"failed with {error}, not with {wanted}") from error
        return
    if fails:
        raise Mismatch("should have failed")
    _check_notes(command, result)
    if command.text is not None:
        if result.kind != "string" or result.text != command.text:
            raise Mismatch(f"expected the string {command.text!r}")
    elif result.kind == "scalar":
        _same([p for s in command.series for p in s.points], [float(result.values[0, 0])], "scalar")
    else:
        _check_series(command, result)


def _says(how: str, wanted: str, text: str) -> bool:
    wanted = wanted.strip().strip('"') if how == "msg" else wanted
    return re.search(wanted, text) is not None if how == "regex" else wanted == text


def _check_notes(command: Eval, result: QueryResult) -> None:
    for kind, notes in (("warn", result.warnings), ("info", result.infos)):
        wanted = [e for e in command.expects if e[0] == kind]
        if any(e[0] == f"no_{kind}" for e in command.expects) and notes:
            raise Mismatch(f"unexpected {kind}: {notes}")
        if wanted and not notes:
            raise Mismatch(f"no {kind}")
        for _, how, text in wanted:
            if how and not any(_says(how, text, note) for note in notes):
                raise Mismatch(f"{kind} is {notes}, not {text}")


def _check_series(command: Eval, result: QueryResult) -> None:
    found = {labels: _samples(result, i) for i, labels in enumerate(result.labels)}
    if any(e[0] == "ordered" for e in command.expects):
        wanted_order = [s.labels for s in command.series]
        if wanted_order != result.labels:
            raise Mismatch(f"order is {result.labels}")
    first, step = command.start_ms, command.step_ms
    if command.vector_times:
        first, _, step = command.vector_times
    wanted: set[Labels] = set()
    for series in command.series:
        labels = series.labels or ()
        wanted.add(labels)
        if labels not in found:
            raise Mismatch(f"no series {labels}; there are {list(found)[:5]}")
        times, values = found[labels]
        present = dict(zip(times, values, strict=True))
        expected = {first + i * step: point for i, point in enumerate(series.points) if point is not None}
        if set(present) != set(expected):
            raise Mismatch(f"{labels}: samples at {sorted(present)[:8]}, expected at {sorted(expected)[:8]}")
        _same([expected[t] for t in sorted(expected)], [present[t] for t in sorted(present)], str(labels))
    surplus = set(found) - wanted
    if surplus:
        raise Mismatch(f"unexpected series {list(surplus)[:5]}")


def _samples(result: QueryResult, i: int) -> tuple[list[int], list[float | Histogram]]:
    times, values = result.series(i)
    native = result.native(i)
    histograms = [None] * len(times) if native is None else native.tolist()
    return times.tolist(), [v if h is None else h for v, h in zip(values.tolist(), histograms, strict=True)]


def _same(expected: Sequence[Point], found: Sequence[float | Histogram], where: str) -> None:
    if len(expected) != len(found):
        raise Mismatch(f"{where}: {len(found)} values, expected {len(expected)}")
    for a, b in zip(expected, found, strict=True):
        if isinstance(a, HistogramPoint):
            same = isinstance(b, Histogram) and same_histogram(a, b, almost_equal)
        else:
            same = a is not None and not isinstance(b, Histogram) and almost_equal(a, b)
        if not same:
            raise Mismatch(f"{where}: {b!r}, expected {a!r}")


def almost_equal(a: float, b: float) -> bool:
    """Equal as util/almost of Prometheus has it."""
    if math.isnan(a) and math.isnan(b):
        return True
    if a == b:
        return True
    if math.isnan(a) or math.isnan(b) or math.isinf(a) or math.isinf(b):
        return False
    total, difference = abs(a) + abs(b), abs(a - b)
    if a == 0 or b == 0 or total < 2.2250738585072014e-308:
        return difference < _EPSILON * 2.2250738585072014e-308
    return difference / min(total, 1.7976931348623157e308) < _EPSILON
