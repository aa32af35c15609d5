"""What stands out among the bad events of an SLO: label values that more of the bad events have than of all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import promql_parser as pq

from app.errors import BadQuery
from app.labels import Labels
from app.query.logql import ast as logql
from app.query.logql.parse import parse as parse_logql
from slo.queries import SliQueryError, filled
from slo.queries import parse as parse_promql
from slo.spec import EventsSli, Query, SloSpec

Counts = Sequence[tuple[Labels, float]]
Ask = Callable[[Query], Counts]
"""Evaluates a query whose window is filled in: label sets and values. Raises WatchhouseError."""

MOST = 5
_MOST_OF_A_LABEL = 2
_LEAST_SHARE = 0.1
_LEAST_MORE = 0.05
_ANY_WINDOW_MS = 60_000
_SUMMED_AWAY = ("__name__", "le", "quantile")


@dataclass(frozen=True, slots=True)
class LabelValue:
    """A value of a label: so many bad events had it, a share (0 to 1) of the bad ones and of all."""

    label: str
    value: str
    bad: float
    share: float
    usual: float | None


def offenders(spec: SloSpec, window_ms: int, ask: Ask) -> list[LabelValue]:
    """Up to five values, what stands out most first; none for an SLI that counts no events. Blocks as `ask` does."""
    sli = spec.components[0].sli
    if not isinstance(sli, EventsSli):
        return []
    total = _counts(sli.total, window_ms, spec.group, ask)
    # what tells bad events from good ones, such as the status code, is no news
    known = {name for name, _ in spec.group} | (_matched(sli.bad or sli.good) - _matched(sli.total))
    if sli.bad is not None:
        bad = _counts(sli.bad, window_ms, spec.group, ask)
    elif sli.good is not None:
        good = _counts(sli.good, window_ms, spec.group, ask)
        bad = _rest(total, good) if total is not None and good is not None else None
    else:
        bad = None
    return standing_out(bad, total or (), known) if bad else []


def standing_out(bad: Counts, total: Counts, known: set[str] | frozenset[str] = frozenset()) -> list[LabelValue]:
    """The values that stand out; those of `known` labels are the same for all events."""
    sums, whole = _by_label(bad, known), sum(value for _, value in bad)
    usual, every = _by_label(total, known), sum(value for _, value in total)
    if whole <= 0:
        return []
    found: list[tuple[float, LabelValue]] = []
    for label, values in sums.items():
        if len(usual.get(label) or values) < 2 and len(values) < 2:
            continue  # all events have it
        best = sorted(values.items(), key=lambda item: -item[1])[:_MOST_OF_A_LABEL]
        for value, count in best:
            share = count / whole
            before = usual[label].get(value, 0.0) / every if label in usual and every > 0 else None
            more = share - (before if before is not None else 1 / max(2, len(values)))
            if share >= _LEAST_SHARE and more >= _LEAST_MORE and value:
                found.append((more, LabelValue(label, value, count, min(share, 1.0), before)))
    found.sort(key=lambda item: (-item[0], item[1].label, item[1].value))
    return [one for _, one in found[:MOST]]


def unsummed(query: Query, window_ms: int) -> Query | None:
    """What a query sums, over the window; None for one that is no sum of something."""
    try:
        text = filled(query, window_ms, events=True)
        inner = _inner_logql(text) if query.language == "logql" else _inner_promql(text)
    except (SliQueryError, BadQuery):
        return None
    return Query(inner, query.language) if inner else None


def _inner_promql(text: str) -> str:
    tree = parse_promql(text)
    while isinstance(tree, pq.ParenExpr):
        tree = tree.expr
    if isinstance(tree, pq.AggregateExpr):
        return str(tree.expr.prettify()) if str(tree.op) == "sum" else ""
    # `sum(x) or vector(0)`: what is summed is on the left
    if isinstance(tree, pq.BinaryExpr) and str(tree.op) == "or":
        return _inner_promql(tree.lhs.prettify())
    return text if isinstance(tree, pq.Call) else ""


def _inner_logql(text: str) -> str:
    tree = parse_logql(text)
    if isinstance(tree, logql.VectorAggregation):
        return str(tree.expr) if tree.op == "sum" else ""
    return text


def _matched(query: Query | None) -> set[str]:
    """The labels that the selectors of a PromQL query ask for."""
    inner = unsummed(query, _ANY_WINDOW_MS) if query is not None and query.language == "promql" else None
    found: set[str] = set()

    def look(node: pq.Expr) -> None:
        if isinstance(node, pq.VectorSelector):
            found.update(str(matcher.name) for matcher in node.matchers.matchers)

    if inner is not None:
        pq.transform(parse_promql(inner.text), post_visit=look)
    return found


def _counts(query: Query, window_ms: int, group: Labels, ask: Ask) -> Counts | None:
    inner = unsummed(query, window_ms)
    if inner is None:
        return None
    wanted = set(group)
    return [
        (labels, value) for labels, value in ask(inner) if wanted <= set(labels) and math.isfinite(value) and value > 0
    ]


def _rest(total: Counts, good: Counts) -> Counts:
    """All less the good ones, by series where they have the same labels."""
    left = {labels: value for labels, value in total}
    for labels, value in good:
        if labels in left:
            left[labels] -= value
    return [(labels, value) for labels, value in left.items() if value > 0]


def _by_label(counts: Counts, known: set[str] | frozenset[str]) -> Mapping[str, Mapping[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for labels, value in counts:
        for name, text in labels:
            if name not in _SUMMED_AWAY and name not in known:
                of = found.setdefault(name, {})
                of[text] = of.get(text, 0.0) + value
    return found
