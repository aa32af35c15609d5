"""`| regexp "(?P<method>\\\\w+) (?P<path>\\\\S+)"`: the named groups of an expression become labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from app.query.logql.expressions import named_groups
from app.query.logql.rows import Rows
from app.query.logql.stages.stage import Stage
from app.query.logql.text import quoted


@dataclass(frozen=True, slots=True)
class Regexp(Stage):
    """Finds labels in lines that match; a line that does not stays without. An empty group makes an empty label."""

    parses: ClassVar[bool] = True
    expression: str

    def apply(self, rows: Rows) -> None:
        """Adds the labels."""
        if rows.nothing_wanted:
            return
        rows.join()
        groups = rows.add_one("groups", f"extractGroups({rows.line}, {rows.parameters.add(f'(?-s){self.expression}')})")
        names = named_groups(self.expression)
        pairs = [
            f"({rows.parameters.add(name)}, {groups}[{number:d}])"
            for name, number in names.items()
            if rows.names is None or name in rows.names
        ]
        found = f"[{', '.join(pairs)}]" if pairs else "CAST([], 'Array(Tuple(String, String))')"
        rows.extract(f"arrayFilter(p -> notEmpty({groups}), {found})")

    def __str__(self) -> str:
        return f"| regexp {quoted(self.expression)}"
