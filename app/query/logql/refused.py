"""What LogQL has and this service does not: refused by its name and place, before anything else is said."""

from __future__ import annotations

import re

from app.errors import BadQuery

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|"(?:[^"\\\n]|\\.)*"|`[^`]*`|(?P<name>[a-zA-Z_][a-zA-Z0-9_]*)|(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_FUNCTIONS = frozenset(["approx_topk", "variants"])


def refuse_by_name(query: str) -> None:
    """Raises BadQuery for the first function or modifier that is LogQL, or PromQL, and not answered here."""
    tokens = [m for m in _TOKEN.finditer(query) if m.lastgroup]
    for number, token in enumerate(tokens):
        following = tokens[number + 1][0] if number + 1 < len(tokens) else ""
        named = ""
        if token[0] == "@":
            named = "the modifier `@`"
        elif token.lastgroup == "name" and token[0].lower() in _FUNCTIONS and following == "(":
            named = f"the function `{token[0]}`"
        if named:
            raise BadQuery(f"{named} is not supported (position {token.start()})", token.start())
