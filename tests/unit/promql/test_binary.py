"""Operators between vectors, at every step at once."""

from __future__ import annotations

import numpy as np
import pytest

from app.errors import QueryFailed
from app.labels import Labels, labels_from
from app.query.promql import aggregate, binary
from app.query.promql.ast import Binary, Grouping, Matching, Number
from app.query.vector import Vector, merged, unnamed

Row = tuple[dict[str, str], list[float | None]]


def vector(*rows: Row) -> Vector:
    """A vector; None is absent."""
    values = np.array([[0.0 if v is None else v for v in row] for _, row in rows])
    present = np.array([[v is not None for v in row] for _, row in rows])
    return Vector([labels_from(labels) for labels, _ in rows], values, present)


def rows(found: Vector) -> dict[Labels, list[float | None]]:
    """What a vector holds, by label set."""
    return {
        labels: [v if p else None for v, p in zip(values, present, strict=True)]
        for labels, values, present in zip(found.labels, found.values.tolist(), found.present.tolist(), strict=True)
    }


def operation(op: str, matching: Matching | None = None, return_bool: bool = False) -> Binary:
    """An operator node."""
    return Binary(op, Number(0), Number(0), matching or Matching(), return_bool)


def test_steps_where_one_side_is_absent_have_no_result() -> None:
    """Absent is not zero and not NaN."""
    left = vector(({"__name__": "a", "x": "1"}, [1, None, 3]), ({"__name__": "a", "x": "2"}, [1, 1, 1]))
    right = vector(({"__name__": "b", "x": "1"}, [10, 20, None]))
    assert rows(binary.vectors(operation("+"), left, right)) == {(("x", "1"),): [11, None, None]}


def test_group_left_copies_labels_and_refuses_two_partners() -> None:
    """Many-to-one takes labels from the one side; duplicates there are an error that names them."""
    left = vector(({"x": "1", "i": "a"}, [1]), ({"x": "1", "i": "b"}, [2]))
    right = vector(({"x": "1", "team": "t"}, [10]))
    matching = Matching(("x",), on=True, many="left", include=("team",))
    assert rows(binary.vectors(operation("*", matching), left, right)) == {
        (("i", "a"), ("team", "t"), ("x", "1")): [10],
        (("i", "b"), ("team", "t"), ("x", "1")): [20],
    }
    with pytest.raises(QueryFailed, match="many-to-one matching must be explicit"):
        binary.vectors(operation("*", Matching(("x",), on=True)), left, right)
    with pytest.raises(QueryFailed, match="found duplicate series for the match group"):
        binary.vectors(operation("*", Matching(("x",), on=True)), right, left)


def test_comparisons_filter_or_say_bool() -> None:
    """A filter keeps name and value of the left side; bool gives 0 or 1 and drops the name."""
    left, right = vector(({"__name__": "a"}, [1, 5])), vector(({"__name__": "b"}, [3, 3]))
    assert rows(binary.vectors(operation(">"), left, right)) == {(("__name__", "a"),): [None, 5]}
    assert rows(binary.vectors(operation(">", return_bool=True), left, right)) == {(): [0, 1]}


def test_sets_work_step_by_step() -> None:
    """and, or and unless look at presence at each step."""
    left, right = vector(({"x": "1"}, [1, 2, None])), vector(({"x": "1"}, [None, 9, 9]), ({"x": "2"}, [7, 7, 7]))
    assert rows(binary.sets(operation("and"), left, right)) == {(("x", "1"),): [None, 2, None]}
    assert rows(binary.sets(operation("unless"), left, right)) == {(("x", "1"),): [1, None, None]}
    assert rows(binary.sets(operation("or"), left, right)) == {(("x", "1"),): [1, 2, 9], (("x", "2"),): [7, 7, 7]}


def test_series_that_become_one_may_not_meet() -> None:
    """Without their names, series of one label set are joined where they do not overlap, else it is an error."""
    apart = vector(({"__name__": "a"}, [1, None]), ({"__name__": "b"}, [None, 2]))
    assert rows(unnamed(apart)) == {(): [1, 2]}
    with pytest.raises(QueryFailed, match="same labelset"):
        merged(vector(({}, [1]), ({}, [2])))


def test_topk_chooses_at_each_step_and_ignores_nan_last() -> None:
    """At each step the largest are chosen; NaN only when there is nothing else."""
    data = vector(({"i": "a"}, [1, 9]), ({"i": "b"}, [2, None]), ({"i": "c"}, [float("nan"), 3]))
    chosen = aggregate.choose("topk", data, Grouping(), np.array([2.0, 1.0]))
    assert rows(chosen) == {(("i", "a"),): [1, 9], (("i", "b"),): [2, None]}
    with pytest.raises(QueryFailed, match="NaN"):
        aggregate.choose("topk", data, Grouping(), np.array([np.nan, 1.0]))


@pytest.mark.parametrize(("op", "result"), [("sum", 6), ("avg", 2), ("min", 1), ("max", 3), ("count", 3), ("group", 1)])
def test_aggregations_group_by_labels(op: str, result: float) -> None:
    """by and without; the metric's name is no group label unless asked for."""
    data = vector(*(({"__name__": "m", "i": str(i), "a": "x"}, [float(i), None]) for i in (1, 2, 3)))
    assert rows(aggregate.aggregate(op, data, Grouping(("a",)))) == {(("a", "x"),): [result, None]}
    assert rows(aggregate.aggregate(op, data, Grouping(("i",), without=True))) == {(("a", "x"),): [result, None]}
