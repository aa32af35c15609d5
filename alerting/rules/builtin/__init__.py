"""Rules that come with the service, on when their metrics are there, and what to do about their alerts."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from alerting.rules.model import load_rule_file
from alerting.rules.spec import Group

_FOLDER = Path(__file__).parent
_RUNBOOKS = (_FOLDER / "runbooks", Path(__file__).parents[3] / "docs" / "rules")
"""In an installed package, and in a checkout."""
_NAME = re.compile(r"[A-Za-z0-9]+")


def builtin_files() -> list[Path]:
    """The rule files."""
    return sorted(_FOLDER.glob("*.yml"))


def builtin_groups(interval_ms: int, off: Collection[str] = ()) -> list[Group]:
    """The groups, without the rules whose names are in `off`; their files are named `builtin/…`."""
    groups = []
    for path in builtin_files():
        for group in load_rule_file(path, interval_ms=interval_ms)[0]:
            rules = tuple(rule for rule in group.rules if rule.name not in off)
            if rules:
                groups.append(replace(group, file=f"builtin/{path.name}", rules=rules))
    return groups


def builtin_names() -> list[str]:
    """The names of all rules."""
    return [rule.name for group in builtin_groups(60_000) for rule in group.rules]


def runbook(name: str) -> str | None:
    """What to do about an alert, in Markdown; None where there is nothing of the name."""
    if not _NAME.fullmatch(name):
        return None
    paths = [folder / f"{name}.md" for folder in _RUNBOOKS]
    found = next((path for path in paths if path.is_file()), None)
    return None if found is None else found.read_text(encoding="utf-8")
