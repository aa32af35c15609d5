"""Counts many SLIs at once: each query is asked once, whoever wants its answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from app.errors import BadQuery, Overloaded, QueryFailed, QueryLimit, StoreUnavailable, WatchhouseError
from app.labels import Labels
from app.query.logql.result import LogResult
from app.query.result import QueryResult
from app.query.vector import Ints
from app.store.slo_events import no_events
from slo.counting.events import Answer, check_groups, counts_of, joined_answers, joined_counts, without_rest
from slo.counting.metrics import metrics_read
from slo.counting.terms import Asked, asked_by
from slo.counting.wants import Counts, Want
from slo.queries import SliQueryError
from slo.spec import Query, Sli

_MOST_CELLS = 4_000_000
"""Series × intervals of all answers that are held at a time, some 100 MB while 10,000 SLOs are read back over days."""
_REMEMBERED = 100_000
_NS = 1_000_000
_NOTHING = Asked(())


class MetricQueries(Protocol):
    """What counting needs of the PromQL engine. The call blocks."""

    def range_many(
        self, queries: Sequence[str], start_ms: int, end_ms: int, step_ms: int
    ) -> Iterator[QueryResult | WatchhouseError]:
        """Each query at start, start + step, … up to and with end, one after another; an error where one has none."""


class LogQueries(Protocol):
    """What counting needs of the LogQL engine. The call blocks; it raises QueryError or StoreError."""

    def range(self, query: str, start_ns: int, end_ns: int, *, step_ms: int) -> LogResult | QueryResult:
        """The query at start, start + step, … up to and with end."""


class Counter:
    """Counts events in intervals. Methods block and are meant for threads; safe to use from many at once.

    A range of more than `max_points` intervals is counted in parts; a grouped SLI may have `max_groups` groups.
    """

    def __init__(
        self,
        promql: MetricQueries,
        logql: LogQueries | None,
        interval_ms: int,
        max_points: int = 10_000,
        max_groups: int = 1000,
    ) -> None:
        self._promql = promql
        self._logql = logql
        self._interval_ms = interval_ms
        self._max_points = max_points
        self._max_groups = max_groups
        self._remembered: dict[Sli, Asked] = {}
        self._widths: dict[Query, int] = {}

    def with_interval(self, interval_ms: int) -> Counter:
        """A counter of intervals of another length, with the same engines and limits."""
        return Counter(self._promql, self._logql, interval_ms, self._max_points, self._max_groups)

    def count(self, wants: Sequence[Want]) -> list[Counts | WatchhouseError]:
        """The counts of each want, in their order, or why it has none; one that fails costs no other.

        An interval reaches over (start, start + interval]. Where a total of PromQL is absent there is no row: missing
        is missing. Where only the bad (or good) events are absent there were none of them.
        """
        by_range: dict[tuple[int, int], list[int]] = {}
        for place, want in enumerate(wants):
            by_range.setdefault((want.from_ms, want.to_ms), []).append(place)
        runs = [_Run(want) for want in wants]
        with np.errstate(all="ignore"):
            for (from_ms, to_ms), places in by_range.items():
                self._count([runs[place] for place in places], from_ms, to_ms)
        return [run.result() for run in runs]

    def metrics(self, sli: Sli) -> frozenset[str] | None:
        """The names of all metrics an SLI reads; None when not known: from logs, or without one fixed name."""
        try:
            asked = self._asked(sli)
            found = [metrics_read(q.text) if q.language == "promql" else None for q in asked.queries]
        except WatchhouseError:
            return None
        return None if None in found else frozenset().union(*(names for names in found if names is not None))

    def _asked(self, sli: Sli) -> Asked:
        found = self._remembered.get(sli)
        if found is None:
            try:
                found = asked_by(sli, self._interval_ms)
            except SliQueryError as error:
                raise BadQuery(str(error)) from None
            if len(self._remembered) >= _REMEMBERED:
                self._remembered, self._widths = {}, {}
            self._remembered[sli] = found
        return found

    def _count(self, runs: list[_Run], from_ms: int, to_ms: int) -> None:
        for run in runs:
            try:
                run.asked = self._asked(run.want.sli)
            except WatchhouseError as error:
                run.error = error
        queries = list(dict.fromkeys(query for run in runs if run.error is None for query in run.asked.queries))
        rows = sum(self._widths.get(query, 1) for query in queries)
        points = max(1, min(self._max_points, _MOST_CELLS // max(1, rows)))
        failed: dict[Query, WatchhouseError] = {}
        for first_ms in range(from_ms, to_ms, points * self._interval_ms):
            last_ms = min(to_ms, first_ms + points * self._interval_ms)
            found = self._found([query for query in queries if query not in failed], first_ms, last_ms, failed)
            starts = np.arange(first_ms, last_ms, self._interval_ms, dtype=np.int64)
            for run in runs:
                run.add(found, failed, starts, self._max_groups)

    def _found(
        self, queries: Sequence[Query], from_ms: int, to_ms: int, failed: dict[Query, WatchhouseError]
    ) -> dict[Query, Answer]:
        """The answers at the ends of the intervals in a time; those that have none are added to `failed`."""
        found: dict[Query, Answer] = {}
        away: StoreUnavailable | None = None
        for query, answer in self._answers(queries, from_ms, to_ms):
            if not isinstance(answer, WatchhouseError):
                found[query] = answer
                if len(answer.labels) > self._widths.get(query, 1):
                    self._widths[query] = len(answer.labels)
                continue
            failed[query] = answer
            if isinstance(answer, StoreUnavailable):
                away = answer
                break
        if away is not None:
            # each of the others would wait for the same to happen
            failed.update((query, away) for query in queries if query not in found)
        return found

    def _answers(
        self, queries: Sequence[Query], from_ms: int, to_ms: int
    ) -> Iterator[tuple[Query, Answer | WatchhouseError]]:
        promql = [query for query in queries if query.language == "promql"]
        if promql:
            texts, step_ms = [query.text for query in promql], self._interval_ms
            answers = self._promql.range_many(texts, from_ms + step_ms, to_ms, step_ms)
            for query, answer in zip(promql, answers, strict=True):
                if isinstance(answer, WatchhouseError):
                    yield query, self._in_parts(query, from_ms, to_ms, answer)
                else:
                    yield query, answer
        for query in queries:
            if query.language == "logql":
                yield query, self._alone(query, from_ms, to_ms)

    def _alone(self, query: Query, from_ms: int, to_ms: int) -> Answer | WatchhouseError:
        """The answer to one query, in parts where a time is more than a query may read."""
        try:
            return self._asked_alone(query, from_ms, to_ms)
        except WatchhouseError as error:
            return self._in_parts(query, from_ms, to_ms, error)

    def _in_parts(self, query: Query, from_ms: int, to_ms: int, error: WatchhouseError) -> Answer | WatchhouseError:
        """The answer of both halves of a time for which there was an error, where that may help."""
        half_ms = (to_ms - from_ms) // self._interval_ms // 2 * self._interval_ms
        if not isinstance(error, QueryLimit | Overloaded) or not half_ms:
            return error
        parts: list[Answer] = []
        for first_ms, last_ms in ((from_ms, from_ms + half_ms), (from_ms + half_ms, to_ms)):
            answer = self._alone(query, first_ms, last_ms)
            if isinstance(answer, WatchhouseError):
                return answer
            parts.append(answer)
        return joined_answers(parts)

    def _asked_alone(self, query: Query, from_ms: int, to_ms: int) -> Answer:
        first_ms, step_ms = from_ms + self._interval_ms, self._interval_ms
        if query.language == "promql":
            (answer,) = self._promql.range_many([query.text], first_ms, to_ms, step_ms)
            if isinstance(answer, WatchhouseError):
                raise answer
            return answer
        if self._logql is None:
            raise QueryFailed(f"logs cannot be counted here: {query.text}")
        lines = self._logql.range(query.text, first_ms * _NS, to_ms * _NS, step_ms=step_ms)
        assert isinstance(lines, QueryResult)
        return lines


@dataclass(slots=True)
class _Run:
    """A want that is being counted."""

    want: Want
    asked: Asked = _NOTHING
    error: WatchhouseError | None = None
    groups: dict[Labels, None] = field(default_factory=dict)
    """All that were found so far."""
    parts: list[tuple[Ints, Counts]] = field(default_factory=list)

    def add(
        self, found: dict[Query, Answer], failed: dict[Query, WatchhouseError], starts: Ints, most_groups: int
    ) -> None:
        """Takes up the answers of the next intervals."""
        if self.error is not None:
            return
        try:
            if failed:
                for query in self.asked.queries:
                    if query in failed:
                        raise failed[query]
            want = self.want
            if want.grouping:
                want = replace(want, groups=tuple({**dict.fromkeys(want.groups), **self.groups}))
            counts = counts_of(want, self.asked, found, starts, most_groups)
            self.groups.update(dict.fromkeys(counts))
            check_groups(self.groups, self.want, self.asked, most_groups)
        except WatchhouseError as error:
            self.error, self.parts = error, []
            return
        self.parts.append((starts, counts))

    def result(self) -> Counts | WatchhouseError:
        """What was counted, or why nothing was."""
        if self.error is not None:
            return self.error
        if not self.parts:
            return {} if self.want.grouping else {(): no_events()}
        return without_rest(joined_counts(self.asked, self.parts), self.want)
