"""The range aggregations: what each takes, what the store makes of the lines of a bucket, and of them a window's value.

Buckets are the parts that windows of all steps are made of. Where a value cannot be put together from parts the
store gives every sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.errors import BadQuery
from app.query.promql.range_functions import RANGE_FUNCTIONS
from app.query.promql.windows import Windows, sums_between
from app.query.vector import Bools, Floats

if TYPE_CHECKING:
    from app.query.logql.ast import RangeAggregation

OfWindows = Callable[[list[Windows], "RangeAggregation"], tuple[Floats, Bools]]
_COUNT, _BYTES, _SUM = "toFloat64(count())", "toFloat64(sum(length({line})))", "sum({sample})"
# NaN only where there is nothing else
_LEAST = "if(countIf(NOT isNaN({sample})) = 0, nan, minIf({sample}, NOT isNaN({sample})))"
_MOST = _LEAST.replace("minIf", "maxIf")


@dataclass(frozen=True, slots=True)
class RangeFunction:
    """`parts`: aggregates of a bucket as SQL, of the columns `line` and `sample`; none where every sample is wanted.

    `value` takes the windows over each part, or over the samples. `adds`: sums of its values are values of the sums.
    """

    value: OfWindows
    parts: tuple[str, ...] = ()
    adds: bool = False


def _total(windows: list[Windows], node: RangeAggregation) -> tuple[Floats, Bools]:
    first = windows[0]
    return sums_between(first.values, first.lo, first.hi), first.some


def _per_second(windows: list[Windows], node: RangeAggregation) -> tuple[Floats, Bools]:
    total, some = _total(windows, node)
    return total / (node.range_ms / 1000), some


def _mean(windows: list[Windows], node: RangeAggregation) -> tuple[Floats, Bools]:
    total, some = _total(windows, node)
    return total / np.maximum(_total(windows[1:], node)[0], 1), some


def _as_promql(name: str) -> OfWindows:
    return lambda windows, node: RANGE_FUNCTIONS[name](windows[0])


def _quantile(windows: list[Windows], node: RangeAggregation) -> tuple[Floats, Bools]:
    return RANGE_FUNCTIONS["quantile_over_time"](windows[0], np.full(len(windows[0].lo), node.parameter))


def _rate_of_counter(windows: list[Windows], node: RangeAggregation) -> tuple[Floats, Bools]:
    values, enough = RANGE_FUNCTIONS["rate"](windows[0])
    # unlike Prometheus, Loki says 0 where there is one sample
    return np.where(enough, values, 0.0), windows[0].some


_OF_LINES: Mapping[str, RangeFunction] = {
    "count_over_time": RangeFunction(_total, (_COUNT,), adds=True),
    "rate": RangeFunction(_per_second, (_COUNT,), adds=True),
    "bytes_over_time": RangeFunction(_total, (_BYTES,), adds=True),
    "bytes_rate": RangeFunction(_per_second, (_BYTES,), adds=True),
    "absent_over_time": RangeFunction(_total, (_COUNT,)),
}
_OF_SAMPLES: Mapping[str, RangeFunction] = {
    "rate": RangeFunction(_per_second, (_SUM,), adds=True),
    "rate_counter": RangeFunction(_rate_of_counter),
    "sum_over_time": RangeFunction(_total, (_SUM,), adds=True),
    "avg_over_time": RangeFunction(_mean, (_SUM, _COUNT)),
    "min_over_time": RangeFunction(_as_promql("min_over_time"), (_LEAST,)),
    "max_over_time": RangeFunction(_as_promql("max_over_time"), (_MOST,)),
    "first_over_time": RangeFunction(_as_promql("first_over_time"), ("argMin({sample}, (ts, seq))",)),
    "last_over_time": RangeFunction(_as_promql("last_over_time"), ("argMax({sample}, (ts, seq))",)),
    "stddev_over_time": RangeFunction(_as_promql("stddev_over_time")),
    "stdvar_over_time": RangeFunction(_as_promql("stdvar_over_time")),
    "quantile_over_time": RangeFunction(_quantile),
    "absent_over_time": RangeFunction(_total, (_COUNT,)),
}
_GROUPED = frozenset(
    f"{name}_over_time" for name in ["avg", "stddev", "stdvar", "quantile", "max", "min", "first", "last"]
)


def range_function(node: RangeAggregation) -> RangeFunction:
    """The function of an aggregation that was checked."""
    return (_OF_SAMPLES if node.unwrap else _OF_LINES)[node.op]


def check_range_aggregation(node: RangeAggregation) -> None:
    """Raises BadQuery where a function is asked for what it does not take, as Loki does."""
    problem = _problem(node)
    if problem:
        raise BadQuery(f"parse error : {problem}", node.position)


def _problem(node: RangeAggregation) -> str:
    takes_parameter = node.op == "quantile_over_time"
    if takes_parameter and node.parameter is None:
        return f"parameter required for operation {node.op}"
    if not takes_parameter and node.parameter is not None:
        return f"parameter {node.parameter:g} not supported for operation {node.op}"
    if node.grouping is not None and node.op not in _GROUPED:
        return f"grouping not allowed for {node.op} aggregation"
    if node.unwrap is not None and node.op not in _OF_SAMPLES:
        return f"invalid aggregation {node.op} with unwrap"
    if node.unwrap is None and node.op not in _OF_LINES:
        return f"invalid aggregation {node.op} without unwrap"
    return ""
