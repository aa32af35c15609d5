"""The statements of leaves: samples of a selector put on the grid by the engine, and aggregations of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.labels import METRIC_NAME
from app.query.grid import Grid
from app.query.promql.ast import Grouping, Selector
from app.query.promql.conditions import Parameters, samples_condition, series_condition, storable
from app.query.promql.leaf import INSTANT, INSTANT_TIME, Leaf
from app.store.metrics import STALE_NAN_BITS

GRID_FUNCTIONS: Mapping[str, str] = {
    # checked against the array implementation by tests/integration/test_promql_paths.py
    "avg_over_time": "timeSeriesAvgToGrid",
    "changes": "timeSeriesChangesToGrid",
    "count_over_time": "timeSeriesCountToGrid",
    "delta": "timeSeriesDeltaToGrid",
    "deriv": "timeSeriesDerivToGrid",
    "idelta": "timeSeriesInstantDeltaToGrid",
    "increase": "timeSeriesIncreaseToGrid",
    "irate": "timeSeriesInstantRateToGrid",
    "last_over_time": "timeSeriesLastToGrid",
    "max_over_time": "timeSeriesMaxToGrid",
    "min_over_time": "timeSeriesMinToGrid",
    "rate": "timeSeriesRateToGrid",
    "resets": "timeSeriesResetsToGrid",
    "sum_over_time": "timeSeriesSumToGrid",
}
_PUSHED = {
    "sum": "sumForEach(grid)",
    "avg": "sumForEach(grid)",
    "min": "minForEach(grid)",
    "max": "maxForEach(grid)",
    "count": "countForEach(grid)",
    "group": "countForEach(grid)",
}
SLIDING = frozenset({"rate", "increase"})
"""The engine moves their sums from window to window: an infinity that has left one turns the next into NaN."""
_NEVER_NEGATIVE = frozenset({"changes", "count_over_time", "increase", "irate", "rate", "resets"})
"""Functions whose values lose nothing when they are added plainly."""
PUSHED_AGGREGATIONS = frozenset(_PUSHED)
NOT_STALE = f"reinterpretAsUInt64(value) != {STALE_NAN_BITS}"


def where_sql(selector: Selector, after_ms: int, until_ms: int, parameters: Parameters) -> str:
    """What a row of `metric_samples` of a selector in (after_ms, until_ms] must satisfy."""
    return (
        f"{samples_condition(selector, parameters)}"
        f" AND ts > {parameters.time(after_ms)} AND ts <= {parameters.time(until_ms)}"
    )


def of_metrics_sql(metrics: Sequence[str], after_ms: int, until_ms: int, parameters: Parameters) -> str:
    """What a row of `metric_samples` of some metrics in (after_ms, until_ms] must satisfy."""
    # a list of names is many times faster than a condition for each
    names = parameters.add(list(dict.fromkeys(metrics)), "Array(String)")
    return f"metric IN {names} AND ts > {parameters.time(after_ms)} AND ts <= {parameters.time(until_ms)}"


def grid_sql(leaf: Leaf, grid: Grid, parameters: Parameters) -> str:
    """A row for each series of a leaf: its id, an array with a value or NULL for each step, how many samples it has."""
    instant = leaf.function in (INSTANT, INSTANT_TIME)
    function = "timeSeriesLastToGrid" if instant else GRID_FUNCTIONS[leaf.function]
    # a marker stays a marker, so that it buries what is before it
    value = f"if({NOT_STALE}, toUnixTimestamp64Milli(ts) / 1000, value)" if leaf.function == INSTANT_TIME else "value"
    step = parameters.add(_decimal(grid.step_ms), "Decimal(18, 3)")
    window = parameters.add(_decimal(leaf.window_ms), "Decimal(18, 3)")
    on_grid = (
        f"{function}({parameters.time(grid.start_ms)}, {parameters.time(grid.end_ms)}, {step}, {window})(ts, {value})"
    )
    # a stale marker buries the sample before it in an instant selector; a range does not see it
    stale = "" if instant else f" AND {NOT_STALE}"
    where = where_sql(leaf.selector, storable(grid.start_ms - leaf.window_ms), grid.end_ms, parameters)
    return (
        f"-- PromQL: {leaf.function} of a selector\n"
        f"SELECT series_id, {on_grid} AS grid, count() AS samples\n"
        f"FROM metric_samples\nWHERE {where}{stale}\nGROUP BY series_id"
    )


def pushed_sql(leaf: Leaf, grid: Grid, op: str, grouping: Grouping, parameters: Parameters) -> str:
    """A row for each group of an aggregation over a leaf."""
    inner = grid_sql(leaf, grid, parameters)
    if leaf.function == INSTANT:
        inner = (
            "SELECT series_id, samples, arrayMap(v -> if(reinterpretAsUInt64(assumeNotNull(v)) ="
            f" {STALE_NAN_BITS}, NULL, v), grid) AS grid\nFROM (\n{inner}\n)"
        )
    counts = ", countForEach(grid) AS counts" if op in ("avg", "count", "group") else ""
    if may_cancel(leaf, op):
        counts += ", max(arrayMax(v -> abs(v), grid)) AS largest"
    if leaf.function in SLIDING:
        counts += ", max(arrayExists(v -> isNaN(v), grid)) AS doubted"
    selected = f"{_PUSHED[op]} AS value{counts}, sum(samples) AS samples, count() AS series"
    if not grouping.labels and not grouping.without:
        return f"-- PromQL: {op}\nSELECT {selected}\nFROM (\n{inner}\n)\nHAVING series > 0"
    return (
        f"-- PromQL: {op} {'without' if grouping.without else 'by'} labels\n"
        f"SELECT key, {selected}\nFROM (\n{inner}\n) AS s\nINNER JOIN (\n"
        f"SELECT series_id, {_key_sql(grouping, parameters)} AS key\nFROM metric_series\n"
        f"WHERE {series_condition(leaf.selector, parameters)}\nGROUP BY series_id\n) AS k USING (series_id)\n"
        "GROUP BY key"
    )


def may_cancel(leaf: Leaf, op: str) -> bool:
    """Whether plain sums of a leaf may lose digits, as its values have both signs."""
    return op in ("sum", "avg") and leaf.function not in _NEVER_NEGATIVE


def _key_sql(grouping: Grouping, parameters: Parameters) -> str:
    if grouping.without:
        names = parameters.add(list(grouping.labels), "Array(String)")
        return f"any(mapFilter((name, value) -> value != '' AND NOT has({names}, name), labels))"
    columns = (
        "toString(any(metric))" if name == METRIC_NAME else f"any(labels[{parameters.add(name)}])"
        for name in grouping.labels
    )
    return f"[{', '.join(columns)}]"


def _decimal(ms: int) -> str:
    return f"{ms // 1000}.{ms % 1000:03d}"
