"""The PromQL tree: frozen values, made by `parse`, independent of the parser library."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from app.labels import Matcher

AtEdge = Literal["start", "end"]


@dataclass(frozen=True, slots=True)
class Number:
    """A number."""

    value: float
    place: int | None = field(default=None, compare=False)
    """Where in the query's text it begins, in characters."""


@dataclass(frozen=True, slots=True)
class Text:
    """A string."""

    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """An instant selector: a series is selected that satisfies every matcher of any of the `alternatives`."""

    alternatives: tuple[tuple[Matcher, ...], ...]
    offset_ms: int = 0
    at: int | AtEdge | None = None
    place: int | None = field(default=None, compare=False)
    """Where in the query's text it begins, in characters."""

    @property
    def metric(self) -> str | None:
        """The one metric name it can select, if it says so."""
        names = {m.value for group in self.alternatives for m in group if m.name == "__name__" and m.op == "="}
        named = all(any(m.name == "__name__" and m.op == "=" for m in group) for group in self.alternatives)
        return names.pop() if named and len(names) == 1 else None


@dataclass(frozen=True, slots=True)
class Range:
    """A range selector."""

    selector: Selector
    range_ms: int


@dataclass(frozen=True, slots=True)
class Subquery:
    """`expr[range:step]`; a step of None is the default resolution."""

    expr: Node
    range_ms: int
    step_ms: int | None
    offset_ms: int = 0
    at: int | AtEdge | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A function call."""

    name: str
    args: tuple[Node, ...]
    place: int | None = field(default=None, compare=False)
    """Where in the query's text it begins, in characters."""


@dataclass(frozen=True, slots=True)
class Negate:
    """Unary minus."""

    expr: Node


@dataclass(frozen=True, slots=True)
class Grouping:
    """`by (labels)`, or `without (labels)`. No modifier is `by ()`."""

    labels: tuple[str, ...] = ()
    without: bool = False


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregation."""

    op: str
    expr: Node
    grouping: Grouping
    param: Node | None = None
    place: int | None = field(default=None, compare=False)
    """Where in the query's text it begins, in characters."""


@dataclass(frozen=True, slots=True)
class Matching:
    """How the series of two vectors find each other: `on` or `ignoring` labels, which side is many, what to copy."""

    labels: tuple[str, ...] = ()
    on: bool = False
    many: Literal["", "left", "right"] = ""
    include: tuple[str, ...] = ()
    fill_left: float | None = None
    fill_right: float | None = None


@dataclass(frozen=True, slots=True)
class Binary:
    """A binary operation."""

    op: str
    left: Node
    right: Node
    matching: Matching
    return_bool: bool = False


Node = Number | Text | Selector | Range | Subquery | Call | Negate | Aggregate | Binary


def children(node: Node) -> tuple[Node, ...]:
    """The nodes a node is made of."""
    match node:
        case Aggregate():
            return (node.expr,) if node.param is None else (node.param, node.expr)
        case Binary():
            return node.left, node.right
        case Call():
            return node.args
        case Negate() | Subquery():
            return (node.expr,)
        case Range():
            return (node.selector,)
        case _:
            return ()


def repeated(root: Node) -> frozenset[Node]:
    """The nodes that read samples and are in the tree more than once."""
    times: Counter[Node] = Counter()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Selector | Call | Aggregate):
            times[node] += 1
        waiting.extend(children(node))
    return frozenset(node for node, n in times.items() if n > 1)
