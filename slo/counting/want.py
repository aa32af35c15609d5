"""What is to be counted."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from app.labels import Labels
from slo.spec import Sli


@dataclass(frozen=True, slots=True)
class Want:
    """Counts of an SLI in the intervals that start in [from_ms, to_ms), both epoch-aligned, by group.

    Groups of `known` have no events where a total made of log lines has none of theirs; others are not known to exist.
    """

    sli: Sli
    grouping: tuple[str, ...]
    from_ms: int
    to_ms: int
    known: Collection[Labels] = ()
