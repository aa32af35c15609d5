"""SLI queries: `{{.window}}` filled in, and speeds rewritten to counts.

Sloth's specs ask for `rate(x[{{.window}}])`, an extrapolated speed. Counting needs the counter's own increase over
exactly the interval, so on the syntax tree `rate` and `increase` over the window become the query engine's
`increase_exact`: sums over adjacent intervals are then the counter's own difference. LogQL's `rate` is a number of
lines by the second, and becomes the number of lines.
"""

from __future__ import annotations

import re
from dataclasses import replace

import promql_parser as pq

from app.durations import format_duration_ms
from app.errors import BadQuery
from app.query.logql import ast as logql
from app.query.logql.parse import parse as logql_parse
from app.query.promql.parse import parse as engine_parse
from app.query.promql.parse import printable_tree
from slo.spec import Language

EXACT = "increase_exact"
_PLACE = re.compile(r'^invalid parameter "query": (?:\d+:\d+: parse error: )?')
_WINDOW = re.compile(r"\{\{-?\s*\.window\s*-?\}\}")
# templates of LogQL's own have braces too, so there it is a range only
_RANGE = re.compile(rf"\[\s*{_WINDOW.pattern}\s*\]")
# a range nobody writes, so that the window is told from a fixed range in the query
_CHECK_WINDOW_MS = 987_654_321
_COUNTERS = ("rate", "increase")
_COUNTS_OF_LINES = {"rate": "count_over_time", "bytes_rate": "bytes_over_time"}


class SliQueryError(ValueError):
    """An SLI query that cannot be counted; the text says why and what to write instead."""


def check_query(text: str, *, events: bool, language: Language = "promql", window_required: bool = True) -> None:
    """Raises SliQueryError when the query of an SLI cannot be used. `events`: it counts events, and is no ratio."""
    window = _WINDOW if language == "promql" else _RANGE
    if window_required and not window.search(text):
        raise SliQueryError("must use {{.window}} as the range of its selectors")
    fill = fill_window if language == "promql" else fill_logql
    fill(text, _CHECK_WINDOW_MS, events=events)


def fill_window(text: str, window_ms: int, *, events: bool) -> str:
    """The query over a window of this length, with exact increases.

    In a query of events `rate` becomes the increase itself, a number of events; in a ratio it becomes the increase
    by the second, so that the ratio keeps its unit. Raises SliQueryError.
    """
    filled = _WINDOW.sub(format_duration_ms(window_ms), text)
    if "{{" in filled:
        raise SliQueryError("only {{.window}} is filled in here, other template actions are not known")
    tree = parse(filled)
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


def fill_logql(text: str, window_ms: int, *, events: bool) -> logql.Expr:
    """The tree of a LogQL query over a window of this length.

    In a query of events speeds become the number of lines, or bytes, or the sum of what is unwrapped; a ratio keeps
    them, as they are exact already. Raises SliQueryError.
    """
    try:
        tree = logql_parse(_RANGE.sub(f"[{format_duration_ms(window_ms)}]", text))
    except BadQuery as error:
        raise SliQueryError(str(error)) from None
    if isinstance(tree, logql.LogQuery):
        raise SliQueryError("gives lines and no numbers: write sum(count_over_time(… [{{.window}}]))")
    return _of_lines(tree, window_ms) if events else tree


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


def _of_lines(tree: logql.Expr, window_ms: int) -> logql.Expr:
    """The tree with speeds made counts. Raises SliQueryError where lines would be counted twice or not at all."""
    match tree:
        case logql.RangeAggregation():
            if tree.range_ms != window_ms:
                raise SliQueryError(
                    f"{tree.op} over a fixed range counts lines more than once: write [{{{{.window}}}}]"
                )
            if tree.op == "rate_counter":
                raise SliQueryError(
                    "rate_counter is extrapolated and counts no events: write rate over unwrapped values"
                )
            return replace(tree, op=_count_of(tree))
        case logql.VectorAggregation() | logql.LabelReplace():
            return replace(tree, expr=_of_lines(tree.expr, window_ms))
        case logql.Binary():
            return replace(tree, left=_of_lines(tree.left, window_ms), right=_of_lines(tree.right, window_ms))
        case _:
            return tree


def _count_of(node: logql.RangeAggregation) -> str:
    if node.unwrap is not None:
        return "sum_over_time" if node.op == "rate" else node.op
    return _COUNTS_OF_LINES.get(node.op, node.op)
