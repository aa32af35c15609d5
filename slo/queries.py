"""SLI queries: `{{.window}}` filled in, and speeds rewritten to counts.

Sloth's specs ask for `rate(x[{{.window}}])`, an extrapolated speed. Counting needs the counter's own increase over
exactly the interval, so on the syntax tree `rate` and `increase` over the window become the query engine's
`increase_exact`: sums over adjacent intervals are then the counter's own difference.
"""

from __future__ import annotations

import re
from dataclasses import replace

import promql_parser as pq

from app.durations import format_duration_ms
from app.errors import BadQuery
from app.query.logql import ast as logql
from app.query.logql.parse import parse as parse_logql
from app.query.logql.ranges import range_function
from app.query.promql.parse import parse as engine_parse
from app.query.promql.parse import printable_tree
from slo.spec import Query

WINDOW = "{{.window}}"
EXACT = "increase_exact"
_PLACE = re.compile(r'^invalid parameter "query": (?:\d+:\d+: parse error: )?')
_WINDOW = re.compile(r"\{\{-?\s*\.window\s*-?\}\}")
# a range nobody writes, so that the window is told from a fixed range in the query
_CHECK_WINDOW_MS = 987_654_321
_ACTION = re.compile(r"\{\{")
# the templates of a line_format are LogQL's own
_RANGE_ACTION = re.compile(r"\[\s*\{\{")
_LOG_SPEEDS = {"rate": "count_over_time", "bytes_rate": "bytes_over_time"}
_COUNTERS = ("rate", "increase")


class SliQueryError(ValueError):
    """An SLI query that cannot be counted; the text says why and what to write instead."""


def has_window(text: str) -> bool:
    """Whether `{{.window}}` is in a query."""
    return _WINDOW.search(text) is not None


def check_query(query: Query, *, events: bool) -> None:
    """Raises SliQueryError when the query of an SLI cannot be used.

    `events`: it counts events, and must do so over the window; else it is a ratio or a value, and need not.
    """
    if events and not has_window(query.text):
        raise SliQueryError(f"must use {WINDOW} as the range of its selectors")
    filled(query, _CHECK_WINDOW_MS, events=events)


def filled(query: Query, window_ms: int, *, events: bool) -> str:
    """What to evaluate at the end of a window of this length, in the query's language. Raises SliQueryError."""
    fill = fill_window if query.language == "promql" else fill_logql
    return fill(query.text, window_ms, events=events)


def fill_logql(text: str, window_ms: int, *, events: bool) -> str:
    """The LogQL query over a window of this length. In one of events speeds become the lines or bytes themselves.

    Raises SliQueryError.
    """
    try:
        tree = parse_logql(_substituted(text, window_ms, _RANGE_ACTION))
    except BadQuery as error:
        raise SliQueryError(_PLACE.sub("", str(error))) from None
    if isinstance(tree, logql.LogQuery):
        raise SliQueryError(f"gives lines and no numbers: write sum(count_over_time(… [{WINDOW}]))")
    return str(_counted(tree, window_ms)) if events else str(tree)


def fill_window(text: str, window_ms: int, *, events: bool) -> str:
    """The query over a window of this length, with exact increases.

    In a query of events `rate` becomes the increase itself, a number of events; in a ratio it becomes the increase
    by the second, so that the ratio keeps its unit. Raises SliQueryError.
    """
    tree = parse(_substituted(text, window_ms, _ACTION))
    if isinstance(tree, pq.MatrixSelector | pq.StringLiteral):
        raise SliQueryError("gives no numbers: a function must stand around the selector")
    refused: list[str] = []

    def exact(node: pq.Expr) -> pq.Expr | None:
        if not isinstance(node, pq.Call):
            return None
        if events and (reason := _not_countable(node, window_ms)):
            refused.append(reason)
        if node.func.name not in _COUNTERS or not _over_window(node, window_ms):
            return None
        call = f"{EXACT}({node.args[0].prettify()})"
        return pq.parse(call if events or node.func.name == "increase" else f"({call} / {window_ms / 1000})")

    rewritten = pq.transform(tree, post_visit=exact)
    if refused:
        raise SliQueryError(refused[0])
    return rewritten.prettify()


def parse(text: str) -> pq.Expr:
    """The parser's own tree of a query the engine can evaluate. Raises SliQueryError."""
    try:
        # the engine's parser refuses by name what it cannot evaluate; its tree does not print, the library's does
        engine_parse(text)
        tree: pq.Expr = printable_tree(text)
    except BadQuery as error:
        # its place is one in the text with the window filled in, which nobody sees
        raise SliQueryError(_PLACE.sub("", str(error))) from None
    return tree


def _substituted(text: str, window_ms: int, action: re.Pattern[str]) -> str:
    plain = _WINDOW.sub(format_duration_ms(window_ms), text)
    if action.search(plain):
        raise SliQueryError("only {{.window}} is filled in here, other template actions are not known")
    return plain


def _counted(node: logql.Expr, window_ms: int) -> logql.Expr:
    """LogQL with counts in the place of speeds."""
    match node:
        case logql.RangeAggregation():
            if node.op == "rate_counter" or (range_function(node).adds and node.range_ms != window_ms):
                fixed = f"{node.op} over a fixed range counts events more than once: write [{WINDOW}]"
                raise SliQueryError("rate_counter cannot be counted exactly" if node.op == "rate_counter" else fixed)
            op = _LOG_SPEEDS.get(node.op, node.op)
            return replace(node, op="sum_over_time" if node.op == "rate" and node.unwrap else op)
        case logql.VectorAggregation() | logql.LabelReplace():
            return replace(node, expr=_counted(node.expr, window_ms))
        case logql.Binary():
            return replace(node, left=_counted(node.left, window_ms), right=_counted(node.right, window_ms))
        case _:
            return node


def _over_window(call: pq.Call, window_ms: int) -> bool:
    argument = call.args[0]
    return isinstance(argument, pq.MatrixSelector) and _ms(argument) == window_ms


def _not_countable(call: pq.Call, window_ms: int) -> str | None:
    name = call.func.name
    if name == "irate":
        return "irate is the speed between two samples and counts no events: write rate"
    if name not in _COUNTERS or _over_window(call, window_ms):
        return None
    if isinstance(call.args[0], pq.SubqueryExpr):
        return f"{name} over a subquery cannot be counted exactly: put {name} directly around the counter"
    return f"{name} over a fixed range counts events more than once: write [{{{{.window}}}}]"


def _ms(selector: pq.MatrixSelector) -> int:
    return round(selector.range.total_seconds() * 1000)
