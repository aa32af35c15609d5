"""Burn rates: the Workbook's detection and reset times, and the edges."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.store.slo_events import SloEvents
from slo.burn import Sums, budget_left, budget_of, burn_rate, error_ratio, exceeds, exhausted_in_ms, judge
from slo.ledger import Ledger
from slo.windows import BurnPair, load_windows

MIN, HOUR, DAY = 60.0, 3600.0, 86400.0
NEVER = None
# error ratio: (detect, reset) in seconds by pair, as the formulas of the Workbook give them for 99.9 %
ORACLE: dict[float, list[tuple[float, float] | None]] = {
    1.0: [(0.864 * MIN, 4.93 * MIN), (2.16 * MIN, 29.82 * MIN), (4.32 * MIN, 1.994 * HOUR), (4.32 * MIN, 5.994 * HOUR)],
    0.1: [(8.64 * MIN, 4.28 * MIN), (21.6 * MIN, 28.2 * MIN), (43.2 * MIN, 1.94 * HOUR), (43.2 * MIN, 5.94 * HOUR)],
    0.02: [(43.2 * MIN, 1.40 * MIN), (1.8 * HOUR, 21.0 * MIN), (3.6 * HOUR, 1.70 * HOUR), (3.6 * HOUR, 5.70 * HOUR)],
    0.01: [NEVER, (3.6 * HOUR, 12 * MIN), (7.2 * HOUR, 1.4 * HOUR), (7.2 * HOUR, 5.4 * HOUR)],
    0.002: [NEVER, NEVER, NEVER, (36 * HOUR, 3 * HOUR)],
    0.0011: [NEVER, NEVER, NEVER, (65.45 * HOUR, 32.7 * MIN)],
    0.001: [NEVER, NEVER, NEVER, NEVER],
}
CASES = [
    pytest.param(e, pair, times, id=f"e={e:g} {float(pair.factor):g}x")
    for e, row in ORACLE.items()
    for pair, times in zip(load_windows().pairs, row, strict=True)
]
BUDGET = budget_of(99.9)


def fires(ledger: Ledger, pair: BurnPair, end_s: int) -> bool:
    """Whether a pair fires at a second."""
    end = end_s * 1000
    return judge([pair], BUDGET, lambda w: ledger.window(end - w, end), pair.long_ms)[0].firing


def first(condition: object, low: int, high: int) -> int | None:
    """The first second in (low, high] at which a condition holds that stays true once it is."""
    assert callable(condition)
    if not condition(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if condition(middle) else (middle, high)
    return high


@pytest.mark.parametrize(("e", "pair", "times"), CASES)
def test_detection_and_reset_follow_the_workbook(e: float, pair: BurnPair, times: tuple[float, float] | None) -> None:
    """At steady traffic counted by the second, an error step is found and let go when the formulas say."""
    quiet, loud, after = pair.long_ms // 1000, pair.long_ms // 1000 + 60, pair.short_ms // 1000 + 60
    n = quiet + loud + after
    starts = np.arange(n, dtype=np.int64) * 1000
    total = np.full(n, 10_000.0)
    bad = np.where((starts >= quiet * 1000) & (starts < (quiet + loud) * 1000), 10_000 * e, 0.0)
    ledger = Ledger(1000)
    ledger.merge(SloEvents(starts, total - bad, total))
    found = first(lambda s: fires(ledger, pair, s), quiet, quiet + loud)
    if times is None:
        assert found is None
        return
    assert found is not None
    end = quiet + loud
    cleared = first(lambda s: not fires(ledger, pair, s), end, n)
    assert cleared is not None
    limit = float(pair.factor) / 1000 / e
    # fires in the second in which the limit is passed, and clears in the second in which it no longer is
    assert found - quiet == math.floor(pair.long_ms / 1000 * limit + 1e-6) + 1
    assert cleared - end == math.ceil(pair.short_ms / 1000 * (1 - limit) - 1e-6)
    assert found - quiet == pytest.approx(times[0], rel=0.002, abs=1)
    assert cleared - end == pytest.approx(times[1], rel=0.01, abs=1)


@pytest.mark.parametrize(("e", "detect", "reset"), [(1.0, 52, 296), (0.1, 519, 257), (0.02, 2593, 84)])
def test_the_page_row_to_the_second(e: float, detect: int, reset: int) -> None:
    """The 1h and 5m pair fires and clears at the very seconds the Workbook's rule does when simulated."""
    pair = load_windows().pairs[0]
    starts = np.arange(8000, dtype=np.int64) * 1000
    bad = np.where((starts >= 3_600_000) & (starts < 7_260_000), 1000 * e, 0.0)
    ledger = Ledger(1000)
    ledger.merge(SloEvents(starts, 1000 - bad, np.full(8000, 1000.0)))
    assert first(lambda s: fires(ledger, pair, s), 3600, 7260) == 3600 + detect
    assert first(lambda s: not fires(ledger, pair, s), 7260, 8000) == 7260 + reset


