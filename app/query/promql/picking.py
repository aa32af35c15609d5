"""Which of many series each of many selectors chooses, found by the values of labels instead of by looking at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from app.labels import METRIC_NAME, Labels, Matcher, MatchOp
from app.query.promql.aggregate import group_key
from app.query.promql.ast import Grouping, Selector
from app.query.vector import Bools, Ints

_MEMO = 256
"""Matchers whose answer for every value is remembered while a table is used."""
_MANY = 64
_NO_ROWS = np.empty(0, np.int64)


class _Column:
    """A label's values, each by a number, and the rows of each."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.numbers: dict[str, int] = {}
        self.codes = np.array([self.numbers.setdefault(text, len(self.numbers)) for text in texts], np.int64)
        self.values = list(self.numbers)
        self._order = np.argsort(self.codes, kind="stable")
        self._starts = np.searchsorted(self.codes[self._order], np.arange(len(self.values) + 1))

    def rows(self, value: str) -> Ints:
        """The rows with a value, ascending."""
        code = self.numbers.get(value)
        if code is None:
            return _NO_ROWS
        return self._order[self._starts[code] : self._starts[code + 1]].astype(np.int64)


class SeriesTable:
    """Series of one metric by number, asked for by matchers."""

    def __init__(self, metric: str, series: Sequence[Labels]) -> None:
        self._metric = metric
        self._labels = series
        self._pairs = [dict(labels) for labels in series]
        self._columns: dict[str, _Column] = {}
        self._memo: dict[Matcher, Bools] = {}

    def rows(self, selector: Selector) -> Ints:
        """The numbers of the series a selector chooses, ascending; its times do not matter."""
        found = [self._of_all(matchers) for matchers in selector.alternatives]
        return found[0] if len(found) == 1 else np.unique(np.concatenate(found))

    def groups(self, rows: Ints, grouping: Grouping) -> dict[Labels, Ints]:
        """Some of the series by the labels of their groups."""
        if not grouping.labels and not grouping.without:
            return {(): rows} if len(rows) else {}
        found: dict[Labels, list[int]] = {}
        for row in rows.tolist():
            found.setdefault(group_key(self._labels[row], grouping), []).append(row)
        return {group: np.array(members, np.int64) for group, members in found.items()}

    def _of_all(self, matchers: tuple[Matcher, ...]) -> Ints:
        rest = [m for m in matchers if m.name != METRIC_NAME]
        if not all(m.matches(self._metric) for m in matchers if m.name == METRIC_NAME):
            return _NO_ROWS
        equal = [(self._column(m.name).rows(m.value), m) for m in rest if m.op is MatchOp.EQUAL]
        if equal:
            # from the rarest value on there is the least to look at
            rows, first = min(equal, key=lambda found: len(found[0]))
            rest = [m for m in rest if m is not first]
        else:
            rows = np.arange(len(self._labels), dtype=np.int64)
        for matcher in rest:
            if len(rows):
                rows = rows[self._matching(matcher, rows)]
        return rows

    def _matching(self, matcher: Matcher, rows: Ints) -> Bools:
        column = self._column(matcher.name)
        codes = column.codes[rows]
        if matcher.op is MatchOp.EQUAL:
            return np.asarray(codes == column.numbers.get(matcher.value, -1))
        known = self._memo.get(matcher)
        if known is None and (len(rows) > _MANY or len(column.values) <= _MANY):
            known = np.array([matcher.matches(value) for value in column.values], bool)
            if len(self._memo) < _MEMO:
                self._memo[matcher] = known
        if known is not None:
            return known[codes]
        return np.array([matcher.matches(column.values[code]) for code in codes.tolist()], bool)

    def _column(self, name: str) -> _Column:
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = _Column(pairs.get(name, "") for pairs in self._pairs)
        return column


@dataclass(frozen=True, slots=True)
class Picks:
    """What sums take of some series: sum and group number i take `rows[starts[i]:starts[i + 1]]`."""

    keys: list[tuple[int, Labels]]
    """(number of the sum, labels of the group)."""
    starts: Ints
    rows: Ints

    @property
    def used(self) -> int:
        """How many series any sum takes."""
        return len(np.unique(self.rows))


def picks(sums: Iterable[tuple[Selector, Grouping]], metric: str, series: Sequence[Labels]) -> Picks:
    """What each of some sums takes of some series of a metric."""
    table = SeriesTable(metric, series)
    keys: list[tuple[int, Labels]] = []
    parts: list[Ints] = []
    for number, (selector, grouping) in enumerate(sums):
        for group, rows in table.groups(table.rows(selector), grouping).items():
            keys.append((number, group))
            parts.append(rows)
    starts = np.concatenate(([0], np.cumsum([len(part) for part in parts]))).astype(np.int64)
    return Picks(keys, starts, np.concatenate(parts) if parts else _NO_ROWS)
