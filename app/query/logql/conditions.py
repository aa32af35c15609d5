"""Selectors and line filters as SQL conditions. User values travel as parameters only."""

from __future__ import annotations

import re

from app.labels import Matcher, MatchOp
from app.query.logql.ast import FilterOp, LineFilter, LogQuery
from app.query.promql.conditions import Parameters

_WORD = re.compile(
    r"(?<=[\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f])[0-9A-Za-z]{2,}(?=[\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f])"
)
# the longest word is likely the rarest; each more costs every line it does not rule out
_WORDS_LOOKED_UP = 1
_MAX_NS = 2**63 - 1


def time_ns(ns: int, parameters: Parameters) -> str:
    """A time as SQL, from nanoseconds since the epoch."""
    return f"fromUnixTimestamp64Nano({parameters.add(min(max(ns, 0), _MAX_NS), 'Int64')})"


def stream_condition(matchers: tuple[Matcher, ...], start_ns: int, end_ns: int, parameters: Parameters) -> str:
    """What a row of `log_streams` must satisfy: the matchers, and that it was seen between the times."""
    first, last = parameters.time(start_ns // 1_000_000), parameters.time(end_ns // 1_000_000)
    seen = f"last_seen >= {first} AND first_seen <= {last}"
    return " AND ".join([seen, *(_matcher(m, parameters) for m in matchers)])


def lines_condition(query: LogQuery, start_ns: int, end_ns: int, parameters: Parameters) -> str:
    """What a row of `logs` must satisfy: its stream, start <= ts < end, and every line filter."""
    streams = stream_condition(query.matchers, start_ns, end_ns, parameters)
    conditions = [
        f"(service, stream_id) IN (SELECT service, stream_id FROM log_streams WHERE {streams})",
        f"ts >= {time_ns(start_ns, parameters)}",
        f"ts < {time_ns(end_ns, parameters)}",
        *(_line_filter(f, parameters) for f in query.filters),
    ]
    return "\n  AND ".join(conditions)


def _matcher(matcher: Matcher, parameters: Parameters) -> str:
    # a missing key of a Map reads as '', just as an absent label does
    value = f"labels[{parameters.add(matcher.name)}]"
    if matcher.op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL):
        return f"{value} {matcher.op.value} {parameters.add(matcher.value)}"
    negation = "NOT " if matcher.op is MatchOp.NOT_REGEX else ""
    return f"{negation}match({value}, {parameters.add(f'^(?s:{matcher.value})$')})"


def _line_filter(line_filter: LineFilter, parameters: Parameters) -> str:
    if line_filter.op in (FilterOp.CONTAINS, FilterOp.NOT_CONTAINS):
        tests = [_contains(text, parameters, not line_filter.op.negative) for text in line_filter.texts]
    else:
        # `.` is no line end in LogQL, and is one in ClickHouse unless told
        tests = [f"match(body, {parameters.add(f'(?-s){text}')})" for text in line_filter.texts]
    found = tests[0] if len(tests) == 1 else "(" + " OR ".join(tests) + ")"
    return f"NOT {found}" if line_filter.op.negative else found


def _contains(text: str, parameters: Parameters, indexed: bool) -> str:
    exact = f"(position(body, {parameters.add(text)}) > 0)"
    if not indexed:
        return exact
    # words with a separator on both sides inside the text are whole words of the line too: the text index knows them
    words = sorted(set(_WORD.findall(text)), key=len)[-_WORDS_LOOKED_UP:]
    return (
        "(" + " AND ".join([*(f"hasToken(body, {parameters.add(w)})" for w in words), exact]) + ")" if words else exact
    )
