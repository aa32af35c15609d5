"""The operators `</` and `>/`, which the parser does not know: it reads comparisons in their place.

They bind as comparisons do. So each is handed to the parser as `<` or `>`, and the comparisons of the tree, in the
order of the text, become what the text has.
"""

from __future__ import annotations

from dataclasses import replace

from app.query.promql.ast import Aggregate, Binary, Call, Negate, Node, Subquery
from app.query.promql.operations import COMPARISONS


def with_trims(node: Node, trims: frozenset[int]) -> Node:
    """The tree with those comparisons made trims."""
    return _Walk(trims).walked(node) if trims else node


class _Walk:
    def __init__(self, trims: frozenset[int]) -> None:
        self._trims = trims
        self._count = 0

    def walked(self, node: Node) -> Node:
        """The node and what is below it, in the order of the text."""
        match node:
            case Binary():
                left, op = self.walked(node.left), node.op
                if op in COMPARISONS:
                    op = f"{op}/" if self._count in self._trims else op
                    self._count += 1
                return replace(node, op=op, left=left, right=self.walked(node.right))
            case Aggregate():
                param = None if node.param is None else self.walked(node.param)
                return replace(node, param=param, expr=self.walked(node.expr))
            case Call():
                return replace(node, args=tuple(self.walked(arg) for arg in node.args))
            case Negate() | Subquery():
                return replace(node, expr=self.walked(node.expr))
            case _:
                return node
