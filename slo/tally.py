"""How far the counts of one SLI reach."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from app.labels import Labels
from slo.ranges import Range, fewest, merged
from slo.spec import Sli
from slo.watermark import LATE_APART_MS, LATE_RANGES


@dataclass(slots=True)
class Tally:
    """Counts of one SLI over [from_ms, to_ms), a range without holes. `stored_from_ms` is where those kept begin."""

    key: str
    sli: Sli
    grouping: tuple[str, ...]
    metrics: frozenset[str] | None
    from_ms: int = 0
    to_ms: int = 0
    stored_from_ms: int = 0
    noted_to_ms: int = 0
    needed_ms: int = 0
    """How far back the SLOs that use it look."""
    restarted: bool = False
    groups: dict[Labels, int] = field(default_factory=dict)
    """The lane of each group in the ledger; () without grouping."""
    error: str | None = None
    late: list[Range] = field(default_factory=list)
    """[from, to) of intervals that samples reached which came late, and that were not counted again yet."""
    changes: list[Range] = field(default_factory=list)
    """[from, to) of intervals that changed since somebody looked."""

    @property
    def new(self) -> bool:
        """Whether nothing was counted yet."""
        return self.to_ms == 0

    @property
    def known_ms(self) -> int:
        """How far back from `to_ms` everything that is there was counted."""
        return self.to_ms - self.from_ms

    @property
    def complete(self) -> bool:
        """Whether it reaches back as far as anybody looks."""
        return not self.new and self.known_ms >= self.needed_ms

    def came_late(self, ranges: Iterable[Range]) -> None:
        """Notes [from, to) of intervals that late samples reached."""
        self.late = fewest(merged([*self.late, *ranges], LATE_APART_MS), LATE_RANGES)

    def changed(self, from_ms: int, to_ms: int) -> None:
        """Notes that intervals changed."""
        self.changes = fewest(merged([*self.changes, (from_ms, to_ms)], LATE_APART_MS), LATE_RANGES)


def group_key(tally: Tally, group: Labels) -> str:
    """The name the counts of a group are kept under."""
    return tally.key + json.dumps(group, separators=(",", ":")) if tally.grouping else tally.key
