"""Why alerts are held, in words: how much is known of a window, how much is wanted, and from when on it may be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from app.durations import format_duration_ms
from app.figures import percent
from slo.judge import COVERAGE, HELD
from slo.measure import Measured, Sums
from slo.spec import BudgetCondition, BurnCondition, Condition

_MINUTE_MS = 60_000


def why_held(why: int, conditions: Sequence[Condition], measured: Measured, n: int, floor: float) -> str:
    """Why conditions are undecided at point `n`, a number of `slo.judge.HELD` in words; "" where they are decided.

    Of several windows the one that is decided last is told: as long as it is not, none of this ends.
    """
    if why != COVERAGE:
        return HELD[why]
    unit_ms = _unit_ms(measured, n)
    found = [
        (math.ceil(floor * int(one.expected[n]) - int(one.counted[n])), float(one.coverage[n]), name)
        for condition in conditions
        for name, sums in _looked_at(condition, measured)
        for one in sums
        if one.counted[n] < floor * one.expected[n]
    ]
    missing, coverage, name = max(found)
    at_ms = int(measured.at_ms[n])
    known = f"{percent(coverage)} of the {name} is known, {percent(floor)} are wanted"
    return f"{known}; decided from {_clock(at_ms + missing * unit_ms, at_ms)} on at the earliest"


def _looked_at(condition: Condition, measured: Measured) -> Iterable[tuple[str, tuple[Sums, ...]]]:
    if isinstance(condition, BurnCondition):
        for window_ms in condition.windows_ms:
            yield f"{format_duration_ms(window_ms)} window", measured.windows[window_ms]
    elif isinstance(condition, BudgetCondition):
        yield "period", measured.period


def _unit_ms(measured: Measured, n: int) -> float:
    """The length of an interval (or slice); maintenance makes a window expect fewer, so the least is right."""
    units = (
        window_ms / int(one.expected[n])
        for window_ms, sums in measured.windows.items()
        for one in sums
        if one.expected[n] > 0
    )
    return min(units, default=float(_MINUTE_MS))


def _clock(ms: float, now_ms: int) -> str:
    """The minute, rounded up; with its day where that is another one."""
    at = datetime.fromtimestamp(math.ceil(ms / _MINUTE_MS) * 60, UTC)
    same = at.date() == datetime.fromtimestamp(now_ms / 1000, UTC).date()
    return f"{at:%H:%M} UTC" if same else f"{at:%Y-%m-%d %H:%M} UTC"
