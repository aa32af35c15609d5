"""Go's template language: text → tokens.

The grammar is that of text/template/parse; a mistake becomes a token of kind "error", the last one, so that the parser
meets it where Go's does.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from app.gotemplate.quoting import described, quoted

KEYWORDS = frozenset(
    (".", "block", "break", "continue", "define", "else", "end", "if", "nil", "range", "template", "with")
)
_SPACES = " \t\r\n"
_MARKED_END = re.compile(r"[ \t\r\n]-\}\}")
_WORD = re.compile(r"\w*")
_STRING = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"')
_CHARACTER = re.compile(r"'(?:[^'\\\n]|\\[^\n])*'")
_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?|0[oO][0-7_]*(?:\.[0-7_]*)?"
    r"|0[bB][01_]*(?:\.[01_]*)?|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?"
)
_SIGNS = {"=": "assign", "|": "pipe", "(": "(", ")": ")"}


class Token(NamedTuple):
    """A piece of a template: `kind` is a keyword itself or a class, `pos` the offset in the text in characters."""

    kind: str
    pos: int
    text: str

    def __str__(self) -> str:
        if self.kind == "EOF":
            return "EOF"
        if self.kind == "error":
            return self.text
        if self.kind in KEYWORDS:
            return f"<{self.text}>"
        return quoted(self.text) if len(self.text.encode()) <= 10 else f"{quoted(self.text[:10])}..."


class _Failed(Exception):
    """The token of kind "error" that ends the list."""

    def __init__(self, pos: int, message: str) -> None:
        super().__init__(message)
        self.token = Token("error", pos, message)


def tokens_of(text: str, *, break_is_function: bool = False, continue_is_function: bool = False) -> list[Token]:
    """All tokens of a template, an "EOF" or an "error" last."""
    words = KEYWORDS
    if break_is_function or continue_is_function:
        words -= {*(["break"] if break_is_function else []), *(["continue"] if continue_is_function else [])}
    lexer = _Lexer(text, words)
    try:
        lexer.template()
    except _Failed as failed:
        lexer.tokens.append(failed.token)
    return lexer.tokens


class _Lexer:
    def __init__(self, text: str, keywords: frozenset[str]) -> None:
        self.tokens: list[Token] = []
        self._text = text
        self._keywords = keywords
        self._at = 0

    def _add(self, kind: str, start: int, end: int) -> None:
        self.tokens.append(Token(kind, start, self._text[start:end]))
        self._at = end

    def template(self) -> None:
        """Text and actions to the end."""
        text = self._text
        while True:
            start = self._at
            found = text.find("{{", start)
            if found < 0:
                if start < len(text):
                    self._add("text", start, len(text))
                self.tokens.append(Token("EOF", len(text), "EOF"))
                return
            marked = text[found + 2 : found + 3] == "-" and text[found + 3 : found + 4] in (" ", "\t", "\r", "\n")
            kept = len(text[start:found].rstrip(_SPACES)) if marked else found - start
            if kept:
                self._add("text", start, start + kept)
            inside = found + (4 if marked else 2)
            if text.startswith("/*", inside):
                self._comment(inside)
            else:
                self._add("{{", found, found + 2)
                self._at = inside
                self._action()

    def _comment(self, start: int) -> None:
        end = self._text.find("*/", start + 2)
        if end < 0:
            raise _Failed(start, "unclosed comment")
        end += 2
        if _MARKED_END.match(self._text, end):
            self._at = self._after_spaces(end + 4)
        elif self._text.startswith("}}", end):
            self._at = end + 2
        else:
            raise _Failed(start, "comment ends before closing delimiter")

    def _after_spaces(self, at: int) -> int:
        text = self._text
        while at < len(text) and text[at] in _SPACES:
            at += 1
        return at

    def _action(self) -> None:
        depth = 0
        text = self._text
        while True:
            start = self._at
            marked = _MARKED_END.match(text, start) is not None
            if marked or text.startswith("}}", start):
                if depth:
                    raise _Failed(start, "unclosed left paren")
                first = start + (2 if marked else 0)
                self._add("}}", first, first + 2)
                if marked:
                    self._at = self._after_spaces(self._at)
                return
            if start >= len(text):
                raise _Failed(start, "unclosed action")
            depth += self._piece(start, text[start], depth)

    def _piece(self, start: int, sign: str, depth: int) -> int:
        """Adds one token; by how much it nests deeper."""
        text = self._text
        following = text[start + 1 : start + 2]
        if sign in _SPACES:
            self._space(start)
        elif sign in _SIGNS:
            if sign == ")" and not depth:
                raise _Failed(start, "unexpected right paren")
            self._add(_SIGNS[sign], start, start + 1)
            return {"(": 1, ")": -1}.get(sign, 0)
        elif sign == ":":
            if following != "=":
                raise _Failed(start, "expected :=")
            self._add("declare", start, start + 2)
        elif sign == '"':
            self._delimited("string", _STRING.match(text, start), start, "unterminated quoted string")
        elif sign == "'":
            self._delimited("character", _CHARACTER.match(text, start), start, "unterminated character constant")
        elif sign == "`":
            end = text.find("`", start + 1)
            if end < 0:
                raise _Failed(start, "unterminated raw quoted string")
            self._add("raw string", start, end + 1)
        elif sign == "$":
            self._word("variable", start, start + 1)
        elif sign == "." and not ("0" <= following <= "9"):
            self._word("field", start, start + 1)
        elif sign in "+-." or "0" <= sign <= "9":
            self._number(start)
        elif sign == "_" or sign.isalpha() or sign.isdecimal():
            self._word("identifier", start, start)
        elif sign.isascii() and sign.isprintable():
            self._add("sign", start, start + 1)
        else:
            raise _Failed(start, f"unrecognized character in action: {described(sign)}")
        return 0

    def _space(self, start: int) -> None:
        end = self._after_spaces(start)
        if _MARKED_END.match(self._text, end - 1):
            end -= 1
        self._add("space", start, end)

    def _delimited(self, kind: str, match: re.Match[str] | None, start: int, problem: str) -> None:
        if match is None:
            raise _Failed(start, problem)
        self._add(kind, start, match.end())

    def _word(self, kind: str, start: int, first: int) -> None:
        match = _WORD.match(self._text, first)
        end = match.end() if match else first
        following = self._text[end : end + 1]
        if following and following not in " \t\r\n.,|:)(" and not self._text.startswith("}}", end):
            raise _Failed(start, f"bad character {described(following)}")
        word = self._text[start:end]
        if kind == "field" and end == first:
            kind = "."
        elif kind == "identifier":
            kind = word if word in self._keywords else "bool" if word in ("true", "false") else kind
        self._add(kind, start, end)

    def _number(self, start: int) -> None:
        end = self._scanned(start, start)
        if self._text[end : end + 1] in ("+", "-"):
            end = self._scanned(start, end)
            if self._text[end - 1] != "i":
                raise _Failed(start, f"bad number syntax: {quoted(self._text[start:end])}")
            self._add("complex", start, end)
        else:
            self._add("number", start, end)

    def _scanned(self, start: int, at: int) -> int:
        match = _NUMBER.match(self._text, at)
        end = match.end() if match else at
        following = self._text[end : end + 1]
        if following == "_" or following.isalpha() or following.isdecimal():
            raise _Failed(start, f"bad number syntax: {quoted(self._text[start : end + 1])}")
        return end
