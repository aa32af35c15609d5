"""What the queries of SLIs answer at the end of each interval, each asked once however many SLIs ask it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.errors import QueryFailed, QueryLimit, WatchhouseError
from app.labels import Labels, labels_from
from slo.measure import Bools, Floats
from slo.spec import Language, Query

_NS = 1_000_000


class RangeResult(Protocol):
    """A range query's answer: n series over n steps; a value counts where `present` is true."""

    @property
    def labels(self) -> Sequence[Any]:
        """A label set a series."""

    @property
    def values(self) -> Floats:
        """Values, (series, steps)."""

    @property
    def present(self) -> Bools:
        """Where there is a value, (series, steps)."""


class MetricQueries(Protocol):
    """What counting needs of the PromQL engine."""

    def range_many(
        self, queries: Sequence[str], start_ms: int, end_ms: int, step_ms: int
    ) -> Iterator[RangeResult | WatchhouseError]:
        """Each query at start, start + step, … up to and with end, in order. Blocks."""


class LogQueries(Protocol):
    """What counting needs of the LogQL engine."""

    def range(self, query: str, start_ns: int, end_ns: int, *, step_ms: int) -> Any:
        """The query at start, start + step, … up to and with end. Blocks; raises QueryError or StoreError."""


@dataclass(frozen=True, slots=True)
class Line:
    """A value at the end of each interval, where `present`. Arrays of (steps,)."""

    values: Floats
    present: Bools


Lines = dict[Labels, Line]
"""By group."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A query with the window filled in, and the labels its answer is grouped by."""

    text: str
    language: Language
    grouping: tuple[str, ...]
    written: Query
    """As its author wrote it, for errors."""


def ask_all(
    asks: Iterable[Ask],
    metrics: MetricQueries,
    logs: LogQueries | None,
    start_ms: int,
    end_ms: int,
    step_ms: int,
    max_groups: int,
) -> dict[Ask, Lines | WatchhouseError]:
    """The answer of each, or why there is none. Blocks."""
    every = list(dict.fromkeys(asks))
    answers: dict[Ask, Lines | WatchhouseError] = {}
    promql = [ask for ask in every if ask.language == "promql"]
    for ask, found in zip(
        promql, metrics.range_many([ask.text for ask in promql], start_ms, end_ms, step_ms), strict=True
    ):
        answers[ask] = found if isinstance(found, WatchhouseError) else _attempt(ask, found, max_groups)
    for ask in every:
        if ask.language == "logql":
            answers[ask] = _lines_of_logs(ask, logs, start_ms, end_ms, step_ms, max_groups)
    return answers


def _lines_of_logs(
    ask: Ask, logs: LogQueries | None, start_ms: int, end_ms: int, step_ms: int, max_groups: int
) -> Lines | WatchhouseError:
    if logs is None:
        return QueryFailed(f"no logs can be asked here: {ask.written.text}")
    try:
        return _lines(ask, logs.range(ask.text, start_ms * _NS, end_ms * _NS, step_ms=step_ms), max_groups)
    except WatchhouseError as error:
        return error


def _attempt(ask: Ask, result: RangeResult, max_groups: int) -> Lines | WatchhouseError:
    try:
        return _lines(ask, result, max_groups)
    except WatchhouseError as error:
        return error


def _lines(ask: Ask, result: RangeResult, max_groups: int) -> Lines:
    if not ask.grouping:
        at_once = result.present.sum(axis=0)
        if len(at_once) and at_once.max() > 1:
            count = len(result.labels)
            raise QueryFailed(f"gives {count} series where one is wanted, put sum(…) around it: {ask.written.text}")
        values = (result.values * result.present if len(result.labels) > 1 else result.values).sum(axis=0)
        return {(): Line(values, at_once > 0)}
    if len(result.labels) > max_groups:
        raise QueryLimit(
            f"gives {len(result.labels):,} groups, more than {max_groups:,} (limits.slo_groups): {ask.written.text}"
        )
    found: Lines = {}
    for n, labels in enumerate(result.labels):
        group = _group(ask, dict(labels))
        if group in found:
            wanted = ", ".join(ask.grouping)
            raise QueryFailed(
                f"gives several series of one group, put sum by ({wanted}) (…) around it: {ask.written.text}"
            )
        found[group] = Line(result.values[n], result.present[n])
    return found


def _group(ask: Ask, labels: dict[str, str]) -> Labels:
    return labels_from({name: labels[name] for name in ask.grouping if labels.get(name)})
