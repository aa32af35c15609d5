"""`| json`: every field of a JSON object becomes a label, those of objects in it with the way to them in their name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from app.query.logql.label_names import as_labels, below, not_numbers
from app.query.logql.rows import Rows, literal
from app.query.logql.stages.stage import Stage

JSON_FAILED = "JSONParserErr"
MALFORMED = literal("Malformed JSON error")
MAX_DEPTH = 10
"""How deep an object may lie in others for its fields to be found."""
_EMPTY_OBJECT = literal(r"^[ \t\r\n]*\{[ \t\r\n]*\}[ \t\r\n]*$")
_IS_OBJECT = "startsWith(p.2, '{')"
_NO_SCALAR = literal(r"^[\{\[]|^null$")
_BACKSLASH = literal("\\")
_STRINGS_AND_NUMBERS = literal(r'("(?:[^"\\]|\\.)*")|(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)')
# control characters, which valid JSON has nowhere
_BEFORE, _AFTER = "\x01", "\x02"
_MARKED = literal(rf"\1{_BEFORE}\2{_AFTER}")
_EXACT_DIGITS = 15
"""Digits of a decimal number that a float keeps."""
_ODD = [
    r"[0-9]+\.[0-9]*0",
    r"[0-9]+(?:\.[0-9]+)?[eE][-+]?[0-9]+",
    r"0\.00000[0-9]+",
    *(rf"[0-9]{{{n}}}\.[0-9]{{{_EXACT_DIGITS + 1 - n},}}" for n in range(1, _EXACT_DIGITS)),
    rf"[0-9]{{{_EXACT_DIGITS},}}\.[0-9]+",
]
_ODD_NUMBER = literal(r"[:,\[ \t\r\n](?:-0|-?(?:" + "|".join(_ODD) + r"))[,\]\} \t\r\n]")
"""Finds lines that may have a number the engine would write in another way than the line does."""


@dataclass(frozen=True, slots=True)
class JsonFields(Stage):
    """Finds labels in a line that is a JSON object. Arrays and null make none; a line of anything else is an error."""

    parses: ClassVar[bool] = True

    def apply(self, rows: Rows) -> None:
        """Adds the labels."""
        if rows.nothing_wanted:
            return
        rows.join()
        top = rows.add_one("top", f"JSONExtractKeysAndValuesRaw({rows.line})")
        bad = f"empty({top}) AND NOT match({rows.line}, {_EMPTY_OBJECT})"
        [fields] = rows.fail(bad, JSON_FAILED, MALFORMED, fields=_wanted(as_labels(top), rows))
        # the text of a number is that of the line, not what the engine makes of it
        numbers = f"arrayExists(p -> {_is_number('p.2')} OR {_IS_OBJECT}, {fields})"
        again = _wanted(as_labels(f"JSONExtractKeysAndValuesRaw({_marked(rows.line)})"), rows)
        exact = rows.add_one("exact", f"if({numbers} AND match({rows.line}, {_ODD_NUMBER}), {again}, {fields})")
        scalars = f"arrayFilter(p -> p.1 != '' AND NOT match(p.2, {_NO_SCALAR}), {_opened(exact, rows)})"
        rows.extract(not_numbers(f"arrayMap(p -> (p.1, {scalar_text('p.2')}), {scalars})"))

    def __str__(self) -> str:
        return "| json"


def with_exact_numbers(line: str) -> str:
    """A line of JSON where numbers are strings, if it has any that would not stay as they are written otherwise."""
    return f"if(match({line}, {_ODD_NUMBER}), {_marked(line)}, {line})"


def _marked(line: str) -> str:
    # strings stay, with nothing between the marks behind them
    marked = f"replaceRegexpAll({line}, {_STRINGS_AND_NUMBERS}, {_MARKED})"
    for mark, text in ((_BEFORE + _AFTER, ""), (_BEFORE, '"'), (_AFTER, '"')):
        marked = f"replaceAll({marked}, {literal(mark)}, {literal(text)})"
    return marked


def _is_number(raw: str) -> str:
    # all that JSON values begin with and is between these is digits and the minus
    return f"({raw} >= '-' AND {raw} < ':')"


def scalar_text(raw: str) -> str:
    """SQL of the text of a JSON scalar."""
    inside = f"substring({raw}, 2, length({raw}) - 2)"
    string = f"if(position({raw}, {_BACKSLASH}) = 0, {inside}, JSONExtractString({raw}))"
    # Loki's, whose labels cannot hold the replacement character
    return f"if(startsWith({raw}, '\"'), replaceAll({string}, '\ufffd', ' '), {raw})"


def _wanted(fields: str, rows: Rows) -> str:
    """Of fields of an object those wanted, and the objects that those wanted may lie in."""
    if rows.names is None:
        return fields
    leads_on = f"({_IS_OBJECT} AND arrayExists(name -> startsWith(name, p.1), {rows.wanted()}))"
    return f"arrayFilter(p -> has({rows.wanted()}, p.1) OR {leads_on}, {fields})"


def _opened(fields: str, rows: Rows) -> str:
    """Fields, with those of objects among them in the objects' places."""
    # a name has an underscore for every object on the way to it
    levels = MAX_DEPTH if rows.names is None else min(MAX_DEPTH, max(name.count("_") for name in rows.names))
    if not levels:
        return fields
    inner = below("p.1", "JSONExtractKeysAndValuesRaw(p.2)")
    opened = _wanted(f"arrayFlatten(arrayMap(p -> if({_IS_OBJECT}, {inner}, [p]), found))", rows)
    # where no object is left nothing more is done
    step = f"if(arrayExists(p -> {_IS_OBJECT}, found), {opened}, found)"
    return f"arrayFold((found, level) -> {step}, range({levels:d}), {fields})"
