"""Range aggregations over lines: worked out for small buckets in the store, put together to windows here.

One statement gives a row a series: the numbers of its buckets (or the times of its samples), and the values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.errors import QueryFailed
from app.labels import Labels, labels_from
from app.query.grid import Grid
from app.query.logql.ast import RangeAggregation
from app.query.logql.pipeline import DEEP, names_read, selected
from app.query.logql.ranges import RangeFunction, range_function
from app.query.logql.rows import ERROR, ERROR_DETAILS, IDS, LEVEL, NO_LABELS, Rows, any_of, literal
from app.query.logql.stages.json_fields import JSON_FAILED
from app.query.logql.stages.logfmt import LOGFMT_FAILED
from app.query.logql.stages.stage import Stage
from app.query.logql.text import quoted
from app.query.promql.ast import Grouping, Selector
from app.query.promql.conditions import Parameters
from app.query.promql.context import Context
from app.query.promql.functions import absent, labels_of_absent
from app.query.promql.windows import cut
from app.query.result import Samples
from app.query.vector import Ints, Vector, empty
from app.store.client import Pool

_MS = 1_000_000
_NO_GROUP = Grouping()
PARSER_ERRORS = (JSON_FAILED, LOGFMT_FAILED)


def range_vector(pool: Pool, node: RangeAggregation, grid: Grid, context: Context, grouping: Grouping | None) -> Vector:
    """The value of a range aggregation at every step; a window is left-open, and one without lines is absent.

    With a `grouping` the series are summed by it already; only for functions whose values can be added.
    Raises QueryFailed where a stage could not do what it should to a line, and nothing leaves such lines out.
    """
    plan = _Plan(node, grid.shifted(node.offset_ms), _NO_GROUP if node.op == "absent_over_time" else grouping)
    parameters = Parameters()
    sql = plan.sql(parameters)
    settings = {**context.settings(), **DEEP}
    with context.asking():
        rows = pool.query(sql, parameters.values, timeout_s=context.remaining_s(), settings=settings)
    vector = _vector(plan, rows, context)
    if node.op == "absent_over_time":
        return absent(labels_of_absent(Selector((node.query.matchers,))), vector.present)
    return vector


@dataclass(frozen=True, slots=True)
class _Plan:
    """How an aggregation is read: `at` are the ends of its windows, `sums` what is asked of the sum of its series."""

    node: RangeAggregation
    at: Grid
    sums: Grouping | None

    @property
    def function(self) -> RangeFunction:
        """What is done with the lines of a window."""
        return range_function(self.node)

    @property
    def grouping(self) -> Grouping | None:
        """Which labels make a series."""
        return self.node.grouping if self.sums is None else self.sums

    @property
    def first_ms(self) -> int:
        """Where the first window begins; lines of that time are not in it."""
        return self.at.start_ms - self.node.range_ms

    @property
    def width_ms(self) -> int:
        """The greatest width of buckets that both steps and windows are made of."""
        return math.gcd(self.node.range_ms, self.at.step_ms) if self.at.n > 1 else self.node.range_ms

    def _stages(self) -> tuple[Stage, ...]:
        return (*self.node.query.stages, self.node.unwrap) if self.node.unwrap else self.node.query.stages

    def names(self) -> frozenset[str] | None:
        """The labels that anything asks for."""
        by = self.grouping
        return None if by is None or by.without else names_read(self._stages()) | any_of(by.labels)

    def ids(self) -> frozenset[str]:
        """Of trace_id and span_id those that the query asks for: they would make a series of every line."""
        return IDS & (names_read(self._stages()) | any_of(self.grouping.labels if self.grouping else ()))

    def sql(self, parameters: Parameters) -> str:
        """The statement."""
        start_ns, end_ns = self.first_ms * _MS + 1, self.at.end_ms * _MS + 1
        rows, stages = selected(self.node.query, start_ns, end_ns, self.names(), self.ids(), parameters)
        for stage in stages:
            stage.apply(rows)
        if self.node.unwrap is not None:
            self.node.unwrap.apply(rows)
        if rows.error:
            # whose error it is is told with all labels
            rows.join()
        bucket = self._bucket(rows, start_ns)
        sql = self._parts_sql(rows, bucket) if self.function.parts else self._samples_sql(rows)
        return f"-- LogQL: {self.node.op}\n{sql}"

    def _parts_sql(self, rows: Rows, bucket: str) -> str:
        parts = [part.format(line=rows.line, sample=rows.sample) for part in self.function.parts]
        made = ", ".join(f"{part} AS part_{i}" for i, part in enumerate(parts))
        if rows.joined:
            series, failed, why = self._series_columns(rows)
            columns = f"{series} AS series, {failed} AS failed, any({why}) AS why, {bucket} AS bucket"
            rows.grouped(f"{columns}, {made}", "series, failed, bucket")
        else:
            # the streams are joined with what is left of the lines, which is far less
            rows.grouped(f"{self._key_columns(rows)}, {bucket} AS bucket, {made}", "ALL")
            series = self._series_columns(rows)[0]
            rows.grouped(f"{series} AS series, '' AS failed, '' AS why, bucket, sum(part_0) AS part_0", "ALL")
        values = ", ".join(f"groupArray(part_{i}) AS values_{i}" for i in range(len(parts)))
        return rows.sql(
            f"series, failed, any(why) AS why, groupArray(bucket) AS at, {values}", "GROUP BY series, failed"
        )

    def _samples_sql(self, rows: Rows) -> str:
        series, failed, why = self._series_columns(rows)
        return rows.sql(
            f"{series} AS series, {failed} AS failed, any({why}) AS why, groupArray(toUnixTimestamp64Nano(ts)) AS at,"
            f" groupArray(seq) AS seqs, groupArray({rows.sample}) AS values_0",
            "GROUP BY series, failed",
        )

    def _bucket(self, rows: Rows, start_ns: int) -> str:
        since = f"toUnixTimestamp64Nano(ts) - {rows.parameters.add(start_ns, 'Int64')}"
        bucket = f"toInt64(intDiv({since}, {self.width_ms * _MS:d}))"
        if self.at.n > 1 and self.at.step_ms > self.node.range_ms:
            # between the windows are lines that are in none
            stride, span = self.at.step_ms // self.width_ms, self.node.range_ms // self.width_ms
            rows.where(f"{bucket} % {stride:d} < {span:d}")
        return bucket

    def _key_columns(self, rows: Rows) -> str:
        """What of a line beside its stream tells its series."""
        attributes = f"mapSort({rows.wanted_of('attributes')})" if not rows.nothing_wanted else NO_LABELS
        columns = [f"{attributes} AS attributes"]
        for column, asked in (
            ("severity", rows.names is None or LEVEL in rows.names),
            ("trace_id", "trace_id" in rows.ids),
            ("span_id", "span_id" in rows.ids),
        ):
            columns.append(column if asked else f"'' AS {column}")
        return ", ".join(["service", "stream_id", *columns])

    def _series_columns(self, rows: Rows) -> tuple[str, str, str]:
        """SQL of a series' labels, and of the error a line must not have and what is known of it."""
        errors = (self._error(rows), rows.details) if rows.error else ("''", "''")
        by = self.grouping
        if by is not None and not by.without:
            values = ", ".join(rows.value(name) for name in by.labels)
            return (f"[{values}]" if values else "CAST([], 'Array(String)')"), *errors
        labels = rows.labels()
        gone = [*(by.labels if by else ()), *([self.node.unwrap.label] if self.node.unwrap else ())]
        if gone:
            labels = f"mapFilter((k, v) -> NOT has({rows.parameters.add(gone, 'Array(String)')}, k), {labels})"
        return labels, *errors

    def _error(self, rows: Rows) -> str:
        """SQL of an error that ends the query: none of a parser's where the query itself looks at errors.

        As in Loki (PreserveError); there too only when labels are asked for by name.
        """
        if rows.names is None or ERROR not in rows.names:
            return rows.error
        return f"if({rows.error} IN ({', '.join(map(literal, PARSER_ERRORS))}), '', {rows.error})"


