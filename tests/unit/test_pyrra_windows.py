"""Pyrra's windows, as its own rules have them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from slo.pyrra.windows import exhaustion_ms, pyrra_windows
from slo.spec import BurnCondition

MINUTE, DAY = 60_000, 86_400_000
TABLE = {
    7: ("1/15/1", "4/90/8", "15/360/30", "45/1440/90"),
    14: ("1/30/3", "8/180/15", "30/720/60", "90/2880/180"),
    21: ("2/45/4", "11/270/23", "45/1080/90", "135/4320/270"),
    28: ("2/60/5", "15/360/30", "60/1440/120", "180/5760/360"),
    30: ("2/64/5", "16/386/32", "64/1543/129", "193/6171/386"),
    56: ("4/120/10", "30/720/60", "120/2880/240", "360/11520/720"),
    90: ("6/193/16", "48/1157/96", "193/4629/386", "579/18514/1157"),
}
"""By the period in days: for / long / short in minutes at 14, 7, 2 and 1 times (slo/rules.go of pyrra 0.10)."""


@pytest.mark.parametrize("days", TABLE)
def test_windows_follow_the_period(days: int) -> None:
    """For each period the four pairs are Pyrra's, with its severities and factors."""
    windows = pyrra_windows(days * DAY)
    written = [f"{w.for_ms // MINUTE}/{w.long_ms // MINUTE}/{w.short_ms // MINUTE}" for w in windows]
    assert tuple(written) == TABLE[days]
    assert [(w.severity, w.factor) for w in windows] == [
        ("critical", 14),
        ("critical", 7),
        ("warning", 2),
        ("warning", 1),
    ]


def test_a_short_period_has_windows_still() -> None:
    """Where Pyrra's rounding leaves nothing there is a minute, and one window where both are the same."""
    fast = pyrra_windows(6 * 3_600_000)[0]
    assert (fast.for_ms, fast.long_ms, fast.short_ms) == (0, MINUTE, MINUTE)
    assert fast.condition == BurnCondition((MINUTE,), Fraction(14))
    assert pyrra_windows(DAY)[0].condition == BurnCondition((2 * MINUTE, MINUTE), Fraction(14))


def test_exhaustion_is_in_whole_seconds() -> None:
    """A full budget lasts the period divided by the burn rate: 4w at 14 are 2d; 1d at 7 are 3h25m42s."""
    assert exhaustion_ms(28 * DAY, 14) == 2 * DAY
    assert exhaustion_ms(DAY, 7) == (3 * 3600 + 25 * 60 + 42) * 1000
