"""The LALR(1) table of the grammar, made by lark, and the machine that reads tokens by it.

It does as the machine of Prometheus's parser does (made by goyacc): a token is looked at only where a rule's end is not
certain without it, and of a token that cannot follow the innermost part that was being read is told. The machine keeps
its own stack, so that no nesting is too deep for it.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Protocol

from lark import Lark
from lark.lexer import Lexer as LarkLexer
from lark.lexer import Token as LarkToken
from lark.parsers.lalr_analysis import Shift

from app.query.promql.syntax.problem import Problem
from app.query.promql.syntax.tokens import END, Token, described

STARTS = ("query", "selector")
_ERROR = "ERROR"
_DURATION = "number, duration, step(), or range()"
_BEING_READ = {
    "bad_aggregation": " in aggregation",
    "bad_labels": ' in grouping opts, expected "("',
    "bad_label_list": ' in grouping opts, expected "," or ")"',
    "bad_label": " in grouping opts, expected label",
    "bad_offset": f" in offset, expected {_DURATION}",
    "bad_at": " in @, expected timestamp",
    "bad_range": f" in subquery or range selector, expected {_DURATION}",
    "bad_range_end": ' in subquery or range, expected ":" or "]"',
    "bad_step": ' in subquery selector, expected number, duration, step(), range(), or "]"',
    "bad_step_end": ' in subquery selector, expected "]"',
    "bad_matcher_list": ' in label matching, expected "," or "}"',
    "bad_match_value": " in label matching, expected string",
    "bad_match_op": " in label matching, expected label matching operator",
    "bad_matcher": ' in label matching, expected identifier or "}"',
}


class Tokens(Protocol):
    """Gives one token after the other, and `$END` at the end."""

    def next(self) -> Token:
        """The next one. Raises Problem."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the grammar: how many values it takes, what it makes, and what that is called."""

    size: int
    makes: str
    name: str


@dataclass(frozen=True, slots=True)
class State:
    """What to do with each token: go on to a state, or end a rule, after which `after` says where to go on.

    `certain` is the rule to end without a look at a token, `otherwise` the one to end by default.
    """

    shifts: Mapping[str, int]
    rules: Mapping[str, Rule]
    after: Mapping[str, int]
    certain: Rule | None
    otherwise: Rule | None


@dataclass(frozen=True, slots=True)
class Table:
    """The states, and the first and last one of each kind of text."""

    states: tuple[State, ...]
    first: Mapping[str, int]
    last: Mapping[str, int]


@functools.cache
def table() -> Table:
    """The table. Made once, which takes a tenth of a second."""
    text = resources.files("app.query.promql.syntax").joinpath("grammar.lark").read_text(encoding="utf-8")
    lark = Lark(text, parser="lalr", lexer=_NoLexer, start=list(STARTS))
    made = lark.parse_interactive("", start=STARTS[0]).parser_state.parse_conf.parse_table
    rules: dict[Any, Rule] = {}
    states = tuple(_state(made.states[i], rules) for i in range(len(made.states)))
    return Table(states, dict(made.start_states), dict(made.end_states))


def read(tokens: Tokens, start: str, builder: object) -> Any:
    """What `builder`'s methods, named as the rules, make of the tokens. Raises Problem at the first that cannot follow.

    A rule without a method gives its one value, or the tuple of them.
    """
    made = table()
    states, last = made.states, made.last[start]
    stack = [made.first[start]]
    values: list[Any] = []
    token: Token | None = None
    while True:
        state = states[stack[-1]]
        rule = state.certain
        if rule is None:
            token = token or tokens.next()
            shifted = state.shifts.get(token.kind)
            if shifted is not None and stack[-1] != last:
                stack.append(shifted)
                values.append(token)
                token = None
                continue
            rule = state.rules.get(token.kind) or state.otherwise
            if rule is None:
                if stack[-1] == last and token.kind == END:
                    return values[-1]
                if token.kind == END and len(stack) == 1 and start == "query":
                    raise Problem("no expression found in input", 0)
                raise _unexpected(states, stack, token)
        method = getattr(builder, rule.name, None)
        if method is None and rule.size == 1:
            stack[-1] = states[stack[-2]].after[rule.makes]
            continue
        first = len(values) - rule.size
        taken = values[first:]
        values[first:] = [method(*taken) if method else tuple(taken)]
        del stack[first + 1 :]
        stack.append(states[stack[-1]].after[rule.makes])


def _unexpected(states: tuple[State, ...], stack: list[int], token: Token) -> Problem:
    for i in reversed(stack):
        after = states[i].shifts.get(_ERROR)
        rule = None if after is None else states[after].certain
        if rule is not None:
            return Problem(f"unexpected {described(token)}{_BEING_READ[rule.name]}", token.start)
    return Problem(f"unexpected {described(token)}", token.start)


class _NoLexer(LarkLexer):
    """Lark wants one; the tokens come from ours."""

    def __init__(self, conf: object) -> None:
        """Nothing to set up."""

    def lex(self, lexer_state: object, parser_state: object = None) -> Iterator[LarkToken]:
        """No tokens."""
        return iter(())


def _state(actions: Mapping[str, tuple[Any, Any]], known: dict[Any, Rule]) -> State:
    shifts = {name: to for name, (action, to) in actions.items() if action is Shift}
    rules = {name: _rule(rule, known) for name, (action, rule) in actions.items() if action is not Shift}
    tokens = {name: to for name, to in shifts.items() if name.isupper()}
    after = {name: to for name, to in shifts.items() if not name.isupper()}
    # goyacc's choices: the most frequent rule by default, but none where an error rule begins
    most = Counter(rules.values()).most_common(1)
    otherwise = most[0][0] if most and _ERROR not in tokens else None
    certain = otherwise if not tokens and len(set(rules.values())) == 1 else None
    return State(tokens, rules, after, certain, otherwise)


def _rule(rule: Any, known: dict[Any, Rule]) -> Rule:
    if rule not in known:
        known[rule] = Rule(len(rule.expansion), str(rule.origin.name), str(rule.alias or rule.origin.name))
    return known[rule]
