"""LogQL text → tree."""

from __future__ import annotations

import functools
from importlib import resources

from lark import Lark, Token
from lark.exceptions import UnexpectedInput, VisitError

from app.errors import BadQuery
from app.labels import Matcher
from app.query.logql import ast
from app.query.logql.build import Builder
from app.query.logql.refused import refuse_by_name

_MAX_LENGTH = 128 * 1024


def parse(query: str) -> ast.Expr:
    """The tree of a query. Raises BadQuery with the position; what LogQL has and this does not is named."""
    if len(query) > _MAX_LENGTH:
        raise BadQuery(f"a query is at most {_MAX_LENGTH} characters long")
    refuse_by_name(query)
    try:
        tree: ast.Expr = Builder().transform(_grammar().parse(query))
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
    if query.stages:
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
