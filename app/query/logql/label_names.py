"""Names that parsers find, made label names as Loki makes them; in SQL.

Fields are Array(Tuple(String, String)), a name and a value each.
"""

from __future__ import annotations

from app.query.logql.rows import literal

_GOOD = literal("^[a-zA-Z0-9_]+$")
_BAD_LETTERS = literal("[^a-zA-Z0-9_]")
_SPACE_AROUND = literal(r"^[ \t-\r]+|[ \t-\r]+$")


def as_labels(fields: str) -> str:
    """Fields under names that labels can have: '' where nothing is left of a name."""
    return not_numbers(as_parts(fields))


def as_parts(fields: str) -> str:
    """Fields under names that can follow an underscore in a label's name: they may begin with a digit."""
    letters = f"replaceRegexpAll(replaceRegexpAll(f.1, {_SPACE_AROUND}, ''), {_BAD_LETTERS}, '_')"
    return f"arrayMap(f -> (if(match(f.1, {_GOOD}), f.1, {letters}), f.2), {fields})"


def not_numbers(fields: str) -> str:
    """Fields with an underscore before names that begin with a digit."""
    return f"arrayMap(f -> (if(f.1 >= '0' AND f.1 < ':', concat('_', f.1), f.1), f.2), {fields})"


def below(prefix: str, fields: str) -> str:
    """Fields of an object under the object's name and their own, with an underscore between where both are some."""
    between = f"if({prefix} = '' OR f.1 = '', '', '_')"
    return f"arrayMap(f -> (concat({prefix}, {between}, f.1), f.2), {as_parts(fields)})"
