"""Which functions and aggregations there are. A name that is not here is refused before any SQL runs."""

from __future__ import annotations

EXTRA_RANGE_FUNCTIONS = frozenset({"increase_exact"})
"""Range functions that Prometheus does not have."""

RANGE_FUNCTIONS = EXTRA_RANGE_FUNCTIONS | {
    "absent_over_time",
    "avg_over_time",
    "changes",
    "count_over_time",
    "delta",
    "deriv",
    "double_exponential_smoothing",
    "first_over_time",
    "idelta",
    "increase",
    "irate",
    "last_over_time",
    "mad_over_time",
    "max_over_time",
    "min_over_time",
    "predict_linear",
    "present_over_time",
    "quantile_over_time",
    "rate",
    "resets",
    "stddev_over_time",
    "stdvar_over_time",
    "sum_over_time",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
}

MATH_FUNCTIONS = frozenset(
    [
        "abs",
        "acos",
        "acosh",
        "asin",
        "asinh",
        "atan",
        "atanh",
        "ceil",
        "cos",
        "cosh",
        "deg",
        "exp",
        "floor",
        "ln",
        "log10",
        "log2",
        "rad",
        "sgn",
        "sin",
        "sinh",
        "sqrt",
        "tan",
        "tanh",
    ]
)
DATE_FUNCTIONS = frozenset(
    ["day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month", "year"]
)

FUNCTIONS = (
    RANGE_FUNCTIONS
    | MATH_FUNCTIONS
    | DATE_FUNCTIONS
    | frozenset(
        [
            "absent",
            "clamp",
            "clamp_max",
            "clamp_min",
            "histogram_avg",
            "histogram_count",
            "histogram_fraction",
            "histogram_quantile",
            "histogram_quantiles",
            "histogram_stddev",
            "histogram_stdvar",
            "histogram_sum",
            "info",
            "label_join",
            "label_replace",
            "pi",
            "end",
            "max_of",
            "min_of",
            "range",
            "start",
            "step",
            "round",
            "scalar",
            "sort",
            "sort_by_label",
            "sort_by_label_desc",
            "sort_desc",
            "time",
            "timestamp",
            "vector",
        ]
    )
)

AGGREGATIONS = frozenset(
    [
        "avg",
        "bottomk",
        "count",
        "count_values",
        "group",
        "limit_ratio",
        "limitk",
        "max",
        "min",
        "quantile",
        "stddev",
        "stdvar",
        "sum",
        "topk",
    ]
)
