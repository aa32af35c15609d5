"""What functions take and give (promql/parser/functions.go of Prometheus)."""

from __future__ import annotations

from dataclasses import dataclass

from app.query.promql.names import DATE_FUNCTIONS, MATH_FUNCTIONS, RANGE_FUNCTIONS
from app.query.promql.syntax.parts import ValueType


@dataclass(frozen=True, slots=True)
class Signature:
    """The types of a function's arguments and of its value; `optional` is how many of the last one may be there more
    or less than once: 1 for one that may be missing, -1 for any number."""

    takes: tuple[ValueType, ...]
    gives: ValueType = "vector"
    optional: int = 0


_SHORT: dict[str, ValueType] = {"v": "vector", "m": "matrix", "s": "scalar", "t": "string"}


def _signature(takes: str, gives: str = "v", optional: int = 0) -> Signature:
    return Signature(tuple(_SHORT[letter] for letter in takes), _SHORT[gives], optional)


SIGNATURES = (
    {name: _signature("m") for name in RANGE_FUNCTIONS}
    | {name: _signature("v") for name in MATH_FUNCTIONS}
    | {name: _signature("v", optional=1) for name in DATE_FUNCTIONS}
    | {name: _signature("", "s") for name in ("end", "pi", "range", "start", "step", "time")}
    | {
        name: _signature("v")
        for name in (
            "absent",
            "histogram_avg",
            "histogram_count",
            "histogram_stddev",
            "histogram_stdvar",
            "histogram_sum",
            "sort",
            "sort_desc",
            "start_timestamp",
            "timestamp",
        )
    }
    | {
        "clamp": _signature("vss"),
        "clamp_max": _signature("vs"),
        "clamp_min": _signature("vs"),
        "double_exponential_smoothing": _signature("mss"),
        "histogram_fraction": _signature("ssv"),
        "histogram_quantile": _signature("sv"),
        "histogram_quantiles": _signature("vtss", optional=9),
        "info": _signature("vv", optional=1),
        "label_join": _signature("vttt", optional=-1),
        "label_replace": _signature("vtttt"),
        "max_of": _signature("ss", "s"),
        "min_of": _signature("ss", "s"),
        "predict_linear": _signature("ms"),
        "quantile_over_time": _signature("sm"),
        "round": _signature("vs", optional=1),
        "scalar": _signature("v", "s"),
        "sort_by_label": _signature("vt", optional=-1),
        "sort_by_label_desc": _signature("vt", optional=-1),
        "vector": _signature("s"),
    }
)
"""By name; `start_timestamp` is known, but not answered."""
