"""info(): adds the labels of info series such as target_info to other series (promql/info.go, Prometheus 3).

A series is joined to an info series of the same `instance` and `job`, at each step as of the time its own samples are
read for. The second argument chooses info metrics by `__name__`, and which of their labels are added.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from app.errors import BadQuery, QueryFailed
from app.labels import METRIC_NAME, Labels, Matcher, MatchOp, labels_from
from app.query.grid import Grid
from app.query.promql.ast import Aggregate, Binary, Call, Negate, Node, Range, Selector, Subquery
from app.query.vector import Bools, Ints, Vector, empty, merged

if TYPE_CHECKING:
    from app.query.promql.evaluator import Evaluator

_IDENTIFYING = ("instance", "job")
_DEFAULT = Matcher(METRIC_NAME, MatchOp.EQUAL, "target_info")
_ANY_INFO = Matcher(METRIC_NAME, MatchOp.REGEX, ".+_info")
"""What is chosen from where the query only says which info metrics it does not want."""
_FEW = 100
"""Up to so many values of an identifying label are named to the store; of more, arrays choose."""


def info(evaluator: Evaluator, node: Call, grid: Grid) -> Vector:
    """The series of the first argument with the labels of their info series. Raises as the evaluator does."""
    base = evaluator.vector(node.args[0], grid)
    asked = _asked(node)
    names = _chosen([m for m in asked if m.name == METRIC_NAME])
    wanted = [m for m in asked if m.name != METRIC_NAME]
    known = [dict(labels) for labels in base.labels]
    # info series themselves stay as they are
    own = [all(m.matches_labels(labels) for m in names) for labels in known]
    values = {
        name: {labels[name] for labels, is_own in zip(known, own, strict=True) if not is_own and name in labels}
        for name in _IDENTIFYING
    }
    values = {name: found for name, found in values.items() if found}
    infos = empty(grid.n)
    if values:
        matchers = [*names, *wanted, *_named(values)]
        infos = evaluator.sample_times(_as_read(evaluator, node.args[0], tuple(matchers)), grid)
        for row, _, _ in infos.cells():
            raise QueryFailed(f"this should be an info metric, with float samples: {_text(infos.labels[row])}")
    joined = _Joined(infos, values, {m.name for m in wanted})
    unmatched_stay = all(m.matches("") for m in wanted)
    rows: list[tuple[Labels, int, Bools]] = []
    for i, labels in enumerate(base.labels):
        present = base.present[i]
        if own[i]:
            rows.append((labels, i, present))
            continue
        for more, here in joined.of(known[i], present):
            if more is not None or unmatched_stay:
                rows.append((labels_from({**known[i], **(more or {})}), i, here))
    if not rows:
        return empty(grid.n)
    found = base.take([row for _, row, _ in rows]).relabelled([labels for labels, _, _ in rows])
    return merged(found.where(np.array([here for _, _, here in rows])).compact())


def _chosen(names: list[Matcher]) -> list[Matcher]:
    if not names:
        return [_DEFAULT]
    return names if any(m.op in (MatchOp.EQUAL, MatchOp.REGEX) for m in names) else [_ANY_INFO, *names]


class _Joined:
    """Info series by what identifies them, and which of them counts at each step."""

    def __init__(self, infos: Vector, values: dict[str, set[str]], wanted: set[str]) -> None:
        self._infos = infos
        self._wanted = wanted
        self._winners: dict[tuple[str, ...], Ints] = {}
        self._labels = [dict(labels) for labels in infos.labels]
        self._rows: dict[tuple[str, ...], dict[str, list[int]]] = {}
        for i, labels in enumerate(self._labels):
            if all(labels.get(name, "") in found for name, found in values.items()):
                of_metric = self._rows.setdefault(_identity(labels), {})
                of_metric.setdefault(labels.get(METRIC_NAME, ""), []).append(i)

    def of(self, base: dict[str, str], present: Bools) -> Iterator[tuple[dict[str, str] | None, Bools]]:
        """(labels to add, or None without an info series, and the steps at which it is so), for every case there is."""
        of_metric = self._rows.get(_identity(base), {})
        if not of_metric:
            yield None, present
            return
        chosen = np.stack([self._newest((*_identity(base), metric), rows) for metric, rows in of_metric.items()])
        cases, which = np.unique(chosen, axis=1, return_inverse=True)
        for case in range(cases.shape[1]):
            here = present & (which.ravel() == case)
            if here.any():
                yield self._added(base, [i for i in cases[:, case].tolist() if i >= 0]), here

    def _newest(self, key: tuple[str, ...], rows: list[int]) -> Ints:
        """The row of the info series with the newest sample at each step, -1 where there is none."""
        if key not in self._winners:
            times = np.where(self._infos.present[rows], self._infos.values[rows], -np.inf)
            best = times.argmax(axis=0)
            newest = times.max(axis=0)
            tied = ((times == newest) & np.isfinite(times)).sum(axis=0) > 1
            if tied.any():
                step = int(np.flatnonzero(tied)[0])
                two = [self._infos.labels[rows[k]] for k in np.flatnonzero(times[:, step] == newest[step])[:2]]
                at = round(float(newest[step]) * 1000)
                raise QueryFailed(
                    "found duplicate series for info metric:"
                    f" existing {_text(two[0])} @ {at}, new {_text(two[1])} @ {at}"
                )
            self._winners[key] = np.where(np.isfinite(newest), np.asarray(rows)[best], -1).astype(np.int64)
        return self._winners[key]

    def _added(self, base: dict[str, str], rows: list[int]) -> dict[str, str] | None:
        added: dict[str, str] = {}
        for i in rows:
            for name, value in self._labels[i].items():
                if name == METRIC_NAME or (self._wanted and name not in self._wanted):
                    continue
                if added.get(name, value) != value:
                    raise QueryFailed(f"conflicting label: {name}")
                if name not in base:
                    added[name] = value
        return added if rows else None


def _asked(node: Call) -> tuple[Matcher, ...]:
    if len(node.args) < 2:
        return ()
    selector = node.args[1]
    if not isinstance(selector, Selector) or len(selector.alternatives) != 1:
        raise BadQuery("info: the second argument must be a label selector")
    return selector.alternatives[0]


def _identity(labels: dict[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in _IDENTIFYING)


def _named(values: dict[str, set[str]]) -> list[Matcher]:
    return [
        Matcher(name, MatchOp.REGEX, "|".join(re.escape(value) for value in sorted(found)))
        for name, found in values.items()
        if len(found) <= _FEW
    ]


def _as_read(evaluator: Evaluator, node: Node, matchers: tuple[Matcher, ...]) -> Selector:
    """The info selector, with the `@` and offset that the samples below `node` are read with."""
    at: int | None = None
    offset_ms = 0
    for part in _path(node):
        selector = part.selector if isinstance(part, Range) else part
        pinned = evaluator.resolve(selector.at)
        if pinned is not None:
            at, offset_ms = pinned, 0
        offset_ms += selector.offset_ms
    return Selector((matchers,), offset_ms, at)


def _path(node: Node) -> Sequence[Selector | Range | Subquery]:
    """What moves the time on the way down to the first selector."""
    match node:
        case Selector() | Range():
            return [node]
        case Subquery():
            below = _path(node.expr)
            return [node, *below] if below else []
        case Negate() | Aggregate():
            return _path(node.expr)
        case Binary():
            return _path(node.left) or _path(node.right)
        case Call():
            return next((found for found in map(_path, node.args) if found), [])
        case _:
            return []


def _text(labels: Labels) -> str:
    own = dict(labels)
    name = own.pop(METRIC_NAME, "")
    return name + "{" + ", ".join(str(Matcher(key, MatchOp.EQUAL, value)) for key, value in own.items()) + "}"
