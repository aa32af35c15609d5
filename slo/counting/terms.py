"""What an SLI asks of the engines: queries with the window filled in."""

from __future__ import annotations

from dataclasses import dataclass

from app.query.logql import ast as logql
from app.query.logql.parse import parse
from app.query.logql.ranges import range_function
from app.query.promql.ast import Matching
from slo.queries import filled
from slo.spec import EventsSli, Query, Sli, ThresholdSli


@dataclass(frozen=True, slots=True)
class Term:
    """A query that is added up with others, `times` 1 or -1. `zero`: where it gives nothing it is zero.

    `written` is what it comes from, as its author wrote it.
    """

    query: Query
    written: str
    times: int = 1
    zero: bool = False


Terms = tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What to evaluate at the end of each interval: the total and the good or bad events, or one value alone."""

    total: Terms
    part: Terms = ()

    @property
    def queries(self) -> tuple[Query, ...]:
        """Every query."""
        return tuple(term.query for term in (*self.total, *self.part))


def asked_by(sli: Sli, interval_ms: int) -> Asked:
    """What an SLI asks. Raises SliQueryError, which one whose queries passed `check_query` does not."""
    if isinstance(sli, EventsSli):
        part = sli.bad if sli.good is None else sli.good
        assert part is not None
        return Asked(_events(sli.total, interval_ms), _events(part, interval_ms))
    query = sli.value if isinstance(sli, ThresholdSli) else sli.ratio
    return Asked((Term(Query(filled(query, interval_ms, events=False), query.language), query.text),))


def _events(query: Query, interval_ms: int) -> Terms:
    text = filled(query, interval_ms, events=True)
    return (Term(Query(text), query.text),) if query.language == "promql" else tuple(_terms(parse(text), 1, query.text))


def _terms(tree: logql.Expr, times: int, written: str) -> list[Term]:
    """The terms of a sum of LogQL: each alone, as the whole gives nothing where one side has no lines."""
    if isinstance(tree, logql.Binary) and tree.op in ("+", "-") and tree.matching == Matching():
        if any(isinstance(side, logql.Number | logql.ConstantVector) for side in (tree.left, tree.right)):
            return [Term(Query(str(tree), "logql"), written, times)]
        return _terms(tree.left, times, written) + _terms(tree.right, times if tree.op == "+" else -times, written)
    return [Term(Query(str(tree), "logql"), written, times, _of_lines(tree))]


def _of_lines(tree: logql.Expr) -> bool:
    """Whether it is a number of lines, or a sum over them: zero where there are none."""
    match tree:
        case logql.RangeAggregation():
            return range_function(tree).adds
        case logql.VectorAggregation():
            return tree.op == "sum" and _of_lines(tree.expr)
        case logql.LabelReplace():
            return _of_lines(tree.expr)
        case logql.Binary():
            sides = (tree.left, tree.right)
            numbers = [side for side in sides if isinstance(side, logql.Number)]
            times = tree.op == "*" or (tree.op == "/" and isinstance(tree.right, logql.Number))
            return times and len(numbers) == 1 and all(side in numbers or _of_lines(side) for side in sides)
        case _:
            return False