@pytest.mark.parametrize("objective", [99.9, 99.99, 99.5, 99.0, 95.0, 99.95, 33.3])
@pytest.mark.parametrize("factor", [Fraction("14.4"), Fraction(6), Fraction(1), Fraction("0.98")])
def test_a_ratio_at_the_limit_does_not_fire(objective: float, factor: Fraction) -> None:
    """An error ratio of exactly factor times budget is not above it, whatever binary fractions say."""
    limit = factor * budget_of(objective)
    total = 10_000_000
    bad = limit * total
    assert bad.denominator == 1
    assert not exceeds(Sums(float(bad), float(total), 1, 1), limit)
    assert exceeds(Sums(float(bad + 1), float(total), 1, 1), limit)


def test_no_traffic_is_undefined() -> None:
    """Without events the ratio is NaN, nothing fires, and nothing is said of the budget."""
    nothing = Sums(0.0, 0.0, 5, 5)
    assert math.isnan(error_ratio(nothing))
    assert math.isnan(burn_rate(error_ratio(nothing), BUDGET))
    assert math.isnan(budget_left(nothing, BUDGET))
    assert not exceeds(nothing, Fraction(0))
    assert exhausted_in_ms(math.nan, 1.0, 1000) is None


def test_no_traffic_in_the_short_window_does_not_fire() -> None:
    """A long window full of errors alone does not fire a pair."""
    pair = load_windows().pairs[0]
    burn = judge([pair], BUDGET, lambda w: Sums(50.0, 50.0, 9, 60) if w == pair.long_ms else Sums(0, 0, 0, 5), 10**12)
    assert not burn[0].firing
    assert math.isnan(burn[0].short_burn)


def test_a_window_whose_history_is_still_read_does_not_fire() -> None:
    """A pair waits until everything in its long window was read."""
    pair = load_windows().pairs[3]
    assert not judge([pair], BUDGET, lambda _: Sums(9.0, 10.0, 1, 1), pair.long_ms - 1)[0].firing
    assert judge([pair], BUDGET, lambda _: Sums(9.0, 10.0, 1, 1), pair.long_ms)[0].firing


@pytest.mark.parametrize(
    ("left", "burn", "expected"),
    [
        (1.0, 1.0, 30_000),
        (0.5, 10.0, 1_500),
        (0.0, 10.0, 0),
        (-2.0, 0.0, 0),
        (0.5, 0.0, None),
        (1.0, math.inf, 0),
        (1.0, math.nan, None),
    ],
)
def test_time_to_exhaustion(left: float, burn: float, expected: int | None) -> None:
    """What is left lasts left * period / burn; nothing left lasts no time, no burn lasts for ever."""
    assert exhausted_in_ms(left, burn, 30_000) == expected


def test_an_objective_of_100_per_cent_has_no_budget() -> None:
    """One error of a million is above a limit of nothing, and burns infinitely fast; none is fine."""
    budget = budget_of(100)
    assert budget == 0
    one, none = Sums(1.0, 1e6, 1, 1), Sums(0.0, 1e6, 1, 1)
    assert exceeds(one, 6 * budget)
    assert not exceeds(none, 6 * budget)
    assert burn_rate(error_ratio(one), budget) == math.inf
    assert budget_left(none, budget) == 1


def test_budget_is_weighted_by_traffic() -> None:
    """A quiet night of failures weighs as many events as it had, not as many hours."""
    ledger = Ledger(1000)
    total = np.array([10.0, 10.0, 10_000.0, 9_980.0])
    ledger.merge(SloEvents(np.arange(4) * 1000, total - np.array([10.0, 10.0, 0, 0]), total))
    period = ledger.window(0, 4000)
    assert error_ratio(period) == 20 / 20_000
    assert budget_left(period, BUDGET) == 0
    # a mean of the four ratios would have said 50 %


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 50), st.integers(0, 50)), max_size=80),
    st.integers(0, 60),
    st.integers(0, 60),
    st.integers(0, 40),
)
def test_ledger_is_a_dictionary_with_sums(rows: list[tuple[int, int, int]], a: int, b: int, cut: int) -> None:
    """In whatever portions counts come and are replaced, a window's sums are those of the last value of each."""
    ledger = Ledger(10)
    expected: dict[int, tuple[int, int]] = {}
    for i in range(0, len(rows), 7):
        part = dict((start * 10, (good, good + bad)) for start, good, bad in rows[i : i + 7])
        starts = np.array(sorted(part), np.int64)
        events = SloEvents(
            starts,
            np.array([part[s][0] for s in starts.tolist()], float),
            np.array([part[s][1] for s in starts.tolist()], float),
        )
        news = ledger.changes(events)
        assert set(news.starts_ms.tolist()) == {s for s in part if expected.get(s) != part[s]}
        ledger.merge(news)
        expected.update(part)
    low, high = sorted((max(a, cut), max(b, cut)))
    ledger.drop_before(cut * 10)
    inside = [v for s, v in expected.items() if low * 10 <= s < high * 10]
    found = ledger.window(low * 10, high * 10)
    assert (found.bad, found.total) == (sum(t - g for g, t in inside), sum(t for _, t in inside))
    assert (found.counted, found.expected) == (len(inside), high - low)
