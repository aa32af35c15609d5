"""Whether the values of an expression at a step depend on samples around it alone, and on which."""

from __future__ import annotations

from dataclasses import dataclass

from app.query.promql.ast import Call, Node, Selector, Subquery, children

_OF_THE_WHOLE_QUERY = frozenset({"start", "end", "range", "info"})
"""Functions whose value at a step depends on the query's first or last step, or on series found at others."""
_NEVER = -(2**62)


@dataclass(frozen=True, slots=True)
class Reach:
    """The metrics an expression reads (None: any), and how many ms after a step their samples can be, at most.

    `ahead_ms` is negative where everything is read with an offset into the past.
    """

    metrics: frozenset[str] | None
    ahead_ms: int


def reach_of(node: Node) -> Reach | None:
    """What a step of an expression depends on; None where that is more than samples near it."""
    match node:
        case Selector():
            return None if node.at is not None else Reach(_metrics(node), -node.offset_ms)
        case Subquery():
            inner = reach_of(node.expr) if node.at is None else None
            return None if inner is None else Reach(inner.metrics, inner.ahead_ms - node.offset_ms)
        case Call() if node.name in _OF_THE_WHOLE_QUERY:
            return None
    metrics: frozenset[str] | None = frozenset()
    ahead_ms = _NEVER
    for child in children(node):
        reach = reach_of(child)
        if reach is None:
            return None
        metrics = None if metrics is None or reach.metrics is None else metrics | reach.metrics
        ahead_ms = max(ahead_ms, reach.ahead_ms)
    return Reach(metrics, ahead_ms)


def _metrics(selector: Selector) -> frozenset[str] | None:
    metric = selector.metric
    return None if metric is None else frozenset({metric})
