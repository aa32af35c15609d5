"""A generator over PromQL's grammar: queries that make sense, over the series of `test_promql_peer`."""

from __future__ import annotations

import random
from collections.abc import Callable

METRICS = ("http_requests_total", "temperature", "latency_bucket")
LABELS = ("instance", "code", "le")
VALUES = {"instance": "abcz", "code": ("200", "404", "500"), "le": ("0.1", "0.5", "+Inf")}
RANGES = ("31s", "2m", "5m", "11m")
OF_RANGE = (
    *("rate", "increase", "delta", "irate", "idelta", "deriv", "changes", "resets"),
    *("avg_over_time", "min_over_time", "max_over_time", "sum_over_time", "count_over_time", "last_over_time"),
    *("present_over_time", "stddev_over_time", "stdvar_over_time"),
)
OF_VECTOR = (
    *("abs", "ceil", "floor", "exp", "ln", "log2", "log10", "sqrt", "sgn", "round", "sin", "cos", "tanh", "atan"),
    *("deg", "rad", "timestamp", "minute", "hour", "day_of_week", "days_in_month", "absent"),
)
AGGREGATIONS = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]
ARITHMETIC = ["+", "-", "*", "/", "%", "^", "atan2"]
COMPARISONS = ["==", "!=", ">", "<", ">=", "<="]
NUMBERS = ("0", "1", "-2.5", "1e3", "0.5", "100", "Inf", "NaN", "5000")


class Generator:
    """Queries in an order that the seed decides."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def query(self) -> str:
        """A query for a range: an instant vector or a scalar."""
        return self._vector(3) if self._random.random() < 0.95 else self._scalar(2)

    def _pick(self, *ways: Callable[[], str]) -> str:
        return self._random.choice(ways)()

    def _matcher(self) -> str:
        label = self._random.choice(LABELS)
        value = self._random.choice(VALUES[label])
        op = self._random.choice(("=", "!=", "=~", "!~"))
        if op in ("=~", "!~"):
            other = self._random.choice(VALUES[label])
            value = self._random.choice((f"{value}|{other}", ".+", ".*", f"{value[:1]}.*")).replace("+Inf", "[+]Inf")
        return f'{label}{op}"{value}"'

    def _selector(self) -> str:
        matchers = ",".join(self._matcher() for _ in range(self._random.choice((0, 0, 1, 1, 2))))
        return self._random.choice(METRICS) + (f"{{{matchers}}}" if matchers else "")

    def _modifier(self) -> str:
        return self._random.choice(("", "", "", "", " offset 1m", " offset -90s", " @ end()", " @ start()"))

    def _range(self, depth: int) -> str:
        window = self._random.choice(RANGES)
        if depth > 0 and self._random.random() < 0.2:
            return f"({self._vector(depth - 1)})[{window}:{self._random.choice(('20s', '1m'))}]{self._modifier()}"
        return f"{self._selector()}[{window}]{self._modifier()}"

    def _of_range(self, depth: int) -> str:
        window = self._range(depth)
        return self._pick(
            lambda: f"{self._random.choice(OF_RANGE)}({window})",
            lambda: f"{self._random.choice(OF_RANGE)}({window})",
            lambda: f"{self._random.choice(OF_RANGE)}({window})",
            lambda: f"quantile_over_time({self._random.choice(('0', '0.3', '0.9', '1', '2'))}, {window})",
            lambda: f"predict_linear({window}, 600)",
            lambda: f"absent_over_time({window})",
        )

    def _grouping(self) -> str:
        names = ", ".join(self._random.sample(LABELS, self._random.randint(0, 2)))
        return self._random.choice(("", f" by ({names})", f" without ({names})"))

    def _aggregation(self, depth: int) -> str:
        inner, grouping = self._vector(depth - 1), self._grouping()
        return self._pick(
            lambda: f"{self._random.choice(AGGREGATIONS)}{grouping} ({inner})",
            lambda: f"{self._random.choice(AGGREGATIONS)}{grouping} ({inner})",
            lambda: f"quantile{grouping} ({self._random.choice(('0.2', '0.5', '1'))}, {inner})",
            lambda: f'count_values{grouping} ("value", round({inner}))',
        )

    def _scalar(self, depth: int) -> str:
        if depth <= 0:
            return self._random.choice(NUMBERS)
        return self._pick(
            lambda: self._random.choice(NUMBERS),
            lambda: self._random.choice(NUMBERS),
            lambda: "time()",
            lambda: f"scalar({self._vector(depth - 1)})",
            lambda: f"({self._scalar(depth - 1)} {self._random.choice(ARITHMETIC)} {self._scalar(depth - 1)})",
        )

    def _matching(self) -> str:
        names = ", ".join(self._random.sample(LABELS, self._random.randint(0, 2)))
        how = self._random.choice(("", f"on ({names})", f"ignoring ({names})"))
        return how + (self._random.choice(("", "", " group_left ()", " group_right ()")) if how else "")

    def _binary(self, depth: int) -> str:
        left, right = self._vector(depth - 1), self._vector(depth - 1)
        same = left if self._random.random() < 0.4 else right
        return self._pick(
            lambda: f"({left}) {self._random.choice(ARITHMETIC)} {self._scalar(1)}",
            lambda: f"{self._scalar(1)} {self._random.choice(ARITHMETIC)} ({left})",
            lambda: (
                f"({left}) {self._random.choice(COMPARISONS)}{self._random.choice(('', ' bool'))} {self._scalar(1)}"
            ),
            lambda: f"({left}) {self._random.choice(ARITHMETIC)} {self._matching()} ({same})",
            lambda: f"({left}) {self._random.choice(COMPARISONS)} {self._matching()} ({same})",
            lambda: f"({left}) {self._random.choice(('and', 'or', 'unless'))} ({same})",
            lambda: f"({left}) {self._random.choice(('and', 'or', 'unless'))} on (instance) ({right})",
        )

    def _function(self, depth: int) -> str:
        inner = self._vector(depth - 1)
        return self._pick(
            lambda: f"{self._random.choice(OF_VECTOR)}({inner})",
            lambda: f"-({inner})",
            lambda: f"clamp({inner}, 10, 5000)",
            lambda: f"clamp_min({inner}, {self._scalar(0)})",
            lambda: f"round({inner}, 5)",
            lambda: f'label_replace({inner}, "code", "x-$1", "instance", "(a|b)")',
            lambda: f'label_join({inner}, "joined", "-", "instance", "code")',
            lambda: f"histogram_quantile(0.{self._random.randint(1, 9)}, {inner})",
            lambda: f"histogram_quantile(0.9, sum by (le) (rate(latency_bucket[{self._random.choice(RANGES)}])))",
            lambda: f"vector({self._scalar(1)})",
        )

    def _vector(self, depth: int) -> str:
        if depth <= 0:
            return self._pick(lambda: self._selector() + self._modifier(), lambda: self._of_range(0))
        return self._pick(
            lambda: self._selector() + self._modifier(),
            lambda: self._of_range(depth),
            lambda: self._of_range(depth),
            lambda: self._aggregation(depth),
            lambda: self._binary(depth),
            lambda: self._function(depth),
        )
