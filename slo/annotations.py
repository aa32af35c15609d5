"""Watchhouse's own annotations, for the formats that have no keys of ours: `watchhouse.io/sla` and the like."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from app.errors import Problem
from app.yamlfile import Document, KeyPath, nearest
from slo.budget_alerts import budget_alert
from slo.spec import AlertSpec

PREFIX = "watchhouse.io/"
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Extensions:
    """What an object's annotations ask for beside its format. Percentages are above 0 and at most 100."""

    sla: float | None = None
    grouping: tuple[str, ...] = ()
    budget_alerts: tuple[Decimal, ...] = ()
    """At these percentages of the budget."""
    objective: float | None = None

    def alerts(self) -> tuple[AlertSpec, ...]:
        """The alerts on consumed budget, of severity ticket."""
        return tuple(budget_alert(percent) for percent in self.budget_alerts)


def read_extensions(
    document: Document, path: KeyPath, annotations: Mapping[str, str]
) -> tuple[Extensions, list[Problem]]:
    """What the annotations at a path of a document ask for, and what is wrong with them."""
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, text in annotations.items():
        if not key.startswith(PREFIX):
            continue
        field, read = _READERS.get(key.removeprefix(PREFIX), ("", None))
        if read is None:
            near = nearest(key, [PREFIX + known for known in _READERS])
            hint = f"; did you mean {near!r}?" if near else ""
            problems.append(document.problem((*path, key), f"unknown annotation of Watchhouse{hint}"))
            continue
        try:
            values[field] = read(text)
        except ValueError as error:
            problems.append(document.problem((*path, key), str(error)))
    return Extensions(**values), problems


def _percent(text: str) -> Decimal:
    try:
        value = Decimal(text.strip().removesuffix("%").strip())
    except InvalidOperation:
        raise ValueError(f"not a percentage: {text!r}") from None
    if not (value.is_finite() and 0 < value <= 100):
        raise ValueError("must be above 0 and at most 100 (per cent)")
    return value


def _items(text: str) -> list[str]:
    items = [item.strip() for item in text.split(",")]
    if len(set(items)) < len(items):
        raise ValueError("holds something twice")
    return items


def _percents(text: str) -> tuple[Decimal, ...]:
    percents = [_percent(item) for item in _items(text)]
    if len(set(percents)) < len(percents):
        raise ValueError("holds something twice")
    return tuple(sorted(percents))


def _names(text: str) -> tuple[str, ...]:
    names = _items(text)
    for name in names:
        if not _LABEL.fullmatch(name):
            raise ValueError(f"not a label name: {name!r}")
    return tuple(names)


_READERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "sla": ("sla", lambda text: float(_percent(text))),
    "objective": ("objective", lambda text: float(_percent(text))),
    "grouping": ("grouping", _names),
    "budget-alerts": ("budget_alerts", _percents),
}
