"""What bounds a query: time, samples, series, points and memory. Each refusal names the limit and its setting."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from app import running
from app.config import Limits
from app.errors import QueryCanceled, QueryError, QueryFailed, QueryLimit, QueryTimeout, StoreError, StoreUnavailable
from app.query.grid import Grid
from app.query.promql.format import format_general
from app.query.promql.places import line_and_column

DEFAULT_SUBQUERY_STEP_MS = 60_000
_MOST_NOTES = 10
_CELL_BYTES = 9
"""A value and its presence."""
_SAMPLE_BYTES = 32
"""A time and a value, and once more while parts are put together."""
WINDOW_BYTES = 170
"""A window over raw samples, as functions on arrays work on it."""
HISTOGRAM_BYTES = 1024
"""A native histogram of some twenty buckets."""
_CHECKED_EVERY = 256
T = TypeVar("T")


def _first(notes: Mapping[str, None], kind: str) -> tuple[str, ...]:
    rest = len(notes) - _MOST_NOTES
    first = tuple(notes)[:_MOST_NOTES]
    return (*first, f"{rest} more {kind} annotations omitted") if rest > 0 else first


@dataclass(frozen=True, slots=True)
class Forced:
    """Between which times (ms) and bounds classic buckets were not monotonic, by how much at most, how many times."""

    first_ms: int
    last_ms: int
    lowest: float
    highest: float
    difference: float
    samples: int

    def with_also(self, other: Forced) -> Forced:
        """Both together."""
        return Forced(
            min(self.first_ms, other.first_ms),
            max(self.last_ms, other.last_ms),
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            max(self.difference, other.difference),
            self.samples + other.samples,
        )

    def __str__(self) -> str:
        ends = (datetime.fromtimestamp(ms // 1000, UTC) for ms in (self.first_ms, self.last_ms))
        first, last = (end.strftime("%Y-%m-%dT%H:%M:%SZ") for end in ends)
        return (
            f"from buckets {format_general(self.lowest)} to {format_general(self.highest)},"
            f" with a max diff of {self.difference:.2g}, over {self.samples} samples from {first} to {last}"
        )


@dataclass(slots=True)
class Context:
    """One query under way. Not shared between queries; counts what it has used."""

    limits: Limits
    deadline: float
    timeout_s: float
    start_ms: int
    end_ms: int
    lookback_ms: int
    step_ms: int = 0
    text: str = ""
    subquery_step_ms: int = DEFAULT_SUBQUERY_STEP_MS
    """The resolution of subqueries that name none."""
    grid: Grid = field(default_factory=lambda: Grid.at(0))
    place: int | None = None
    """Where in the query's text the part begins that notes are about."""
    _forced: dict[tuple[str, str], Forced] = field(default_factory=dict)
    samples: int = 0
    warnings: dict[str, None] = field(default_factory=dict)
    infos: dict[str, None] = field(default_factory=dict)
    detects_resets: bool = False
    """Whether native histograms that are read are marked where a counter reset is seen before them."""
    needs_buckets: bool = False
    adds_histograms: bool = False
    """Whether what is read is added or subtracted above, so that it matters which histograms come after a reset."""

    def remaining_s(self) -> float:
        """Seconds until the query is out of time. Raises QueryTimeout when it is."""
        query = running.current()
        if query is not None:
            query.check()
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise self._timed_out()
        return left

    def used_samples(self, n: int) -> None:
        """Counts samples read. Raises QueryLimit."""
        self.samples += n
        query = running.current()
        if query is not None:
            query.samples = self.samples
        if self.samples > self.limits.query_max_samples:
            raise self._too_many_samples()

    def check_size(self, series: int, steps: int, cell_bytes: int = _CELL_BYTES) -> None:
        """Raises QueryLimit when a vector of this size may not be held, QueryTimeout when time is over.

        Raises Overloaded when the queries that run would hold too much together.
        """
        self.remaining_s()
        if series > self.limits.query_max_series:
            raise QueryLimit(
                f"the query selects {series} series, more than limits.query_max_series = {self.limits.query_max_series}"
            )
        self._hold(series * steps * cell_bytes, f"{series} series at {steps} steps in memory")

    def check_samples(self, n: int) -> None:
        """Raises QueryLimit when so many raw samples may not be held at once; otherwise as `check_size`."""
        self._hold(n * _SAMPLE_BYTES, f"{n} samples in memory at once")

    def _hold(self, size: int, what: str) -> None:
        if size > self.limits.query_max_memory:
            raise QueryLimit(
                f"the query needs {what}, more than limits.query_max_memory = {self.limits.query_max_memory} bytes"
                " allows"
            )
        query = running.current()
        if query is not None:
            query.hold(size)

    def make_histograms(self, cells: Sequence[T]) -> Iterator[T]:
        """Goes through cells that each become a native histogram, or a number worked out of one.

        Raises QueryLimit when so many may not be held, QueryTimeout when time is over on the way; otherwise as
        `check_size`.
        """
        self._hold(len(cells) * HISTOGRAM_BYTES, f"{len(cells)} native histograms in memory")
        for i, cell in enumerate(cells):
            if not i % _CHECKED_EVERY:
                self.remaining_s()
            yield cell

    def settings(self) -> dict[str, int | str]:
        """The engine's own bounds for one statement of this query."""
        return {
            "max_memory_usage": self.limits.query_max_memory,
            # whole granules are read, so this one only stops what is far beyond; `used_samples` counts exactly
            "max_rows_to_read": 2 * self.limits.query_max_samples + 1_000_000,
            "read_overflow_mode": "throw",
            "max_result_rows": self.limits.query_max_series,
            "result_overflow_mode": "throw",
        }

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """While the store is asked: its errors are raised as those of a query."""
        try:
            yield
        except StoreError as error:
            raise self._error_of(error) from error

    def _error_of(self, error: StoreError) -> QueryError | StoreUnavailable:
        if isinstance(error, StoreUnavailable):
            return error
        if error.code == 159:
            return self._timed_out()
        if error.code == 394:
            return QueryCanceled("query was canceled in query execution")
        if error.code == 241:
            return QueryLimit(
                f"the query needs more memory than limits.query_max_memory = {self.limits.query_max_memory} bytes"
            )
        if error.code == 158:
            return self._too_many_samples()
        if error.code == 396:
            return QueryLimit(f"the query selects more than limits.query_max_series = {self.limits.query_max_series}")
        return QueryFailed(f"the store cannot answer: {error}")

    def _too_many_samples(self) -> QueryLimit:
        return QueryLimit(
            f"the query reads more samples than limits.query_max_samples = {self.limits.query_max_samples}"
        )

    def _timed_out(self) -> QueryTimeout:
        return QueryTimeout(
            f"the query took longer than {self.timeout_s:g} s"
            f" (limits.query_timeout = {self.limits.query_timeout // 1000}s)"
        )

    @contextlib.contextmanager
    def adding(self) -> Iterator[None]:
        """While the operands of an addition, a subtraction or a sum are evaluated."""
        before, self.adds_histograms = self.adds_histograms, True
        try:
            yield
        finally:
            self.adds_histograms = before

    @contextlib.contextmanager
    def reading(self, whole: bool) -> Iterator[None]:
        """While the argument of a function is evaluated that needs whole histograms, or only their counts and sums.

        Prometheus detects counter resets only for the latter, unless anything above needs buckets (engine.go,
        detectHistogramStatsDecoding).
        """
        before = self.detects_resets, self.needs_buckets
        self.needs_buckets = self.needs_buckets or whole
        self.detects_resets = not self.needs_buckets
        try:
            yield
        finally:
            self.detects_resets, self.needs_buckets = before

    @contextlib.contextmanager
    def at(self, place: int | None, grid: Grid | None = None) -> Iterator[None]:
        """Notes made meanwhile point at this place of the query's text, and speak of the times of this grid."""
        before = self.place, self.grid
        self.place, self.grid = place, grid or self.grid
        try:
            yield
        finally:
            self.place, self.grid = before

    def forced(self, text: str, found: Forced) -> None:
        """Notes that classic buckets were made monotonic; one note tells of all cases at a place."""
        known = self._forced.get((text, self._where()))
        self._forced[text, self._where()] = found if known is None else known.with_also(found)

    def notes(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(warnings, infos), at most ten of each, as Prometheus's API gives them."""
        infos = dict(self.infos)
        for (text, where), found in self._forced.items():
            infos[f"PromQL info: {text}, {found}{where}"] = None
        return _first(self.warnings, "warning"), _first(infos, "info")

    def warn(self, text: str) -> None:
        """Adds a warning to the answer, once."""
        self.warnings[f"PromQL warning: {text}{self._where()}"] = None

    def inform(self, text: str) -> None:
        """Adds a note to the answer, once."""
        self.infos[f"PromQL info: {text}{self._where()}"] = None

    def _where(self) -> str:
        return "" if self.place is None else f" ({line_and_column(self.text, self.place)})"
