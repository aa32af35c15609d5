"""Which series, label names and values there are, and what metrics mean: what editors and dashboards ask first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from app.config import Limits
from app.labels import METRIC_NAME, Labels
from app.query.promql.ast import Selector
from app.query.promql.catalog import labels_of_map
from app.query.promql.conditions import Parameters, series_condition, storable
from app.query.promql.context import Context
from app.store.client import Pool
from app.store.metrics import Metadata


@dataclass(frozen=True, slots=True)
class Span:
    """Series seen at any time in it are meant; None is without end. Times are widened to whole hours by the store."""

    start_ms: int | None = None
    end_ms: int | None = None


class SeriesBrowser:
    """Reads metric_series and metric_metadata. Methods block; each raises as the engine's."""

    def __init__(self, pool: Pool, limits: Limits) -> None:
        self._pool = pool
        self._limits = limits

    def series(self, selectors: Sequence[Selector], span: Span, limit: int) -> list[Labels]:
        """Label sets of the series that any selector selects, in order; `limit` 0 is none of its own."""
        parameters = Parameters()
        rows = self._query(
            "-- PromQL: series\n"
            "SELECT toString(any(metric)) AS name, any(labels) AS pairs\nFROM metric_series\n"
            f"WHERE {_where(selectors, span, parameters)}\nGROUP BY series_id{_limited(limit)}",
            parameters,
        )
        found: list[Labels] = []
        for batch in rows.to_batches():
            found += labels_of_map(batch.column("name").to_pylist(), batch.column("pairs"))
        return sorted(found)

    def label_names(self, selectors: Sequence[Selector], span: Span, limit: int) -> list[str]:
        """Names of the labels that selected series have; without selectors, of all series."""
        parameters = Parameters()
        rows = self._query(
            "-- PromQL: label names\n"
            f"SELECT DISTINCT arrayJoin(arrayPushFront(mapKeys(labels), {parameters.add(METRIC_NAME)})) AS name\n"
            f"FROM metric_series\nWHERE {_where(selectors, span, parameters)}\nORDER BY name{_limited(limit)}",
            parameters,
        )
        return _texts(rows, "name")

    def label_values(self, name: str, selectors: Sequence[Selector], span: Span, limit: int) -> list[str]:
        """Values of one label, in order."""
        parameters = Parameters()
        column = "toString(metric)" if name == METRIC_NAME else f"labels[{parameters.add(name)}]"
        rows = self._query(
            "-- PromQL: label values\n"
            f"SELECT DISTINCT {column} AS value\nFROM metric_series\n"
            f"WHERE value != '' AND {_where(selectors, span, parameters)}\nORDER BY value{_limited(limit)}",
            parameters,
        )
        return _texts(rows, "value")

    def metadata(self, family: str | None, limit: int) -> list[Metadata]:
        """What is known of metric families, in order of their names."""
        parameters = Parameters()
        condition = f"WHERE family = {parameters.add(family)}\n" if family else ""
        rows = self._query(
            "-- PromQL: metadata\n"
            "SELECT family, toString(argMax(type, updated)) AS kind, argMax(unit, updated) AS of_unit,"
            " argMax(help, updated) AS text\n"
            f"FROM metric_metadata\n{condition}GROUP BY family\nORDER BY family{_limited(limit)}",
            parameters,
        )
        columns = (_texts(rows, name) for name in ("family", "kind", "of_unit", "text"))
        return [Metadata(*row) for row in zip(*columns, strict=True)]

    def _query(self, sql: str, parameters: Parameters) -> pa.Table:
        timeout = self._limits.query_timeout / 1000
        context = Context(self._limits, time.monotonic() + timeout, timeout, 0, 0, 0)
        with context.asking():
            return self._pool.query(sql, parameters.values, timeout_s=timeout, settings=context.settings())


def _where(selectors: Sequence[Selector], span: Span, parameters: Parameters) -> str:
    conditions = [" OR ".join(f"({series_condition(s, parameters)})" for s in selectors) or "1"]
    if span.start_ms is not None:
        conditions.append(f"last_seen >= {parameters.time(storable(span.start_ms))}")
    if span.end_ms is not None:
        conditions.append(f"first_seen <= {parameters.time(storable(span.end_ms))}")
    return " AND ".join(f"({condition})" for condition in conditions)


def _limited(limit: int) -> str:
    return f"\nLIMIT {int(limit)}" if limit else ""


def _texts(rows: pa.Table, column: str) -> list[str]:
    return rows.column(column).to_pylist() if rows.num_rows else []
