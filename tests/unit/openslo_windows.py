"""Alert windows that show what they were asked for."""

from __future__ import annotations

from fractions import Fraction

from slo.period import DAY_MS
from slo.spec import BurnCondition
from slo.windows import BurnRule, Severity


class Windows:
    """One condition a severity, whose factor is the period in days."""

    period_ms = 28 * DAY_MS

    def rules(self, severity: Severity, period_length_ms: int) -> tuple[BurnRule, ...]:
        """The long window is an hour for a page, a day for a ticket."""
        long_ms = 3_600_000 if severity == "page" else DAY_MS
        return (BurnRule(severity, (BurnCondition((long_ms, 300_000), Fraction(period_length_ms, DAY_MS)),)),)

    def dropped(self, period_length_ms: int) -> tuple[BurnCondition, ...]:
        """Nothing."""
        return ()
