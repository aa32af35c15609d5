"""What a query answers with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from app.labels import Labels
from app.query.vector import Bools, Floats, Histograms, Ints

Kind = Literal["vector", "matrix", "scalar", "string"]
"""What Prometheus calls the resultType."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Raw samples of series, one after another: series i has those from `offsets[i]` to `offsets[i + 1]`, by time.

    A sample is a native histogram where `histograms` has one; it is None where all are floats.
    """

    labels: list[Labels]
    offsets: Ints
    ts_ms: Ints
    values: Floats
    histograms: Histograms | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The answer to a query.

    A vector has one step, a matrix any number, a scalar has one row and no labels, a string has only `text`. Where
    `present` is false there is no sample, whatever `values` holds; where `histograms` has one, the sample is a native
    histogram and its value NaN. The matrix a range selector alone gives has its samples in `raw` instead, each series
    at its own times.
    """

    kind: Kind
    labels: list[Labels]
    steps_ms: Ints
    values: Floats
    present: Bools
    text: str = ""
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()
    raw: Samples | None = None
    histograms: Histograms | None = None

    def series(self, i: int) -> tuple[Ints, Floats]:
        """Times and values of the samples of series `i`."""
        if self.raw is not None:
            part = slice(int(self.raw.offsets[i]), int(self.raw.offsets[i + 1]))
            return self.raw.ts_ms[part], self.raw.values[part]
        here = self.present[i]
        return self.steps_ms[here], self.values[i][here]

    def native(self, i: int) -> Histograms | None:
        """The histograms among the samples of series `i`, each at its sample's place; None where all are floats."""
        if self.raw is not None:
            part = slice(int(self.raw.offsets[i]), int(self.raw.offsets[i + 1]))
            return None if self.raw.histograms is None else self.raw.histograms[part]
        return None if self.histograms is None else self.histograms[i][self.present[i]]


def no_samples(labels: list[Labels] | None = None) -> Samples:
    """Series without samples."""
    names = labels or []
    return Samples(names, np.zeros(len(names) + 1, np.int64), np.empty(0, np.int64), np.empty(0))
