"""`| json first="list[0]", name="user.name"`: some values of a JSON line become labels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from app.query.logql.rows import Rows, literal
from app.query.logql.stages.json_fields import JSON_FAILED, MALFORMED, scalar_text, with_exact_numbers
from app.query.logql.stages.stage import Stage
from app.query.logql.text import quoted

Path = tuple[str | int, ...]
_STEP = re.compile(r"""\s*(?:(?P<dot>\.)?\s*(?P<field>[a-zA-Z_]\w*)|\[\s*(?:"(?P<key>[^"\]]*)"|(?P<index>\d+))\s*\])""")
_JSON_BEGINS = literal(r'^["\{\[]')
_NUMBER_BEGINS = literal("^[-0-9]")


def json_path(text: str) -> Path:
    """The steps of `a.b[0]["c d"]`: keys, and indices from 0. Raises ValueError."""
    steps: list[str | int] = []
    end = 0
    while end < len(text.rstrip()):
        match = _STEP.match(text, end)
        if match is None or (match["field"] is not None and bool(match["dot"]) != bool(steps)):
            raise ValueError(f"cannot parse expression [{text}]: unexpected {text[end : end + 10]!r}")
        steps.append(int(match["index"]) if match["index"] else match["key"] or match["field"] or "")
        end = match.end()
    if not steps:
        raise ValueError(f"cannot parse expression [{text}]: it is empty")
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class JsonPaths(Stage):
    """Labels and the expressions of their values. What a line has not gives an empty label."""

    parses: ClassVar[bool] = True
    paths: tuple[tuple[str, str], ...]

    def apply(self, rows: Rows) -> None:
        """Adds the labels."""
        if rows.nothing_wanted:
            return
        rows.join()
        bad = f"notEmpty({rows.line}) AND NOT (match({rows.line}, {_JSON_BEGINS}) AND isValidJSON({rows.line}))"
        [exact] = rows.fail(bad, JSON_FAILED, MALFORMED, exact=with_exact_numbers(rows.line))
        pairs = [
            f"({rows.parameters.add(label)}, {_value(json_path(path), exact, rows)})" for label, path in self.paths
        ]
        # a line without anything in it is no error and has no labels
        kept = f"notEmpty({rows.line}) AND (p.2 != '' OR NOT {rows.taken('p.1')})"
        rows.extract(f"arrayFilter(p -> {kept}, [{', '.join(pairs)}])")

    def __str__(self) -> str:
        return "| json " + ", ".join(f"{label}={quoted(path)}" for label, path in self.paths)


def _value(path: Path, exact: str, rows: Rows) -> str:
    steps = "".join(f", {step + 1:d}" if isinstance(step, int) else f", {rows.parameters.add(step)}" for step in path)
    raw = f"JSONExtractRaw({rows.line}{steps})"
    number = f"JSONExtractString({exact}{steps})"
    return f"multiIf({raw} = 'null', '', match({raw}, {_NUMBER_BEGINS}), {number}, {scalar_text(raw)})"
