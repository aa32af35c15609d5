"""Templates give what Go gives: tables whose answers Go itself wrote."""

from __future__ import annotations

from typing import Any

from app.gotemplate import TemplateSet
from tests.conformance.template_rows import FUNCTIONS, decoded, expected, outcome, table


def _differences(name: str, *, html: bool = False) -> list[str]:
    standard, rows = table(name)
    assert len(rows) > 100
    found = []
    for row in rows:

        def make(row: dict[str, Any] = row) -> str:
            missing = row.get("missing", "default")
            templates = TemplateSet(FUNCTIONS, html=html, missing_key="default" if missing == "invalid" else missing)
            for file, text in row.get("files", ()):
                templates.parse(file, text)
            return templates.expand(row["t"], decoded(row.get("d", standard)), name=row.get("name", ""))

        got, wanted = outcome(make), expected(row)
        if got != wanted:
            found.append(f"{row['t']!r} {row.get('missing', '')}\n  Go:   {wanted}\n  here: {got}")
    return found


def test_the_language() -> None:
    """Every construct, builtin, verb and mistake: the same text or the same error, with its position."""
    differences = _differences("language.json")
    assert not differences, f"{len(differences)} differ:\n" + "\n".join(differences)


def test_html() -> None:
    """What is put into HTML is escaped for where it stands, and what cannot be judged is refused."""
    differences = _differences("html.json", html=True)
    assert not differences, f"{len(differences)} differ:\n" + "\n".join(differences)
