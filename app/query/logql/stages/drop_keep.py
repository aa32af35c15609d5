"""`| drop level, status="200"` and `| keep level, status="200"`: labels taken away, those named or all others."""

from __future__ import annotations

from dataclasses import dataclass

from app.labels import Matcher
from app.query.logql.rows import ERROR, ERROR_DETAILS, Rows, literal
from app.query.logql.stages.label_filter import text_condition
from app.query.logql.stages.stage import Stage
from app.query.logql.text import quoted

LabelChoice = str | Matcher
"""A label, or one with values that a matcher takes."""


def _shown(choice: LabelChoice) -> str:
    return choice if isinstance(choice, str) else f"{choice.name}{choice.op.value}{quoted(choice.value)}"


def _chosen(choices: tuple[LabelChoice, ...], rows: Rows) -> str:
    """SQL of whether a label of name `k` and value `v` is one of those chosen."""
    tests = []
    for choice in choices:
        name = rows.parameters.add(choice if isinstance(choice, str) else choice.name)
        test = "" if isinstance(choice, str) else f" AND {text_condition(choice, 'v', rows)}"
        tests.append(f"(k = {name}{test})")
    return " OR ".join(tests)


@dataclass(frozen=True, slots=True)
class Drop(Stage):
    """Takes labels away; errors too, which then are none."""

    choices: tuple[LabelChoice, ...]

    def apply(self, rows: Rows) -> None:
        """Takes away those that are named."""
        labels = tuple(c for c in self.choices if _name(c) not in (ERROR, ERROR_DETAILS))
        if labels:
            rows.keep_labels(f"NOT ({_chosen(labels, rows)})")
        for choice in self.choices:
            if _name(choice) in (ERROR, ERROR_DETAILS):
                _drop_error(choice, rows)

    def __str__(self) -> str:
        return "| drop " + ", ".join(map(_shown, self.choices))


@dataclass(frozen=True, slots=True)
class Keep(Stage):
    """Takes all other labels away, but no errors."""

    choices: tuple[LabelChoice, ...]

    def apply(self, rows: Rows) -> None:
        """Leaves only those that are named."""
        rows.keep_labels(_chosen(self.choices, rows))

    def __str__(self) -> str:
        return "| keep " + ", ".join(map(_shown, self.choices))


def _name(choice: LabelChoice) -> str:
    return choice if isinstance(choice, str) else choice.name


def _drop_error(choice: LabelChoice, rows: Rows) -> None:
    if not rows.error:
        return
    is_error = _name(choice) == ERROR
    column = rows.error if is_error else rows.details
    left = "''" if isinstance(choice, str) else f"if({text_condition(choice, column, rows)}, {literal('')}, {column})"
    made = rows.add_one("error" if is_error else "details", left)
    if is_error:
        rows.error = made
    else:
        rows.details = made
