"""What the rules of the grammar make: parts with their places and types, and what the parser's library is to be told.

A method is called for each rule as it ends, in the order Prometheus's parser ends them, so that the first problem found
is the one Prometheus would tell.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from app.labels import METRIC_NAME, Matcher, MatchOp
from app.query.promql.format import format_value
from app.query.promql.quote import quoted
from app.query.promql.syntax import checks
from app.query.promql.syntax.functions import SIGNATURES
from app.query.promql.syntax.literals import LONGEST_DURATION_S, duration_seconds, number_value
from app.query.promql.syntax.parts import Duration, Kind, Matched, Part
from app.query.promql.syntax.problem import Problem
from app.query.promql.syntax.strings import plainly, string_value
from app.query.promql.syntax.tokens import Token

ANYTHING = "__any_info__"
"""A matcher of this label stands in an info selector that could match the empty string, which the parser refuses."""

MAX_OPERATORS = 400
"""The library recurses into each."""

_DISGUISE = "\uf8ff"
_WITH_PARAMETER = ("topk", "bottomk", "count_values", "quantile", "limitk", "limit_ratio")
# words that the library does not take for names; in quotes it does
_STRANGE_NAMES = ("ANCHORED", "SMOOTHED", "METRIC_IDENTIFIER")
# other forms are no numbers for the library, and 0s is no duration
_PLAIN_NUMBER = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|0[xX][0-9a-fA-F]+")
_TRIMS = {"</": "< ", ">/": "> "}
_MOVABLE = ("selector", "range", "subquery")


def undisguised(value: str) -> str:
    """The pattern of a matcher of the library's, which may have been hidden from it."""
    return bytes.fromhex(value[1:]).decode() if value.startswith(_DISGUISE) else value


class Beginning(NamedTuple):
    """Where a part begins that notes can be about: a selector, a call or aggregation with its name, or a number."""

    at: int
    kind: Literal["selector", "call", "number"]
    name: str = ""


class Rewrite(NamedTuple):
    """What stands between two places of the query, as the library takes it."""

    start: int
    end: int
    text: str


class _Number(NamedTuple):
    value: float
    token: Token


class _Name(NamedTuple):
    text: str
    start: int


class _Matchers(NamedTuple):
    matchers: tuple[Matcher, ...]
    start: int
    end: int


class _Labels(NamedTuple):
    names: tuple[str, ...] = ()
    end: int = 0


class _Arguments(NamedTuple):
    parts: tuple[Part, ...]
    end: int


