"""Cuts a query into tokens where Prometheus does, and refuses what it refuses (promql/parser/lex.go).

What a character means depends on the brackets around it: within braces every word is a label's name, and within square
brackets there are durations.
"""

from __future__ import annotations

import re

from app.query.promql.quote import quoted, quoted_character
from app.query.promql.syntax.literals import literal_end
from app.query.promql.syntax.problem import Problem
from app.query.promql.syntax.strings import string_end, wrong_with
from app.query.promql.syntax.tokens import DURATION_FUNCTIONS, END, KEYWORDS, MARKS, Token

_SKIP = r"(?P<skip>[ \t\n\r]+|\#[^\n\r\ud800-\udfff]*)"
_OUTSIDE = re.compile(
    rf"{_SKIP}|(?P<word>[A-Za-z_:][A-Za-z0-9_:]*)|(?P<literal>\.?[0-9])|(?P<string>[\"'`])"
    r"|(?P<mark>[=!<>]=|</|>/|[-+*/%^,<>@(){\[\]]|=(?!~))"
)
_IN_BRACES = re.compile(rf"{_SKIP}|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<string>[\"'`])|(?P<mark>=~|![=~]|[=,}}])")
_IN_BRACKETS = re.compile(
    r"(?P<skip>[ \t\n\r]+)|(?P<word>(?i:step|range|max_of|min_of)(?![A-Za-z_]))|(?P<literal>\.?[0-9])"
    r"|(?P<mark>[-+*/%^,():\]])"
)
_DURATION_WORD = re.compile(r"[A-Za-z_]+")
_OPEN_PAREN = re.compile(r"[ \t\n\r]*\(")
_NUMBERS = frozenset(["INF", "NAN"])
_SIGNS = frozenset("+-^")
_BRACKETS = frozenset("([{)]}")
MAX_DEPTH = 200
"""The library recurses, and a stack that overflows in it ends the process."""
# what Go shows where the text has ended
_NOTHING = "\ufffd"


class Lexer:
    """The tokens of one query, one at a time, up to the first that is wrong."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._parens = self._depth = self._signs = 0
        self._in_braces = self._in_brackets = False
        self._duration_due = self._duration_seen = self._colon_seen = False
        self._last = ""

    def next(self) -> Token:
        """The next token; after the last one `$END`, again and again. Raises Problem, also where it gets too deep."""
        token = self._token()
        self._last = token.kind
        self._signs = self._signs + 1 if token.text in _SIGNS else 0
        if token.text in _BRACKETS:
            self._depth += 1 if token.text in "([{" else -1
        if self._depth > MAX_DEPTH or self._signs >= MAX_DEPTH:
            raise Problem(f"the query is nested deeper than {MAX_DEPTH} levels", token.start)
        return token

    def _token(self) -> Token:
        while True:
            pattern = _IN_BRACES if self._in_braces else _IN_BRACKETS if self._duration_due else _OUTSIDE
            match = pattern.match(self._text, self._at)
            if match is None:
                return self._odd()
            start, self._at = self._at, match.end()
            match match.lastgroup:
                case "word":
                    return self._word(match[0], start)
                case "mark":
                    return self._mark(match[0], start)
                case "string":
                    return self._string(start)
                case "literal":
                    return self._literal(start)

    def _word(self, word: str, start: int) -> Token:
        kind = word.upper()
        if self._in_braces:
            # `or` between matchers, which Prometheus does not have
            return Token("ALTERNATIVE" if kind == "OR" and self._last == "STRING" else "IDENTIFIER", word, start)
        if self._in_brackets and not self._duration_due:
            return self._word_in_brackets(start)
        if kind in _NUMBERS:
            return Token("NUMBER", word, start)
        if kind in KEYWORDS and not (kind.startswith("FILL") and not _OPEN_PAREN.match(self._text, self._at)):
            return Token(kind, word, start)
        return Token("METRIC_IDENTIFIER" if ":" in word else "IDENTIFIER", word, start)

    def _word_in_brackets(self, start: int) -> Token:
        character = self._text[start]
        if character == ":":
            if self._colon_seen:
                raise Problem("unexpected colon ':'", start)
            self._colon_seen = True
            self._at = start + 1
            return Token("COLON", ":", start)
        word = _DURATION_WORD.match(self._text, start)
        if word is None or word[0].upper() not in DURATION_FUNCTIONS:
            raise Problem(f"unexpected character: {quoted_character(character)}, expected ':'", start)
        self._at = word.end()
        return Token(word[0].upper(), word[0], start)

    def _mark(self, mark: str, start: int) -> Token:
        token = Token(MARKS[mark], mark, start)
        if mark in "()":
            self._parens += 1 if mark == "(" else -1
            if self._parens < 0:
                raise Problem("unexpected right parenthesis ')'", token.end)
        elif mark in "{}":
            self._in_braces = mark == "{"
        elif mark == "[":
            if self._in_brackets:
                raise Problem("unexpected left bracket '['", start)
            self._in_brackets = self._duration_due = True
            self._colon_seen = False
        elif mark == "]":
            if not self._in_brackets:
                raise Problem("unexpected right bracket ']'", start)
            self._in_brackets = self._duration_due = False
        elif mark == ":":
            self._colon(token)
        return token

    def _colon(self, token: Token) -> None:
        if not self._duration_seen:
            raise Problem("unexpected colon before duration in duration expression", token.end)
        if self._colon_seen:
            raise Problem("unexpected repeated colon in duration expression", token.end)
        self._colon_seen = True

    def _string(self, start: int) -> Token:
        end = string_end(self._text, start)
        if end < 0:
            raise Problem(wrong_with(self._text, start), start)
        self._at = end
        return Token("STRING", self._text[start:end], start)

    def _literal(self, start: int) -> Token:
        kind, self._at = literal_end(self._text, start)
        if not kind:
            raise Problem(f"bad number or duration syntax: {quoted(self._text[start : self._at])}", start)
        if self._duration_due:
            self._duration_seen = True
            self._duration_due = False
        return Token(kind, self._text[start : self._at], start)

    def _odd(self) -> Token:
        """What no token begins with, or the end."""
        start = self._at
        character = self._text[start : start + 1]
        following = quoted_character(self._text[start + 1 : start + 2] or _NOTHING)
        shown = quoted_character(character or _NOTHING)
        if self._in_braces:
            raise Problem(_odd_in_braces(character, shown, following), start)
        if self._duration_due:
            what = f"unexpected character in duration expression: {shown}"
            raise Problem(what if character else "unexpected end of input in duration expression", start)
        if character in ("=", "!"):
            raise Problem(f"unexpected character after '{character}': {following}", start)
        if character:
            raise Problem(f"unexpected character: {shown}", start)
        if self._parens:
            raise Problem("unclosed left parenthesis", start)
        if self._in_brackets:
            raise Problem("unclosed left bracket", start)
        return Token(END, "", start)


def _odd_in_braces(character: str, shown: str, following: str) -> str:
    if not character:
        return "unexpected end of input inside braces"
    if character == "!":
        return f"unexpected character after '!' inside braces: {following}"
    return f"unexpected left brace {shown}" if character == "{" else f"unexpected character inside braces: {shown}"
