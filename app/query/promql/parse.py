"""Query text to tree: promql_parser reads, this module makes it our own and refuses what cannot be evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import promql_parser as pp
import re2

from app.errors import BadQuery
from app.labels import METRIC_NAME, Matcher, MatchOp, anchored
from app.query.promql.ast import (
    Aggregate,
    AtEdge,
    Binary,
    Call,
    Grouping,
    Matching,
    Negate,
    Node,
    Number,
    Range,
    Selector,
    Subquery,
    Text,
)
from app.query.promql.escapes import without_byte_escapes
from app.query.promql.names import AGGREGATIONS, EXTRA_RANGE_FUNCTIONS, FUNCTIONS
from app.query.promql.places import ANYTHING, placed, with_open_info
from app.query.promql.trims import with_trims, without_trims

_MAX_LENGTH = 64 * 1024
_MAX_DEPTH = 200
_MAX_OPERATORS = 400
_STRINGS_AND_BRACES = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)|\{[^}]*\}""", re.DOTALL)
_UNKNOWN = (
    (re.compile(r"[\w\]] +(anchored|smoothed)\b"), 'the modifier "{}"'),
    (re.compile(r"(\[[^\]]*[-+*/%^(][^\]]*\])"), "arithmetic between durations, as in {},"),
    (re.compile(r"\b(offset\s*-?\s*\(.*)"), "arithmetic between durations, as in {},"),
)
"""What Prometheus can parse and the parser cannot."""
_OPERATOR = re.compile(r"\b(?:and|or|unless|atan2)\b|[-+*/%^]|[=!]=|[<>]=?")
_BEFORE_EPOCH = re.compile(r"tv_sec:\s*(-\d+),\s*tv_nsec:\s*(\d+)")
_OPS = {"Equal": MatchOp.EQUAL, "NotEqual": MatchOp.NOT_EQUAL, "Re": MatchOp.REGEX, "NotRe": MatchOp.NOT_REGEX}


def _register() -> None:
    matrix, vector = pp.ValueType.Matrix, pp.ValueType.Vector
    pp.register_extra_functions([pp.Function(name, [matrix], vector) for name in EXTRA_RANGE_FUNCTIONS])


_register()


def parse(text: str) -> Node:
    """The tree of a query. Raises BadQuery on text that is no PromQL, or uses what is not supported yet, by name."""
    tree, trims = library_tree(text, open_info=True)
    return placed(with_trims(_convert(tree), trims), text)


def library_tree(text: str, open_info: bool = False) -> tuple[Any, frozenset[int]]:
    """(the parser library's own tree, which keeps parentheses; which comparisons of it are trims). Raises BadQuery.

    With `open_info` the selectors in `info` have a matcher of ANYTHING more.
    """
    if len(text) > _MAX_LENGTH:
        raise BadQuery(f"the query is longer than {_MAX_LENGTH} characters")
    _check_depth(text)
    readable, trims = without_trims(without_byte_escapes(text))
    if open_info and "info" in readable:
        readable = with_open_info(readable)
    try:
        return pp.parse(readable), trims
    except ValueError as error:
        for pattern, what in _UNKNOWN:
            found = pattern.search(_without_strings(text))
            if found:
                raise BadQuery(f'invalid parameter "query": {what.format(found[1])} is not supported') from error
        raise BadQuery(f'invalid parameter "query": {error}') from error


def parse_selector(text: str) -> Selector:
    """The selector a `match[]` parameter holds. Raises BadQuery."""
    node = parse(text)
    if not isinstance(node, Selector) or node.offset_ms or node.at is not None:
        raise BadQuery(f"not a series selector: {text}")
    return node


def _check_depth(text: str) -> None:
    # the parser recurses, and a stack that overflows in it ends the process
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if deepest > _MAX_DEPTH or re.search(r"(?:[-+!^]\s*){200}", text):
        raise BadQuery(f"the query is nested deeper than {_MAX_DEPTH} levels")
    if len(_OPERATOR.findall(_without_strings(text))) > _MAX_OPERATORS:
        raise BadQuery(f"the query has more than {_MAX_OPERATORS} operators")


def _without_strings(text: str) -> str:
    # strings first: braces may hold any text in them
    return _STRINGS_AND_BRACES.sub(" ", _STRINGS_AND_BRACES.sub(lambda m: "" if m[1] else m[0], text))


def milliseconds(delta: timedelta | None) -> int:
    """A duration of the library's; None is none."""
    return 0 if delta is None else delta // timedelta(milliseconds=1)


