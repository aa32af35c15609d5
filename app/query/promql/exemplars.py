"""The exemplars of the series a query selects: what `query_exemplars` answers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from app.config import Limits
from app.labels import Labels
from app.query.promql.ast import Node, Selector, children
from app.query.promql.catalog import labels_of_map
from app.query.promql.conditions import Parameters, samples_condition, storable
from app.query.promql.context import Context
from app.query.promql.parse import parse
from app.store.client import Pool


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One exemplar; its time in milliseconds since the epoch."""

    labels: Mapping[str, str]
    value: float
    ts_ms: int


@dataclass(frozen=True, slots=True)
class Exemplars:
    """Exemplars by series: the series by their labels, their exemplars by time. `cut`: older ones are left out."""

    series: list[tuple[Labels, list[Exemplar]]]
    cut: bool


class ExemplarReader:
    """Reads metric_exemplars. Methods block; safe to use from many threads at once."""

    def __init__(self, pool: Pool, limits: Limits) -> None:
        self._pool = pool
        self._limits = limits

    def select(self, query: str, start_ms: int | None, end_ms: int | None) -> Exemplars:
        """The exemplars from start to end, both included, of all series that a selector in the query selects.

        Offsets, ranges and `@` have no say, as in Prometheus. Of more than `limits.query_max_exemplars` the newest are
        given. Raises as the engine's methods.
        """
        selectors = selectors_of(parse(query))
        if not selectors:
            return Exemplars([], False)
        timeout = self._limits.query_timeout / 1000
        context = Context(self._limits, time.monotonic() + timeout, timeout, 0, 0, 0)
        parameters = Parameters()
        where = _where(selectors, start_ms, end_ms, parameters)
        most = self._limits.query_max_exemplars
        rows = self._query(
            "-- PromQL: exemplars\n"
            "SELECT series_id, toUnixTimestamp64Milli(ts) AS ms, value, labels\n"
            f"FROM metric_exemplars\nWHERE {where}\nORDER BY ts DESC\nLIMIT {most + 1}",
            parameters,
            context,
            {"max_result_rows": most + 1},
        )
        context.used_samples(rows.num_rows)
        if not rows.num_rows:
            return Exemplars([], False)
        # after the exemplars: a series is known before its first one is kept
        labels = self._labels(where, parameters, context)
        return Exemplars(_by_series(rows.slice(0, most), labels), rows.num_rows > most)

    def _labels(self, where: str, parameters: Parameters, context: Context) -> dict[int, Labels]:
        """Labels by id of the series that have the exemplars."""
        rows = self._query(
            "-- PromQL: labels of exemplars' series\n"
            "SELECT series_id, toString(any(metric)) AS name, any(labels) AS pairs\nFROM metric_series\n"
            f"WHERE (metric, series_id) IN (SELECT metric, series_id FROM metric_exemplars WHERE {where})\n"
            "GROUP BY series_id",
            parameters,
            context,
        )
        found: dict[int, Labels] = {}
        for batch in rows.to_batches():
            labels = labels_of_map(batch.column("name").to_pylist(), batch.column("pairs"))
            found.update(zip(batch.column("series_id").to_pylist(), labels, strict=True))
        return found

    def _query(
        self, sql: str, parameters: Parameters, context: Context, settings: Mapping[str, int] | None = None
    ) -> pa.Table:
        bounds = {**context.settings(), **(settings or {})}
        with context.asking():
            return self._pool.query(sql, parameters.values, timeout_s=context.remaining_s(), settings=bounds)


def _by_series(rows: pa.Table, labels: Mapping[int, Labels]) -> list[tuple[Labels, list[Exemplar]]]:
    found: dict[int, dict[tuple[int, float, Labels], Exemplar]] = {}
    columns = (rows.column(name).to_pylist() for name in ("series_id", "ms", "value", "labels"))
    for series, ms, value, pairs in zip(*columns, strict=True):
        if series in labels:  # those of a series may be gone a little before its exemplars
            # a sender that was not answered sends again: what is there twice is one
            found.setdefault(series, {})[ms, value, tuple(pairs)] = Exemplar(dict(pairs), value, ms)
    by_labels = sorted(found, key=labels.__getitem__)
    return [(labels[series], [own[key] for key in sorted(own)]) for series in by_labels for own in (found[series],)]


def selectors_of(root: Node) -> list[Selector]:
    """Every selector in a tree, each once, without what says when it looks."""
    found: dict[Selector, None] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Selector):
            found[Selector(node.alternatives)] = None
        waiting.extend(children(node))
    return list(found)


def _where(selectors: Sequence[Selector], start_ms: int | None, end_ms: int | None, parameters: Parameters) -> str:
    selected = " OR ".join(f"({samples_condition(selector, parameters)})" for selector in selectors)
    conditions = [f"({selected})"]
    if start_ms is not None:
        conditions.append(f"ts >= {parameters.time(storable(start_ms))}")
    if end_ms is not None:
        conditions.append(f"ts <= {parameters.time(storable(end_ms))}")
    return " AND ".join(conditions)