def _vector(plan: _Plan, rows: pa.Table, context: Context) -> Vector:
    """The windows of every series. Raises QueryFailed when one has an error in it."""
    if not rows.num_rows:
        return empty(plan.at.n)
    lists = rows.column("at").combine_chunks()
    starts = lists.offsets.to_numpy() - lists.offsets[0].as_py()
    context.used_samples(int(starts[-1]))
    keys, of_row = _series(plan, rows)
    context.check_size(len(keys), plan.at.n)
    series = np.repeat(of_row, np.diff(starts))
    at = lists.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    parts = [_flat(rows, f"values_{i}") for i in range(max(1, len(plan.function.parts)))]
    if plan.function.parts:
        order = np.lexsort((at, series))
        times_ms = plan.first_ms + (at + 1) * plan.width_ms
    else:
        order = np.lexsort((_flat(rows, "seqs"), at, series))
        # the millisecond that a time is not after: windows have whole ones
        times_ms = -(-at // _MS)
    offsets = np.searchsorted(series[order], np.arange(len(keys) + 1))
    labels = [key[0] for key in keys]
    windows = [
        cut(Samples(labels, offsets, times_ms[order], part[order]), plan.at.times, plan.node.range_ms) for part in parts
    ]
    with np.errstate(all="ignore"):
        values, present = plan.function.value(windows, plan.node)
    shape = (len(keys), plan.at.n)
    vector = Vector(labels, values.reshape(shape), present.reshape(shape))
    _check_errors(keys, vector)
    return vector.compact()


_Key = tuple[Labels, str, str]


def _series(plan: _Plan, rows: pa.Table) -> tuple[list[_Key], Ints]:
    """(labels, error, its details) of the series, and which of them each row belongs to."""
    by = plan.grouping
    names = None if by is None or by.without else by.labels
    numbers: dict[_Key, int] = {}
    of_row = np.empty(rows.num_rows, np.int64)
    columns = [rows.column(name).to_pylist() for name in ("series", "failed", "why")]
    for row, (found, failed, why) in enumerate(zip(*columns, strict=True)):
        # an empty label that a parser found is one, as in Loki; one that is asked for and not there is none
        labels = tuple(found) if names is None else labels_from(zip(names, found, strict=True))
        of_row[row] = numbers.setdefault((labels, failed, why if failed else ""), len(numbers))
    return list(numbers), of_row


def _flat(rows: pa.Table, name: str) -> npt.NDArray[np.float64]:
    return np.asarray(rows.column(name).combine_chunks().flatten().to_numpy(zero_copy_only=False))


def _check_errors(keys: list[_Key], vector: Vector) -> None:
    for (labels, error, details), present in zip(keys, vector.present, strict=True):
        if error and bool(present.any()):
            told = {**dict(labels), ERROR: error, **({ERROR_DETAILS: details} if details else {})}
            series = ", ".join(f"{name}={quoted(value)}" for name, value in sorted(told.items()))
            raise QueryFailed(
                f"pipeline error: '{error}' for series: '{{{series}}}'.\nUse a label filter to intentionally skip this"
                f' error. (e.g | __error__!="{error}").\nTo skip all potential errors you can match empty errors.'
                '(e.g __error__="")\nThe label filter can also be specified after unwrap.'
                ' (e.g | unwrap latency | __error__="" )'
            )
