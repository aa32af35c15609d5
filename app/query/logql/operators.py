"""Binary operators of LogQL: PromQL's, but for what it is to divide by zero."""

from __future__ import annotations

import numpy as np

from app.query.logql.ast import Binary
from app.query.promql import binary
from app.query.promql.operations import Cells, Operation, float_operation
from app.query.vector import Floats, Vector

_DIVISIONS = ("/", "%")


def operate(node: Binary, left: Vector | Floats, right: Vector | Floats) -> Vector | Floats:
    """The values of an operation, at every step; an array is a scalar. Raises QueryFailed where series do not match."""
    if isinstance(left, Vector) and isinstance(right, Vector):
        if node.op in binary.SETS:
            return binary.sets(node, left, right)
        return binary.vectors(node, left, right, _operation(node))
    if isinstance(left, Vector):
        return binary.vector_and_scalar(node, left, _scalar(right), swapped=False, operate=_operation(node))
    if isinstance(right, Vector):
        return binary.vector_and_scalar(node, right, _scalar(left), swapped=True, operate=_operation(node))
    return _undivided(node.op, binary.scalars(node.op, left, right), right)


def _scalar(side: Vector | Floats) -> Floats:
    assert not isinstance(side, Vector)
    return side


def _operation(node: Binary) -> Operation:
    plain = float_operation(node.op, node.return_bool)

    def operation(left: Cells, right: Cells) -> Cells:
        found = plain(left, right)
        return Cells(_undivided(node.op, found.values, right.values), found.present)

    return operation


def _undivided(op: str, values: Floats, divisor: Floats) -> Floats:
    # in Loki a division by zero is NaN, and no infinity
    return np.where(divisor == 0, np.nan, values) if op in _DIVISIONS else values
