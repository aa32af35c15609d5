"""Selectors and times as SQL conditions. User values travel as parameters only."""

from __future__ import annotations

from app.labels import Matcher, MatchOp
from app.query.promql.conditions import Parameters

_MAX_NS = 2**63 - 1


def time_ns(ns: int, parameters: Parameters) -> str:
    """A time as SQL, from nanoseconds since the epoch."""
    return f"fromUnixTimestamp64Nano({parameters.add(min(max(ns, 0), _MAX_NS), 'Int64')})"


def stream_condition(matchers: tuple[Matcher, ...], start_ns: int, end_ns: int, parameters: Parameters) -> str:
    """What a row of `log_streams` must satisfy: the matchers, and that it was seen between the times."""
    first, last = parameters.time(start_ns // 1_000_000), parameters.time(end_ns // 1_000_000)
    seen = f"last_seen >= {first} AND first_seen <= {last}"
    return " AND ".join([seen, *(_matcher(m, parameters) for m in matchers)])


def lines_conditions(streams: str, start_ns: int, end_ns: int, parameters: Parameters) -> list[str]:
    """What a row of `logs` must satisfy: its stream a condition, and start <= ts < end."""
    return [
        f"(service, stream_id) IN (SELECT service, stream_id FROM log_streams WHERE {streams})",
        f"ts >= {time_ns(start_ns, parameters)}",
        f"ts < {time_ns(end_ns, parameters)}",
    ]


def _matcher(matcher: Matcher, parameters: Parameters) -> str:
    # a missing key of a Map reads as '', just as an absent label does
    value = f"labels[{parameters.add(matcher.name)}]"
    if matcher.op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL):
        return f"{value} {matcher.op.value} {parameters.add(matcher.value)}"
    negation = "NOT " if matcher.op is MatchOp.NOT_REGEX else ""
    return f"{negation}match({value}, {parameters.add(f'^(?s:{matcher.value})$')})"
