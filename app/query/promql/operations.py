"""What a binary operator does with each pair of cells; matching of series is in `binary`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.query.vector import Bools, Floats, Histograms, Vector, no_histograms

COMPARISONS: Mapping[str, Callable[[Floats, Floats], Bools]] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}
ARITHMETIC: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
    "atan2": np.arctan2,
}
TRIMS = frozenset({"</", ">/"})
"""What cuts off the part of a histogram above, or below, a number."""
_Rows = npt.NDArray[np.intp] | list[int]


@dataclass(frozen=True, slots=True)
class Cells:
    """Values, presence and histograms of one side, as in a Vector; arrays that broadcast to [pairs, steps]."""

    values: Floats
    present: Bools
    histograms: Histograms | None = None

    def take(self, rows: _Rows) -> Cells:
        """Some of the rows, in the order given."""
        return Cells(self.values[rows], self.present[rows], None if self.histograms is None else self.histograms[rows])

    def joined(self, other: Cells) -> Cells:
        """The rows of both."""
        histograms = None
        if self.histograms is not None or other.histograms is not None:
            histograms = np.concatenate(
                [no_histograms(c.values.shape) if c.histograms is None else c.histograms for c in (self, other)]
            )
        return Cells(
            np.concatenate((self.values, other.values)), np.concatenate((self.present, other.present)), histograms
        )


Operation = Callable[[Cells, Cells], Cells]


def cells_of(vector: Vector) -> Cells:
    """The cells of a vector."""
    return Cells(vector.values, vector.present, vector.histograms)


def float_operation(op: str, return_bool: bool) -> Operation:
    """`op` between floats. A comparison keeps the left value where it holds, or is 0 or 1."""

    def operate(left: Cells, right: Cells) -> Cells:
        present = left.present & right.present
        if op in ARITHMETIC:
            return Cells(ARITHMETIC[op](left.values, right.values), present)
        if op in TRIMS:
            return Cells(np.zeros(present.shape), np.zeros(present.shape, bool))
        holds = COMPARISONS[op](left.values, right.values)
        if return_bool:
            return Cells(holds.astype(np.float64), present)
        return Cells(np.broadcast_to(left.values, present.shape), present & holds)

    return operate
