"""The two syntaxes of Alertmanager's matchers: the one with UTF-8 names, and the classic one before it.

Each reads a comma-separated list, braces optional, and raises ValueError. Alertmanager's `matcher/parse` and
`pkg/labels` are what they follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.labels import Matcher, MatchOp

_SPACE = re.compile(r"\s+")
_TOKEN = re.compile(
    r"""(?P<brace>[{}]) | (?P<comma>,) | (?P<op>=~|!~|!=|=) |
    (?P<quoted>"(?:[^"\\]|\\.)*") | (?P<unquoted>[^\s{}!=~,\\"'`]+)""",
    re.VERBOSE | re.DOTALL,
)
_CLASSIC = re.compile(r"^\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(=~|!=|!~|=)\s*(.*?)\s*$", re.DOTALL)
_CLASSIC_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}
_GO_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}
_GO_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    begin: int
    end: int


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        space = _SPACE.match(text, at)
        if space:
            at = space.end()
            continue
        match = _TOKEN.match(text, at)
        if match is None:
            reason = 'missing end "' if text[at] == '"' else "invalid input"
            raise ValueError(f"0:{at}: {text[at:]}: {reason}")
        yield _Token(match.lastgroup or "", match[0], at, match.end())
        at = match.end()
    yield _Token("end", "", at, at)


def parse_utf8(text: str) -> list[Matcher]:
    """Matchers of the newer syntax: any name and any value may stand in quotes, with Go's escapes."""
    tokens = _tokens(text)
    token = next(tokens)
    opened = token.text == "{" and token.kind == "brace"
    if opened:
        token = next(tokens)
    found: list[Matcher] = []
    while token.kind not in ("brace", "end"):
        name = _wanted(token, ("quoted", "unquoted"), "expected label name")
        op = _wanted(next(tokens), ("op",), "expected an operator such as '=', '!=', '=~' or '!~'")
        value = _wanted(next(tokens), ("quoted", "unquoted"), "expected label value")
        found.append(Matcher(_unquoted(name), MatchOp(op.text), _unquoted(value)))
        token = _wanted(next(tokens), ("comma", "brace", "end"), "expected a comma or close brace")
        if token.kind == "comma":
            token = _wanted(
                next(tokens), ("quoted", "unquoted", "brace", "end"), "expected a matcher or close brace after comma"
            )
    if token.text == "{" or opened != (token.text == "}"):
        raise ValueError(f"0:{token.end}: expected {'close' if opened else 'opening'} brace")
    if token.kind == "brace":
        _wanted(next(tokens), ("end",), "expected end of input")
    return found


def _wanted(token: _Token, kinds: tuple[str, ...], otherwise: str) -> _Token:
    if token.kind not in kinds:
        seen = f"unexpected {token.text}" if token.text else "end of input"
        raise ValueError(f"{token.begin}:{token.end}: {seen}: {otherwise}")
    return token


def _unquoted(token: _Token) -> str:
    if token.kind != "quoted":
        return token.text
    inner = token.text[1:-1]
    if "\n" in inner:
        raise ValueError(f"{token.begin}:{token.end}: {token.text}: invalid input")
    try:
        # escapes of single bytes make characters together
        return _GO_ESCAPE.sub(_unescaped, inner).encode("utf-8", "surrogateescape").decode()
    except ValueError:
        raise ValueError(f"{token.begin}:{token.end}: {token.text}: invalid input") from None


def _unescaped(match: re.Match[str]) -> str:
    hexadecimal, short, long, octal, one = match.groups()
    if hexadecimal or octal:
        byte = int(hexadecimal, 16) if hexadecimal else int(octal, 8)
        return bytes([byte]).decode("utf-8", "surrogateescape")
    if short or long:
        return chr(int(short or long, 16))
    if one not in _GO_ESCAPES:
        raise ValueError(one)
    return _GO_ESCAPES[one]


def parse_classic(text: str) -> list[Matcher]:
    """Matchers of the older syntax: plain names; a backslash before anything but n, " and \\ is literal."""
    parts = _split(text.removeprefix("{").removesuffix("}"))
    if not parts[-1].strip():
        parts.pop()
    return [_classic(part) for part in parts]


def _classic(text: str) -> Matcher:
    match = _CLASSIC.match(text)
    if match is None:
        raise ValueError(f"bad matcher format: {text}")
    return Matcher(match[1], MatchOp(match[2]), _classic_value(match[3]))


def _split(text: str) -> list[str]:
    parts, current, quoted, escaped = [], "", False, False
    for char in text:
        if char == "," and not quoted:
            parts.append(current)
            current = ""
            continue
        if char == '"' and not escaped:
            quoted = not quoted
        escaped = char == "\\" and not escaped
        current += char
    return [*parts, current]


def _classic_value(raw: str) -> str:
    inner = raw[1:] if (quoted := raw.startswith('"')) else raw
    if quoted:
        if not inner.endswith('"') or _ends_escaped(inner[:-1]):
            raise ValueError(f"matcher value contains unescaped double quote: {raw}")
        inner = inner[:-1]
    if re.search(r'(?<!\\)(?:\\\\)*"', inner):
        raise ValueError(f"matcher value contains unescaped double quote: {raw}")
    return re.sub(r"\\(.)", lambda m: _CLASSIC_ESCAPES.get(m[1], m[0]), inner, flags=re.DOTALL)


def _ends_escaped(text: str) -> bool:
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1
