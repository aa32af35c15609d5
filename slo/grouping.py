"""Whether the queries of a grouped SLO keep the labels it is grouped by."""

from __future__ import annotations

import re

import promql_parser as pq

from slo.queries import SliQueryError, parse
from slo.spec import Query

_WINDOW = re.compile(r"\{\{-?\s*\.window\s*-?\}\}")


def check_grouping(query: Query, grouping: tuple[str, ...]) -> None:
    """Raises SliQueryError where an outermost aggregation of a PromQL query drops a label of the grouping."""
    if grouping and query.language == "promql":
        _check(parse(_WINDOW.sub("5m", query.text)), grouping)


def _check(tree: pq.Expr, grouping: tuple[str, ...]) -> None:
    match tree:
        case pq.ParenExpr() | pq.UnaryExpr():
            _check(tree.expr, grouping)
        # matching of its own may well have one side without the labels
        case pq.BinaryExpr() if tree.modifier is None:
            for side in (tree.lhs, tree.rhs):
                _check(side, grouping)
        case pq.AggregateExpr():
            dropped = [label for label in grouping if not _keeps(tree, label)]
            if dropped:
                wanted = f"sum by ({', '.join(grouping)}) (…)"
                raise SliQueryError(f"drops {', '.join(dropped)}, which the SLO is grouped by: write {wanted}")


def _keeps(aggregate: pq.AggregateExpr, label: str) -> bool:
    modifier = aggregate.modifier
    if modifier is None:
        return False
    named = label in modifier.labels
    return named if modifier.type == pq.AggModifierType.By else not named
