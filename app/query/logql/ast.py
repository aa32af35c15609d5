"""The LogQL tree: frozen values that know where they stand and print back to LogQL. Stages are in `stages`."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.durations import format_duration_ms
from app.labels import Matcher
from app.query.logql.stages.stage import Stage
from app.query.logql.stages.unwrap import Unwrap
from app.query.logql.text import quoted
from app.query.promql.ast import Grouping, Matching
from app.query.promql.format import format_value


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A stream selector and the stages after it."""

    matchers: tuple[Matcher, ...]
    stages: tuple[Stage, ...] = ()
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        selector = "{" + ", ".join(f"{m.name}{m.op.value}{quoted(m.value)}" for m in self.matchers) + "}"
        return " ".join([selector, *map(str, self.stages)])


@dataclass(frozen=True, slots=True)
class RangeAggregation:
    """`op(parameter, query | unwrap … [range] offset …) by (labels)`; only quantile_over_time has a parameter."""

    op: str
    query: LogQuery
    range_ms: int
    offset_ms: int = 0
    unwrap: Unwrap | None = None
    parameter: float | None = None
    grouping: Grouping | None = None
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        parameter = "" if self.parameter is None else f"{format_value(self.parameter)}, "
        lines = f"{self.query} {self.unwrap}" if self.unwrap else str(self.query)
        offset = f" offset {format_duration_ms(self.offset_ms)}" if self.offset_ms else ""
        group = "" if self.grouping is None else f" {_group(self.grouping)}"
        return f"{self.op}({parameter}{lines} [{format_duration_ms(self.range_ms)}]{offset}){group}"


@dataclass(frozen=True, slots=True)
class VectorAggregation:
    """`op by (labels) (expr)`; topk and bottomk have a `parameter`."""

    op: str
    expr: Expr
    grouping: Grouping
    parameter: int | None = None
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        group = f" {_group(self.grouping)}" if self.grouping.labels or self.grouping.without else ""
        argument = "" if self.parameter is None else f"{self.parameter}, "
        return f"{self.op}{group} ({argument}{self.expr})"


@dataclass(frozen=True, slots=True)
class Number:
    """A number."""

    value: float
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return format_value(self.value)


@dataclass(frozen=True, slots=True)
class ConstantVector:
    """`vector(number)`: one series without labels."""

    value: float
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"vector({format_value(self.value)})"


@dataclass(frozen=True, slots=True)
class LabelReplace:
    """`label_replace(expr, target, replacement, source, expression)`."""

    expr: Expr
    target: str
    replacement: str
    source: str
    expression: str
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        texts = ", ".join(map(quoted, (self.target, self.replacement, self.source, self.expression)))
        return f"label_replace({self.expr}, {texts})"


@dataclass(frozen=True, slots=True)
class Binary:
    """`left op right`: arithmetic, a comparison, or a set operator; fields as those of PromQL's."""

    op: str
    left: Expr
    right: Expr
    matching: Matching = field(default_factory=Matching)
    return_bool: bool = False
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        words = [self.op, "bool"] if self.return_bool else [self.op]
        matching = self.matching
        if matching.on or matching.labels or matching.many:
            words.append(f"{'on' if matching.on else 'ignoring'} ({', '.join(matching.labels)})")
        if matching.many:
            words.append(f"group_{matching.many} ({', '.join(matching.include)})")
        return f"({self.left} {' '.join(words)} {self.right})"


Expr = LogQuery | RangeAggregation | VectorAggregation | Number | ConstantVector | LabelReplace | Binary


def _group(grouping: Grouping) -> str:
    return f"{'without' if grouping.without else 'by'} ({', '.join(grouping.labels)})"
