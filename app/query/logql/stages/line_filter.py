"""Line filters: `|= "text"`, `!= "text"`, `|~ "expression"`, `!~ "expression"`, `|> "pattern"`, `!> "pattern"`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from app.query.logql.addresses import Addresses
from app.query.logql.patterns import Capture, pattern_parts
from app.query.logql.rows import Rows
from app.query.logql.stages.stage import Stage
from app.query.logql.text import quoted
from app.query.promql.conditions import Parameters

_WORD = re.compile(
    r"(?<=[\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f])[0-9A-Za-z]{2,}(?=[\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f])"
)
# the longest word is likely the rarest; each more costs every line it does not rule out
_WORDS_LOOKED_UP = 1
_INDEXED = "body"
"""The column with an index of its words."""


class FilterOp(StrEnum):
    """The six line filters."""

    CONTAINS = "|="
    NOT_CONTAINS = "!="
    MATCHES = "|~"
    NOT_MATCHES = "!~"
    PATTERN = "|>"
    NOT_PATTERN = "!>"

    @property
    def negative(self) -> bool:
        """Whether lines that contain or match are left out."""
        return self in (FilterOp.NOT_CONTAINS, FilterOp.NOT_MATCHES, FilterOp.NOT_PATTERN)

    @property
    def of_expressions(self) -> bool:
        """Whether it takes regular expressions."""
        return self in (FilterOp.MATCHES, FilterOp.NOT_MATCHES)

    @property
    def of_patterns(self) -> bool:
        """Whether it takes patterns."""
        return self in (FilterOp.PATTERN, FilterOp.NOT_PATTERN)


@dataclass(frozen=True, slots=True)
class LineFilter(Stage):
    """`op "a" or ip("b")`: lines with any of the texts, or for the negative operators with none of them."""

    leaves_out: ClassVar[bool] = True
    op: FilterOp
    texts: tuple[str | Addresses, ...]

    def apply(self, rows: Rows) -> None:
        """Keeps the lines it keeps."""
        rows.where(self.condition(rows.line, rows.parameters))

    def condition(self, line: str, parameters: Parameters) -> str:
        """What the text of a line, in a column, must satisfy."""
        tests = [self._test(line, text, parameters) for text in self.texts]
        found = tests[0] if len(tests) == 1 else "(" + " OR ".join(tests) + ")"
        return f"NOT {found}" if self.op.negative else found

    def _test(self, line: str, text: str | Addresses, parameters: Parameters) -> str:
        if isinstance(text, Addresses):
            return text.condition(line, parameters)
        if self.op.of_expressions:
            # `.` is no line end in LogQL, and is one in ClickHouse unless told
            return f"match({line}, {parameters.add(f'(?-s){text}')})"
        if self.op.of_patterns:
            return _fits(line, text, parameters)
        return _contains(line, text, parameters, indexed=line == _INDEXED and not self.op.negative)

    def __str__(self) -> str:
        return f"{self.op.value} " + " or ".join(
            quoted(text) if isinstance(text, str) else str(text) for text in self.texts
        )


def _contains(line: str, text: str, parameters: Parameters, indexed: bool) -> str:
    exact = f"(position({line}, {parameters.add(text)}) > 0)"
    if not indexed:
        return exact
    # words with a separator on both sides inside the text are whole words of the line too: the text index knows them
    words = sorted(set(_WORD.findall(text)), key=len)[-_WORDS_LOOKED_UP:]
    return (
        "(" + " AND ".join([*(f"hasToken({line}, {parameters.add(w)})" for w in words), exact]) + ")"
        if words
        else exact
    )


def _fits(line: str, pattern: str, parameters: Parameters) -> str:
    """As Loki's pattern.Matcher.Test: every literal where it is first found, and no capture empty."""
    parts = pattern_parts(pattern)
    if not parts:
        return f"empty({line})"
    tests, end = [f"notEmpty({line})"], "1"
    for number, part in enumerate(parts):
        if isinstance(part, Capture):
            continue
        text = parameters.add(part)
        at = f"position({line}, {text}, {end})"
        tests.append(f"{at} > {end}" if number else f"{at} > 0")
        end = f"({at} + length({text}))"
    rest = ">=" if isinstance(parts[-1], Capture) else "="
    tests.append(f"length({line}) {rest} {end}" if rest == ">=" else f"length({line}) + 1 = {end}")
    return "(" + " AND ".join(tests) + ")"
