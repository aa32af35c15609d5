"""Binary operators: arithmetic, comparison and sets, between scalars and vectors."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from app.errors import QueryFailed
from app.labels import METRIC_NAME, Labels, labels_from
from app.query.promql.ast import Matching
from app.query.promql.operations import ARITHMETIC, COMPARISONS, TRIMS, Cells, Operation, cells_of, float_operation
from app.query.vector import Bools, Floats, Vector, empty, merged, stacked, unnamed, without_name

SETS = frozenset({"and", "or", "unless"})


class Operator(Protocol):
    """What a node says of the operator between its sides."""

    @property
    def op(self) -> str:
        """The operator."""

    @property
    def matching(self) -> Matching:
        """How series find each other."""

    @property
    def return_bool(self) -> bool:
        """Whether a comparison gives 0 or 1."""


def scalars(op: str, left: Floats, right: Floats) -> Floats:
    """Both sides scalars; comparisons give 0 or 1."""
    if op in COMPARISONS:
        return COMPARISONS[op](left, right).astype(np.float64)
    return ARITHMETIC[op](left, right)


def vector_and_scalar(
    node: Operator, vector: Vector, scalar: Floats, swapped: bool, operate: Operation | None = None
) -> Vector:
    """One side a vector; `swapped` when the scalar is on the left. `operate` is what to do where not all are floats."""
    own, other = cells_of(vector), Cells(scalar[None, :], np.ones((1, len(scalar)), bool))
    left, right = (other, own) if swapped else (own, other)
    found = (operate or float_operation(node.op, node.return_bool))(left, right)
    if node.op in ARITHMETIC or node.return_bool:
        return unnamed(Vector(vector.labels, found.values, found.present, found.histograms).compact())
    if node.op in TRIMS:
        return Vector(vector.labels, found.values, found.present, found.histograms).compact()
    # what a comparison keeps is the vector's, whichever side it is on
    return vector.where(found.present).compact()


def _signature(labels: Labels, matching: Matching) -> Labels:
    if matching.on:
        return tuple(p for p in labels if p[0] in matching.labels)
    return tuple(p for p in labels if p[0] != METRIC_NAME and p[0] not in matching.labels)


def sets(node: Operator, left: Vector, right: Vector) -> Vector:
    """and, or, unless."""
    there: dict[Labels, Bools] = {}
    base = left if node.op == "or" else right
    for labels, present in zip(base.labels, base.present, strict=True):
        signature = _signature(labels, node.matching)
        there[signature] = there[signature] | present if signature in there else present
    nowhere = np.zeros(left.steps, bool)

    def matched(vector: Vector) -> Bools:
        rows = [there.get(_signature(labels, node.matching), nowhere) for labels in vector.labels]
        return np.array(rows, bool).reshape(len(vector), vector.steps)

    if node.op == "and":
        return left.where(left.present & matched(left)).compact()
    if node.op == "unless":
        return left.where(left.present & ~matched(left)).compact()
    return merged(stacked([left, right.where(right.present & ~matched(right)).compact()]))


def vectors(node: Operator, left: Vector, right: Vector, operate: Operation | None = None) -> Vector:
    """Both sides vectors: series meet by signature. `operate` is what to do where not all are floats."""
    matching = node.matching
    many, one = (right, left) if matching.many == "right" else (left, right)
    many_fill, one_fill = (
        (matching.fill_right, matching.fill_left)
        if matching.many == "right"
        else (matching.fill_left, matching.fill_right)
    )
    side = "left" if matching.many == "right" else "right"
    # at a step where one side has nothing, the other is not even looked at
    filled = many_fill is not None or one_fill is not None
    asked: Bools = np.asarray(many.present.any(axis=0) | filled)
    one_rows = _one_side(one, matching, side, asked)
    pairs = _pairs(many, one, one_rows, matching, many_fill, one_fill)
    if not pairs.labels:
        return empty(left.steps)
    a, b = (pairs.one, pairs.many) if matching.many == "right" else (pairs.many, pairs.one)
    found = (operate or float_operation(node.op, node.return_bool))(a, b)
    if not matching.many:
        _one_to_one(pairs, a.present & b.present)
    keep_name = node.op not in ARITHMETIC and not node.return_bool
    labels = [_result_labels(m, o, matching, keep_name) for m, o in zip(pairs.labels, pairs.one_labels, strict=True)]
    message = "multiple matches for labels: grouping labels must ensure unique matches"
    return merged(Vector(labels, found.values, found.present, found.histograms), message).compact()


class _Pairs:
    """Rows of the many side, each beside the row of the one side it meets."""

    def __init__(self, steps: int) -> None:
        self.labels: list[Labels] = []
        self.one_labels: list[Labels] = []
        self.signatures: list[Labels] = []
        self.many = self.one = Cells(np.empty((0, steps)), np.empty((0, steps), bool))


def _one_side(one: Vector, matching: Matching, side: str, asked: Bools) -> dict[Labels, list[int]]:
    """Rows by signature; more than one only where they are not present together at any of the steps asked for."""
    rows: dict[Labels, list[int]] = {}
    for i, labels in enumerate(one.labels):
        rows.setdefault(_signature(labels, matching), []).append(i)
    for signature, members in rows.items():
        twice_at = (one.present[members].sum(axis=0) > 1) & asked
        if bool(twice_at.any()):
            step = int(np.argmax(twice_at))
            twice = sorted(one.labels[i] for i in members if one.present[i, step])[:2]
            raise QueryFailed(
                f"found duplicate series for the match group {_show(signature)} on the {side} hand-side of the"
                f" operation: [{', '.join(_show(labels) for labels in twice)}];many-to-many matching not"
                " allowed: matching labels must be unique on one side"
            )
    return rows


def _pairs(
    many: Vector,
    one: Vector,
    one_rows: dict[Labels, list[int]],
    matching: Matching,
    many_fill: float | None,
    one_fill: float | None,
) -> _Pairs:
    pairs = _Pairs(many.steps)
    left: list[int] = []
    right: list[int] = []
    met: set[Labels] = set()
    for i, labels in enumerate(many.labels):
        signature = _signature(labels, matching)
        for j in one_rows.get(signature, ()):
            left.append(i)
            right.append(j)
            pairs.signatures.append(signature)
        met.add(signature)
    pairs.labels = [many.labels[i] for i in left]
    pairs.one_labels = [one.labels[j] for j in right]
    pairs.many, pairs.one = cells_of(many).take(left), cells_of(one).take(right)
    if one_fill is not None:
        _fill(pairs, many, one, one_rows, matching, one_fill, absent_one=True)
    if many_fill is not None:
        many_rows: dict[Labels, list[int]] = {}
        for i, labels in enumerate(many.labels):
            many_rows.setdefault(_signature(labels, matching), []).append(i)
        _fill(pairs, one, many, many_rows, matching, many_fill, absent_one=False)
    return pairs


def _fill(
    pairs: _Pairs,
    have: Vector,
    lack: Vector,
    lack_rows: dict[Labels, list[int]],
    matching: Matching,
    fill: float,
    absent_one: bool,
) -> None:
    """Adds pairs for what has no partner at a step, with `fill` in the partner's place."""
    for i, labels in enumerate(have.labels):
        signature = _signature(labels, matching)
        partners = lack_rows.get(signature, [])
        alone = have.present[i] & ~lack.present[partners].any(axis=0)
        if not alone.any():
            continue
        filled = Cells(np.full((1, have.steps), fill), alone[None, :])
        own = cells_of(have).take([i])
        pairs.labels.append(labels if absent_one else signature)
        pairs.one_labels.append(() if absent_one else labels)
        pairs.signatures.append(signature)
        pairs.many = pairs.many.joined(own if absent_one else filled)
        pairs.one = pairs.one.joined(filled if absent_one else own)


def _one_to_one(pairs: _Pairs, present: Bools) -> None:
    seen: dict[Labels, Bools] = {}
    for signature, here in zip(pairs.signatures, present, strict=True):
        before = seen.get(signature)
        if before is not None and bool((before & here).any()):
            raise QueryFailed(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            )
        seen[signature] = here if before is None else before | here


def _result_labels(many: Labels, one: Labels, matching: Matching, keep_name: bool) -> Labels:
    labels = many if keep_name else without_name(many)
    if not matching.many:
        if matching.on:
            return tuple(p for p in labels if p[0] in matching.labels)
        return tuple(p for p in labels if p[0] not in matching.labels)
    if not matching.include:
        return labels
    other = dict(one)
    return labels_from({**dict(labels), **{name: other.get(name, "") for name in matching.include}})


def _show(labels: Labels) -> str:
    return "{" + ", ".join(f'{k}="{v}"' for k, v in labels) + "}"
