"""Answers of the query engines, made good and total of intervals."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from app.errors import QueryFailed, QueryLimit
from app.labels import METRIC_NAME, Labels, labels_from
from app.query.vector import Bools, Floats, Ints
from app.store.slo_events import SloEvents, no_events
from slo.counting.terms import Asked, Terms
from slo.counting.wants import Counts, Want
from slo.spec import Op, Query, RatioSli, ThresholdSli

Row = tuple[Floats, Bools]
"""Values at the end of each interval, and where there are any, (n,)."""

_COMPARE: Mapping[Op, Callable[[Any, float], Any]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


class Answer(Protocol):
    """A range query's answer: n series over n steps; a value counts where `present` is true."""

    @property
    def labels(self) -> Sequence[Labels]:
        """A label set a series."""

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """Values, (series, steps)."""

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """Where there is a value, (series, steps)."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Answers of adjacent times in one."""

    labels: list[Labels]
    values: Floats
    present: Bools


def joined_answers(parts: Sequence[Answer]) -> Joined:
    """The answers to one query, of adjacent times, as one."""
    places: dict[Labels, int] = {}
    for part in parts:
        for labels in part.labels:
            places.setdefault(labels, len(places))
    values = np.zeros((len(places), sum(part.values.shape[1] for part in parts)))
    present = np.zeros(values.shape, bool)
    first = 0
    for part in parts:
        rows, columns = [places[labels] for labels in part.labels], slice(first, first + part.values.shape[1])
        values[rows, columns], present[rows, columns] = part.values, part.present
        first = columns.stop
    return Joined(list(places), values, present)


def counts_of(want: Want, asked: Asked, found: Mapping[Query, Answer], starts: Ints, most_groups: int) -> Counts:
    """The counts of a want in the intervals of `starts`.

    Raises QueryFailed where an answer's series are not those of the groups, QueryLimit where there are too many groups.
    """
    groups = want.groups if want.grouping else ((),)
    total = _added(asked.total, found, want.grouping, groups, len(starts))
    check_groups(total, want, asked, most_groups)
    sli = want.sli
    if isinstance(sli, ThresholdSli):
        counts = {group: _measured(sli, row, starts) for group, row in total.items()}
    elif isinstance(sli, RatioSli):
        counts = {group: _weighed(sli, row, starts) for group, row in total.items()}
    else:
        part = _added(asked.part, found, want.grouping, (), len(starts))
        bad = sli.good is None
        counts = {group: _counted(row, part.get(group), starts, bad=bad) for group, row in total.items()}
    return counts if want.grouping else counts or {(): no_events()}


def check_groups(groups: Collection[Labels], want: Want, asked: Asked, most_groups: int) -> None:
    """Raises QueryLimit where there are too many."""
    if len(groups) > most_groups:
        told = f"{len(groups)} groups by {', '.join(want.grouping)} are more than limits.slo_groups ({most_groups})"
        raise QueryLimit(f"{told}: {asked.total[0].written}")


def without_rest(counts: Counts, want: Want) -> Counts:
    """The counts of groups: `or vector(0)` gives a series that is in none, and never more than nothing."""
    rest = counts.get(())
    if want.grouping and rest is not None and () not in want.groups and not rest.total.any():
        return {group: events for group, events in counts.items() if group}
    return counts


def joined_counts(asked: Asked, parts: Sequence[tuple[Ints, Counts]]) -> Counts:
    """Counts of adjacent times, each with its intervals, in one."""
    if len(parts) == 1:
        return parts[0][1]
    lines = all(term.zero for term in asked.total)
    groups = dict.fromkeys(group for _, counts in parts for group in counts)
    return {group: _one_after_another(group, parts, lines) for group in groups}


def _one_after_another(group: Labels, parts: Sequence[tuple[Ints, Counts]], lines: bool) -> SloEvents:
    found: list[SloEvents] = []
    for starts, counts in parts:
        events = counts.get(group)
        if events is None:
            # a group of log lines that has some later has none before
            events = SloEvents(starts, np.zeros(len(starts)), np.zeros(len(starts))) if lines else no_events()
        found.append(events)
    columns = ([getattr(events, name) for events in found] for name in ("starts_ms", "good", "total"))
    return SloEvents(*map(np.concatenate, columns))


