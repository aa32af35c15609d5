"""LogQL results in Loki's JSON."""

from __future__ import annotations

from typing import Any

from app.query.logql.result import Line, LogResult
from app.query.promql.format import format_value
from app.query.result import QueryResult

CATEGORIZE = "categorize-labels"
"""The encoding flag of clients that take labels, structured metadata and parsed labels apart."""


def log_data(result: LogResult, categorized: bool) -> dict[str, Any]:
    """`data` of an answer with lines."""
    groups = result.by_stream() if categorized else result.by_all_labels()
    streams = [
        {"stream": dict(labels), "values": [_categorized(line) if categorized else _plain(line) for line in lines]}
        for labels, lines in groups
    ]
    flags = {"encodingFlags": [CATEGORIZE]} if categorized else {}
    return {"resultType": "streams", **flags, "result": streams}


def metric_data(result: QueryResult) -> dict[str, Any]:
    """`data` of an answer with values."""
    if result.kind == "scalar":
        return {"resultType": "scalar", "result": _pair(int(result.steps_ms[0]), float(result.values[0, 0]))}
    series = []
    for i, labels in enumerate(result.labels):
        times, values = result.series(i)
        pairs = [_pair(t, v) for t, v in zip(times.tolist(), values.tolist(), strict=True)]
        series.append(
            {"metric": dict(labels), "value": pairs[0]}
            if result.kind == "vector"
            else {"metric": dict(labels), "values": pairs}
        )
    return {"resultType": result.kind, "result": series}


def stats(seconds: float, lines: int, size_bytes: int) -> dict[str, Any]:
    """What an answer took, in the places where Loki's clients look for it."""
    per_second = 1 / seconds if seconds > 0 else 0.0
    summary = {
        "bytesProcessedPerSecond": round(size_bytes * per_second),
        "linesProcessedPerSecond": round(lines * per_second),
        "totalBytesProcessed": size_bytes,
        "totalLinesProcessed": lines,
        "execTime": seconds,
        "queueTime": 0,
        "subqueries": 0,
        "totalEntriesReturned": lines,
        "splits": 0,
        "shards": 0,
        "totalPostFilterLines": lines,
        "totalStructuredMetadataBytesProcessed": 0,
    }
    return {"summary": summary, "querier": {"store": {}}, "ingester": {"store": {}}, "cache": {}, "index": {}}


def _plain(line: Line) -> list[Any]:
    return [str(line.ts_ns), line.text]


def _categorized(line: Line) -> list[Any]:
    beside = {"structuredMetadata": line.attributes, "parsed": line.parsed}
    return [str(line.ts_ns), line.text, {kind: labels for kind, labels in beside.items() if labels}]


def _pair(ms: int, value: float) -> list[Any]:
    return [ms // 1000 if ms % 1000 == 0 else ms / 1000, format_value(value)]
