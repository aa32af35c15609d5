"""What became of the parts of an OTLP request."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

Signal = Literal["metrics", "logs"]


@dataclass(slots=True)
class Rejections:
    """Data points or log records that were not taken, by reason; the first of each reason speaks for it."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, example: str, count: int = 1) -> None:
        """Counts `count` more. `reason` is one of a closed list, `example` a sentence for the sender.

        A count of 0 is a warning: the sender is told, and nothing was lost.
        """
        self.counts[reason] += count
        self.examples.setdefault(reason, example)

    @property
    def total(self) -> int:
        """How many were not taken."""
        return self.counts.total()

    def message(self) -> str:
        """One sentence a reason, with how many it met."""
        return "; ".join(
            f"{self.examples[reason]} ({count} not taken)" if count else self.examples[reason]
            for reason, count in self.counts.items()
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many were kept and how many were not, with the words for the sender."""

    kept: int
    rejected: int
    message: str = ""

    @property
    def all_bad(self) -> bool:
        """Whether something came and nothing of it was kept."""
        return self.rejected > 0 and self.kept == 0
