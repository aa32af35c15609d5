"""Functions of instant vectors that work value by value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import QueryFailed
from app.labels import METRIC_NAME, Labels, Matcher, MatchOp, labels_from
from app.query.promql.ast import Range, Selector
from app.query.vector import Bools, Floats, Ints, Vector, unnamed

MATH: Mapping[str, Callable[[Floats], Floats]] = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "deg": np.degrees,
    "exp": np.exp,
    "floor": np.floor,
    "ln": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "rad": np.radians,
    "sgn": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
}


def _parts(seconds: Floats) -> tuple[Ints, npt.NDArray[np.datetime64]]:
    """(whole seconds since the epoch, the day), both in UTC."""
    # beyond this a datetime64 of days has no year NumPy can work out
    whole = np.clip(np.nan_to_num(seconds, nan=0.0), -6.7e13, 6.7e13).astype(np.int64)
    return whole, np.floor_divide(whole, 86_400).astype("datetime64[D]")


def _floats(items: npt.NDArray[Any]) -> Floats:
    return np.asarray(items, np.float64) if items.dtype.kind != "m" else items.astype(np.int64).astype(np.float64)


def _of_month(seconds: Floats) -> Floats:
    _, day = _parts(seconds)
    return _floats((day - day.astype("datetime64[M]")).astype(np.int64) + 1)


def _days_in_month(seconds: Floats) -> Floats:
    month = _parts(seconds)[1].astype("datetime64[M]")
    return _floats((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]"))


def _of_year(seconds: Floats) -> Floats:
    _, day = _parts(seconds)
    return _floats((day - day.astype("datetime64[Y]")).astype(np.int64) + 1)


DATES: Mapping[str, Callable[[Floats], Floats]] = {
    "day_of_month": _of_month,
    # the epoch was a Thursday
    "day_of_week": lambda s: ((_parts(s)[1].astype(np.int64) + 4) % 7).astype(np.float64),
    "day_of_year": _of_year,
    "days_in_month": _days_in_month,
    "hour": lambda s: (_parts(s)[0] % 86_400 // 3600).astype(np.float64),
    "minute": lambda s: (_parts(s)[0] % 3600 // 60).astype(np.float64),
    "month": lambda s: (_parts(s)[1].astype("datetime64[M]").astype(np.int64) % 12 + 1).astype(np.float64),
    "year": lambda s: (_parts(s)[1].astype("datetime64[Y]").astype(np.int64) + 1970).astype(np.float64),
}


def dates(name: str, vector: Vector) -> Vector:
    """A date function: the values are seconds since the epoch, in UTC; NaN and infinities stay what they are."""
    found = np.where(np.isfinite(vector.values), DATES[name](vector.values), np.nan)
    return unnamed(Vector(vector.labels, found, vector.present))


def clamp(vector: Vector, low: Floats | None, high: Floats | None) -> Vector:
    """Values held between bounds, one a step; where low > high there is no result, and a NaN bound gives NaN.

    As Go's math.Min and math.Max: an infinite bound that decides is the answer for NaN too.
    """
    values, present = vector.values, vector.present
    if low is not None and high is not None:
        crossed: Bools = np.asarray(high < low)
        present = present & ~crossed[None, :]
    # minimum and maximum, unlike fmin and fmax, let NaN through
    if high is not None:
        values = np.where(np.isneginf(values) | np.isneginf(high), -np.inf, np.minimum(values, high[None, :]))
    if low is not None:
        values = np.where(np.isposinf(values) | np.isposinf(low), np.inf, np.maximum(values, low[None, :]))
    return unnamed(Vector(vector.labels, values, present).compact())


def round_to(vector: Vector, nearest: Floats) -> Vector:
    """Rounded to the nearest multiple, ties up."""
    inverse = 1.0 / nearest[None, :]
    return unnamed(Vector(vector.labels, np.floor(vector.values * inverse + 0.5) / inverse, vector.present))


def sorted_by_value(vector: Vector, descending: bool) -> Vector:
    """Ordered by the value of the one step there is, NaN last both ways; an answer of many steps has no order."""
    if vector.steps != 1:
        return vector
    values = vector.values[:, 0]
    return vector.take(np.lexsort((-values if descending else values, np.isnan(values))))


def absent(labels: Labels, present: Bools) -> Vector:
    """1 at the steps where nothing is present."""
    somewhere: Bools = np.asarray(present.any(axis=0))[None, :]
    return Vector([labels], np.ones(somewhere.shape), ~somewhere).compact()


def labels_of_absent(node: object) -> Labels:
    """The labels an absent selector would have had, where its matchers say so."""
    selector = node.selector if isinstance(node, Range) else node
    if not isinstance(selector, Selector) or len(selector.alternatives) != 1:
        return ()
    # matchers that take series away come last in Prometheus: its storage sorts them, before their labels are read
    matchers = sorted((m for m in selector.alternatives[0] if m.name != METRIC_NAME), key=_takes_away)
    found: dict[str, str] = {}
    seen: set[str] = set()
    for matcher in matchers:
        if matcher.op is MatchOp.EQUAL and matcher.name not in seen:
            found[matcher.name] = matcher.value
            seen.add(matcher.name)
        else:
            found.pop(matcher.name, None)
    return labels_from(found)


def _takes_away(matcher: Matcher) -> bool:
    return matcher.op in (MatchOp.NOT_EQUAL, MatchOp.NOT_REGEX) and matcher.matches("")


def scalar_of(vector: Vector) -> Floats:
    """The value of the one series there is at each step, else NaN."""
    only = vector.present.sum(axis=0) == 1
    total = np.where(vector.present, vector.values, 0.0).sum(axis=0)
    return np.where(only, total, np.nan)


def check_factor(name: str, value: Floats) -> None:
    """A smoothing or trend factor must lie between 0 and 1."""
    bad = ~((value >= 0) & (value <= 1))
    if bad.any():
        raise QueryFailed(f"invalid {name} factor. Expected: 0 <= {name[0]}f <= 1, got: {value[bad][0]:f}")
