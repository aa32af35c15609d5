"""OpenSLO's bare counters made countable: a selector becomes its increase over `{{.window}}`."""

from __future__ import annotations

import re

import promql_parser as pq

from slo.queries import WINDOW, SliQueryError, parse
from slo.spec import Query

_WINDOW = re.compile(r"\{\{-?\s*\.window\s*-?\}\}")
# a range nobody writes, as the library prints it, and in milliseconds
_MARK, _MARK_MS = "11d10h20m54s321ms", 987_654_321
# what may stand behind a selector's braces; a quote or brace never does, so no text in a matcher is taken for it
_MODIFIERS = re.compile(r"(?: (?:@|offset) [-\w.()]+)*$")


def over_window(text: str, *, counter: bool) -> str:
    """A PromQL query without `{{.window}}`, each bare instant selector in it summed up over the window.

    `counter`: the selectors are counters, whose increase counts; otherwise each sample is a number of events. Offsets
    stay. Raises SliQueryError where there is nothing to sum up, and for subqueries.
    """
    tree = parse(text)
    bare = _bare(tree)
    if not any(bare):
        raise SliQueryError(f"must use {WINDOW} as the range of its selectors")
    function = "increase" if counter else "sum_over_time"
    flags = iter(bare)

    def wrap(node: pq.Expr) -> pq.Expr | None:
        return _ranged(node, function) if isinstance(node, pq.VectorSelector) and next(flags) else None

    return pq.transform(tree, post_visit=wrap).prettify().replace(f"[{_MARK}]", f"[{WINDOW}]")


def summed(query: Query, grouping: tuple[str, ...]) -> Query:
    """A query of events that may give several series, their sum by the labels of a grouping: all of them are events.

    That is one function over one selector, as OpenSLO's own examples have it; others aggregate as they mean to.
    """
    if query.language != "promql":
        return query
    tree = parse(_WINDOW.sub(_MARK, query.text))
    if not (isinstance(tree, pq.Call) and any(isinstance(argument, pq.MatrixSelector) for argument in tree.args)):
        return query
    by = f" by ({', '.join(grouping)}) " if grouping else ""
    return Query(f"sum{by}({query.text})", query.language)


def _bare(tree: pq.Expr) -> list[bool]:
    """Which instant selectors have no range around them, in the order a transform visits them."""
    bare: list[bool] = []

    def look(node: pq.Expr) -> None:
        if isinstance(node, pq.VectorSelector):
            bare.append(True)
        elif isinstance(node, pq.MatrixSelector):
            # it is visited right after the selector inside it
            bare[-1] = False
        elif isinstance(node, pq.SubqueryExpr):
            raise SliQueryError("a subquery cannot be counted exactly: put the function directly around the counter")

    pq.transform(tree, post_visit=look)
    return bare


def _ranged(selector: pq.VectorSelector, function: str) -> pq.Expr:
    text = selector.prettify()
    match = _MODIFIERS.search(text)
    assert match is not None
    at = match.start()
    return parse(f"{function}({text[:at]}[{_MARK}]{text[at:]})")
