"""LogQL text → tree."""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import Any

import re2
from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedInput, VisitError

from app.errors import BadQuery
from app.labels import Matcher, MatchOp
from app.query.logql import ast
from app.query.logql.refused import refuse_by_name
from app.query.logql.text import duration_ms, unquoted
from app.query.promql.ast import Grouping

_WITH_PARAMETER = ("topk", "bottomk")
_MAX_LENGTH = 128 * 1024
_ERROR_LABEL = re.compile(r"__error(?:_details)?__")
_FILTERS = {op.value: op for op in ast.FilterOp}


def parse(query: str) -> ast.Expr:
    """The tree of a query. Raises BadQuery with the position; what LogQL has and this does not is named."""
    if len(query) > _MAX_LENGTH:
        raise BadQuery(f"a query is at most {_MAX_LENGTH} characters long")
    refuse_by_name(query)
    try:
        tree: ast.Expr = _Builder().transform(_grammar().parse(query))
    except UnexpectedInput as error:
        raise _syntax_error(query, error) from None
    except VisitError as error:
        raise error.orig_exc if isinstance(error.orig_exc, BadQuery) else BadQuery(str(error.orig_exc)) from None
    except RecursionError:
        raise BadQuery("the query is nested too deeply") from None
    return tree


def parse_log_query(query: str) -> ast.LogQuery:
    """The tree of a query that selects lines. Raises BadQuery, also for a metric query."""
    tree = parse(query)
    if not isinstance(tree, ast.LogQuery):
        raise BadQuery("only log queries are taken here, not queries that compute values")
    return tree


def parse_matchers(selector: str) -> tuple[Matcher, ...]:
    """The matchers of `{…}` alone. Raises BadQuery."""
    query = parse_log_query(selector)
    if query.filters or query.dropped:
        raise BadQuery("only label matchers are taken here, no stages after them")
    return query.matchers


@functools.cache
def _grammar() -> Lark:
    text = resources.files("app.query.logql").joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(text, parser="lalr", propagate_positions=True, maybe_placeholders=False)


def _syntax_error(query: str, error: UnexpectedInput) -> BadQuery:
    position = error.pos_in_stream if error.pos_in_stream is not None and error.pos_in_stream >= 0 else len(query)
    token = getattr(error, "token", None)
    if isinstance(token, Token) and token.type == "$END":
        position = len(query)
    line = query.count("\n", 0, position) + 1
    column = position - (query.rfind("\n", 0, position) + 1) + 1
    found = query[position : position + 20].split("\n")[0]
    what = f"unexpected {found!r}" if found else "unexpected end of the query"
    return BadQuery(f"parse error at line {line}, col {column}: syntax error: {what}", position)


class _Dropped(tuple[str, ...]):
    """The labels of one `| drop`."""


