"""The tokens of PromQL, by the names the grammar has for them (promql/parser/lex.go of Prometheus)."""

from __future__ import annotations

from typing import NamedTuple

from app.query.promql.names import AGGREGATIONS
from app.query.promql.quote import quoted

END = "$END"
_OPERATOR_MARKS = {
    "+": "ADD",
    "-": "SUB",
    "*": "MUL",
    "/": "DIV",
    "%": "MOD",
    "^": "POW",
    "==": "EQLC",
    "!=": "NEQ",
    "<=": "LTE",
    "<": "LSS",
    ">=": "GTE",
    ">": "GTR",
    "</": "TRIM_UPPER",
    ">/": "TRIM_LOWER",
    "=~": "EQL_REGEX",
    "!~": "NEQ_REGEX",
    "@": "AT",
}
MARKS = _OPERATOR_MARKS | {
    "=": "EQL",
    ",": "COMMA",
    ":": "COLON",
    "(": "LEFT_PAREN",
    ")": "RIGHT_PAREN",
    "{": "LEFT_BRACE",
    "}": "RIGHT_BRACE",
    "[": "LEFT_BRACKET",
    "]": "RIGHT_BRACKET",
}
DURATION_FUNCTIONS = frozenset(["STEP", "RANGE", "MAX_OF", "MIN_OF"])
_OPERATOR_WORDS = frozenset(["AND", "OR", "UNLESS", "ATAN2"])
_MODIFIERS = frozenset(
    [
        "ANCHORED",
        "BOOL",
        "BY",
        "FILL",
        "FILL_LEFT",
        "FILL_RIGHT",
        "GROUP_LEFT",
        "GROUP_RIGHT",
        "IGNORING",
        "OFFSET",
        "ON",
        "SMOOTHED",
        "WITHOUT",
    ]
)
_AGGREGATORS = frozenset(name.upper() for name in AGGREGATIONS)
KEYWORDS = _OPERATOR_WORDS | _MODIFIERS | _AGGREGATORS | DURATION_FUNCTIONS | {"START", "END"}
_OPERATORS = _OPERATOR_WORDS | set(_OPERATOR_MARKS.values())
_NAMED = {
    END: "end of input",
    "ALTERNATIVE": "identifier",
    "IDENTIFIER": "identifier",
    "METRIC_IDENTIFIER": "metric identifier",
}
_SHORTENED = {"STRING": "string", "NUMBER": "number", "DURATION": "duration"}
_LONGEST_SHOWN = 10


class Token(NamedTuple):
    """A token: its kind, its text, and where it begins, in characters from the start of the query."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """Where what follows begins."""
        return self.start + len(self.text)


def described(token: Token) -> str:
    """A token as an error of Prometheus names it."""
    kind, text = token.kind, token.text
    if kind in _NAMED:
        return _NAMED[kind] if kind == END else f"{_NAMED[kind]} {quoted(text)}"
    if kind in _SHORTENED:
        whole = len(text.encode()) <= _LONGEST_SHOWN
        return f"{_SHORTENED[kind]} {quoted(text) if whole else quoted(text[:_LONGEST_SHOWN]) + '...'}"
    if kind in _MODIFIERS:
        return f"<{text}>"
    if kind in _OPERATORS:
        return f"<op:{text}>"
    return f"<aggr:{text}>" if kind in _AGGREGATORS else quoted(text)