def _convert(e: Any) -> Node:
    convert = _CONVERTERS.get(type(e).__name__)
    if convert is None:
        raise BadQuery(f"expression {type(e).__name__} is not supported yet")
    return convert(e)


def at_modifier(e: Any) -> int | AtEdge | None:
    """The `@` of a selector or subquery of the library's."""
    at = e.at
    if at is None:
        return None
    if at.type == pp.AtModifierType.Start:
        return "start"
    if at.type == pp.AtModifierType.End:
        return "end"
    # not from `at.at`: a time before the epoch panics in the parser's bindings, and is printed as 0
    seconds = float(str(at).removeprefix("@ "))
    before = _BEFORE_EPOCH.findall(repr(e)) if seconds == 0 else []
    return int(before[-1][0]) * 1000 + int(before[-1][1]) // 1_000_000 if before else round(seconds * 1000)


def matcher(m: Any) -> Matcher:
    """A matcher of the library's. Raises BadQuery on a wrong regular expression."""
    op = _OPS[str(m.op).rsplit(".", 1)[-1]]
    if op in (MatchOp.REGEX, MatchOp.NOT_REGEX):
        try:
            anchored(m.value)
        except re2.error as error:
            raise BadQuery(f"error parsing regexp {m.value!r}: {error}") from error
    return Matcher(m.name, op, m.value)


def _selector(e: Any) -> Selector:
    name = (Matcher(METRIC_NAME, MatchOp.EQUAL, e.name),) if e.name else ()
    groups = e.matchers.or_matchers or [e.matchers.matchers]
    alternatives = tuple(name + tuple(matcher(m) for m in group) for group in groups)
    return Selector(alternatives, milliseconds(e.offset), at_modifier(e))


def _range(e: Any) -> Range:
    return Range(_selector(e.vector_selector), milliseconds(e.range))


def _subquery(e: Any) -> Subquery:
    return Subquery(
        _convert(e.expr),
        milliseconds(e.range),
        milliseconds(e.step) if e.step else None,
        milliseconds(e.offset),
        at_modifier(e),
    )


def _call(e: Any) -> Call:
    if e.func.name not in FUNCTIONS:
        raise BadQuery(f'function "{e.func.name}" is not supported yet')
    args = tuple(_convert(arg) for arg in e.args)
    return Call(e.func.name, tuple(map(_without_mark, args)) if e.func.name == "info" else args)


def _without_mark(node: Node) -> Node:
    if not isinstance(node, Selector):
        return node
    groups = tuple(tuple(m for m in group if m.name != ANYTHING) for group in node.alternatives)
    return replace(node, alternatives=groups)


def _aggregate(e: Any) -> Aggregate:
    op = str(e.op)
    if op not in AGGREGATIONS:
        raise BadQuery(f'aggregation "{op}" is not supported yet')
    grouping = Grouping()
    if e.modifier is not None:
        without = e.modifier.type == pp.AggModifierType.Without
        grouping = Grouping(tuple(dict.fromkeys(e.modifier.labels)), without)
    return Aggregate(op, _convert(e.expr), grouping, None if e.param is None else _convert(e.param))


def _binary(e: Any) -> Binary:
    matching, return_bool = Matching(), False
    m = e.modifier
    if m is not None:
        on = m.matching is not None and m.matching.type == pp.LabelModifierType.Include
        many = {"ManyToOne": "left", "OneToMany": "right"}.get(str(m.card).rsplit(".", 1)[-1], "")
        matching = Matching(
            labels=tuple(m.matching.labels) if m.matching is not None else (),
            on=on,
            many=many,  # type: ignore[arg-type]
            include=tuple(m.group_labels or ()),
            fill_left=m.fill_values.lhs,
            fill_right=m.fill_values.rhs,
        )
        return_bool = m.return_bool
    return Binary(str(e.op), _convert(e.lhs), _convert(e.rhs), matching, return_bool)


def _negate(e: Any) -> Node:
    inner = _convert(e.expr)
    return Number(-inner.value) if isinstance(inner, Number) else Negate(inner)


_CONVERTERS: dict[str, Callable[[Any], Node]] = {
    "NumberLiteral": lambda e: Number(float(e.val)),
    "StringLiteral": lambda e: Text(e.val),
    "ParenExpr": lambda e: _convert(e.expr),
    "VectorSelector": _selector,
    "MatrixSelector": _range,
    "SubqueryExpr": _subquery,
    "Call": _call,
    "AggregateExpr": _aggregate,
    "BinaryExpr": _binary,
    "UnaryExpr": _negate,
}
