"""Range aggregations over lines: counted in the store in small buckets, summed into windows here."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.errors import StoreError
from app.labels import Labels, labels_from
from app.query.grid import Grid
from app.query.logql.ast import RangeAggregation
from app.query.logql.conditions import lines_condition
from app.query.logql.lines import LEVEL
from app.query.logql.streams import select_streams
from app.query.promql.ast import Grouping
from app.query.promql.conditions import Parameters
from app.query.promql.context import Context
from app.query.vector import Vector, empty
from app.store.client import Pool

_MS = 1_000_000
_BYTES = ("bytes_over_time", "bytes_rate")
_RATES = ("rate", "bytes_rate")


def range_vector(pool: Pool, node: RangeAggregation, grid: Grid, context: Context, grouping: Grouping | None) -> Vector:
    """The value of a range aggregation at every step; a window is left-open, and one without lines is absent.

    With a `grouping` the series are summed by it already.
    """
    at = grid.shifted(node.offset_ms)
    # buckets of the greatest width that both steps and windows are made of: (first, first + width], and so on
    width_ms = math.gcd(node.range_ms, at.step_ms) if at.n > 1 else node.range_ms
    first_ms = at.start_ms - node.range_ms
    start_ns, end_ns = first_ms * _MS + 1, at.end_ms * _MS + 1
    streams = select_streams(pool, [node.query.matchers], start_ns, end_ns, context)
    if not streams:
        return empty(grid.n)
    parameters = Parameters()
    keys = _key_columns(grouping, parameters)
    where = lines_condition(node.query, start_ns, end_ns, parameters)
    bucket = f"intDiv(toUnixTimestamp64Nano(ts) - {parameters.add(start_ns, 'Int64')}, {width_ms * _MS:d})"
    value = "sum(length(body))" if node.op in _BYTES else "count()"
    names = [f"k{i}" for i in range(len(keys))]
    columns = "".join(f", {key} AS {name}" for key, name in zip(keys, names, strict=True))
    by = ", ".join(["stream_id", *names, "bucket"])
    sql = (
        f"-- LogQL: {node.op}\nSELECT stream_id{columns}, toInt64({bucket}) AS bucket, toFloat64({value}) AS value\n"
        f"FROM logs\nWHERE {where}\nGROUP BY {by}"
    )
    settings = {**context.settings(), "max_result_rows": context.limits.query_max_samples}
    try:
        rows = pool.query(sql, parameters.values, timeout_s=context.remaining_s(), settings=settings)
    except StoreError as error:
        raise context.store_error(error) from error
    labels, of_row = _series(rows, streams, grouping, names)
    context.check_size(len(labels), grid.n)
    vector = _windows(rows, labels, of_row, node.range_ms // width_ms, at, width_ms)
    if node.op in _RATES:
        return Vector(vector.labels, vector.values / (node.range_ms / 1000), vector.present)
    return vector


def _key_columns(grouping: Grouping | None, parameters: Parameters) -> list[str]:
    """What of a line beside its stream tells its series: the labels asked for, or all there are."""
    if grouping is None or grouping.without:
        return ["mapSort(attributes)", "toString(severity)"]
    return [_label_column(name, parameters) for name in grouping.labels]


def _label_column(name: str, parameters: Parameters) -> str:
    attribute = f"attributes[{parameters.add(name)}]"
    column = {LEVEL: "toString(severity)", "trace_id": "trace_id", "span_id": "span_id"}.get(name)
    return attribute if column is None else f"if({attribute} != '', {attribute}, {column})"


def _series(
    rows: pa.Table, streams: dict[int, Labels], grouping: Grouping | None, names: list[str]
) -> tuple[list[Labels], npt.NDArray[np.int64]]:
    """The label sets, and which of them each row belongs to; -1 for a row of a stream not known yet."""
    numbers: dict[Labels, int] = {}
    made: dict[tuple[object, ...], int] = {}
    of_row = np.empty(rows.num_rows, np.int64)
    columns = [rows.column(name).to_pylist() for name in ("stream_id", *names)]
    whole = grouping is None or grouping.without
    for row, key in enumerate(zip(*columns, strict=True)):
        hashable = (key[0], tuple(key[1]), *key[2:]) if whole else key
        number = made.get(hashable)
        if number is None:
            stream = streams.get(key[0])
            if stream is None:
                number = -1
            else:
                labels = _all_labels(stream, key[1], key[2]) if whole else _some_labels(stream, key[1:], grouping)
                if grouping is not None and grouping.without:
                    labels = tuple(pair for pair in labels if pair[0] not in grouping.labels)
                number = numbers.setdefault(labels, len(numbers))
            made[hashable] = number
        of_row[row] = number
    return list(numbers), of_row


def _all_labels(stream: Labels, pairs: list[tuple[str, str]], level: str) -> Labels:
    return labels_from({LEVEL: level, **dict(pairs), **dict(stream)})


def _some_labels(stream: Labels, values: tuple[str, ...], grouping: Grouping | None) -> Labels:
    names = grouping.labels if grouping else ()
    own = dict(stream)
    return labels_from({name: own.get(name) or value for name, value in zip(names, values, strict=True)})


def _windows(
    rows: pa.Table, labels: list[Labels], of_row: npt.NDArray[np.int64], span: int, at: Grid, width_ms: int
) -> Vector:
    """Sums of the buckets in each step's window, `span` buckets wide."""
    buckets = rows.column("bucket").to_numpy()
    values = rows.column("value").to_numpy()
    order = np.lexsort((buckets, of_row))
    order = order[of_row[order] >= 0]
    series, buckets, values = of_row[order], buckets[order], values[order]
    starts = np.searchsorted(series, np.arange(len(labels) + 1))
    # the window of step k ends with bucket number first_end + k * stride, not included
    ends = span + np.arange(at.n, dtype=np.int64) * (at.step_ms // width_ms if at.n > 1 else 0)
    out = np.zeros((len(labels), at.n))
    present = np.zeros((len(labels), at.n), bool)
    for i in range(len(labels)):
        own = slice(int(starts[i]), int(starts[i + 1]))
        low = np.searchsorted(buckets[own], ends - span)
        high = np.searchsorted(buckets[own], ends)
        # counts are whole numbers: a running sum loses nothing
        sums = np.concatenate([[0.0], np.cumsum(values[own])])
        out[i], present[i] = sums[high] - sums[low], high > low
    return Vector(labels, out, present).compact()
