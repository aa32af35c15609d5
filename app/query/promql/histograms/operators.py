"""Binary operators where there are native histograms on a side (promql/engine.go, vectorElemBinop)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.histogram import Histogram
from app.query.promql.context import Context
from app.query.promql.histograms import notes
from app.query.promql.histograms.arithmetic import IncompatibleBuckets, Sum, divided, multiplied, same
from app.query.promql.histograms.layout import compact
from app.query.promql.histograms.rates import gauge
from app.query.promql.histograms.trim import trimmed
from app.query.promql.operations import ARITHMETIC, COMPARISONS, TRIMS, Cells
from app.query.vector import Bools, Floats, is_histogram, no_histograms


@dataclass(frozen=True, slots=True)
class HistogramOperation:
    """`op` between the cells of two sides; `return_bool` makes comparisons 0 or 1."""

    op: str
    return_bool: bool
    context: Context

    def __call__(self, left: Cells, right: Cells) -> Cells:
        """Cell by cell; those without a result are absent."""
        present = left.present & right.present
        a, b = (self._native(side, present) for side in (left, right))
        native = a | b
        values, keep = self._floats(left.values, right.values)
        keep = keep & present & ~native
        if self.op in TRIMS and bool((present & ~native).any()):
            notes.incompatible_types(self.context, "float", self.op, "float")
        out = no_histograms(present.shape)
        compares = self.op in COMPARISONS
        if self.return_bool and compares:
            values, keep = keep.astype(np.float64), present & ~native
        for row, step in self.context.make_histograms(np.argwhere(native).tolist()):
            found = self._cell(*(self._item(side, is_one, row, step) for side, is_one in ((left, a), (right, b))))
            if found is None:
                continue
            result, kept = found
            if compares and self.return_bool:
                values[row, step], keep[row, step] = float(kept), True
            elif kept:
                out[row, step], keep[row, step] = result, True
        return Cells(values, keep, out)

    def _native(self, side: Cells, present: Bools) -> Bools:
        if side.histograms is None:
            return np.zeros(present.shape, bool)
        return present & is_histogram(side.histograms)

    def _item(self, side: Cells, native: Bools, row: int, step: int) -> Histogram | float:
        if native[row, step]:
            assert side.histograms is not None
            h: Histogram = np.broadcast_to(side.histograms, native.shape)[row, step]
            return h
        return float(np.broadcast_to(side.values, native.shape)[row, step])

    def _floats(self, left: Floats, right: Floats) -> tuple[Floats, Bools]:
        if self.op in ARITHMETIC:
            return ARITHMETIC[self.op](left, right), np.ones((1, 1), bool)
        shape = np.broadcast_shapes(left.shape, right.shape)
        if self.op in TRIMS:
            return np.zeros(shape), np.zeros(shape, bool)
        return np.broadcast_to(left, shape).copy(), COMPARISONS[self.op](left, right)

    def _cell(self, left: Histogram | float, right: Histogram | float) -> tuple[Histogram, bool] | None:
        """(the result, whether a comparison holds), or None where there is none, which is told."""
        match left, right:
            case Histogram(), Histogram():
                return self._of_two(left, right)
            case Histogram(), float():
                found = self._by_number(left, right)
            case float(), Histogram():
                found = compact(multiplied(right, left)) if self.op == "*" else None
            case _:
                raise AssertionError("one side is a histogram")
        if found is None:
            if isinstance(left, Histogram):
                notes.incompatible_types(self.context, "histogram", self.op, "float")
            else:
                notes.incompatible_types(self.context, "float", self.op, "histogram")
            return None
        return found, True

    def _by_number(self, h: Histogram, number: float) -> Histogram | None:
        if self.op == "*":
            return compact(multiplied(h, number))
        if self.op == "/":
            return compact(divided(h, number))
        return trimmed(h, number, below=self.op == "</") if self.op in TRIMS else None

    def _of_two(self, left: Histogram, right: Histogram) -> tuple[Histogram, bool] | None:
        if self.op in ("==", "!="):
            return left, same(left, right) == (self.op == "==")
        if self.op not in ("+", "-"):
            notes.incompatible_types(self.context, "histogram", self.op, "histogram")
            return None
        total = Sum(left)
        try:
            total.add(right, 1.0 if self.op == "+" else -1.0)
        except IncompatibleBuckets:
            notes.incompatible_layouts(self.context, self.op)
            return None
        notes.of_sum(self.context, total, "addition" if self.op == "+" else "subtraction")
        if total.collided:
            return None
        result = compact(total.histogram())
        return (gauge(result) if self.op == "-" else result), True
