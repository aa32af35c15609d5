"""`| decolorize`: takes the colours of terminals out of a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from app.query.logql.rows import Rows, literal
from app.query.logql.stages.stage import Stage

# ECMA-48: an escape or CSI, then a string that ends in BEL, or parameters and a final byte
_ANSI = literal(
    r"[\x{1b}\x{9b}][\[\]()#;?]*(?:(?:(?:[a-zA-Z0-9]*(?:;[a-zA-Z0-9]*)*)?\x{07})"
    r"|(?:(?:[0-9]{1,4}(?:;[0-9]{0,4})*)?[0-9A-PRZcf-ntqry=><~]))"
)


@dataclass(frozen=True, slots=True)
class Decolorize(Stage):
    """Removes ANSI escape sequences."""

    rewrites: ClassVar[bool] = True

    def apply(self, rows: Rows) -> None:
        """Puts the line without them in its place."""
        rows.line = rows.add_one("line", f"replaceRegexpAll({rows.line}, {_ANSI}, '')")

    def __str__(self) -> str:
        return "| decolorize"
