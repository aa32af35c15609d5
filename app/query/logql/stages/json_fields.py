"""`| json`: every field of a JSON object becomes a label, those of objects in it with the way to them in their name."""

from __future__ import annotations

from dataclasses import dataclass

from app.query.logql.label_names import as_label, as_label_part, joined
from app.query.logql.rows import Rows, literal
from app.query.logql.stages.stage import Stage

JSON_FAILED = "JSONParserErr"
MALFORMED = literal("Malformed JSON error")
MAX_DEPTH = 10
"""How deep an object may lie in others for its fields to be found."""
_OBJECT_BEGINS = literal(r"^[ \t\r\n]*\{")
_NO_SCALAR = literal(r"^[\{\[]|^null$")
_BACKSLASH = literal("\\")
_STRINGS_AND_NUMBERS = literal(r'("(?:[^"\\]|\\.)*")|(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)')
# control characters, which valid JSON has nowhere
_BEFORE, _AFTER = "\x01", "\x02"
_MARKED = literal(rf"\1{_BEFORE}\2{_AFTER}")
_ODD_NUMBER = literal(r"[0-9]\.[0-9]*0(?:[^0-9.]|$)|[0-9][eE][-+0-9]|-0[^.0-9]|[0-9]\.?[0-9]{16}|0\.00000")
"""Finds lines that may have a number the engine would write in another way than the line does."""


@dataclass(frozen=True, slots=True)
class JsonFields(Stage):
    """Finds labels in a line that is a JSON object. Arrays and null make none; a line of anything else is an error."""

    def apply(self, rows: Rows) -> None:
        """Adds the labels."""
        if rows.nothing_wanted:
            return
        rows.join()
        valid, text = json_object(rows)
        rows.fail(f"NOT {valid}", JSON_FAILED, MALFORMED)
        fields = rows.add_one("fields", _fields(text, rows))
        rows.extract(f"arrayMap(p -> (p.1, {scalar_text('p.2')}), {fields})")

    def __str__(self) -> str:
        return "| json"


def json_object(rows: Rows) -> tuple[str, str]:
    """Columns: whether a line is a JSON object, and the object, '' where it is none. Numbers are strings in it."""
    valid = rows.add_one("valid", f"match({rows.line}, {_OBJECT_BEGINS}) AND isValidJSON({rows.line})")
    return valid, rows.add_one("object", f"if({valid}, {with_exact_numbers(rows.line)}, '')")


def with_exact_numbers(line: str) -> str:
    """A line of JSON where numbers are strings, if it has any that would not stay as they are written otherwise."""
    # strings stay, with nothing between the marks behind them
    marked = f"replaceRegexpAll({line}, {_STRINGS_AND_NUMBERS}, {_MARKED})"
    for mark, text in ((_BEFORE + _AFTER, ""), (_BEFORE, '"'), (_AFTER, '"')):
        marked = f"replaceAll({marked}, {literal(mark)}, {literal(text)})"
    return f"if(match({line}, {_ODD_NUMBER}), {marked}, {line})"


def scalar_text(raw: str) -> str:
    """SQL of the text of a JSON scalar."""
    inside = f"substring({raw}, 2, length({raw}) - 2)"
    string = f"if(position({raw}, {_BACKSLASH}) = 0, {inside}, JSONExtractString({raw}))"
    # Loki's, whose labels cannot hold the replacement character
    return f"if(startsWith({raw}, '\"'), replaceAll({string}, '\ufffd', ' '), {raw})"


def _fields(text: str, rows: Rows) -> str:
    """Array(Tuple(name, JSON scalar)) of an object and those in it, in the order of the text."""
    top = f"arrayMap(p -> ({as_label('p.1')}, p.2), JSONExtractKeysAndValuesRaw({text}))"
    inner = f"arrayMap(c -> ({joined('p.1', as_label_part('c.1'))}, c.2), JSONExtractKeysAndValuesRaw(p.2))"
    is_object = "startsWith(p.2, '{')"

    def wanted(fields: str) -> str:
        if rows.names is None:
            return fields
        leads_on = f"arrayExists(name -> startsWith(name, p.1), {rows.wanted()})"
        return f"arrayFilter(p -> if({is_object}, {leads_on}, has({rows.wanted()}, p.1)), {fields})"

    opened = wanted(f"arrayFlatten(arrayMap(p -> if({is_object}, {inner}, [p]), found))")
    # where no object is left nothing more is done
    level = f"if(arrayExists(p -> {is_object}, found), {opened}, found)"
    every = f"arrayFold((found, level) -> {level}, range({MAX_DEPTH}), {wanted(top)})"
    return f"arrayFilter(p -> p.1 != '' AND NOT match(p.2, {_NO_SCALAR}), {every})"
