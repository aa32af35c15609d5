"""Matchers as SQL conditions. User values travel as parameters only."""

from __future__ import annotations

from typing import Any

from app.labels import METRIC_NAME, Matcher, MatchOp
from app.query.promql.ast import Selector

# what DateTime64(3) holds; no sample can lie outside
FIRST_MS, LAST_MS = -2_208_988_800_000, 10_413_791_999_999


def storable(ms: int) -> int:
    """The nearest time that the store can hold."""
    return min(max(ms, FIRST_MS), LAST_MS)


class Parameters:
    """Collects the parameters of one statement and gives each a name."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def add(self, value: Any, kind: str = "String") -> str:
        """The placeholder for a value."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{kind}}}"

    def time(self, ms: int) -> str:
        """A time, from milliseconds."""
        return f"fromUnixTimestamp64Milli({self.add(ms, 'Int64')})"


def _matcher(matcher: Matcher, parameters: Parameters) -> str:
    # a missing key of a Map reads as '', just as PromQL has absent labels
    column = "metric" if matcher.name == METRIC_NAME else f"labels[{parameters.add(matcher.name)}]"
    if matcher.op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL):
        return f"{column} {'=' if matcher.op is MatchOp.EQUAL else '!='} {parameters.add(matcher.value)}"
    negation = "NOT " if matcher.op is MatchOp.NOT_REGEX else ""
    return f"{negation}match({column}, {parameters.add(f'^(?s:{matcher.value})$')})"


def series_condition(selector: Selector, parameters: Parameters) -> str:
    """What a row of `metric_series` must satisfy to be selected."""
    groups = [" AND ".join(_matcher(m, parameters) for m in group) or "1" for group in selector.alternatives]
    return groups[0] if len(groups) == 1 else "(" + " OR ".join(f"({group})" for group in groups) + ")"


def samples_condition(selector: Selector, parameters: Parameters) -> str:
    """What a row of `metric_samples` must satisfy to belong to a selected series."""
    metric = selector.metric
    if metric is None:
        return (
            "(metric, series_id) IN (SELECT metric, series_id FROM metric_series"
            f" WHERE {series_condition(selector, parameters)})"
        )
    condition = f"metric = {parameters.add(metric)}"
    if all(m.name == METRIC_NAME and m.op is MatchOp.EQUAL for group in selector.alternatives for m in group):
        return condition
    return (
        f"{condition} AND series_id IN (SELECT series_id FROM metric_series"
        f" WHERE {series_condition(selector, parameters)})"
    )
