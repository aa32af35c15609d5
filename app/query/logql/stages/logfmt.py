"""`| logfmt`: the pairs of `level=info msg="a text"` become labels, or some of them, under other names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from app.query.logql.label_names import as_labels
from app.query.logql.rows import Rows, literal
from app.query.logql.stages.stage import Stage
from app.query.logql.text import quoted

LOGFMT_FAILED = "LogfmtParserErr"
_WHY = literal("logfmt syntax error")
_KEY = r'[^\x00-\x20="]+'
# a quoted value that ends, one that does not (and takes the rest of the line), anything up to the next space
_TOKENS = literal(rf'(?s){_KEY}="(?:[^"\\]|\\.)*"|{_KEY}=".*|[^\x00-\x20]+')
_WHOLE_QUOTED = literal(r'(?s)^"(?:[^"\\]|\\.)*"$')
_BACKSLASH = literal("\\")
_NO_KEY = literal('["\ufffd]')
_EXPRESSION = re.compile(r'[a-zA-Z_][a-zA-Z0-9_]*|"[^"\]]*"')
# what JSON may not have in a string and logfmt may: control characters, which stand as characters that nobody has;
# and \', seen when no two backslashes are left before it
_CONTROLS = "'" + "".join(f"\\x{code:02x}" for code in range(32)) + "'"
_INSTEAD = literal("".join(chr(0xFDD0 + code) for code in range(32)))
_AS_JSON = ((r"\\", "\x01"), (r"\'", "'"), ("\x01", r"\\"))


def logfmt_key(expression: str) -> str:
    """The key that an expression names. Raises ValueError."""
    if not _EXPRESSION.fullmatch(expression.strip()):
        raise ValueError(f"cannot parse expression [{expression}]")
    return expression.strip().strip('"')


@dataclass(frozen=True, slots=True)
class Logfmt(Stage):
    """Finds pairs in a line. `strict`: what is no pair is an error, and ends the search, and is skipped otherwise."""

    parses: ClassVar[bool] = True
    strict: bool = False
    keep_empty: bool = False

    def apply(self, rows: Rows) -> None:
        """Adds the labels."""
        if rows.nothing_wanted:
            return
        pairs = _pairs(rows, self.strict)
        kept = [] if self.keep_empty else ["p.2 != ''"]
        if rows.names is not None:
            kept.append(f"has({rows.wanted()}, p.1)")
        condition = " AND ".join(["p.1 != ''", *kept])
        rows.extract(f"arrayFilter(p -> {condition}, {as_labels(pairs)})")

    def __str__(self) -> str:
        return "| logfmt" + _flags(self.strict, self.keep_empty)


@dataclass(frozen=True, slots=True)
class LogfmtPairs(Stage):
    """Labels and the keys of their values. What a line has not gives an empty label; the last of many counts."""

    parses: ClassVar[bool] = True
    keys: tuple[tuple[str, str], ...]
    strict: bool = False
    keep_empty: bool = False

    def apply(self, rows: Rows) -> None:
        """Adds the labels."""
        if rows.nothing_wanted:
            return
        pairs = _pairs(rows, self.strict)
        named = rows.add_one("named", as_labels(pairs))
        values = []
        for label, expression in self.keys:
            key = rows.parameters.add(logfmt_key(expression))
            values.append(f"({rows.parameters.add(label)}, arrayLast(p -> p.1 = {key}, {named}).2)")
        rows.extract(f"arrayFilter(p -> p.2 != '' OR NOT {rows.taken('p.1')}, [{', '.join(values)}])")

    def __str__(self) -> str:
        keys = ", ".join(f"{label}={quoted(expression)}" for label, expression in self.keys)
        return f"| logfmt{_flags(self.strict, self.keep_empty)} {keys}"


def _flags(strict: bool, keep_empty: bool) -> str:
    return " --strict" * strict + " --keep-empty" * keep_empty


def _pairs(rows: Rows, strict: bool) -> str:
    """A column with Array(Tuple(key, value)) of the pairs of a line; marks lines with an error if `strict`."""
    rows.join()
    # (key, what follows its equal sign)
    split = "arrayMap(t -> (substringIndex(t, '=', 1), t), {tokens})"
    tokens = split.format(tokens=f"extractAll({rows.line}, {_TOKENS})")
    halves = f"arrayMap(t -> (t.1, substring(t.2, length(t.1) + 2)), {tokens})"
    whole = f"t.1 != '' AND NOT match(t.1, {_NO_KEY}) AND (t.2 = '' OR {_is_value('t.2')})"
    checked = f"arrayMap(t -> (t.1, t.2, {whole}), {halves})"
    if strict:
        checked = rows.add_one("checked", checked)
        bad = rows.add_one("bad", f"arrayFirstIndex(t -> NOT t.3, {checked})")
        rows.fail(f"{bad} > 0", LOGFMT_FAILED, _WHY)
        good = f"arraySlice({checked}, 1, toInt64(if({bad} = 0, length({checked}) + 1, {bad})) - 1)"
    else:
        good = f"arrayFilter(t -> t.3, {checked})"
    return rows.add_one("pairs", f"arrayMap(t -> (t.1, {_unquoted('t.2')}), {good})")


def _is_value(text: str) -> str:
    plain = f"length({text}) > 1 AND endsWith({text}, '\"')"
    escaped = f"match({text}, {_WHOLE_QUOTED}) AND isValidJSON({_as_json(text)})"
    string = f"if(position({text}, {_BACKSLASH}) = 0, {plain}, {escaped})"
    return f"if(startsWith({text}, '\"'), {string}, NOT match({text}, '[=\"]'))"


def _unquoted(text: str) -> str:
    inside = f"substring({text}, 2, length({text}) - 2)"
    unescaped = f"translateUTF8(JSONExtractString({_as_json(text)}), {_INSTEAD}, {_CONTROLS})"
    string = f"if(position({text}, {_BACKSLASH}) = 0, {inside}, {unescaped})"
    # Loki's, whose labels cannot hold the replacement character
    return f"replaceAll(if(startsWith({text}, '\"'), {string}, {text}), '\ufffd', ' ')"


def _as_json(text: str) -> str:
    text = f"translateUTF8({text}, {_CONTROLS}, {_INSTEAD})"
    for found, instead in _AS_JSON:
        text = f"replaceAll({text}, {literal(found)}, {literal(instead)})"
    return text
