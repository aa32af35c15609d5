"""What LogQL has and this service does not yet: refused by its name and place, before anything else is said."""

from __future__ import annotations

import re

from app.errors import BadQuery

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)|(?P<pattern>\|>|!>)|(?P<filter>\|=|\|~|!=|!~)
    |(?P<pipe>\|)|(?P<comparison>==|>=|<=|>|<)|(?P<name>[a-zA-Z_][a-zA-Z0-9_]*)|(?P<number>[0-9.][0-9a-zA-Zµ.]*)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_DROP_ERRORS = re.compile(r"\|\s*drop\s+__error(_details)?__\s*(,\s*__error(_details)?__\s*)*(?![\w,=!])")
_FUNCTIONS = frozenset(
    [
        "quantile_over_time",
        "first_over_time",
        "last_over_time",
        "sum_over_time",
        "avg_over_time",
        "max_over_time",
        "min_over_time",
        "stddev_over_time",
        "stdvar_over_time",
        "rate_counter",
        "absent_over_time",
        "sort",
        "sort_desc",
        "label_replace",
        "approx_topk",
        "duration",
        "duration_seconds",
        "bytes",
        "ip",
        "variants",
    ]
)
_OPERATORS = frozenset(["and", "unless", "on", "ignoring", "group_left", "group_right", "bool"])


def refuse_by_name(query: str) -> None:
    """Raises BadQuery for the first stage, function or operator that is LogQL and not answered here."""
    depth = 0  # of braces: label names in a selector may be called anything
    tokens = [m for m in _TOKEN.finditer(query) if m.lastgroup]
    for number, token in enumerate(tokens):
        text, kind = token[0], token.lastgroup
        after = tokens[number + 1] if number + 1 < len(tokens) else None
        if text in "{}" and kind == "other":
            depth += 1 if text == "{" else -1
        if depth > 0:
            continue
        if kind == "pipe" and _DROP_ERRORS.match(query, token.start()):
            continue
        named = _name_of(kind, text, after)
        if named:
            raise BadQuery(f"{named} is not supported (position {token.start()})", token.start())


def _name_of(kind: str | None, text: str, after: re.Match[str] | None) -> str:
    following = after[0] if after else ""
    if kind == "pipe":
        named = after is not None and after.lastgroup == "name"
        return f"the stage `| {following}`" if named else ""
    if kind == "pattern":
        return f"the pattern filter `{text}`"
    if kind == "filter" and following == "ip":
        return f"the IP filter `{text} ip(…)`"
    if kind == "comparison":
        return f"the comparison `{text}`"
    if kind == "name" and text in _FUNCTIONS and following == "(":
        return f"the function `{text}`"
    if kind == "name" and text in _OPERATORS:
        return f"the operator `{text}`"
    if text == "@":
        return "the modifier `@`"
    return ""
