"""`| pattern "<method> <path> <_>"`: what stands between the literal texts of a pattern becomes labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from app.query.logql.patterns import Capture, pattern_parts
from app.query.logql.rows import Rows
from app.query.logql.stages.stage import Stage
from app.query.logql.text import quoted


@dataclass(frozen=True, slots=True)
class Pattern(Stage):
    """Finds labels from the left on. Where a literal is missing, the capture before it has the rest of the line."""

    parses: ClassVar[bool] = True
    pattern: str

    def apply(self, rows: Rows) -> None:
        """Adds the labels."""
        if rows.nothing_wanted:
            return
        parts = pattern_parts(self.pattern)
        names = rows.parameters.add([p.name for p in parts if isinstance(p, Capture)], "Array(String)")
        values = rows.add_one("captures", _captures(rows, parts[0] if isinstance(parts[0], str) else "", self._ends()))
        kept = f"p.1 != '_' AND has({rows.wanted()}, p.1)" if rows.names is not None else "p.1 != '_'"
        rows.extract(f"arrayFilter(p -> {kept}, arrayZip(arraySlice({names}, 1, length({values})), {values}))")

    def _ends(self) -> list[str]:
        """The literal behind each capture, '' where it is the last thing."""
        parts = pattern_parts(self.pattern)
        following = (*parts[1:], "")
        return [str(end) for part, end in zip(parts, following, strict=True) if isinstance(part, Capture)]

    def __str__(self) -> str:
        return f"| pattern {quoted(self.pattern)}"


def _captures(rows: Rows, begin: str, ends: list[str]) -> str:
    """SQL of the texts captured, as many as are reached."""
    line, first = rows.line, rows.parameters.add(begin)
    # so far: where to go on, whether to go on, the texts
    fits = f"notEmpty({line}) AND startsWith({line}, {first})"
    start = f"(toUInt64(length({first}) + 1), toUInt8({fits}), emptyArrayString())"
    at = f"if(end = '', 0, position({line}, end, so.1))"
    rest = f"(so.1, toUInt8(0), arrayPushBack(so.3, substring({line}, so.1)))"
    until = f"(toUInt64({at} + length(end)), toUInt8(1), arrayPushBack(so.3, substring({line}, so.1, {at} - so.1)))"
    step = f"multiIf(so.2 = 0, so, {at} = 0, {rest}, {until})"
    return f"arrayFold((so, end) -> {step}, {rows.parameters.add(ends, 'Array(String)')}, {start}).3"
