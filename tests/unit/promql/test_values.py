"""Numbers and sums: written as Prometheus writes them, added without losing digits."""

from __future__ import annotations

import math

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.prometheus_json import encode, format_time, format_values
from app.query.promql import kahan
from app.query.promql.format import format_general, format_json, format_value
from app.query.promql.quantiles import quantile_of_rows
from app.query.result import QueryResult, Samples


@pytest.mark.parametrize(
    ("value", "plain", "general", "sample"),
    [
        (0.0, "0", "0", "0"),
        (-0.0, "-0", "-0", "-0"),
        (1.0, "1", "1", "1"),
        (0.1, "0.1", "0.1", "0.1"),
        (1e-6, "0.000001", "1e-06", "0.000001"),
        (-2.5e-9, "-0.0000000025", "-2.5e-09", "-2.5e-09"),
        (123456.0, "123456", "123456", "123456"),
        (1234567.0, "1234567", "1.234567e+06", "1234567"),
        (1e21, "1000000000000000000000", "1e+21", "1e+21"),
        (123456789012345678.0, "123456789012345680", "1.2345678901234568e+17", "123456789012345680"),
        (5e-324, "0." + "0" * 323 + "5", "5e-324", "5e-324"),
        (math.nan, "NaN", "NaN", "NaN"),
        (math.inf, "+Inf", "+Inf", "+Inf"),
        (-math.inf, "-Inf", "-Inf", "-Inf"),
    ],
)
def test_values_are_written_as_go_writes_them(value: float, plain: str, general: str, sample: str) -> None:
    """'f' never has an exponent, 'g' early; samples in JSON have one where they are very small or large."""
    assert format_value(value) == plain
    assert format_general(value) == general
    assert format_json(value) == sample
    assert format_values(np.array([value])).to_pylist() == [sample]


@given(st.lists(st.floats(), max_size=30), st.integers(1, 100))
def test_columns_of_values_read_back_exactly(values: list[float], times: int) -> None:
    """Any float, alone or repeated so that it is written only once, reads back as the same float."""
    column = np.array(values * times, np.float64)
    texts = format_values(column).to_pylist()
    assert texts == [format_json(v) for v in column.tolist()]
    assert all(float(t) == v or math.isnan(v) for t, v in zip(texts, column.tolist(), strict=True))


def test_times_have_milliseconds_where_they_are() -> None:
    """Whole seconds have no point; others three digits."""
    assert [format_time(t) for t in (0, 1500, -1500, 1_700_000_000_007)] == ["0", "1.500", "-1.500", "1700000000.007"]


def test_a_matrix_leaves_out_what_is_absent() -> None:
    """Absent steps and series without any are not in the JSON; labels are escaped."""
    present = np.array([[True, False, True], [False, False, False], [False, True, False]])
    labels = [(("a", '"1\\'),), (), (("b", "ü"),)]
    result = QueryResult("matrix", labels, np.arange(3) * 1500, np.arange(9.0).reshape(3, 3), present, infos=("i",))
    assert orjson.loads(encode(result)) == {
        "status": "success",
        "data": {
            "resultType": "matrix",
            "result": [
                {"metric": {"a": '"1\\'}, "values": [[0, "0"], [3, "2"]]},
                {"metric": {"b": "ü"}, "values": [[1.5, "7"]]},
            ],
        },
        "infos": ["i"],
    }


def test_a_raw_matrix_and_an_empty_one() -> None:
    """Raw samples keep their own times; nothing selected is an empty list."""
    nothing = np.empty((0, 0))
    raw = Samples([(("a", "1"),)], np.array([0, 2]), np.array([7, 9000]), np.array([1.5, 2.0]))
    result = QueryResult("matrix", raw.labels, np.zeros(1, np.int64), nothing, nothing.astype(bool), raw=raw)
    assert orjson.loads(encode(result))["data"]["result"] == [
        {"metric": {"a": "1"}, "values": [[0.007, "1.5"], [9, "2"]]}
    ]
    empty = QueryResult("matrix", [], np.arange(3), np.empty((0, 3)), np.empty((0, 3), bool))
    assert orjson.loads(encode(empty))["data"]["result"] == []


@given(st.lists(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=20), min_size=1, max_size=5))
def test_group_sums_are_as_good_as_exact(groups: list[list[float]]) -> None:
    """Sums of groups of rows agree with exact summation to the precision of the largest item times 1e-28."""
    rows = np.array([item for group in groups for item in group])[:, None]
    starts = np.cumsum([0, *(len(g) for g in groups)])[:-1]
    sums = kahan.group_sums(rows, starts)[:, 0]
    for group, total in zip(groups, sums.tolist(), strict=True):
        exact = math.fsum(group)
        assert total == pytest.approx(exact, rel=1e-12, abs=max(map(abs, group)) * 1e-28)


def test_sums_keep_what_cancels() -> None:
    """1 + 1e100 + 1 - 1e100 is 2, and infinities stay infinite."""
    rows = np.array([1, 1e100, 1, -1e100, np.inf, 1, np.inf, -np.inf])[:, None]
    with np.errstate(all="ignore"):
        assert kahan.group_sums(rows, np.array([0, 4, 6]))[:2, 0].tolist() == [2.0, math.inf]
        assert math.isnan(kahan.group_sums(rows, np.array([0, 4, 6]))[2, 0])


def test_quantiles_interpolate_and_count_nan_as_smallest() -> None:
    """Linear between ranks; outside 0 to 1 infinite; of nothing NaN."""
    rows = np.array([[3.0, 1.0, 2.0, 9.0], [5.0, np.nan, 0.0, 0.0]])
    real = np.array([[True, True, True, False], [True, True, False, False]])
    assert quantile_of_rows(rows, real, np.array([0.5, 1.0])).tolist() == [2.0, 5.0]
    assert math.isnan(quantile_of_rows(rows, real, np.array([0.5, 0.0]))[1])
    assert quantile_of_rows(rows, real, np.array([-1.0, 2.0])).tolist() == [-math.inf, math.inf]
    assert np.isnan(quantile_of_rows(rows, real & False, np.array([0.5, 0.5]))).all()
