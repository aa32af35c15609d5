"""Where in the text of a query the parts of its tree begin: for notes that point at a part.

What begins a part (a selector, a call, a number) is handed out to the nodes of the tree in the order of the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from app.query.promql.ast import Aggregate, Binary, Call, Negate, Node, Number, Range, Selector, Subquery
from app.query.promql.syntax import Beginning


class _Misfit(Exception):
    """The beginnings and the tree are not of one text."""


def place_of(node: Node) -> int | None:
    """Where a part begins, in characters from the start of the query; None where that is not known."""
    match node:
        case Selector() | Call() | Aggregate() | Number():
            return node.place
        case Range():
            return place_of(node.selector)
        case Subquery() | Negate():
            return place_of(node.expr)
        case Binary():
            return place_of(node.left)
        case _:
            return None


def line_and_column(text: str, place: int) -> str:
    """A place as `line:column`, both from 1; columns count bytes, as Prometheus's do."""
    before = text[:place]
    line_start = before.rfind("\n") + 1
    column = len(before[line_start:].encode(errors="surrogatepass")) + 1
    return f"{before.count(chr(10)) + 1}:{column}"


def placed(node: Node, beginnings: Iterable[Beginning]) -> Node:
    """The tree with the places its parts begin at; `beginnings` are those of the same text, in its order.

    Where the two do not fit, no node gets a place: an answer without places is better than none.
    """
    try:
        return _placed(node, iter(beginnings))
    except _Misfit:
        return node


def _next(beginnings: Iterator[Beginning], kind: str) -> int:
    beginning = next(beginnings, None)
    if beginning is None or beginning.kind != kind:
        raise _Misfit
    return beginning.at


def _placed(node: Node, beginnings: Iterator[Beginning]) -> Node:
    match node:
        case Selector():
            return replace(node, place=_next(beginnings, "selector"))
        case Number():
            return replace(node, place=_next(beginnings, "number"))
        case Range():
            return replace(node, selector=replace(node.selector, place=_next(beginnings, "selector")))
        case Subquery() | Negate():
            return replace(node, expr=_placed(node.expr, beginnings))
        case Binary():
            left = _placed(node.left, beginnings)
            return replace(node, left=left, right=_placed(node.right, beginnings))
        case Call():
            place = _next(beginnings, "call")
            return replace(node, place=place, args=tuple(_placed(arg, beginnings) for arg in node.args))
        case Aggregate():
            place = _next(beginnings, "call")
            param = None if node.param is None else _placed(node.param, beginnings)
            return replace(node, place=place, param=param, expr=_placed(node.expr, beginnings))
        case _:
            return node
