"""JavaScript in templates: what a slash begins, and texts for strings and expressions."""

from __future__ import annotations

import re

_SPACES = "\f\n\r\t\v \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"  # noqa: E501
_BEFORE_EXPRESSION = frozenset(
    (
        "break",
        "case",
        "continue",
        "delete",
        "do",
        "else",
        "finally",
        "in",
        "instanceof",
        "return",
        "throw",
        "try",
        "typeof",
        "void",
    )
)
_WORD_END = re.compile(r"[$A-Za-z0-9_]*\Z")
_SIGNS_END = re.compile(r"(\++|-+)\Z")
_TYPES = frozenset(
    (
        "",
        "module",
        *(f"application/{name}" for name in ("ecmascript", "javascript", "json", "ld+json")),
        *(f"{kind}/x-{name}" for kind in ("application", "text") for name in ("ecmascript", "javascript")),
        *(f"text/{name}" for name in ("ecmascript", "javascript", "jscript", "livescript")),
        *(f"text/javascript1.{minor}" for minor in range(6)),
    )
)


def after_tokens(text: str, before: str) -> str:
    """What a slash begins after some JavaScript that has no strings, comments and slashes: a regexp or a division."""
    text = text.rstrip(_SPACES)
    if not text:
        return before
    last = text[-1]
    signs = _SIGNS_END.search(text)
    if signs:
        return "jsCtxRegexp" if len(signs[0]) % 2 else "jsCtxDivOp"
    if last == ".":
        return "jsCtxDivOp" if text[-2:-1] in tuple("0123456789") else "jsCtxRegexp"
    if last in ",<>=*%&|^?!~([:;{}":
        return "jsCtxRegexp"
    word = _WORD_END.search(text)
    return "jsCtxRegexp" if word and word[0] in _BEFORE_EXPRESSION else "jsCtxDivOp"


def is_script_type(mime: str) -> bool:
    """Whether a script element's `type` says that it is JavaScript, or JSON."""
    return mime.split(";")[0].lower().strip() in _TYPES
