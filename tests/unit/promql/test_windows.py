"""Windows over raw samples, and the functions that only arrays have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.query.promql.range_functions import RANGE_FUNCTIONS
from app.query.promql.windows import cut, sums_between
from app.query.result import Samples
from app.query.vector import Floats

series_of_times = st.lists(st.lists(st.integers(0, 1000), max_size=30, unique=True).map(sorted), min_size=1, max_size=4)


def samples(times: list[list[int]]) -> Samples:
    """Series with samples at these times; each value is ten times its time."""
    offsets = np.cumsum([0, *map(len, times)])
    flat = np.array([t for own in times for t in own], np.int64)
    return Samples([(("i", str(i)),) for i in range(len(times))], offsets, flat, flat.astype(np.float64) * 10.0)


@given(series_of_times, st.integers(-50, 1100), st.integers(1, 200), st.integers(1, 500))
def test_a_window_holds_what_lies_after_its_start_and_not_after_its_end(
    times: list[list[int]], start: int, step: int, range_ms: int
) -> None:
    """Windows are open on the left and closed on the right, for each series its own."""
    ends = start + np.arange(7) * step
    windows = cut(samples(times), ends, range_ms)
    got = [windows.ts_ms[lo:hi].tolist() for lo, hi in zip(windows.lo, windows.hi, strict=True)]
    assert got == [[t for t in own if end - range_ms < t <= end] for own in times for end in ends.tolist()]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.data())
def test_sums_between_add_each_stretch_anew(items: list[float], data: st.DataObject) -> None:
    """Any stretches, overlapping or empty, in any order."""
    edge = st.integers(0, len(items))
    pairs = data.draw(st.lists(st.tuples(edge, edge), max_size=20))
    lo, hi = (np.array([p[i] for p in pairs], np.int64) for i in (0, 1))
    got = sums_between(np.array(items), lo, hi)
    assert got.tolist() == pytest.approx([sum(items[a:b]) if b > a else 0.0 for a, b in pairs], abs=1e-6)


@given(series_of_times, st.sampled_from(["avg", "min", "max", "sum", "stddev", "quantile", "last"]))
def test_window_functions_agree_with_numpy(times: list[list[int]], name: str) -> None:
    """The functions over time are what NumPy says of each window."""
    ends = np.arange(0, 1200, 130)
    windows = cut(samples(times), ends, 300)
    parameters = [np.full(len(windows.lo), 0.25)] if name == "quantile" else []
    values, present = RANGE_FUNCTIONS[f"{name}_over_time"](windows, *parameters)
    by_name: dict[str, Callable[[Floats], Any]] = {
        "avg": np.mean,
        "min": np.min,
        "max": np.max,
        "sum": np.sum,
        "stddev": np.std,
        "quantile": lambda v: np.quantile(v, 0.25),
        "last": lambda v: v[-1],
    }
    plain = by_name[name]
    for lo, hi, value, here in zip(windows.lo, windows.hi, values, present, strict=True):
        assert here == (hi > lo)
        if here:
            assert value == pytest.approx(float(plain(windows.values[lo:hi])), rel=1e-9, abs=1e-7)


def test_increase_exact_counts_resets_and_its_baseline() -> None:
    """The sample before the window is the baseline; after a reset the new value counts whole."""
    ts = np.array([0, 10, 20, 30, 400_000]) * 1000 // 1000 * 1000
    own = Samples([()], np.array([0, 5]), ts, np.array([5.0, 8.0, 2.0, 3.0, 50.0]))
    windows = cut(own, np.array([10_000, 20_000, 30_000, 400_000_000]), 10_000)
    values, present = RANGE_FUNCTIONS["increase_exact"](windows)
    assert values.tolist() == [3.0, 2.0, 1.0, 0.0]
    assert present.all()
