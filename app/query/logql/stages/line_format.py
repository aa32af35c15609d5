"""`| line_format "{{.method}} {{.path}}"`: a new text for the line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from app.query.logql.rows import Rows
from app.query.logql.stages.stage import Stage
from app.query.logql.templates.compile import Compiler
from app.query.logql.templates.parse import fields_of, parse_template
from app.query.logql.text import quoted

TEMPLATE_FAILED = "TemplateFormatErr"


@dataclass(frozen=True, slots=True)
class LineFormat(Stage):
    """Puts what the template makes in the line's place; where it cannot the line stays and is marked as an error."""

    rewrites: ClassVar[bool] = True
    template: str

    def reads(self) -> frozenset[str]:
        """The labels in the template."""
        return frozenset(fields_of(parse_template(self.template)))

    def apply(self, rows: Rows) -> None:
        """Makes the new text."""
        compiler = Compiler(rows)
        text = compiler.text(parse_template(self.template))
        if compiler.failures:
            bad, text = rows.add(bad=" OR ".join(when for when, _ in compiler.failures), text=text)
            reasons = ", ".join(f"{when}, {why}" for when, why in compiler.failures)
            rows.fail(bad, TEMPLATE_FAILED, f"multiIf({reasons}, '')")
            text = f"if({bad}, {rows.line}, {text})"
        rows.line = rows.add_one("line", text)

    def __str__(self) -> str:
        return f"| line_format {quoted(self.template)}"
