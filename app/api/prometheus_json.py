"""Query results as Prometheus writes them in JSON, without a Python object for each point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from app.api.histogram_json import encode_histogram
from app.labels import Labels
from app.query.promql.exemplars import Exemplar, Exemplars
from app.query.promql.format import format_json, format_value
from app.query.result import QueryResult
from app.query.vector import Floats, Ints

_CHUNK_POINTS = 1_000_000
"""Points encoded at once: an Arrow string column holds at most 2 GiB."""
_SAMPLE = 8192


def format_values(values: Floats) -> pa.StringArray:
    """Each value as `format_json` writes it."""
    sample = values[:: max(1, len(values) // _SAMPLE)]
    if len(values) > _SAMPLE and len(np.unique(sample)) * 2 < len(sample):
        # counters and gauges repeat themselves: each value is written once
        coded = pa.array(values, from_pandas=False).dictionary_encode()
        return _formatted(coded.dictionary.to_numpy(zero_copy_only=False)).take(coded.indices)
    return _formatted(values)


def _formatted(values: Floats) -> pa.StringArray:
    text = pa.array(values, from_pandas=False).cast(pa.string())
    size = np.abs(values)
    # where Arrow writes an exponent or another name
    odd = ~((size < 1e10) & ((size >= 1e-5) | (size == 0)))
    if not odd.any():
        return text
    whole = odd & (size < 2.0**53) & (np.floor(size) == size)
    if whole.any():
        text = pc.replace_with_mask(text, pa.array(whole), pa.array(values[whole].astype(np.int64)).cast(pa.string()))
        odd &= ~whole
    distinct, which = np.unique(values[odd], return_inverse=True, equal_nan=True)
    written = pa.array([format_json(value) for value in distinct.tolist()], pa.string())
    return pc.replace_with_mask(text, pa.array(odd), written.take(pa.array(which)))


def format_time(ms: int) -> str:
    """Milliseconds as seconds, with three digits after the point unless they are zero."""
    sign, rest = ("-", -ms) if ms < 0 else ("", ms)
    fraction = f".{rest % 1000:03d}" if rest % 1000 else ""
    return f"{sign}{rest // 1000}{fraction}"


def _points(times: pa.StringArray, which: npt.NDArray[np.integer], values: Floats) -> tuple[memoryview, Ints]:
    """(`[time,"value"],` of all points one after another, where each begins and the last ends)."""
    if not len(values):
        return memoryview(b""), np.zeros(1, np.int64)
    joined = pc.binary_join_element_wise(times.take(pa.array(which)), format_values(values), pa.scalar('"],'), "")
    _, offsets, data = joined.buffers()
    edges = np.frombuffer(offsets, np.int32)[joined.offset : joined.offset + len(joined) + 1]
    return memoryview(data), edges.astype(np.int64)


def _openings(times_ms: Sequence[int]) -> pa.StringArray:
    return pa.array([f'[{format_time(ms)},"' for ms in times_ms], pa.string())


def _series_points(result: QueryResult) -> Iterator[tuple[memoryview, Ints, Ints]]:
    """In chunks of whole series: (bytes, where each point begins, how many points each series has)."""
    if result.raw is not None:
        times, which = np.unique(result.raw.ts_ms, return_inverse=True)
        counts = np.diff(result.raw.offsets)
        yield (*_points(_openings(times.tolist()), which.astype(np.int32), result.raw.values), counts)
        return
    openings = _openings(result.steps_ms.tolist())
    rows = max(1, _CHUNK_POINTS // max(1, len(result.steps_ms)))
    steps = np.arange(len(result.steps_ms), dtype=np.int32)
    for first in range(0, len(result.labels), rows):
        present = result.present[first : first + rows]
        own_steps = np.broadcast_to(steps, present.shape)[present]
        values = result.values[first : first + rows][present]
        yield (*_points(openings, own_steps, values), present.sum(axis=1))


def _matrix(result: QueryResult) -> Iterator[bytes | memoryview]:
    """The series, those of floats alone without a Python object for each point."""
    if result.histograms is not None or (result.raw is not None and result.raw.histograms is not None):
        yield from _mixed_matrix(result)
        return
    row, comma = 0, b""
    for data, edges, counts in _series_points(result):
        ends = np.cumsum(counts)
        starts = ends - counts
        for begin, end in zip(edges[starts].tolist(), edges[ends].tolist(), strict=True):
            if begin < end:
                yield b'%s{"metric":%s,"values":[' % (comma, _metric(result.labels[row]))
                yield data[begin : end - 1]
                yield b"]}"
                comma = b","
            row += 1


def _mixed_matrix(result: QueryResult) -> Iterator[bytes]:
    comma = b""
    for i, labels in enumerate(result.labels):
        times, values = result.series(i)
        native = result.native(i)
        points: dict[bytes, list[bytes]] = {b"values": [], b"histograms": []}
        items = [None] * len(times) if native is None else native.tolist()
        for at, value, h in zip(times.tolist(), format_values(values).to_pylist(), items, strict=True):
            time = format_time(at).encode()
            if h is None:
                points[b"values"].append(b'[%s,"%s"]' % (time, value.encode()))
            else:
                points[b"histograms"].append(b"[%s,%s]" % (time, encode_histogram(h)))
        parts = [b',"%s":[%s]' % (name, b",".join(some)) for name, some in points.items() if some]
        if parts:
            yield b'%s{"metric":%s%s}' % (comma, _metric(labels), b"".join(parts))
            comma = b","


def _vector(result: QueryResult) -> Iterator[bytes]:
    time = format_time(int(result.steps_ms[0])).encode()
    values = format_values(np.ascontiguousarray(result.values[:, 0])).to_pylist() if result.labels else []
    for i, (labels, value) in enumerate(zip(result.labels, values, strict=True)):
        h = None if result.histograms is None else result.histograms[i, 0]
        if h is None:
            sample = b'"value":[%s,"%s"]' % (time, value.encode())
        else:
            sample = b'"histogram":[%s,%s]' % (time, encode_histogram(h))
        yield b'%s{"metric":%s,%s}' % (b"," if i else b"", _metric(labels), sample)


def _metric(labels: Labels) -> bytes:
    return orjson.dumps(dict(labels))


def exemplars_json(found: Exemplars) -> list[dict[str, Any]]:
    """The data of an answer to `query_exemplars`."""
    return [
        {"seriesLabels": dict(labels), "exemplars": [_exemplar(one) for one in exemplars]}
        for labels, exemplars in found.series
    ]


def _exemplar(one: Exemplar) -> dict[str, Any]:
    # a whole second is written without a fraction
    seconds = one.ts_ms / 1000 if one.ts_ms % 1000 else one.ts_ms // 1000
    return {"labels": one.labels, "value": format_json(one.value), "timestamp": seconds}


def encode(result: QueryResult, warnings: Sequence[str] = (), stats: Mapping[str, Any] | None = None) -> bytes:
    """The whole answer to `query` or `query_range`. Blocks for as long as the answer is large."""
    parts: list[bytes | memoryview] = [
        b'{"status":"success","data":{"resultType":"%s","result":' % result.kind.encode()
    ]
    if result.kind == "matrix":
        parts += [b"[", *_matrix(result), b"]"]
    elif result.kind == "vector":
        parts += [b"[", *_vector(result), b"]"]
    else:
        text = result.text if result.kind == "string" else format_value(float(result.values[0, 0]))
        parts.append(b"[%s,%s]" % (format_time(int(result.steps_ms[0])).encode(), orjson.dumps(text)))
    if stats is not None:
        parts.append(b',"stats":%s' % orjson.dumps(stats))
    parts.append(b"}")
    for name, notes in ((b"warnings", [*result.warnings, *warnings]), (b"infos", list(result.infos))):
        if notes:
            parts.append(b',"%s":%s' % (name, orjson.dumps(notes)))
    parts.append(b"}")
    return b"".join(parts)
