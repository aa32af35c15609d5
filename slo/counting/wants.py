"""What is asked of a counter, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from app.errors import WatchhouseError
from app.labels import Labels
from app.store.slo_events import SloEvents
from slo.spec import Sli

Counts = dict[Labels, SloEvents]
"""By group; of an SLI that is not grouped there is one, of no labels."""


@dataclass(frozen=True, slots=True)
class Want:
    """Counts of an SLI, by the labels of `grouping`, of the intervals that start in [from_ms, to_ms).

    Of `groups` that are known already quiet intervals can be told from missing ones, where lines are counted.
    """

    sli: Sli
    grouping: tuple[str, ...]
    from_ms: int
    to_ms: int
    groups: tuple[Labels, ...] = ()


class Counting(Protocol):
    """Who counts. Calls block."""

    def count(self, wants: Sequence[Want]) -> list[Counts | WatchhouseError]:
        """The counts of each, in order, or why it has none; one that fails costs no other."""

    def metrics(self, sli: Sli) -> frozenset[str] | None:
        """The names of the metrics an SLI reads; None where they are not all known."""

    def with_interval(self, interval_ms: int) -> Counting:
        """Who counts the same by other intervals."""
