"""Alertmanager's label matchers as text: `severity="page"`, `{a=~"b.*", c!=d}`."""

from __future__ import annotations

import re

import re2

from app.labels import Matcher, MatchOp

_MATCHER = re.compile(r'^\s*(?:([a-zA-Z_:][a-zA-Z0-9_:]*)|"((?:[^"\\]|\\.)+)")\s*(=~|!=|!~|=)\s*(.*?)\s*$', re.DOTALL)
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}
_OP_ORDER = list(MatchOp)


def parse_matchers(text: str) -> list[Matcher]:
    """The matchers of a comma-separated list, braces optional. Raises ValueError with Alertmanager's wording."""
    body = text.strip().removeprefix("{").removesuffix("}")
    parts = _split(body)
    if parts and not parts[-1].strip():
        parts.pop()
    return [parse_matcher(part) for part in parts]


def parse_matcher(text: str) -> Matcher:
    """One matcher. The value may stand without quotes; a backslash before anything but n, " and \\ is literal.

    Raises ValueError.
    """
    match = _MATCHER.match(text)
    if match is None:
        raise ValueError(f"bad matcher format: {text}")
    quoted_name, value = match[2], match[4]
    name = match[1] if match[1] is not None else _unescape(quoted_name)
    return checked(Matcher(name, MatchOp(match[3]), _value(value)))


def checked(matcher: Matcher) -> Matcher:
    """The matcher, when its regular expression compiles. Raises ValueError."""
    if matcher.op in (MatchOp.REGEX, MatchOp.NOT_REGEX):
        options = re2.Options()
        options.log_errors = False  # the error is raised; the library would print it as well
        try:
            re2.compile(matcher.value, options)
        except re2.error as error:
            raise ValueError(f"not a regular expression: {matcher.value!r}: {_reason(error)}") from None
    return matcher


def sort_key(matcher: Matcher) -> tuple[str, str, int]:
    """Alertmanager's order of the matchers of a route: by name, value and kind."""
    return matcher.name, matcher.value, _OP_ORDER.index(matcher.op)


def format_matchers(matchers: tuple[Matcher, ...]) -> str:
    """`{a="b",c=~"d"}`, as a route's part of a group key is written."""
    return "{" + ",".join(str(m) for m in matchers) + "}"


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


def _value(raw: str) -> str:
    quoted = raw.startswith('"')
    inner = raw[1:] if quoted else raw
    if quoted:
        if not inner.endswith('"') or _ends_escaped(inner[:-1]):
            raise ValueError(f"matcher value contains unescaped double quote: {raw}")
        inner = inner[:-1]
    if re.search(r'(?<!\\)(?:\\\\)*"', inner):
        raise ValueError(f"matcher value contains unescaped double quote: {raw}")
    return _unescape(inner)


def _ends_escaped(text: str) -> bool:
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), text, flags=re.DOTALL)


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    return reason.decode() if isinstance(reason, bytes) else str(reason)
