"""Templates give what Go gives: tables whose answers Go itself wrote."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from alerting.templates.alertmanager import AlertTemplates
from app.gotemplate import TemplateSet
from tests.conformance.template_data import expanded, notification
from tests.conformance.template_rows import FUNCTIONS, decoded, expected, outcome, table

Row = dict[str, Any]


def _compare(name: str, least: int, make: Callable[[Row, object], str]) -> None:
    standard, rows = table(name)
    assert len(rows) >= least
    found = []
    for row in rows:
        got, wanted = outcome(partial(make, row, standard)), expected(row)
        if got != wanted:
            found.append(f"{row['t']!r} {row.get('missing', row.get('value', ''))}\n  Go:   {wanted}\n  here: {got}")
    assert not found, f"{len(found)} differ:\n" + "\n".join(found)


def _expanded(row: Row, standard: object, *, html: bool = False) -> str:
    missing = row.get("missing", "default")
    templates = TemplateSet(FUNCTIONS, html=html, missing_key="default" if missing == "invalid" else missing)
    for file, text in row.get("files", ()):
        templates.parse(file, text)
    return templates.expand(row["t"], decoded(row.get("d", standard)), name=row.get("name", ""))


def test_the_language() -> None:
    """Every construct, builtin, verb and mistake: the same text or the same error, with its position."""
    _compare("language.json", 700, _expanded)


def test_html() -> None:
    """What is put into HTML is escaped for where it stands, and what cannot be judged is refused."""
    _compare("html.json", 200, lambda row, standard: _expanded(row, standard, html=True))


def test_prometheus() -> None:
    """Labels and annotations of rules: every function, on values of every size, good and bad."""
    _compare("prometheus.json", 400, lambda row, _: expanded(row["t"], row.get("value", 1234.5678)))


def test_alertmanager() -> None:
    """Every default template over four notifications, every function, and files that redefine templates."""

    def make(row: Row, _: object) -> str:
        templates = _DEFAULTS if "files" not in row else AlertTemplates(row["files"])
        return templates.text(row["t"], notification(row.get("name", "")))

    _compare("alertmanager.json", 350, make)


def test_alertmanager_html() -> None:
    """The same templates and functions where HTML is written."""
    _compare("alertmanager_html.json", 25, lambda row, _: _DEFAULTS.html(row["t"], notification(row.get("name", ""))))


_DEFAULTS = AlertTemplates()
