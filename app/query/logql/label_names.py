"""Names that parsers find, as label names: in SQL, and as Loki makes them."""

from __future__ import annotations

from app.query.logql.rows import literal

_GOOD = literal("^[a-zA-Z_][a-zA-Z0-9_]*$")
_BAD_LETTERS = literal("[^a-zA-Z0-9_]")
_AFTER_UNDERSCORE = literal(r"_\1")
_SPACE_AROUND = literal(r"^[ \t-\r]+|[ \t-\r]+$")


def as_label(name: str) -> str:
    """SQL of a label name made of the name in some SQL: '' where nothing is left of it."""
    return f"if(match({name}, {_GOOD}), {name}, {_led(_letters(name))})"


def as_label_part(name: str) -> str:
    """SQL of what follows an underscore in a label name; it may begin with a digit."""
    return f"if(match({name}, {_GOOD}), {name}, {_letters(name)})"


def joined(prefix: str, part: str) -> str:
    """SQL of two parts of a label name with an underscore between; a part that is empty is left out."""
    return f"multiIf({prefix} = '', {_led(part)}, {part} = '', {prefix}, concat({prefix}, '_', {part}))"


def _letters(name: str) -> str:
    return f"replaceRegexpAll(replaceRegexpAll({name}, {_SPACE_AROUND}, ''), {_BAD_LETTERS}, '_')"


def _led(name: str) -> str:
    return f"replaceRegexpOne({name}, '^([0-9])', {_AFTER_UNDERSCORE})"
