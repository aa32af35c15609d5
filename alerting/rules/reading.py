"""What a group reads and writes at one evaluation: queries of the store, samples through the writer."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import Protocol

from alerting.rules.evaluate import Sample, vector_of
from alerting.rules.spec import Group
from app.histogram import Histogram
from app.labels import METRIC_NAME, Labels
from app.query.logql.engine import LogQLEngine
from app.query.promql.engine import InstantQueries, PromQLEngine
from app.query.result import QueryResult

_KEPT_S = 30.0
"""A query that needs what an earlier rule recorded waits so long for it, at most."""


class SampleSink(Protocol):
    """Takes samples from any thread."""

    def write(self, samples: Sequence[tuple[Labels, float | Histogram]], ts_ms: int) -> Future[None]:
        """Takes samples of one time, in milliseconds. The future has a WatchhouseError where they cannot be kept."""


class RuleSamples:
    """A group's samples at one time. Not safe for two threads at once."""

    def __init__(self, group: Group, promql: PromQLEngine, logql: LogQLEngine, sink: SampleSink, query_ms: int) -> None:
        self._group = group
        self._promql = promql
        self._logql = logql
        self._sink = sink
        self._query_ms = query_ms
        self._read: InstantQueries | None = None
        self._rows: list[tuple[Labels, float | Histogram]] = []
        self._kept: Future[None] = Future()

    def instant(self, query: str) -> QueryResult:
        """The answer to a query at this time; it sees what was recorded. Raises WatchhouseError."""
        if self._group.language == "logql":
            return self._logql.instant(query, self._query_ms * 1_000_000)
        if self._read is None:
            self._read = self._promql.instants([rule.expr for rule in self._group.rules], self._query_ms)
        if not self._read.covers(query):
            # it reads the store, and there must be what was recorded
            wait([self.flush()], _KEPT_S)
        return self._read.instant(query)

    def ask(self, query: str) -> list[tuple[Labels, float | Histogram]]:
        """The samples an instant query gives, for templates. Raises WatchhouseError."""
        return [(sample.labels, sample.value) for sample in vector_of(self.instant(query))]

    def record(self, samples: Sequence[Sample]) -> Future[None]:
        """Takes samples at this time; they are sent on with the next `flush`."""
        rows = [(sample.labels, sample.value) for sample in samples]
        self._rows += rows
        if self._read is not None and rows:
            by_metric: dict[str, list[tuple[Labels, float | Histogram]]] = {}
            for row in rows:
                by_metric.setdefault(next((v for name, v in row[0] if name == METRIC_NAME), ""), []).append(row)
            for metric, own in by_metric.items():
                self._read.add(metric, own)
        return self._kept

    def flush(self) -> Future[None]:
        """Sends on what was recorded. What it gives, as what `record` gave before, is done when that is kept."""
        rows, kept = self._rows, self._kept
        self._rows, self._kept = [], Future()
        if not rows:
            kept.set_result(None)
            return kept

        def told(written: Future[None]) -> None:
            error = written.exception()
            if error is None:
                kept.set_result(None)
            else:
                kept.set_exception(error)

        self._sink.write(rows, self._query_ms).add_done_callback(told)
        return kept