class Builder:
    """Makes the parts of one query. What it notes on the way is complete when the query was read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.beginnings: list[Beginning] = []
        self.rewrites: list[Rewrite] = []
        self.disguises: list[Rewrite] = []
        self.operators: list[Token] = []
        self.problem: Problem | None = None

    # numbers and strings

    def number(self, token: Token) -> _Number:
        try:
            value = number_value(token.text) if token.kind == "NUMBER" else duration_seconds(token.text)
        except ValueError as error:
            raise Problem(str(error), token.start) from None
        if value == 0 or (token.kind == "NUMBER" and math.isfinite(value) and not _PLAIN_NUMBER.fullmatch(token.text)):
            self._rewrite(token, format_value(value))
        return _Number(value, token)

    def number_literal(self, number: _Number) -> Part:
        self.beginnings.append(Beginning(number.token.start, "number"))
        return Part("number", "scalar", number.token.start, number.token.end)

    def text(self, token: Token) -> Part:
        self._string(token)
        return Part("text", "string", token.start, token.end)

    def _string(self, token: Token) -> str:
        try:
            value = string_value(token.text)
        except UnicodeDecodeError as error:
            found = "".join(f"\\x{byte:02x}" for byte in error.object[error.start : error.end])
            # no error for Prometheus: what it finds wrong comes first
            self.problem = self.problem or Problem(f"{found} in a string is no UTF-8", token.start)
            return token.text
        plain = plainly(token.text, value)
        if plain is not None:
            self._rewrite(token, plain)
        return value

    def _rewrite(self, token: Token, text: str) -> None:
        self.rewrites.append(Rewrite(token.start, token.end, text))

    # lists

    def first(self, item: Any) -> list[Any]:
        return [item]

    def more(self, items: list[Any], _between: Token, item: Any) -> list[Any]:
        items.append(item)
        return items

    def trailing_comma(self, _items: list[Any], comma: Token) -> None:
        raise Problem("trailing commas not allowed in function call args", comma.start)

    # selectors

    def named_selector(self, name: Token, given: _Matchers | None = None) -> Part:
        found = given or _Matchers((), name.end, name.end)
        if name.kind in ("ANCHORED", "SMOOTHED"):
            self._in_braces(name, given)
        return self._selector(name.text, found, name.start)

    def _in_braces(self, name: Token, given: _Matchers | None) -> None:
        # where the library takes no such name
        if given is None:
            self._rewrite(name, f'{{"{name.text}"}}')
        else:
            comma = "," if given.matchers else ""
            self.rewrites.append(Rewrite(name.start, given.start + 1, f'{{"{name.text}"{comma}'))

    def unnamed_selector(self, found: _Matchers) -> Part:
        return self._selector("", found, found.start)

    def _selector(self, name: str, found: _Matchers, start: int) -> Part:
        self.beginnings.append(Beginning(start, "selector"))
        problem = checks.selector(name, found.matchers, start)
        return Part("selector", "vector", start, found.end, problem, name, found.matchers)

    def matchers(self, opening: Token, found: list[Matcher], *closing: Token) -> _Matchers:
        return _Matchers(tuple(found), opening.start, closing[-1].end)

    def no_matchers(self, opening: Token, closing: Token) -> _Matchers:
        return _Matchers((), opening.start, closing.end)

    def quoted_name(self, token: Token) -> _Name:
        return _Name(self._string(token), token.start)

    def matcher(self, name: Token | _Name, op: Token, literal: Token) -> Matcher:
        matcher = Matcher(name.text, MatchOp(op.text), self._string(literal))
        if matcher.op in (MatchOp.REGEX, MatchOp.NOT_REGEX):
            error = checks.regex_error(matcher.value)
            if error:
                raise Problem(error, name.start)
            self._disguise(matcher.value, literal)
        return matcher

    def _disguise(self, pattern: str, literal: Token) -> None:
        # the library compiles patterns with another engine, which refuses some
        disguise = Rewrite(literal.start, literal.end, f'"{_DISGUISE}{pattern.encode(errors="replace").hex()}"')
        self.disguises.append(disguise)
        if pattern.startswith(_DISGUISE):
            self.rewrites.append(disguise)

    def name_matcher(self, name: _Name) -> Matcher:
        return Matcher(METRIC_NAME, MatchOp.EQUAL, name.text)

    # ranges and what moves them

    def ranged(self, of: Part, opening: Token, _duration: Duration, closing: Token) -> Part:
        if of.kind != "selector":
            raise Problem("ranges only allowed for vector selectors", opening.start)
        for modifier in ("offset", "@"):
            if modifier in of.moved:
                raise Problem(f"no {modifier} modifiers allowed before range", opening.start)
        return Part("range", "matrix", of.start, closing.end, of.problem)

    def subquery(self, of: Part, *brackets: Any) -> Part:
        return Part("subquery", "matrix", of.start, brackets[-1].end, checks.subquery(of))

    def with_offset(self, of: Part, _word: Token, offset: Duration) -> Part:
        _movable(of, "offset", "offset")
        # an offset of nothing is none
        moved = of.moved | {"offset"} if round(offset.seconds * 1e9) else of.moved
        return replace(of, end=offset.end, moved=moved)

    def at_time(self, of: Part, _at: Token, *number: Any) -> Part:
        time: _Number = number[-1]
        seconds = -time.value if len(number) > 1 and number[0].kind == "SUB" else time.value
        if not abs(seconds) < 2.0**63:
            shown = f"{seconds:f}" if math.isfinite(seconds) else format_value(seconds)
            raise Problem(f"timestamp out of bounds for @ modifier: {shown}", of.start)
        return _timed(of, time.token.end)

    def at_edge(self, of: Part, _at: Token, _edge: Token, _opening: Token, closing: Token) -> Part:
        return _timed(of, closing.end)

    def extended(self, _of: Part, word: Token) -> None:
        raise Problem(f'the modifier "{word.text.lower()}" is not supported', word.start)

    # durations

    def range(self, duration: Duration) -> Duration:
        if duration.seconds <= 0:
            raise Problem("duration must be greater than 0", duration.start)
        if duration.signs:
            self._plain(duration)
        return duration

    def offset(self, duration: Duration) -> Duration:
        if duration.signs > 1:
            self._plain(duration)
        return duration

    def offset_number(self, *parts: Any) -> Duration:
        if len(parts) == 1:
            return self.duration_number(parts[0])
        sign = parts[0]
        if len(parts) == 2:
            return self.signed_duration(sign, _duration(parts[1]))
        found = self.signed_duration(sign, replace(parts[2], end=parts[3].end))
        self._plain(found)
        return found

    def duration_number(self, number: _Number) -> Duration:
        return _in_range(_duration(number), number.token.start)

    def signed_duration(self, sign: Token, duration: Duration) -> Duration:
        seconds = -duration.seconds if sign.kind == "SUB" else duration.seconds
        return _in_range(Duration(seconds, sign.start, duration.end, duration.signs + 1), sign.start)

    def duration_arithmetic(self, left: Duration, _op: Token, right: Duration) -> None:
        self._no_arithmetic(left.start, left.start, right.end)

    def duration_paren(self, opening: Token, duration: Duration, closing: Token) -> None:
        self._no_arithmetic(duration.start, opening.start, closing.end)

    def duration_function(self, name: Token, *_arguments: Any) -> None:
        raise Problem(f'the duration function "{name.text.lower()}" is not supported', name.start)

    def _no_arithmetic(self, place: int, start: int, end: int) -> None:
        raise Problem(f"arithmetic between durations, as in {self._text[start:end]}, is not supported", place)

    def _plain(self, duration: Duration) -> None:
        self.rewrites.append(Rewrite(duration.start, duration.end, f" {format_value(duration.seconds)} "))

    # calls and aggregations

    def call(self, name: Token, arguments: _Arguments) -> Part:
        if name.text not in SIGNATURES:
            raise Problem(f"unknown function with name {quoted(name.text)}", name.start)
        self.beginnings.append(Beginning(name.start, "call", name.text))
        parts = arguments.parts
        if name.text == "info" and len(parts) > 1 and parts[1].kind == "selector" and not parts[1].name:
            parts = (parts[0], self._opened(parts[1]), *parts[2:])
        problem = checks.call(name.text, parts, name.start)
        return Part("call", SIGNATURES[name.text].gives, name.start, arguments.end, problem)

    def _opened(self, selector: Part) -> Part:
        # info's selector may match anything, but not for the library
        if selector.problem:
            at = selector.start + 1
            self.rewrites.append(Rewrite(at, at, f'{ANYTHING}="1"{"," if selector.matchers else ""}'))
        return replace(selector, problem=None)

    def arguments(self, _opening: Token, parts: list[Part], closing: Token) -> _Arguments:
        return _Arguments(tuple(parts), closing.end)

    def no_arguments(self, _opening: Token, closing: Token) -> _Arguments:
        return _Arguments((), closing.end)

    def grouping(self, _word: Token, labels: _Labels) -> _Labels:
        return labels

    def aggregation(self, op: Token, _grouping: _Labels, arguments: _Arguments) -> Part:
        return self._aggregation(op, arguments, arguments.end)

    def aggregation_after(self, op: Token, arguments: _Arguments, grouping: _Labels) -> Part:
        return self._aggregation(op, arguments, grouping.end)

    def aggregation_of_all(self, op: Token, arguments: _Arguments) -> Part:
        return self._aggregation(op, arguments, arguments.end)

    def _aggregation(self, op: Token, arguments: _Arguments, end: int) -> Part:
        name, count = op.text.lower(), len(arguments.parts)
        expected = 2 if name in _WITH_PARAMETER else 1
        if count == 0:
            raise Problem("no arguments for aggregate expression provided", op.start)
        if count != expected:
            wrong = f"wrong number of arguments for aggregate expression provided, expected {expected}, got {count}"
            raise Problem(wrong, op.start)
        self.beginnings.append(Beginning(op.start, "call", name))
        return Part("other", "vector", op.start, end, checks.aggregation(name, arguments.parts))

    # operators

    def paren(self, opening: Token, inner: Part, closing: Token) -> Part:
        return Part("other", inner.type, opening.start, closing.end, inner.problem)

    def signed(self, sign: Token, of: Part) -> Part:
        self._operator(sign)
        kind: Kind = "number" if of.kind == "number" else "other"
        return Part(kind, of.type, sign.start, of.end, checks.signed(of, sign.start))

    def binary(self, left: Part, op: Token, matched: Matched, right: Part) -> Part:
        self._operator(op)
        if op.text in _TRIMS:
            self._rewrite(op, _TRIMS[op.text])
        scalar = left.type == right.type == "scalar"
        problem = checks.binary(left, op, matched, right)
        return Part("other", "scalar" if scalar else "vector", left.start, right.end, problem)

    def _operator(self, op: Token) -> None:
        self.operators.append(op)
        if len(self.operators) > MAX_OPERATORS:
            raise Problem(f"the query has more than {MAX_OPERATORS} operators", op.start)

    # how the sides of an operator find each other

    def returning_bool(self, _word: Token) -> Matched:
        return Matched(return_bool=True)

    def not_returning_bool(self) -> Matched:
        return Matched()

    def matched(self, matched: Matched, word: Token, labels: _Labels) -> Matched:
        return replace(matched, on=word.kind == "ON", labels=labels.names)

    def grouped(self, matched: Matched, _word: Token, included: _Labels) -> Matched:
        return replace(matched, grouped=True, included=included.names)

    def filled(self, matched: Matched, *_values: Any) -> Matched:
        return replace(matched, filled=True)

    def labels(self, _opening: Token, names: list[str], *closing: Token) -> _Labels:
        return _Labels(tuple(names), closing[-1].end)

    def no_labels(self, *brackets: Token) -> _Labels:
        return _Labels(end=brackets[-1].end) if brackets else _Labels()

    def label(self, token: Token) -> str:
        name = self._string(token) if token.kind == "STRING" else token.text
        if not name:
            raise Problem('invalid label name for grouping: ""', token.start)
        if token.kind in _STRANGE_NAMES:
            self._rewrite(token, f'"{name}"')
        return name


def _timed(of: Part, end: int) -> Part:
    _movable(of, "@", "@ <timestamp>")
    return replace(of, end=end, moved=of.moved | {"@"})


def _movable(of: Part, modifier: str, shown: str) -> None:
    if of.kind not in _MOVABLE:
        what = "an instant vector selector or range vector selector or a subquery"
        raise Problem(f"{modifier} modifier must be preceded by {what}", of.start)
    if modifier in of.moved:
        raise Problem(f"{shown} may not be set multiple times", of.start)


def _duration(number: _Number) -> Duration:
    return Duration(number.value, number.token.start, number.token.end)


def _in_range(duration: Duration, place: int) -> Duration:
    if not abs(duration.seconds) <= LONGEST_DURATION_S:
        raise Problem("duration out of range", place)
    return duration
