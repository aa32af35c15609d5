"""Where in the text of a query its parts begin, which the parser does not tell: for notes that point at a part.

The text is cut into tokens, and what begins a part (a selector, a name before a parenthesis, a number) is handed out to
the nodes of the tree in the order of the text. Where the two do not fit, no node gets a place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from app.query.promql.ast import Aggregate, Binary, Call, Negate, Node, Number, Range, Selector, Subquery

_STRING = r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`"""
_NAME = r"[A-Za-z_:][A-Za-z0-9_:]*"
_LIST = rf"\((?:{_STRING}|[^)\"'`])*\)"
_BRACES = rf"\{{(?:{_STRING}|[^}}\"'`])*\}}"
_TOKEN = re.compile(
    rf"""(?P<skip>\#[^\n]*|{_STRING}|\[[^\]]*\]"""
    rf"""|\b(?:by|without|on|ignoring|group_left|group_right|fill|fill_left|fill_right)\s*{_LIST}"""
    r"""|@\s*(?:(?:start|end)\s*\(\s*\)|[-+]?[0-9][\w.]*(?:(?<=[eE])[-+]\d+)?)|\boffset\s*[-+]?\s*[0-9][\w.]*"""
    r"""|\b(?:and|or|unless|atan2|bool|group_left|group_right)\b(?!\s*[({]))"""
    rf"""|(?P<number>(?:0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)[a-zA-Z0-9]*"""
    r"""|\b(?:inf|nan)\b)"""
    rf"""|(?P<name>{_NAME})(?:\s*(?P<after>{_BRACES}))?|(?P<braces>{_BRACES})|(?P<mark>[(),])""",
    re.IGNORECASE | re.DOTALL,
)
_GROUPED = re.compile(rf"\s*(?:(?:by|without)\s*{_LIST}\s*)?\(", re.IGNORECASE | re.DOTALL)
ANYTHING = "__any_info__"
"""A matcher of this label stands in an info selector that could match the empty string, which the parser refuses."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: Literal["selector", "call", "number", "mark"]
    name: str
    at: int
    braces_at: int = -1


class _Misfit(Exception):
    """The tokens and the tree are not of one text."""


def place_of(node: Node) -> int | None:
    """Where a part begins, in characters from the start of the query; None where that is not known."""
    match node:
        case Selector() | Call() | Aggregate() | Number():
            return node.place
        case Range():
            return place_of(node.selector)
        case Subquery() | Negate():
            return place_of(node.expr)
        case Binary():
            return place_of(node.left)
        case _:
            return None


def line_and_column(text: str, place: int) -> str:
    """A place as `line:column`, both from 1; columns count bytes, as Prometheus's do."""
    before = text[:place]
    line_start = before.rfind("\n") + 1
    return f"{before.count(chr(10)) + 1}:{len(before[line_start:].encode()) + 1}"


def placed(node: Node, text: str) -> Node:
    """The tree with the places its parts begin at."""
    tokens = (token for token in _tokens(text) if token.kind != "mark")
    try:
        return _placed(node, tokens)
    except _Misfit:
        return node


def with_open_info(text: str) -> str:
    """The text as the parser takes it: `info`'s selector may match anything in Prometheus, but not for the parser."""
    calls: list[str] = []
    last: _Token | None = None
    marks = []
    for token in _tokens(text):
        if token.kind == "mark" and token.name == "(":
            calls.append(last.name if last is not None and last.kind == "call" else "")
        elif token.kind == "mark" and token.name == ")":
            if calls:
                calls.pop()
        elif token.kind == "selector" and not token.name and calls and calls[-1] == "info":
            marks.append(token.braces_at + 1)
        last = token
    for at in reversed(marks):
        comma = "" if text[at:].lstrip().startswith("}") else ","
        text = f'{text[:at]}{ANYTHING}="1"{comma}{text[at:]}'
    return text


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        if match["number"]:
            yield _Token("number", "", match.start())
        elif match["name"]:
            if not match["after"] and _GROUPED.match(text, match.end()):
                yield _Token("call", match["name"], match.start())
            else:
                yield _Token("selector", match["name"], match.start(), match.start("after"))
        elif match["braces"]:
            yield _Token("selector", "", match.start(), match.start())
        elif match["mark"]:
            yield _Token("mark", match["mark"], match.start())


def _next(tokens: Iterator[_Token], kind: str, name: str = "") -> int:
    token = next(tokens, None)
    if token is None or token.kind != kind or (name and token.name.lower() != name.lower()):
        raise _Misfit
    return token.at


def _placed(node: Node, tokens: Iterator[_Token]) -> Node:
    match node:
        case Selector():
            return replace(node, place=_next(tokens, "selector"))
        case Number():
            return replace(node, place=_next(tokens, "number"))
        case Range():
            return replace(node, selector=replace(node.selector, place=_next(tokens, "selector")))
        case Subquery() | Negate():
            return replace(node, expr=_placed(node.expr, tokens))
        case Binary():
            left = _placed(node.left, tokens)
            return replace(node, left=left, right=_placed(node.right, tokens))
        case Call():
            place = _next(tokens, "call", node.name)
            return replace(node, place=place, args=tuple(_placed(arg, tokens) for arg in node.args))
        case Aggregate():
            place = _next(tokens, "call", node.op)
            param = None if node.param is None else _placed(node.param, tokens)
            return replace(node, place=place, param=param, expr=_placed(node.expr, tokens))
        case _:
            return node
