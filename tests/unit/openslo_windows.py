"""Alert windows that show what they were asked for."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from slo.period import DAY_MS
from slo.spec import BurnCondition


class Windows:
    """One condition a severity, whose factor is the period in days."""

    period_ms = 28 * DAY_MS

    def conditions(self, severity: Literal["page", "ticket"], period_length_ms: int) -> tuple[BurnCondition, ...]:
        """The long window is an hour for a page, a day for a ticket."""
        long_ms = 3_600_000 if severity == "page" else DAY_MS
        return (BurnCondition((long_ms, 300_000), Fraction(period_length_ms, DAY_MS)),)
