"""The counter: many SLIs over the same intervals at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.errors import BadQuery, QueryFailed, WatchhouseError
from app.labels import Labels
from app.query.promql.locality import reach_of
from app.query.promql.parse import parse
from app.store.slo_events import SloEvents
from slo.counting.answers import Ask, Line, Lines, LogQueries, MetricQueries, ask_all
from slo.counting.wants import Counts, Want
from slo.measure import Bools, Floats
from slo.queries import SliQueryError, filled
from slo.spec import EventsSli, Op, Query, RatioSli, Sli, ThresholdSli

_MOST_VALUES = 4_000_000
"""So many values of all queries are in memory at once; of more the intervals are counted in parts."""


class Counter:
    """Counts events. Blocks, and is meant for one thread at a time.

    An interval reaches over (start, start + interval]: the query at its end tells what happened in it. `max_points` is
    the most steps a range query may ask for, `max_groups` the most SLOs a grouped one may become.
    """

    def __init__(
        self,
        metrics: MetricQueries,
        logs: LogQueries | None,
        interval_ms: int,
        max_points: int = 10_000,
        max_groups: int = 1000,
    ) -> None:
        self._metrics = metrics
        self._logs = logs
        self._interval_ms = interval_ms
        self._max_points = min(max_points, 10_000)
        self._max_groups = max_groups
        self._asks: dict[tuple[Sli, tuple[str, ...]], tuple[Ask, ...] | WatchhouseError] = {}
        self._names: dict[Sli, frozenset[str] | None] = {}

    def with_interval(self, interval_ms: int) -> Counter:
        """A counter of other intervals over the same data."""
        return Counter(self._metrics, self._logs, interval_ms, self._max_points, self._max_groups)

    def metrics(self, sli: Sli) -> frozenset[str] | None:
        """The names of the metrics an SLI reads; None where they are not all known, or lines of logs are among it."""
        if sli not in self._names:
            self._names[sli] = self._read(sli)
        return self._names[sli]

    def count(self, wants: Sequence[Want]) -> list[Counts | WatchhouseError]:
        """The counts of each, in order, or why it has none; one that fails costs no other.

        Where total is absent there is no row: missing is missing. Where only the bad, or the good, are absent there
        were none. Good is total - bad and may be below 0 in an interval whose errors were scraped before its requests:
        cut off, the sum over time would no longer be the counters' own. Of lines of logs none is zero events.
        """
        answers: list[Counts | WatchhouseError] = [{} for _ in wants]
        spans: dict[tuple[int, int], list[int]] = {}
        for n, want in enumerate(wants):
            spans.setdefault((want.from_ms, want.to_ms), []).append(n)
        for (from_ms, to_ms), places in spans.items():
            for n, answer in zip(places, self._span([wants[n] for n in places], from_ms, to_ms), strict=True):
                answers[n] = answer
        return answers

    def _span(self, wants: Sequence[Want], from_ms: int, to_ms: int) -> list[Counts | WatchhouseError]:
        step = self._interval_ms
        points = max(1, min(self._max_points, _MOST_VALUES // max(1, 2 * len(wants))))
        parts: list[dict[Labels, list[SloEvents]] | WatchhouseError] = [{} for _ in wants]
        for begin in range(from_ms, to_ms, points * step):
            end = min(to_ms, begin + points * step)
            asked = [self._asks_of(want) for want in wants]
            found = ask_all(
                [ask for asks in asked if not isinstance(asks, WatchhouseError) for ask in asks],
                self._metrics,
                self._logs,
                begin + step,
                end,
                step,
                self._max_groups,
            )
            starts = np.arange(begin, end, step, dtype=np.int64)
            for n, (want, asks) in enumerate(zip(wants, asked, strict=True)):
                part = parts[n]
                if isinstance(part, WatchhouseError):
                    continue
                counts = asks if isinstance(asks, WatchhouseError) else _counts(want, asks, found, starts)
                if isinstance(counts, WatchhouseError):
                    parts[n] = counts
                    continue
                for group, events in counts.items():
                    part.setdefault(group, []).append(events)
        return [part if isinstance(part, WatchhouseError) else _joined(part) for part in parts]

    def _asks_of(self, want: Want) -> tuple[Ask, ...] | WatchhouseError:
        key = want.sli, want.grouping
        if key not in self._asks:
            if len(self._asks) > 100_000:
                self._asks.clear()
            try:
                self._asks[key] = tuple(
                    Ask(filled(q, self._interval_ms, events=events), q.language, want.grouping, q)
                    for q, events in _queries(want.sli)
                )
            except SliQueryError as error:
                self._asks[key] = QueryFailed(str(error))
        return self._asks[key]

    def _read(self, sli: Sli) -> frozenset[str] | None:
        names: frozenset[str] = frozenset()
        for query, events in _queries(sli):
            if query.language != "promql":
                return None
            try:
                reach = reach_of(parse(filled(query, self._interval_ms, events=events)))
            except (SliQueryError, BadQuery):
                return None
            if reach is None or reach.metrics is None:
                return None
            names |= reach.metrics
        return names


def _queries(sli: Sli) -> list[tuple[Query, bool]]:
    """(query, whether it counts events): the total first."""
    match sli:
        case EventsSli():
            part = sli.bad or sli.good
            assert part is not None
            return [(sli.total, True), (part, True)]
        case RatioSli():
            return [(sli.ratio, False)]
        case ThresholdSli():
            return [(sli.value, False)]


def _counts(
    want: Want,
    asks: Sequence[Ask],
    found: dict[Ask, Lines | WatchhouseError],
    starts: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> Counts | WatchhouseError:
    lines: list[Lines] = []
    for ask in asks:
        answer = found[ask]
        if isinstance(answer, WatchhouseError):
            return answer
        lines.append(answer)
    groups = lines[0] if want.grouping else {(): lines[0][()]}
    counts: Counts = {}
    nothing = Line(np.zeros(len(starts)), np.zeros(len(starts), bool))
    of_logs = asks[0].language == "logql" and isinstance(want.sli, EventsSli)
    for group in dict.fromkeys((*groups, *(want.groups if of_logs else ()))):
        first = groups.get(group, nothing)
        if of_logs:
            first = Line(np.where(first.present, first.values, 0.0), np.ones(len(starts), bool))
        other = lines[1].get(group, nothing) if len(lines) > 1 else nothing
        good, total, known = _of(want.sli, first, other)
        known = known & np.isfinite(total) & np.isfinite(good) & (total >= 0)
        counts[group] = SloEvents(starts[known], good[known], total[known])
    return counts


def _of(sli: Sli, first: Line, other: Line) -> tuple[Floats, Floats, Bools]:
    """(good, total, known) of each interval."""
    match sli:
        case EventsSli():
            part = np.where(other.present, other.values, 0.0)
            return (first.values - part if sli.bad is not None else part), first.values, first.present
        case RatioSli():
            ratio = np.clip(first.values, 0.0, 1.0)
            return (1.0 - ratio if sli.of == "bad" else ratio), np.ones(len(ratio)), first.present & ~np.isnan(ratio)
        case ThresholdSli():
            good = _holds(first.values, sli.op, sli.limit).astype(np.float64)
            return good, np.ones(len(good)), first.present & ~np.isnan(first.values)


def _holds(values: Floats, op: Op, limit: float) -> Bools:
    match op:
        case "lt":
            return values < limit
        case "lte":
            return values <= limit
        case "gt":
            return values > limit
        case "gte":
            return values >= limit


def _joined(parts: dict[Labels, list[SloEvents]]) -> Counts:
    return {
        group: several[0]
        if len(several) == 1
        else SloEvents(
            *(np.concatenate([getattr(one, name) for one in several]) for name in ("starts_ms", "good", "total"))
        )
        for group, several in parts.items()
    }
