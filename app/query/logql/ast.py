"""The LogQL tree: frozen values that know where they stand and print back to LogQL."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum

from app.durations import format_duration_ms
from app.labels import Matcher
from app.query.promql.ast import Grouping
from app.query.promql.format import format_value


class FilterOp(StrEnum):
    """The four line filters."""

    CONTAINS = "|="
    NOT_CONTAINS = "!="
    MATCHES = "|~"
    NOT_MATCHES = "!~"

    @property
    def negative(self) -> bool:
        """Whether lines that contain or match are left out."""
        return self in (FilterOp.NOT_CONTAINS, FilterOp.NOT_MATCHES)


@dataclass(frozen=True, slots=True)
class LineFilter:
    """`op "a" or "b"`: lines with any of the texts, or for the negative operators with none of them."""

    op: FilterOp
    texts: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.op.value} " + " or ".join(_quoted(text) for text in self.texts)


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A stream selector and the line filters after it. `dropped` are labels that no stage here makes: of no effect."""

    matchers: tuple[Matcher, ...]
    filters: tuple[LineFilter, ...] = ()
    dropped: tuple[str, ...] = ()
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        selector = "{" + ", ".join(f"{m.name}{m.op.value}{_quoted(m.value)}" for m in self.matchers) + "}"
        drop = [f"| drop {', '.join(self.dropped)}"] if self.dropped else []
        return " ".join([selector, *map(str, self.filters), *drop])


@dataclass(frozen=True, slots=True)
class RangeAggregation:
    """`op(query [range])`: one of count_over_time, rate, bytes_over_time and bytes_rate."""

    op: str
    query: LogQuery
    range_ms: int
    offset_ms: int = 0
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        offset = f" offset {format_duration_ms(self.offset_ms)}" if self.offset_ms else ""
        return f"{self.op}({self.query} [{format_duration_ms(self.range_ms)}]{offset})"


@dataclass(frozen=True, slots=True)
class VectorAggregation:
    """`op by (labels) (expr)`; topk and bottomk have a `parameter`."""

    op: str
    expr: Expr
    grouping: Grouping
    parameter: int | None = None
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        word = "without" if self.grouping.without else "by"
        group = f" {word} ({', '.join(self.grouping.labels)})" if self.grouping.labels or self.grouping.without else ""
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
class Arithmetic:
    """`left op right`, op one of + - * / % ^. One side at least is a constant."""

    op: str
    left: Expr
    right: Expr
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"({self.left} {self.op} {self.right})"


Expr = LogQuery | RangeAggregation | VectorAggregation | Number | ConstantVector | Arithmetic


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\x7f")
