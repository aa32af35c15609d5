"""The tree of a query as Prometheus's `parse_query` shows it (web/api/v1/translate_ast.go)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from app.labels import METRIC_NAME, Matcher
from app.query.promql.format import format_value
from app.query.promql.operations import COMPARISONS
from app.query.promql.parse import at_modifier, library_tree, matcher, milliseconds
from app.query.promql.syntax import ANYTHING
from app.query.promql.syntax.functions import SIGNATURES

Shown = dict[str, Any]
"""A node: its `type` and what belongs to it, as JSON has it."""

_CARDINALITIES = {"OneToOne": "one-to-one", "ManyToOne": "many-to-one", "OneToMany": "one-to-many"}
_SET_OPERATORS = ("and", "or", "unless")


def describe(text: str) -> Shown:
    """The tree of a query. Raises BadQuery when it is none; what is not supported yet is shown all the same."""
    tree, trims = library_tree(text)
    shown = _shown(tree)
    for i, comparison in enumerate(_comparisons(shown)) if trims else ():
        if i in trims:
            comparison["op"] += "/"
    return shown


def _comparisons(node: Shown) -> Iterator[Shown]:
    """The comparisons of a tree, in the order of the text."""
    if node["type"] == "binaryExpr":
        yield from _comparisons(node["lhs"])
        if node["op"] in COMPARISONS:
            yield node
        yield from _comparisons(node["rhs"])
        return
    for below in [node.get("param"), node.get("expr"), *node.get("args", ())]:
        if below is not None:
            yield from _comparisons(below)


def value_type(node: Shown) -> str:
    """What a node's value is: scalar, vector, matrix or string."""
    kind = node["type"]
    if kind in ("parenExpr", "unaryExpr"):
        return value_type(node["expr"])
    if kind == "call":
        return str(node["func"]["returnType"])
    if kind == "binaryExpr":
        sides = {value_type(node["lhs"]), value_type(node["rhs"])}
        return "scalar" if sides == {"scalar"} else "vector"
    types = {"numberLiteral": "scalar", "stringLiteral": "string", "matrixSelector": "matrix", "subquery": "matrix"}
    return types.get(kind, "vector")


def _shown(e: Any) -> Shown:
    return _SHOWN[type(e).__name__](e)


def _optional(e: Any) -> Shown | None:
    return None if e is None else _shown(e)


def _aggregation(e: Any) -> Shown:
    modifier = e.modifier
    return {
        "type": "aggregation",
        "op": str(e.op),
        "expr": _shown(e.expr),
        "param": _optional(e.param),
        "grouping": [] if modifier is None else list(modifier.labels),
        "without": modifier is not None and str(modifier.type).endswith("Without"),
    }


def _binary(e: Any) -> Shown:
    shown: Shown = {
        "type": "binaryExpr",
        "op": str(e.op),
        "lhs": _shown(e.lhs),
        "rhs": _shown(e.rhs),
        "matching": None,
        "bool": bool(e.modifier and e.modifier.return_bool),
    }
    if value_type(shown["lhs"]) == value_type(shown["rhs"]) == "vector":
        shown["matching"] = _matching(e.modifier, shown["op"])
    return shown


def _matching(m: Any, op: str) -> Shown:
    card = "one-to-one" if m is None else _CARDINALITIES.get(str(m.card).rsplit(".", 1)[-1], "one-to-one")
    own = None if m is None else m.matching
    return {
        "card": "many-to-many" if op in _SET_OPERATORS else card,
        "labels": [] if own is None else list(own.labels),
        "on": own is not None and str(own.type).endswith("Include"),
        "include": [] if m is None else list(m.group_labels or ()),
        "fillValues": {"lhs": m.fill_values.lhs, "rhs": m.fill_values.rhs} if m else {"lhs": None, "rhs": None},
    }


def _call(e: Any) -> Shown:
    signature = SIGNATURES[e.func.name]
    return {
        "type": "call",
        "func": {
            "name": e.func.name,
            "argTypes": list(signature.takes),
            "variadic": signature.optional,
            "returnType": signature.gives,
        },
        "args": [_shown(arg) for arg in e.args],
    }


def _subquery(e: Any) -> Shown:
    return {
        "type": "subquery",
        "expr": _shown(e.expr),
        "range": milliseconds(e.range),
        "rangeExpr": None,
        "step": milliseconds(e.step),
        "stepExpr": None,
        **_when(e),
    }


def _selector(e: Any) -> Shown:
    groups = [[matcher(m) for m in group] for group in e.matchers.or_matchers]
    name = [{"name": METRIC_NAME, "value": e.name, "type": "="}] if e.name else []
    shown = {
        "type": "vectorSelector",
        "name": e.name or "",
        "matchers": _matchers([matcher(m) for m in e.matchers.matchers]) + name,
        **_when(e),
        "anchored": False,
        "smoothed": False,
    }
    # Prometheus has no alternatives, so its form has no place for them
    return {**shown, "orMatchers": [_matchers(group) for group in groups]} if groups else shown


def _matchers(matchers: Sequence[Matcher]) -> list[Shown]:
    return [{"name": m.name, "value": m.value, "type": str(m.op.value)} for m in matchers if m.name != ANYTHING]


def _when(e: Any) -> Shown:
    at = at_modifier(e)
    edge = at if isinstance(at, str) else None
    return {
        "offset": milliseconds(e.offset),
        "offsetExpr": None,
        "timestamp": None if edge else at,
        "startOrEnd": edge,
    }


def _matrix(e: Any) -> Shown:
    return {
        **_selector(e.vector_selector),
        "type": "matrixSelector",
        "range": milliseconds(e.range),
        "rangeExpr": None,
    }


_SHOWN: dict[str, Callable[[Any], Shown]] = {
    "AggregateExpr": _aggregation,
    "BinaryExpr": _binary,
    "Call": _call,
    "MatrixSelector": _matrix,
    "NumberLiteral": lambda e: {"type": "numberLiteral", "val": format_value(float(e.val))},
    "ParenExpr": lambda e: {"type": "parenExpr", "expr": _shown(e.expr)},
    "StringLiteral": lambda e: {"type": "stringLiteral", "val": e.val},
    "SubqueryExpr": _subquery,
    "UnaryExpr": lambda e: {"type": "unaryExpr", "op": "-", "expr": _shown(e.expr)},
    "VectorSelector": _selector,
}
