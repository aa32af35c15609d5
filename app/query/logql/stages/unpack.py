"""`| unpack`: undoes what Promtail's pack stage did: the line was put in a JSON object, beside labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from app.query.logql.label_names import as_labels
from app.query.logql.rows import Rows, literal
from app.query.logql.stages.json_fields import JSON_FAILED, MALFORMED, scalar_text
from app.query.logql.stages.stage import Stage

_ENTRY = "'_entry'"
_NO_OBJECT = literal("expecting json object(6), but it is not")


@dataclass(frozen=True, slots=True)
class Unpack(Stage):
    """The field `_entry` is the line, every other string a label. Without an `_entry` nothing changes."""

    parses: ClassVar[bool] = True
    rewrites: ClassVar[bool] = True

    def apply(self, rows: Rows) -> None:
        """Adds the labels and puts the line in its place."""
        rows.join()
        line = rows.line
        begins = f"startsWith({line}, '{{')"
        bad = f"notEmpty({line}) AND NOT ({begins} AND isValidJSON({line}))"
        strings = f"arrayFilter(p -> startsWith(p.2, '\"'), JSONExtractKeysAndValuesRaw({line}))"
        found = f"if({begins}, arrayMap(p -> (p.1, {scalar_text('p.2')}), {strings}), [])"
        [fields] = rows.fail(bad, JSON_FAILED, f"if({begins}, {MALFORMED}, {_NO_OBJECT})", fields=found)
        packed = f"arrayExists(p -> p.1 = {_ENTRY}, {fields})"
        entry = f"if({packed}, arrayLast(p -> p.1 = {_ENTRY}, {fields}).2, {line})"
        packed, rows.line = rows.add(packed=packed, line=entry)
        if rows.nothing_wanted:
            return
        labels = as_labels(f"arrayFilter(p -> {packed} AND p.1 != {_ENTRY}, {fields})")
        kept = "p.1 != ''" if rows.names is None else f"has({rows.wanted()}, p.1)"
        rows.extract(f"arrayFilter(p -> {kept}, {labels})")

    def __str__(self) -> str:
        return "| unpack"
