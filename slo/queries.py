"""SLI queries: `{{.window}}` filled in, and speeds rewritten to counts.

Sloth's specs ask for `rate(x[{{.window}}])`, an extrapolated speed. Counting needs the counter's own increase over
exactly the interval, so on the syntax tree `rate` and `increase` over the window become the query engine's
`increase_exact`: sums over adjacent intervals are then the counter's own difference.
"""

from __future__ import annotations

import re

import promql_parser as pq

from app.durations import format_duration_ms
from app.errors import BadQuery
from app.query.promql.parse import parse as engine_parse
from app.query.promql.parse import printable_tree
from slo.spec import EventsSli, RatioSli

EXACT = "increase_exact"
_PLACE = re.compile(r'^invalid parameter "query": (?:\d+:\d+: parse error: )?')
_WINDOW = re.compile(r"\{\{-?\s*\.window\s*-?\}\}")
# a range nobody writes, so that the window is told from a fixed range in the query
_CHECK_WINDOW_MS = 987_654_321
_COUNTERS = ("rate", "increase")


class SliQueryError(ValueError):
    """An SLI query that cannot be counted; the text says why and what to write instead."""


def check_query(text: str, *, events: bool) -> None:
    """Raises SliQueryError when the query of an SLI cannot be used. `events`: it counts events, and is no ratio."""
    if not _WINDOW.search(text):
        raise SliQueryError("must use {{.window}} as the range of its selectors")
    fill_window(text, _CHECK_WINDOW_MS, events=events)


def sli_queries(sli: EventsSli | RatioSli, interval_ms: int) -> tuple[str, ...]:
    """The PromQL to evaluate at the end of each interval: (errors, total), or the one error ratio.

    Raises SliQueryError, which a query that passed `check_query` does not.
    """
    if isinstance(sli, RatioSli):
        return (fill_window(sli.error_ratio_query, interval_ms, events=False),)
    return tuple(fill_window(query, interval_ms, events=True) for query in (sli.error_query, sli.total_query))


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
        return parse(call if events or node.func.name == "increase" else f"({call} / {window_ms / 1000})")

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