def _added(
    terms: Terms, found: Mapping[Query, Answer], grouping: tuple[str, ...], groups: Iterable[Labels], steps: int
) -> dict[Labels, Row]:
    """The sum of the terms by group; `groups` are there whether anything was found of them or not."""
    rows = [_by_group(term.written, found[term.query], grouping) for term in terms]
    if len(terms) == 1 and not terms[0].zero:
        return rows[0]
    every = dict.fromkeys((*groups, *(group for part in rows for group in part)))
    return {group: _sum_of(terms, [part.get(group) for part in rows], steps) for group in every}


def _sum_of(terms: Terms, rows: Sequence[Row | None], steps: int) -> Row:
    total, known = np.zeros(steps), np.ones(steps, bool)
    for term, row in zip(terms, rows, strict=True):
        if row is not None:
            total += term.times * np.where(row[1], row[0], 0.0)
        if not term.zero:
            known &= False if row is None else row[1]
    return total, known


def _by_group(text: str, answer: Answer, grouping: tuple[str, ...]) -> dict[Labels, Row]:
    """A row a group. Without grouping the labels do not matter, and at any time there is one series at most."""
    values, present = answer.values, answer.present
    if not grouping:
        if len(values) < 2:
            return {(): (values[0], present[0])} if len(values) else {}
        return {(): _one_of(text, "sum(…)", values, present)}
    rows: dict[Labels, list[int]] = {}
    for row, labels in enumerate(answer.labels):
        rows.setdefault(_group(text, labels, grouping), []).append(row)
    around = _around(grouping)
    return {
        group: (values[at[0]], present[at[0]]) if len(at) == 1 else _one_of(text, around, values[at], present[at])
        for group, at in rows.items()
    }


def _group(text: str, labels: Labels, grouping: tuple[str, ...]) -> Labels:
    others = [name for name, _ in labels if name not in grouping and name != METRIC_NAME]
    if others:
        put = f"put {_around(grouping)} around it"
        raise QueryFailed(f"gives series with {', '.join(others)}, which the SLO is not grouped by, {put}: {text}")
    return labels_from((name, value) for name, value in labels if name in grouping)


def _around(grouping: tuple[str, ...]) -> str:
    return f"sum by ({', '.join(grouping)}) (…)"


def _one_of(text: str, around: str, values: Floats, present: Bools) -> Row:
    at_once = present.sum(axis=0)
    if at_once.size and at_once.max() > 1:
        raise QueryFailed(f"gives {at_once.max()} series where one is wanted, put {around} around it: {text}")
    return np.asarray(np.where(present, values, 0.0).sum(axis=0)), np.asarray(at_once > 0)


def _counted(total: Row, part: Row | None, starts: Ints, *, bad: bool) -> SloEvents:
    """Good is total - bad and may be below 0 in an interval whose errors were read before its requests.

    Cut off, the sum over time would no longer be the counters' own.
    """
    count, known = total
    some = np.zeros(len(starts)) if part is None else np.where(part[1], part[0], 0.0)
    return _kept(starts, count - some if bad else some, count, known & np.isfinite(some) & (count >= 0))


def _weighed(sli: RatioSli, ratio: Row, starts: Ints) -> SloEvents:
    share = np.clip(ratio[0], 0.0, 1.0)
    return _kept(starts, share if sli.of == "good" else 1.0 - share, np.ones(len(starts)), ratio[1] & ~np.isnan(share))


def _measured(sli: ThresholdSli, value: Row, starts: Ints) -> SloEvents:
    good = _COMPARE[sli.op](value[0], sli.limit).astype(float)
    return _kept(starts, good, np.ones(len(starts)), value[1] & ~np.isnan(value[0]))


def _kept(starts: Ints, good: Floats, total: Floats, known: Bools) -> SloEvents:
    known = known & np.isfinite(total)
    if known.all():
        return SloEvents(starts, good, total)
    return SloEvents(starts[known], good[known], total[known])
