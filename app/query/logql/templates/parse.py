"""The text of a Go template → its tree (text/template, what line_format and label_format use of it)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from app.errors import BadQuery
from app.query.logql.templates.tree import Call, Condition, Constant, Expression, Field, Node, Template
from app.query.logql.text import unquoted

_MAX_DEPTH = 20
_STRING = r'"(?:[^"\\\n]|\\.)*"|`[^`]*`'
# an action, in which strings may hold anything; with its trim markers
_ACTION = re.compile(rf"\{{\{{(?P<trim>- )?(?P<code>(?:{_STRING}|[^\"`])*?)(?P<after> -)?\}}\}}", re.DOTALL)
_TOKEN = re.compile(
    rf"""\s+|(?P<string>{_STRING})|(?P<field>(?:\.[a-zA-Z_][a-zA-Z0-9_]*)+)
    |(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)|(?P<word>[a-zA-Z_][a-zA-Z0-9_]*)
    |(?P<pipe>\|)|(?P<open>\()|(?P<close>\))|(?P<other>\S)""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"\s*/\*.*\*/\s*", re.DOTALL)
_REFUSED = ("range", "with", "define", "template", "block", "break", "continue")


class _Token(NamedTuple):
    kind: str
    text: str


def parse_template(text: str) -> Template:
    """The tree of a template. Raises ValueError; what Go has and this does not is named."""
    pieces = list(_pieces(text))
    nodes, rest, end = _nodes(pieces, 0, 0)
    if end:
        raise ValueError(f"unexpected {{{{{end}}}}} in a template")
    assert rest == len(pieces)
    return nodes


def _pieces(text: str) -> Iterator[str | list[_Token]]:
    """Texts, and the tokens of actions."""
    at, trimmed = 0, False
    while at < len(text):
        begin = text.find("{{", at)
        match = _ACTION.match(text, begin) if begin >= 0 else None
        if begin >= 0 and match is None:
            raise ValueError("unclosed action in a template")
        plain = text[at:begin] if match else text[at:]
        plain = plain.lstrip(" \t\r\n") if trimmed else plain
        trimmed = False
        if match is None:
            yield plain
            return
        plain = plain.rstrip(" \t\r\n") if match["trim"] else plain
        if plain:
            yield plain
        if not _COMMENT.fullmatch(match["code"]):
            yield _tokens(match["code"])
        at, trimmed = match.end(), match["after"] is not None


def _tokens(code: str) -> list[_Token]:
    found = [_Token(m.lastgroup, m[0]) for m in _TOKEN.finditer(code) if m.lastgroup]
    for token in found:
        if token.kind == "other":
            what = {"$": "variables ($)", ".": "the dot alone (.)"}.get(token.text, repr(token.text))
            raise ValueError(f"{what} in a template is not supported")
    if not found:
        raise ValueError("missing value for command: an empty action in a template")
    return found


def _nodes(pieces: list[str | list[_Token]], at: int, depth: int) -> tuple[Template, int, str]:
    """(nodes up to an end or else, where that is, which of them it is)."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"a template is nested deeper than {_MAX_DEPTH} levels")
    nodes: list[Node] = []
    while at < len(pieces):
        piece = pieces[at]
        if isinstance(piece, str):
            nodes.append(piece)
            at += 1
            continue
        word = piece[0].text if piece[0].kind == "word" else ""
        if word in _REFUSED:
            raise ValueError(f"{{{{{word}}}}} in a template is not supported")
        if word in ("end", "else"):
            return tuple(nodes), at, word
        if word == "if":
            node, at = _condition(pieces, at, depth)
            nodes.append(node)
        else:
            nodes.append(_pipeline(piece))
            at += 1
    return tuple(nodes), at, ""


def _condition(pieces: list[str | list[_Token]], at: int, depth: int) -> tuple[Condition, int]:
    """The condition that begins at a piece, and the piece after its end."""
    head = pieces[at]
    assert not isinstance(head, str)
    value = _pipeline(head[2:] if head[0].text == "else" else head[1:])
    then, at, closed = _nodes(pieces, at + 1, depth + 1)
    if closed == "end":
        return Condition(value, then), at + 1
    if closed != "else":
        raise ValueError("{{if}} without {{end}} in a template")
    middle = pieces[at]
    assert not isinstance(middle, str)
    if len(middle) > 1:
        if middle[1].text != "if":
            raise ValueError(f"{{{{else {middle[1].text}}}}} in a template is not supported")
        node, after = _condition(pieces, at, depth + 1)
        return Condition(value, then, (node,)), after
    otherwise, at, closed = _nodes(pieces, at + 1, depth + 1)
    if closed != "end":
        raise ValueError("{{if}} without {{end}} in a template")
    return Condition(value, then, otherwise), at + 1


def _pipeline(tokens: list[_Token]) -> Expression:
    reader = _Reader(tokens)
    found = reader.pipeline(0)
    if reader.token is not None:
        raise ValueError(f"unexpected {reader.token.text!r} in a template")
    return found


class _Reader:
    """Reads one action."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def token(self) -> _Token | None:
        """The next token."""
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def pipeline(self, depth: int) -> Expression:
        """Commands with `|` between; each is the last argument of the next."""
        if depth > _MAX_DEPTH:
            raise ValueError(f"a template is nested deeper than {_MAX_DEPTH} levels")
        value = self._command(depth)
        while self.token is not None and self.token.kind == "pipe":
            self._at += 1
            call = self._command(depth)
            if not isinstance(call, Call):
                raise ValueError("only functions can stand behind | in a template")
            value = Call(call.function, (*call.arguments, value))
        return value

    def _command(self, depth: int) -> Expression:
        token = self.token
        if token is not None and token.kind == "word" and token.text not in ("true", "false"):
            self._at += 1
            arguments = []
            while self.token is not None and self.token.kind not in ("pipe", "close"):
                arguments.append(self._operand(depth))
            return Call(token.text, tuple(arguments))
        value = self._operand(depth)
        if self.token is not None and self.token.kind not in ("pipe", "close"):
            raise ValueError(f"unexpected {self.token.text!r} in a template: only functions take arguments")
        return value

    def _operand(self, depth: int) -> Expression:
        token = self.token
        if token is None:
            raise ValueError("missing value for command in a template")
        self._at += 1
        match token.kind:
            case "string":
                return Constant(_string(token.text))
            case "number":
                return Constant(_number(token.text))
            case "field":
                if token.text.count(".") > 1:
                    raise ValueError(f"{token.text} in a template: a label has no fields")
                return Field(token.text[1:])
            case "word":
                return Constant(token.text == "true") if token.text in ("true", "false") else Call(token.text)
            case "open":
                value = self.pipeline(depth + 1)
                if self.token is None or self.token.kind != "close":
                    raise ValueError("unclosed left parenthesis in a template")
                self._at += 1
                return value
        return _unexpected(token)


def _unexpected(token: _Token) -> NoReturn:
    raise ValueError(f"unexpected {token.text!r} in a template")


def _string(literal: str) -> str:
    try:
        return unquoted(literal, 0)
    except BadQuery:
        raise ValueError(f"invalid escape sequence in a template: {literal}") from None


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)
