"""Burn-rate windows: the shipped ones, files of one's own, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from app.errors import ConfigError
from slo.spec import BurnCondition
from slo.windows import AlertWindows, BurnRule, load_windows

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


GOOGLE = """\
apiVersion: sloth.slok.dev/v1
kind: AlertWindows
spec:
  sloPeriod: {days}d
  page:
    quick: {{errorBudgetPercent: {0}, shortWindow: 5m, longWindow: 1h}}
    slow: {{errorBudgetPercent: {1}, shortWindow: 30m, longWindow: 6h}}
  ticket:
    quick: {{errorBudgetPercent: {2}, shortWindow: 2h, longWindow: 1d}}
    slow: {{errorBudgetPercent: {3}, shortWindow: 6h, longWindow: 3d}}
"""


def alert_windows(source: Path | None = None, interval_ms: int | None = None) -> AlertWindows:
    """The windows of an AlertWindows file."""
    windows = load_windows(source or "google", interval_ms)
    assert isinstance(windows, AlertWindows)
    return windows


def factors(windows: AlertWindows, days: int) -> list[Fraction]:
    """Those of the pages, then those of the tickets."""
    conditions = [*windows.conditions("page", days * DAY), *windows.conditions("ticket", days * DAY)]
    return [condition.factor for condition in conditions]


def test_default_windows_are_the_workbooks() -> None:
    """Without a file the four pairs are 14.4, 6, 3 and 1 over 30 days, fastest first, an alert a severity."""
    windows = alert_windows()
    assert windows.period_ms == 30 * DAY
    page = (BurnCondition((HOUR, HOUR // 12), Fraction("14.4")), BurnCondition((6 * HOUR, HOUR // 2), Fraction(6)))
    ticket = (BurnCondition((DAY, 2 * HOUR), Fraction(3)), BurnCondition((3 * DAY, 6 * HOUR), Fraction(1)))
    assert windows.rules("page", 30 * DAY) == (BurnRule("page", page),)
    assert windows.rules("ticket", 30 * DAY) == (BurnRule("ticket", ticket),)
    assert windows.dropped(30 * DAY) == ()


@pytest.mark.parametrize(
    ("days", "percents", "wanted"),
    [
        (30, (2, 5, 10, 10), ("14.4", "6", "3", "1")),
        (28, (2, 5, 10, 10), ("13.44", "5.6", "2.8", "14/15")),
        (7, (8, 12.5, 20, 42), ("13.44", "3.5", "1.4", "0.98")),
    ],
    ids=["30d", "28d", "7d"],
)
def test_factors_follow_the_budget(
    tmp_path: Path, days: int, percents: tuple[float, ...], wanted: tuple[str, ...]
) -> None:
    """A pair's factor is its share of the budget by its share of the period, exactly, for all of Sloth's periods."""
    path = tmp_path / "windows.yaml"
    path.write_text(GOOGLE.format(*percents, days=days))
    assert factors(alert_windows(path), days) == [Fraction(text) for text in wanted]


def test_another_period_has_the_shares_of_the_first() -> None:
    """The Workbook's shares give Sloth's own factors for 28 days."""
    assert factors(alert_windows(), 28) == [Fraction(text) for text in ("13.44", "5.6", "2.8", "14/15")]


def test_each_period_may_have_windows_of_its_own(tmp_path: Path) -> None:
    """Of several documents the first is the default, and each holds for exactly its period."""
    path = tmp_path / "windows.yaml"
    path.write_text(GOOGLE.format(2, 5, 10, 10, days=28) + "---\n" + GOOGLE.format(8, 12.5, 20, 42, days=7))
    windows = alert_windows(path)
    assert windows.period_ms == 28 * DAY
    assert factors(windows, 7) == [Fraction(text) for text in ("13.44", "3.5", "1.4", "0.98")]
    assert factors(windows, 14) == [Fraction(text) for text in ("6.72", "2.8", "1.4", "7/15")]


def test_a_period_has_one_document(tmp_path: Path) -> None:
    """Two documents of one period are a mistake, named at the second."""
    path = tmp_path / "windows.yaml"
    path.write_text(OWN + "---\n" + OWN)
    with pytest.raises(ConfigError) as caught:
        load_windows(path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.key) == (15, "spec.sloPeriod")
    assert "windows for 1h already" in problem.message


def test_mistakes_of_all_documents_come_at_once(tmp_path: Path) -> None:
    """A mistake in one document hides none in another."""
    path = tmp_path / "windows.yaml"
    path.write_text(OWN.replace("shortWindow: 10s", "shortWindow: 2m") + "---\n" + OWN.replace("1h", "month"))
    with pytest.raises(ConfigError) as caught:
        load_windows(path)
    assert [p.line for p in caught.value.problems] == [6, 15]


def test_what_is_longer_than_the_period_is_left_out() -> None:
    """Of a period of a day the pair over three is dropped, of one of an hour only the first is left."""
    windows = alert_windows()
    assert [c.long_ms for c in windows.conditions("ticket", DAY)] == [DAY]
    assert [c.long_ms for c in windows.dropped(DAY)] == [3 * DAY]
    assert [c.long_ms for c in windows.conditions("page", HOUR)] == [HOUR]
    assert windows.rules("ticket", HOUR) == ()
    assert [c.long_ms for c in windows.dropped(HOUR)] == [6 * HOUR, DAY, 3 * DAY]


def test_pyrras_windows_are_alerts_of_their_own() -> None:
    """By the name `pyrra` each of its pairs is an alert with the time it must hold and its windows as labels."""
    windows = load_windows("pyrra")
    minute = 60_000
    assert windows.period_ms == 30 * DAY
    assert windows.rules("page", 28 * DAY) == (
        BurnRule(
            "page-14",
            (BurnCondition((HOUR, 5 * minute), Fraction(14)),),
            2 * minute,
            (("long", "1h"), ("short", "5m")),
        ),
        BurnRule(
            "page-7",
            (BurnCondition((6 * HOUR, 30 * minute), Fraction(7)),),
            15 * minute,
            (("long", "6h"), ("short", "30m")),
        ),
    )
    assert [rule.key for rule in windows.rules("ticket", 28 * DAY)] == ["ticket-2", "ticket-1"]
    assert [rule.for_ms for rule in windows.rules("ticket", 28 * DAY)] == [HOUR, 3 * HOUR]


def test_own_windows_may_be_short(tmp_path: Path) -> None:
    """A file may shorten period and windows to minutes and seconds."""
    path = tmp_path / "windows.yaml"
    path.write_text(OWN)
    windows = alert_windows(path, 10_000)
    assert windows.period_ms == HOUR
    assert windows.conditions("page", HOUR)[0].factor == Fraction("14.4")


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
