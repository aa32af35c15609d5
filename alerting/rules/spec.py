"""What a rule file says, once it was read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.labels import Labels

Language = Literal["promql", "logql"]
Kind = Literal["alerting", "recording"]
"""As Prometheus's API names them."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule. Labels are those of its group and its own, by name; a value that is empty takes the label away.

    Label and annotation values of an alerting rule are templates. Durations are in milliseconds.
    """

    kind: Kind
    name: str
    expr: str
    for_ms: int = 0
    keep_firing_ms: int = 0
    labels: Labels = ()
    annotations: Labels = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after another, every `interval_ms`, at times `query_offset_ms` in the past.

    `limit` is the most series or alerts a rule may give, 0 for any number.
    """

    file: str
    name: str
    interval_ms: int
    rules: tuple[Rule, ...]
    query_offset_ms: int = 0
    limit: int = 0
    language: Language = "promql"

    @property
    def key(self) -> str:
        """What Prometheus calls the group in its metrics."""
        return f"{self.file};{self.name}"
