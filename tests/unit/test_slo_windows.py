"""Burn-rate windows: the shipped ones, files of one's own, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from app.errors import ConfigError
from slo.windows import burn_factor, load_windows

HOUR, DAY = 3_600_000, 86_400_000

OWN = """\
apiVersion: sloth.slok.dev/v1
kind: AlertWindows
spec:
  sloPeriod: 1h
  page:
    quick: {errorBudgetPercent: 24, shortWindow: 10s, longWindow: 60s}
    slow: {errorBudgetPercent: 30, shortWindow: 30s, longWindow: 3m}
  ticket:
    quick: {errorBudgetPercent: 30, shortWindow: 1m, longWindow: 6m}
    slow: {errorBudgetPercent: 30, shortWindow: 3m, longWindow: 18m}
"""


def test_default_windows_are_the_workbooks() -> None:
    """Without a file the four pairs are 14.4, 6, 3 and 1 over 30 days, fastest first."""
    windows = load_windows()
    assert windows.period_ms == 30 * DAY
    assert [(p.severity, p.long_ms, p.short_ms, p.factor) for p in windows.pairs] == [
        ("page", HOUR, HOUR // 12, Fraction("14.4")),
        ("page", 6 * HOUR, HOUR // 2, 6),
        ("ticket", DAY, 2 * HOUR, 3),
        ("ticket", 3 * DAY, 6 * HOUR, 1),
    ]
    assert windows.lengths_ms == (
        HOUR // 12, HOUR // 2, HOUR, 2 * HOUR, 6 * HOUR, DAY, 3 * DAY,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("period_days", "percents", "factors"),
    [
        (30, (2, 5, 10, 10), (14.4, 6, 3, 1)),
        (28, (2, 5, 10, 10), (13.44, 5.6, 2.8, 2.8 / 3)),
        (7, (8, 12.5, 20, 42), (13.44, 3.5, 1.4, 0.98)),
    ],
    ids=["30d", "28d", "7d"],
)
def test_factors_follow_the_budget(period_days: int, percents: tuple[float, ...], factors: tuple[float, ...]) -> None:
    """A pair's factor is its share of the budget by its share of the period, for every period Sloth knows."""
    longs = (HOUR, 6 * HOUR, DAY, 3 * DAY)
    found = [
        float(burn_factor(percent, period_days * DAY, long)) for percent, long in zip(percents, longs, strict=True)
    ]
    assert found == pytest.approx(factors, rel=1e-15)


def test_own_windows_may_be_short(tmp_path: Path) -> None:
    """A file may shorten period and windows to minutes and seconds."""
    path = tmp_path / "windows.yaml"
    path.write_text(OWN)
    windows = load_windows(path, 10_000)
    assert windows.period_ms == HOUR
    assert windows.of("page")[0].factor == Fraction("14.4")


@pytest.mark.parametrize(
    ("change", "line", "key", "message"),
    [
        (("shortWindow: 10s", "shortWindow: 60s"), 6, "spec.page.quick.shortWindow", "must be shorter"),
        (("shortWindow: 10s", "shortWindow: -10s"), 6, "spec.page.quick.shortWindow", "not a duration"),
        (("shortWindow: 10s", "shortWindow: 0"), 6, "spec.page.quick.shortWindow", "greater than 0"),
        (("longWindow: 18m", "longWindow: 2h"), 10, "spec.ticket.slow.longWindow", "longer than sloPeriod"),
        (("errorBudgetPercent: 24", "errorBudgetPercent: 0"), 6, "spec.page.quick.errorBudgetPercent", "greater"),
        (("errorBudgetPercent: 24", "errorBudget: 2"), 6, "spec.page.quick.errorBudget", "errorBudgetPercent"),
        (("sloPeriod: 1h", "sloPeriod: month"), 4, "spec.sloPeriod", "not a duration"),
        (("kind: AlertWindows", "kind: AlertWindow"), 2, "kind", "AlertWindows"),
        (("shortWindow: 10s", "shortWindow: 5s"), 6, "spec.page.quick.shortWindow", "slo.interval, 10s"),
    ],
    ids=["order", "negative", "zero", "long", "percent", "unknown key", "period", "kind", "interval"],
)
def test_wrong_windows_are_named(tmp_path: Path, change: tuple[str, str], line: int, key: str, message: str) -> None:
    """Each mistake is reported with file, line and key."""
    path = tmp_path / "windows.yaml"
    path.write_text(OWN.replace(*change))
    with pytest.raises(ConfigError) as caught:
        load_windows(path, 10_000)
    problems = [p for p in caught.value.problems if p.key == key]
    assert problems, caught.value
    assert (problems[0].file, problems[0].line) == (str(path), line)
    assert message in problems[0].message
