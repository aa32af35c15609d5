"""Leaves worked out here: raw samples come from the engine as arrays, and compiled loops put them on the grid.

Against the engine's `timeSeries…ToGrid` this takes half the time on the embedded engine, where samples need not cross
a network, and adds up exactly as Prometheus does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from app.labels import Matcher
from app.query.grid import Grid
from app.query.promql import kernel_groups, kernels
from app.query.promql.ast import Selector
from app.query.promql.conditions import Parameters, samples_condition, storable
from app.query.promql.context import Context
from app.query.promql.leaf import INSTANT, INSTANT_TIME, Leaf
from app.query.promql.points import NO_POINTS, Points
from app.query.vector import Bools, Floats
from app.store import native

Ids = npt.NDArray[np.uint64]
RawQuery = Callable[[str, Parameters, Context, Mapping[str, int]], bytes]
Span = tuple[int | None, int | None]
T = TypeVar("T")

_KERNELS: Mapping[str, tuple[Callable[..., None], tuple[int, ...]]] = {
    # a loop, and its arguments between the window and the results
    INSTANT: (kernels.newest, (False,)),
    INSTANT_TIME: (kernels.newest, (True,)),
    "avg_over_time": (kernels.summed, (True,)),
    "changes": (kernels.counted, (kernels.CHANGES,)),
    "count_over_time": (kernels.counted, (kernels.COUNT,)),
    "delta": (kernels.extrapolated, (False, False)),
    "idelta": (kernels.last_two, (False,)),
    "increase": (kernels.extrapolated, (True, False)),
    "increase_exact": (kernels.increased, ()),
    "irate": (kernels.last_two, (True,)),
    "last_over_time": (kernels.newest, (False,)),
    "max_over_time": (kernels.extreme, (True,)),
    "min_over_time": (kernels.extreme, (False,)),
    "rate": (kernels.extrapolated, (True, True)),
    "resets": (kernels.counted, (kernels.RESETS,)),
    "sum_over_time": (kernels.summed, (False,)),
}
KERNEL_FUNCTIONS = frozenset(_KERNELS)
"""The leaf functions there are loops for."""

_LONGEST_SHORT_MS = 2**32 - 1
_PART_SAMPLES = 1_500_000
"""Samples read by one statement: parts are read while others are worked on, and memory stays small."""
_WORKERS = 2
_SPLITS = 64
_EVENLY = np.arange(1, _SPLITS, dtype=np.uint64) << np.uint64(58)
"""Splits of all ids there can be, where nothing is known of those there are."""
_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Rows:
    """A leaf on the grid: ids, and [series, steps] values and presence."""

    ids: Ids
    values: Floats
    present: Bools


@dataclass(frozen=True, slots=True)
class _Read:
    """What to read: (after_ms, until_ms] of a selector; of a sparse grid only the windows."""

    selector: Selector
    after_ms: int
    until_ms: int
    keep_stale: bool
    windows: tuple[Grid, int] | None = None

    def where(self, span: Span, parameters: Parameters) -> str:
        """The condition on `metric_samples`, for the ids of a span."""
        conditions = [
            samples_condition(self.selector, parameters),
            f"ts > {parameters.time(self.after_ms)} AND ts <= {parameters.time(self.until_ms)}",
        ]
        low, high = span
        if low is not None:
            conditions.append(f"series_id >= {parameters.add(low, 'UInt64')}")
        if high is not None:
            conditions.append(f"series_id < {parameters.add(high, 'UInt64')}")
        if self.windows is not None:
            grid, window_ms = self.windows
            # how far after a step a sample is: it counts for the next one when that is less than a window away
            first, step = (parameters.add(ms, "Int64") for ms in (grid.start_ms, grid.step_ms))
            since = f"positiveModulo(toUnixTimestamp64Milli(ts) - {first}, {step})"
            conditions.append(f"({since} = 0 OR {since} > {parameters.add(grid.step_ms - window_ms, 'Int64')})")
        return " AND ".join(conditions)


@dataclass(frozen=True, slots=True)
class _Known:
    """What reading a selector told: how many samples there were in so many ms, and ids that split them evenly."""

    samples: int
    span_ms: int
    splits: Ids


class KernelLeaves:
    """Reads and works out leaves. `ask` runs a statement whose answer is in Native. Safe to use from many threads."""

    def __init__(self, ask: RawQuery) -> None:
        self._ask = ask
        self._known: dict[tuple[tuple[Matcher, ...], ...], _Known] = {}
        self._workers = ThreadPoolExecutor(_WORKERS, "leaf")

    def parts(self, leaf: Leaf, context: Context) -> Iterator[Rows]:
        """The leaf's rows in parts, each series in one of them, by id."""
        grid, window_ms = leaf.grid, leaf.window_ms
        read = _Read(
            leaf.selector,
            storable(grid.start_ms - leaf.read_ms),
            grid.end_ms,
            leaf.function in (INSTANT, INSTANT_TIME),
            None if leaf.read_ms >= grid.step_ms else (grid, leaf.read_ms),
        )
        yield from self._each(read, context, partial(worked_out, leaf.function, grid, window_ms))

    def samples(self, selector: Selector, after_ms: int, until_ms: int, stale: bool, context: Context) -> Points:
        """The raw samples in (after_ms, until_ms], one at each time, with or without `stale` markers."""
        parts: list[Points] = []
        held = 0
        for part in self._each(_Read(selector, after_ms, until_ms, stale), context, lambda samples: samples):
            held += len(part.ts_ms)
            context.check_samples(held)
            parts.append(part)
        if len(parts) == 1:
            return parts[0]
        sizes = np.concatenate([np.diff(p.offsets) for p in parts])
        return Points(
            np.concatenate([p.ids for p in parts]),
            np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
            np.concatenate([p.ts_ms for p in parts]),
            np.concatenate([p.values for p in parts]),
        )

    def _each(self, read: _Read, context: Context, use: Callable[[Points], T]) -> Iterator[T]:
        """What `use` makes of each part, in the order of the ids; the next parts are read meanwhile."""
        spans = self._spans(read, context)
        seen: list[Ids] = []
        ahead: deque[Future[tuple[Ids, int, T]]] = deque()
        samples = 0
        try:
            waiting = deque(spans)
            while waiting or ahead:
                while len(spans) > 1 and waiting and len(ahead) <= _WORKERS:
                    ahead.append(
                        self._workers.submit(copy_context().run, self._part, read, waiting.popleft(), context, use)
                    )
                ids, n, result = (
                    ahead.popleft().result() if ahead else self._part(read, waiting.popleft(), context, use)
                )
                context.used_samples(n)
                samples += n
                seen.append(ids)
                yield result
        finally:
            for future in ahead:
                future.cancel()
        self._learn(read, samples, np.concatenate(seen))

    def _part(self, read: _Read, span: Span, context: Context, use: Callable[[Points], T]) -> tuple[Ids, int, T]:
        # parts run side by side: each with a thread of its own, so that nothing is merged between threads
        settings = {} if span == (None, None) else {"max_threads": 1}
        parameters = Parameters()
        base = read.after_ms
        short = read.until_ms - base <= _LONGEST_SHORT_MS
        since = f"toUnixTimestamp64Milli(ts) - {parameters.add(base, 'Int64')}"
        sql = (
            "-- PromQL: samples of a selector, as arrays\n"
            f"SELECT series_id, groupArray({f'toUInt32({since})' if short else since}) AS times,"
            " groupArray(value) AS numbers\n"
            f"FROM metric_samples\nWHERE {read.where(span, parameters)}\nGROUP BY series_id"
        )
        samples, n = tidied(self._ask(sql, parameters, context, settings), base, read.keep_stale)
        return samples.ids, n, use(samples)

    def _spans(self, read: _Read, context: Context) -> list[Span]:
        """Spans of ids, of about _PART_SAMPLES samples each, that are all ids together."""
        known = self._known.get(read.selector.alternatives)
        span_ms = read.until_ms - read.after_ms
        if known is not None and known.samples and span_ms <= 2 * known.span_ms:
            expected, splits = known.samples * span_ms / known.span_ms, known.splits
        else:
            parameters = Parameters()
            sql = (
                "-- PromQL: how many samples a selector has\n"
                f"SELECT count() AS samples FROM metric_samples WHERE {read.where((None, None), parameters)}"
            )
            (column,) = next(native.blocks(self._ask(sql, parameters, context, {})))
            expected, splits = float(column.items[0]), _EVENLY
        wanted = min(int(expected / _PART_SAMPLES) + 1, len(splits) + 1)
        edges = [int(splits[(len(splits) + 1) * i // wanted - 1]) for i in range(1, wanted)]
        return list(zip([None, *edges], [*edges, None], strict=True))

    def _learn(self, read: _Read, samples: int, ids: Ids) -> None:
        if len(self._known) >= _KNOWN:
            self._known = {}
        splits = np.unique(ids[np.arange(1, _SPLITS) * len(ids) // _SPLITS]) if len(ids) else ids
        self._known[read.selector.alternatives] = _Known(samples, read.until_ms - read.after_ms, splits)


def tidied(body: bytes, base: int, keep_stale: bool) -> tuple[Points, int]:
    """The samples of an answer, by id, and how many there were before any were left out."""
    blocks = list(native.blocks(body))
    if not blocks:
        return NO_POINTS, 0
    ids, times, values = (_joined([block[i].items for block in blocks]) for i in range(3))
    sizes = np.concatenate([np.diff(block[1].offsets) for block in blocks if block[1].offsets is not None])
    offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    order = np.argsort(ids)
    ts_ms, numbers = np.empty(len(times), np.int64), np.empty(len(times))
    kept = kernels.tidy(times, values, offsets, order, base, keep_stale, ts_ms, numbers)
    n = int(kept[-1])
    return Points(ids[order], kept, ts_ms[:n], numbers[:n]), len(times)


def _joined(pieces: list[npt.NDArray[np.generic]]) -> npt.NDArray[Any]:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def worked_out(function: str, grid: Grid, window_ms: int, samples: Points) -> Rows:
    """A leaf of KERNEL_FUNCTIONS on the grid, from its samples; those outside of the windows do not matter."""
    run, options = _KERNELS[function]
    shape = (len(samples.ids), grid.n)
    values, present = np.empty(shape), np.empty(shape, bool)
    ends = (grid.start_ms, grid.step_ms, grid.n)
    run(samples.ts_ms, samples.values, samples.offsets, *ends, window_ms, *options, values, present)
    return Rows(samples.ids, values, present)


def warm_up() -> None:
    """Has the loops compiled, or read from disk, before the first query needs them. Takes seconds at most."""
    kinds = (("UInt32", np.uint32), ("Int64", np.int64))
    for kind, dtype in kinds:
        columns = [
            ("series_id", "UInt64", np.zeros(1, np.uint64).tobytes()),
            ("times", f"Array({kind})", np.ones(1, np.uint64).tobytes() + np.ones(1, dtype).tobytes()),
            ("numbers", "Array(Float64)", np.ones(1, np.uint64).tobytes() + np.ones(1).tobytes()),
        ]
        samples, _ = tidied(native.block(1, columns), 0, keep_stale=False)
    for function in _KERNELS:
        rows = worked_out(function, Grid(1, 1, 2), 1, samples)
    total, lost, members = np.zeros((1, 2)), np.zeros((1, 2)), np.zeros((1, 2), np.int64)
    one = np.zeros(1, np.int64)
    kernel_groups.picked(rows.values, rows.present, np.arange(2), one, one, total, lost, np.zeros((1, 2), bool))
    kernel_groups.gathered(rows.values, rows.present, one, kernel_groups.SUM, total, lost, members)
