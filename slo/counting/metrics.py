"""The metrics a query reads."""

from __future__ import annotations

from app.query.promql.ast import Node, Selector, children
from app.query.promql.parse import parse


def metrics_read(text: str) -> frozenset[str] | None:
    """The names of the metrics a PromQL query selects; None where a selector says no one name. Raises BadQuery."""
    return _read(parse(text))


def _read(node: Node) -> frozenset[str] | None:
    if isinstance(node, Selector):
        return None if node.metric is None else frozenset({node.metric})
    found: frozenset[str] = frozenset()
    for child in children(node):
        names = _read(child)
        if names is None:
            return None
        found |= names
    return found
