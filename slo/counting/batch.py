"""Answers to the queries of many SLIs: each query once, all of a language together, and in parts of the time.

The parts are short enough that the values of all queries of a part are few in memory, however long the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from app.errors import QueryFailed, QueryLimit, WatchhouseError
from app.labels import Labels
from app.query.result import QueryResult
from app.query.vector import Bools, Floats
from slo.spec import Language

_CELLS = 4_000_000
"""Values of a part, of all queries."""
_MS = 1_000_000


class PromQL(Protocol):
    """What counting needs of the PromQL engine. The call blocks."""

    def range_many(
        self, queries: Sequence[str], start_ms: int, end_ms: int, step_ms: int
    ) -> Iterator[QueryResult | WatchhouseError]:
        """Each query at start, start + step, … up to and with end, in order."""


class LogQL(Protocol):
    """What counting needs of the LogQL engine. The call blocks; it raises QueryError or StoreError."""

    def range(self, query: str, start_ns: int, end_ns: int, *, step_ms: int) -> Any:
        """A query that computes values at start, start + step, … up to and with end: a QueryResult."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A query with its window filled in, and the labels its series are told apart by."""

    text: str
    language: Language = "promql"
    grouping: tuple[str, ...] = ()


Groups = Mapping[Labels, tuple[Floats, Bools]]
"""Values and where there are any, (intervals,), by group; () without grouping, where that group is always there."""


@dataclass(frozen=True, slots=True)
class Part:
    """The answers for the intervals that start in [from_ms, to_ms)."""

    from_ms: int
    to_ms: int
    answers: Mapping[Asked, Groups | WatchhouseError]


@dataclass(frozen=True, slots=True)
class Engines:
    """Where queries are asked, at most at `max_points` times at once, and how many groups one may give."""

    promql: PromQL
    logql: LogQL | None
    max_points: int
    max_groups: int

    def parts(self, asked: Iterable[Asked], from_ms: int, to_ms: int, interval_ms: int) -> Iterator[Part]:
        """What each query gives at the end of each interval that starts in [from_ms, to_ms), earlier parts first.

        A query that failed is not asked again for later parts. Blocks; raises nothing.
        """
        left = list(dict.fromkeys(asked))
        # how wide answers are shows with the first part
        width = sum(self.max_groups if one.grouping else 1 for one in left)
        while left and from_ms < to_ms:
            steps = min(self.max_points, max(1, _CELLS // max(1, width)))
            end = min(to_ms, from_ms + steps * interval_ms)
            answers = dict(self._answers(left, from_ms + interval_ms, end, interval_ms))
            yield Part(from_ms, end, answers)
            left = [one for one in left if not isinstance(answers[one], WatchhouseError)]
            width = sum(2 * len(found) for found in answers.values() if not isinstance(found, WatchhouseError))
            from_ms = end

    def _answers(
        self, asked: Sequence[Asked], start_ms: int, end_ms: int, step_ms: int
    ) -> Iterator[tuple[Asked, Groups | WatchhouseError]]:
        promql = [one for one in asked if one.language == "promql"]
        if promql:
            try:
                # one after another, so that only what is made of an answer is kept
                many = self.promql.range_many([one.text for one in promql], start_ms, end_ms, step_ms)
                yield from ((one, self._reduced(one, found)) for one, found in zip(promql, many, strict=True))
            except WatchhouseError as error:
                yield from ((one, error) for one in promql)
        for one in asked:
            if one.language == "logql":
                yield one, self._reduced(one, self._of_logs(one.text, start_ms, end_ms, step_ms))

    def _of_logs(self, text: str, start_ms: int, end_ms: int, step_ms: int) -> QueryResult | WatchhouseError:
        if self.logql is None:
            return QueryFailed("there are no logs to count here")
        try:
            found = self.logql.range(text, start_ms * _MS, end_ms * _MS, step_ms=step_ms)
        except WatchhouseError as error:
            return error
        if not isinstance(found, QueryResult):
            return QueryFailed(f"gives lines and no numbers: {text}")
        return found

    def _reduced(self, one: Asked, found: QueryResult | WatchhouseError) -> Groups | WatchhouseError:
        if isinstance(found, WatchhouseError):
            return found
        try:
            return by_group(one, found, self.max_groups)
        except WatchhouseError as error:
            return error


def by_group(one: Asked, found: QueryResult, max_groups: int) -> Groups:
    """The series of an answer by the labels of the grouping.

    A series that has none of them is in no group. Raises QueryFailed where a group has several series at once,
    QueryLimit where there are too many groups.
    """
    if found.histograms is not None:
        raise QueryFailed(f"gives native histograms, put histogram_count(…) around it: {one.text}")
    if not one.grouping:
        return {(): _one_series(one, found, list(range(len(found.labels))), ())}
    rows: dict[Labels, list[int]] = {}
    for row, labels in enumerate(found.labels):
        group = tuple(pair for pair in labels if pair[0] in one.grouping)
        if group:
            rows.setdefault(group, []).append(row)
    if len(rows) > max_groups:
        names = ", ".join(one.grouping)
        raise QueryLimit(f"gives {len(rows)} groups by {names}, more than limits.slo_groups = {max_groups}: {one.text}")
    return {group: _one_series(one, found, members, group) for group, members in rows.items()}


def _one_series(one: Asked, found: QueryResult, rows: list[int], group: Labels) -> tuple[Floats, Bools]:
    if len(rows) == 1:
        return found.values[rows[0]], found.present[rows[0]]
    values, present = found.values[rows], found.present[rows]
    at_once = present.sum(axis=0)
    if at_once.size and at_once.max() > 1:
        by = f" by ({', '.join(one.grouping)}) " if group else ""
        labels = ", ".join(f'{name}="{value}"' for name, value in group)
        of = f" for {labels}" if group else ""
        raise QueryFailed(f"gives {len(rows)} series{of} where one is wanted, put sum{by}(…) around it: {one.text}")
    return np.asarray(np.where(present, values, 0.0).sum(axis=0)), np.asarray(at_once > 0)