@v_args(inline=True)
class _Builder(Transformer[Token, Any]):
    """Builds the tree from the bottom."""

    def name(self, token: Token) -> str:
        return str(token)

    def matcher(self, name: str, op: Token, value: Token) -> Matcher:
        matcher = Matcher(name, MatchOp(str(op)), unquoted(value, value.start_pos or 0))
        if matcher.op in (MatchOp.REGEX, MatchOp.NOT_REGEX):
            _check_regex(value, matcher.value)
        return matcher

    @v_args(inline=True, meta=True)
    def selector(self, meta: Any, *matchers: Matcher) -> ast.LogQuery:
        position = getattr(meta, "start_pos", 0)
        if not any(not m.matches("") for m in matchers):
            raise BadQuery(
                "queries require at least one regexp or equality matcher that does not have an empty-compatible"
                ' value. For instance, app=~".*" does not meet this requirement, but app=~".+" will',
                position,
            )
        return ast.LogQuery(matchers, position=position)

    def filter(self, op: Token, *values: Token) -> ast.LineFilter:
        texts = [v for v in values if v.type == "STRING"]
        found = ast.LineFilter(_FILTERS[str(op)], tuple(unquoted(v, v.start_pos or 0) for v in texts))
        if found.op in (ast.FilterOp.MATCHES, ast.FilterOp.NOT_MATCHES):
            for token, text in zip(texts, found.texts, strict=True):
                _check_regex(token, text)
        return found

    def drop_errors(self, token: Token) -> _Dropped:
        return _Dropped(_ERROR_LABEL.findall(token))

    def log_query(self, selector: ast.LogQuery, *stages: ast.LineFilter | _Dropped) -> ast.LogQuery:
        filters = tuple(s for s in stages if isinstance(s, ast.LineFilter))
        dropped = dict.fromkeys(name for s in stages if isinstance(s, _Dropped) for name in s)
        return ast.LogQuery(selector.matchers, filters, tuple(dropped), selector.position)

    def log_query_inner(self, query: ast.LogQuery) -> ast.LogQuery:
        return query

    def offset(self, _word: Token, *rest: Token) -> int:
        value = duration_ms(rest[-1], rest[-1].start_pos or 0)
        return -value if len(rest) == 2 and rest[0] == "-" else value

    def ranged(self, selector: ast.LogQuery, *rest: Any) -> tuple[ast.LogQuery, int, int]:
        stages = [r for r in rest if isinstance(r, ast.LineFilter | _Dropped)]
        span = next(r for r in rest if isinstance(r, Token))
        offset = next((r for r in rest if isinstance(r, int)), 0)
        query = self.log_query(selector, *stages) if stages else selector
        return query, duration_ms(span[1:-1].strip(), span.start_pos or 0), offset

    ranged_before = ranged
    ranged_whole = ranged

    def ranged_inner(self, ranged: Any) -> Any:
        return ranged

    def range_aggregation(self, op: Token, ranged: tuple[ast.LogQuery, int, int]) -> ast.RangeAggregation:
        return ast.RangeAggregation(str(op), *ranged, op.start_pos or 0)

    def grouping(self, word: Token, *names: str) -> Grouping:
        return Grouping(names, word.lower() == "without")

    def arguments(self, *parts: Any) -> tuple[Any, ...]:
        return parts

    def aggregation(self, op: Token, arguments: tuple[Any, ...]) -> ast.VectorAggregation:
        return _aggregation(op, Grouping(), arguments)

    def aggregation_before(self, op: Token, grouping: Grouping, arguments: tuple[Any, ...]) -> ast.VectorAggregation:
        return _aggregation(op, grouping, arguments)

    def aggregation_after(self, op: Token, arguments: tuple[Any, ...], grouping: Grouping) -> ast.VectorAggregation:
        return _aggregation(op, grouping, arguments)

    def number(self, token: Token) -> ast.Number:
        return ast.Number(float(token), token.start_pos or 0)

    def signed_number(self, *parts: Token) -> float:
        return -float(parts[-1]) if parts[0] == "-" else float(parts[-1])

    def constant_vector(self, word: Token, value: float) -> ast.ConstantVector:
        return ast.ConstantVector(value, word.start_pos or 0)

    def signed(self, sign: Token, value: ast.Expr) -> ast.Expr:
        if not isinstance(value, ast.Number):
            raise BadQuery("only a number can have a sign", sign.start_pos)
        return ast.Number(-value.value if sign == "-" else value.value, sign.start_pos or 0)

    def arithmetic(self, left: ast.Expr, op: Token, right: ast.Expr) -> ast.Arithmetic:
        for side in (left, right):
            if isinstance(side, ast.LogQuery):
                raise BadQuery(f"`{op}` wants numbers on both sides, and here are log lines", op.start_pos)
        if not (_constant(left) or _constant(right)):
            raise BadQuery(f"`{op}` between two computed vectors is not supported", op.start_pos)
        return ast.Arithmetic(str(op), left, right, op.start_pos or 0)


def _constant(expr: ast.Expr) -> bool:
    if isinstance(expr, ast.Arithmetic):
        return _constant(expr.left) and _constant(expr.right)
    return isinstance(expr, ast.Number | ast.ConstantVector)


def _aggregation(op: Token, grouping: Grouping, arguments: tuple[Any, ...]) -> ast.VectorAggregation:
    position = op.start_pos or 0
    expr = arguments[-1]
    if (len(arguments) == 2) != (op in _WITH_PARAMETER):
        wanted = "wants a number before the vector" if op in _WITH_PARAMETER else "takes no number"
        raise BadQuery(f"{op} {wanted}", position)
    if isinstance(expr, ast.LogQuery | ast.Number):
        raise BadQuery(f"{op} wants a vector, such as count_over_time({{…}}[1m])", position)
    parameter = None
    if len(arguments) == 2:
        if not float(arguments[0]).is_integer() or float(arguments[0]) < 1:
            raise BadQuery(f"{op} wants a whole number from 1 on, not {arguments[0]}", position)
        parameter = int(float(arguments[0]))
    return ast.VectorAggregation(str(op), expr, grouping, parameter, position)


def _check_regex(token: Token, pattern: str) -> None:
    try:
        re2.compile(pattern)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
        raise BadQuery(f"not a regular expression: {token}: {text}", token.start_pos) from None
