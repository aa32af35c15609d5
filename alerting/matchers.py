"""Alertmanager's label matchers as text: `severity="page"`, `{a=~"b.*", "with space"!=d}`.

A text is read in both syntaxes (`alerting.matcher_syntax`), as Alertmanager does unless told otherwise: the classic
one wins where they differ or the newer one does not take it; the newer one is for all that is new.
"""

from __future__ import annotations

import re2

from alerting.matcher_syntax import parse_classic, parse_utf8
from app.labels import Matcher, MatchOp

_OP_ORDER = list(MatchOp)


def parse_matchers(text: str) -> list[Matcher]:
    """The matchers of a comma-separated list, braces optional. Raises ValueError with Alertmanager's wording."""
    return _read(text)[0]


def parse_matcher(text: str) -> Matcher:
    """One matcher, without braces. The value may stand without quotes. Raises ValueError."""
    if text.startswith("{") or text.endswith("}"):
        raise ValueError(f"bad matcher format: unexpected open or close brace: {text}")
    found = parse_matchers(text)
    if len(found) != 1:
        raise ValueError(f"bad matcher format: {text}")
    return found[0]


def advice(text: str) -> str:
    """What to write instead of a text that only the classic syntax takes, or that both take differently; else ""."""
    found, agreed = _read(text)
    return "" if agreed else ",".join(map(str, found))


def _read(text: str) -> tuple[list[Matcher], bool]:
    """The matchers, and whether both syntaxes read them, or only the newer one does."""
    newer: list[Matcher] | None
    try:
        newer = [checked(matcher) for matcher in parse_utf8(text)]
    except ValueError:
        newer = None
    try:
        classic = [checked(matcher) for matcher in parse_classic(text)]
    except ValueError:
        if newer is None:
            raise
        return newer, True
    return classic, classic == newer


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


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    return reason.decode() if isinstance(reason, bytes) else str(reason)
