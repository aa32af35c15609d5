"""Regular expressions of queries, checked before the store is asked."""

from __future__ import annotations

import re
from typing import Any

import re2

_NAMED = re.compile(r"\(\?P?<(\w+)>")

_QUIET = re2.Options()
# a pattern that is wrong is an error to its writer, not a line on our stderr
_QUIET.log_errors = False


def check_expression(expression: str) -> None:
    """Raises ValueError on what is no regular expression."""
    _compiled(expression)


def check_groups(expression: str) -> None:
    """Raises ValueError on an expression without named groups, or one that is none."""
    if not named_groups(expression):
        raise ValueError("at least one named capture must be supplied")


def named_groups(expression: str) -> dict[str, int]:
    """The numbers of the named groups. Raises ValueError on what is no regular expression."""
    groups = dict(_compiled(expression).groupindex)
    names = _NAMED.findall(expression)
    twice = next((name for name in groups if names.count(name) > 1), None)
    if twice is not None:
        # RE2's binding lets it pass, with one number for both
        raise ValueError(f"duplicate extracted label name: {twice}")
    return groups


def _compiled(expression: str) -> Any:
    try:
        return re2.compile(expression, _QUIET)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"error parsing regexp: not a regular expression: {expression!r}: {text}") from None
