"""`| label_format path=url, short="{{.method}} {{.path}}"`: labels renamed, or set to what a template makes."""

from __future__ import annotations

from dataclasses import dataclass

from app.query.logql.rows import Rows
from app.query.logql.stages.line_format import TEMPLATE_FAILED
from app.query.logql.stages.stage import Stage
from app.query.logql.templates.compile import Compiler
from app.query.logql.templates.parse import fields_of, parse_template
from app.query.logql.text import quoted


@dataclass(frozen=True, slots=True)
class Rename:
    """`label=source`: the source's value under another name; nothing where there is no source."""

    label: str
    source: str

    def __str__(self) -> str:
        return f"{self.label}={self.source}"


@dataclass(frozen=True, slots=True)
class Template:
    """`label="template"`."""

    label: str
    template: str

    def __str__(self) -> str:
        return f"{self.label}={quoted(self.template)}"


@dataclass(frozen=True, slots=True)
class LabelFormat(Stage):
    """Each in its turn; but all templates see the labels that the first of them sees."""

    formats: tuple[Rename | Template, ...]

    def reads(self) -> frozenset[str]:
        """The sources, and the labels in templates."""
        names: set[str] = set()
        for form in self.formats:
            names |= {form.source} if isinstance(form, Rename) else set(fields_of(parse_template(form.template)))
        return frozenset(names)

    def apply(self, rows: Rows) -> None:
        """Sets the labels."""
        rows.join()
        made: dict[Template, tuple[str, str, str]] = {}
        for form in self.formats:
            if isinstance(form, Rename):
                value, there = rows.add(value=rows.value(form.source), there=rows.has(form.source))
                rows.set(form.label, value, there, gone=form.source)
                continue
            if not made:
                made = {f: _made(f, rows) for f in self.formats if isinstance(f, Template)}
            text, bad, why = made[form]
            if bad:
                rows.fail(bad, TEMPLATE_FAILED, why)
            rows.set(form.label, text, f"NOT {bad}" if bad else "")

    def __str__(self) -> str:
        return "| label_format " + ", ".join(map(str, self.formats))


def _made(form: Template, rows: Rows) -> tuple[str, str, str]:
    """The columns of the text of a template and of whether there is none; why not."""
    compiler = Compiler(rows)
    text = rows.add_one("text", compiler.text(parse_template(form.template)))
    if not compiler.failures:
        return text, "", ""
    bad = rows.add_one("bad", " OR ".join(when for when, _ in compiler.failures))
    reasons = ", ".join(f"{when}, {why}" for when, why in compiler.failures)
    return text, bad, f"multiIf({reasons}, '')"
