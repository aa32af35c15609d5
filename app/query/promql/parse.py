"""Query text to tree: promql_parser reads, this module makes it our own and refuses what cannot be evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import promql_parser as pp

from app.errors import BadQuery
from app.labels import METRIC_NAME, Matcher, MatchOp
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
from app.query.promql.names import AGGREGATIONS, EXTRA_RANGE_FUNCTIONS, FUNCTIONS
from app.query.promql.places import line_and_column, placed
from app.query.promql.syntax import ANYTHING, Problem, Syntax, read, undisguised
from app.query.promql.trims import with_trims

_MAX_LENGTH = 64 * 1024
_BEFORE_EPOCH = re.compile(r"tv_sec:\s*(-\d+),\s*tv_nsec:\s*(\d+)")
_OPS = {"Equal": MatchOp.EQUAL, "NotEqual": MatchOp.NOT_EQUAL, "Re": MatchOp.REGEX, "NotRe": MatchOp.NOT_REGEX}


def _register() -> None:
    matrix, vector = pp.ValueType.Matrix, pp.ValueType.Vector
    pp.register_extra_functions([pp.Function(name, [matrix], vector) for name in EXTRA_RANGE_FUNCTIONS])


_register()


def parse(text: str) -> Node:
    """The tree of a query. Raises BadQuery on text that is no PromQL, or uses what is not supported yet, by name."""
    syntax = _syntax(text)
    for beginning in syntax.beginnings:
        if beginning.name and beginning.name not in FUNCTIONS and beginning.name not in AGGREGATIONS:
            raise _wrong(text, "query", Problem(f'function "{beginning.name}" is not supported yet', beginning.at))
    return placed(with_trims(_convert(_library_tree(text, syntax)), syntax.trims), syntax.beginnings)


def library_tree(text: str) -> tuple[Any, frozenset[int]]:
    """(the parser library's own tree, which keeps parentheses; which comparisons of it are trims). Raises BadQuery.

    The selectors in `info` may have a matcher of ANYTHING more.
    """
    syntax = _syntax(text)
    return _library_tree(text, syntax), syntax.trims


def printable_tree(text: str) -> Any:
    """The library's own tree of a query, for who prints it again. Raises BadQuery where it would print another one."""
    syntax = _syntax(text)
    if syntax.trims or ANYTHING in syntax.readable:
        raise BadQuery("`</`, `>/` and a selector in info that may match nothing cannot be written anew")
    return _library_tree(text, replace(syntax, disguised=syntax.readable))


def parse_selector(text: str, parameter: str = "match[]") -> Selector:
    """The selector a parameter such as `match[]` holds. Raises BadQuery."""
    node = _convert(_library_tree(text, _syntax(text, "selector", parameter), parameter))
    assert isinstance(node, Selector)
    return node


def _syntax(text: str, start: str = "query", parameter: str = "query") -> Syntax:
    if len(text) > _MAX_LENGTH:
        raise BadQuery(f"the query is longer than {_MAX_LENGTH} characters")
    try:
        return read(text, start)
    except Problem as problem:
        raise _wrong(text, parameter, problem) from None


def _wrong(text: str, parameter: str, problem: Problem) -> BadQuery:
    place = line_and_column(text, problem.start) if text else "unknown position"
    return BadQuery(f'invalid parameter "{parameter}": {place}: parse error: {problem.message}', problem.start)


def _library_tree(text: str, syntax: Syntax, parameter: str = "query") -> Any:
    for readable in (syntax.readable, syntax.disguised):
        try:
            return pp.parse(readable)
        except BaseException as error:
            # a panic in the library is not even an Exception, and has a type that cannot be imported
            if not isinstance(error, ValueError) and type(error).__name__ != "PanicException":
                raise
            reason = str(error)
    raise _wrong(text, parameter, Problem(reason, 0))


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
    """A matcher of the library's."""
    op = _OPS[str(m.op).rsplit(".", 1)[-1]]
    return Matcher(m.name, op, undisguised(m.value) if op in (MatchOp.REGEX, MatchOp.NOT_REGEX) else m.value)


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
    args = tuple(_convert(arg) for arg in e.args)
    return Call(e.func.name, tuple(map(_without_mark, args)) if e.func.name == "info" else args)


def _without_mark(node: Node) -> Node:
    if not isinstance(node, Selector):
        return node
    groups = tuple(tuple(m for m in group if m.name != ANYTHING) for group in node.alternatives)
    return replace(node, alternatives=groups)


def _aggregate(e: Any) -> Aggregate:
    grouping = Grouping()
    if e.modifier is not None:
        without = e.modifier.type == pp.AggModifierType.Without
        grouping = Grouping(tuple(dict.fromkeys(e.modifier.labels)), without)
    return Aggregate(str(e.op), _convert(e.expr), grouping, None if e.param is None else _convert(e.param))


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
