"""Good and total of intervals, from PromQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from app.errors import QueryFailed
from app.store.slo_events import SloEvents
from slo.queries import sli_queries
from slo.spec import EventsSli, RatioSli


class RangeResult(Protocol):
    """A range query's answer: n series over n steps; a value counts where `present` is true."""

    @property
    def labels(self) -> Sequence[Any]:
        """A label set a series."""

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """Values, (series, steps)."""

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """Where there is a value, (series, steps)."""


class QueryEngine(Protocol):
    """What counting needs of the PromQL engine. The call blocks; it raises QueryError or StoreError."""

    def range(self, query: str, start_ms: int, end_ms: int, step_ms: int) -> RangeResult:
        """The query at start, start + step, … up to and with end."""


def count(engine: QueryEngine, sli: EventsSli | RatioSli, interval_ms: int, from_ms: int, to_ms: int) -> SloEvents:
    """Counts of the intervals that start in [from_ms, to_ms), both epoch-aligned. Blocks; raises as `range` does.

    An interval reaches over (start, start + interval]. Where total is absent there is no row: missing is missing.
    Where only the errors are absent there were none. Good is total - bad and may be below 0 in an interval whose
    errors were scraped before its requests: cut off, the sum over time would no longer be the counters' own.
    """
    queries = sli_queries(sli, interval_ms)
    # the query at the end of an interval tells what happened in it
    answers = [_one_series(q, engine.range(q, from_ms + interval_ms, to_ms, interval_ms)) for q in queries]
    starts = np.arange(from_ms, to_ms, interval_ms, dtype=np.int64)
    if isinstance(sli, RatioSli):
        ratio, known = answers[0]
        bad, total = np.clip(ratio, 0.0, 1.0), np.ones(len(starts))
    else:
        (bad, some_bad), (total, known) = answers
        bad = np.where(some_bad, bad, 0.0)
    kept = known & np.isfinite(total) & np.isfinite(bad) & (total >= 0)
    return SloEvents(starts[kept], (total - bad)[kept], total[kept])


def _one_series(query: str, result: RangeResult) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    values, present = result.values, result.present
    at_once = present.sum(axis=0)
    if at_once.size and at_once.max() > 1:
        raise QueryFailed(f"gives {len(result.labels)} series where one is wanted, put sum(…) around it: {query}")
    return np.asarray(np.where(present, values, 0.0).sum(axis=0)), np.asarray(at_once > 0)
