"""Pyrra's four pairs of windows, which follow the length of the period (`Windows` in pyrra's slo/rules.go)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from slo.spec import BurnCondition

MINUTE_MS = 60_000
_MINUTE_NS = 60_000_000_000
_RULES: tuple[tuple[Literal["critical", "warning"], int, int, int, int], ...] = (
    ("critical", 28 * 24 * 30, 28 * 24, 28 * 24 * 12, 14),
    ("critical", 28 * 24 * 4, 28 * 4, 28 * 24 * 2, 7),
    ("warning", 28 * 24, 28, 28 * 12, 2),
    ("warning", 28 * 8, 7, 28 * 4, 1),
)
"""(severity, what the period is divided by for `for`, the long and the short window, factor)."""


@dataclass(frozen=True, slots=True)
class PyrraWindow:
    """A pair of windows, how long it must burn faster than `factor` over both, and the severity of its alert."""

    severity: Literal["critical", "warning"]
    for_ms: int
    long_ms: int
    short_ms: int
    factor: int

    @property
    def condition(self) -> BurnCondition:
        """The pair as a condition; one window where the two are the same."""
        windows = (self.long_ms, self.short_ms) if self.short_ms < self.long_ms else (self.long_ms,)
        return BurnCondition(windows, Fraction(self.factor))


def pyrra_windows(period_ms: int) -> tuple[PyrraWindow, ...]:
    """The four pairs for a period, fastest first.

    Each part of the period is rounded to a minute, half away from zero. Of a period so short that Pyrra's own
    window would be nothing, it is a minute.
    """
    return tuple(
        PyrraWindow(
            severity,
            _part_ms(period_ms, by_for),
            max(_part_ms(period_ms, by_long), MINUTE_MS),
            max(_part_ms(period_ms, by_short), MINUTE_MS),
            factor,
        )
        for severity, by_for, by_long, by_short, factor in _RULES
    )


def exhaustion_ms(period_ms: int, factor: int) -> int:
    """How long a full budget lasts at a burn rate, in whole seconds, as Pyrra's label `exhaustion` says."""
    return period_ms // factor // 1000 * 1000


def _part_ms(period_ms: int, divisor: int) -> int:
    # Go divides the nanoseconds of a time.Duration as whole numbers before Round
    nanoseconds = period_ms * 1_000_000 // divisor
    return (nanoseconds + _MINUTE_NS // 2) // _MINUTE_NS * MINUTE_MS
