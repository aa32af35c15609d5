"""The Workbook's numbers, by backtest: when alerts fire and clear at steady, uneven and sparse traffic.

Google SRE Workbook, "Alerting on SLOs": with B = 1 - SLO, a step of the error ratio from 0 to e is found by a pair of
windows L and S with the factor f after L * f * B / e, if e > f * B, and let go S * (1 - f * B / e) after its end.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from math import comb

import numpy as np
import numpy.typing as npt
import pytest

from slo.backtest import Backtest, backtest
from slo.judge import Policy
from slo.period import Rolling
from slo.spec import AlertSpec, BurnCondition
from tests.slo_judging import (
    PAGE_FAST,
    PAGE_SLOW,
    TICKET_FAST,
    TICKET_SLOW,
    WORKBOOK,
    D,
    H,
    M,
    S,
    alert,
    counts,
    slo,
)

Floats = npt.NDArray[np.float64]
BUDGET = Fraction(1, 1000)
NEVER = None
# the first hours of a replay have no hours before them, and are to be judged by what there is
OFF, ON = Policy(0.0, 0.0), Policy(0.0)
MIN, HOUR = 60.0, 3600.0
# the table of the Workbook's formulas for 99.9 % over 30 days: (detect, reset) in seconds by pair, as it is printed
TABLE: dict[float, tuple[tuple[float, float] | None, ...]] = {
    1.0: ((0.864 * MIN, 4.93 * MIN), (2.16 * MIN, 29.82 * MIN), (4.32 * MIN, 1.994 * HOUR), (4.32 * MIN, 5.994 * HOUR)),
    0.1: ((8.64 * MIN, 4.28 * MIN), (21.6 * MIN, 28.2 * MIN), (43.2 * MIN, 1.94 * HOUR), (43.2 * MIN, 5.94 * HOUR)),
    0.02: ((43.2 * MIN, 1.40 * MIN), (1.8 * HOUR, 21.0 * MIN), (3.6 * HOUR, 1.70 * HOUR), (3.6 * HOUR, 5.70 * HOUR)),
    0.01: (NEVER, (3.6 * HOUR, 12 * MIN), (7.2 * HOUR, 1.4 * HOUR), (7.2 * HOUR, 5.4 * HOUR)),
    0.002: (NEVER, NEVER, NEVER, (36 * HOUR, 3 * HOUR)),
    0.0011: (NEVER, NEVER, NEVER, (65.45 * HOUR, 32.7 * MIN)),
    0.001: (NEVER, NEVER, NEVER, NEVER),
}
CASES = [
    pytest.param(e, pair, times, id=f"e={e:g} {float(pair.factor):g}x")
    for e, row in TABLE.items()
    for pair, times in zip(WORKBOOK, row, strict=True)
]


def replay(
    alert_: AlertSpec, bad: Floats, total: Floats, interval_ms: int, policy: Policy = OFF, objective: float = 99.9
) -> Backtest:
    """What one alert does over consecutive intervals from 0 on, all of them known from the period before on."""
    known_from_ms = -60 * D
    rows = counts(bad, total, interval_ms)
    spec = slo(alert_, objective=objective)
    return backtest(spec, [rows], [], interval_ms, len(total) * interval_ms, interval_ms, policy, known_from_ms)


def step(
    pair: BurnCondition, e: float, interval_ms: int, per_interval: float = 10_000
) -> tuple[Floats, Floats, int, int]:
    """Steady traffic: quiet for the long window, errors for as long, none for the short; when they begin and end."""
    quiet, loud = pair.long_ms // interval_ms, pair.long_ms // interval_ms
    total = np.full(quiet + loud + pair.short_ms // interval_ms + 10, per_interval)
    bad = np.zeros(len(total))
    bad[quiet : quiet + loud] = per_interval * e
    return bad, total, quiet * interval_ms, (quiet + loud) * interval_ms


def times(found: Backtest) -> list[tuple[int, int | None]]:
    """(begin, end) of every alert."""
    return [(one.starts_ms, one.ends_ms) for one in found.alerts]


@pytest.mark.parametrize(("e", "pair", "printed"), CASES)
def test_the_table_of_the_workbook(e: float, pair: BurnCondition, printed: tuple[float, float] | None) -> None:
    """Every row by every pair: to the second for the page, to five or ten seconds for the windows of days."""
    interval_ms = {H: S, 6 * H: S, D: 5 * S, 3 * D: 10 * S}[pair.long_ms]
    bad, total, begin_ms, end_ms = step(pair, e, interval_ms)
    found = times(replay(alert(pair), bad, total, interval_ms))
    limit = pair.factor * BUDGET / Fraction(repr(e))
    if printed is None:
        assert limit >= 1
        assert found == []
        return
    # it fires in the first interval at whose end the limit is passed, and clears in the first in which it no longer is
    detect = math.floor(pair.long_ms * limit / interval_ms) + 1
    reset = math.ceil(pair.short_ms * (1 - limit) / interval_ms)
    assert found == [(begin_ms + detect * interval_ms, end_ms + reset * interval_ms)]
    assert detect * interval_ms / 1000 == pytest.approx(printed[0], rel=0.001, abs=interval_ms / 1000)
    assert reset * interval_ms / 1000 == pytest.approx(printed[1], rel=0.005, abs=interval_ms / 1000)


@pytest.mark.parametrize(("e", "detect", "reset"), [(1.0, 52, 296), (0.1, 519, 257), (0.02, 2593, 84)])
def test_the_page_row_to_the_second(e: float, detect: int, reset: int) -> None:
    """The 1h and 5m pair fires and clears at the very seconds a simulation by the second gives."""
    bad, total, begin_ms, end_ms = step(PAGE_FAST, e, S)
    found = replay(alert(PAGE_FAST), bad, total, S)
    assert times(found) == [(begin_ms + detect * S, end_ms + reset * S)]
    (one,) = found.alerts
    assert one.peak_burn == pytest.approx(e / 0.001)


def test_the_table_with_its_four_pairs_at_once() -> None:
    """Page and ticket of one SLO, as they are by default: at e = 0.1 the page by 1h and 5m, the ticket by a day."""
    spec = slo(alert(PAGE_FAST, PAGE_SLOW), alert(TICKET_FAST, TICKET_SLOW, key="ticket"))
    n, begin = 4 * 1440, 3 * 1440
    bad = np.zeros(n)
    bad[begin : begin + 120] = 1000
    rows = counts(bad, np.full(n, 10_000.0), M)
    found = backtest(spec, [rows], [], M, n * M, M, OFF, -60 * D)
    told = {one.alert.key: one for one in found.alerts}
    assert set(told) == {"page", "ticket"}
    assert (told["page"].starts_ms, told["page"].condition) == ((begin + 9) * M, PAGE_FAST)
    assert told["ticket"].starts_ms == (begin + 44) * M
    # the ticket's two pairs last as long as the longer one: 6h * (1 - 1 * B / e) past the end, all but 3.6 minutes
    assert told["ticket"].ends_ms == (begin + 120 + 360 - 3) * M
    # the page goes on by its slow pair: its 6h hold 12000 errors, its 30m clear 28.2 minutes after the end
    assert told["page"].ends_ms == (begin + 120 + 29) * M


@pytest.mark.parametrize("pair", WORKBOOK, ids=lambda pair: f"{float(pair.factor):g}x")
def test_exactly_at_the_limit_never_fires(pair: BurnCondition) -> None:
    """An error ratio of exactly f * B fires nothing, one error more in each million does."""
    interval_ms = pair.short_ms // 5
    n = 3 * pair.long_ms // interval_ms
    total = np.full(n, 1_000_000.0)
    at_limit = np.full(n, float(pair.factor * BUDGET * 1_000_000))
    assert times(replay(alert(pair), at_limit, total, interval_ms)) == []
    ((begin, end),) = times(replay(alert(pair), at_limit + 1, total, interval_ms))
    assert (begin, end) == (interval_ms, None)


def test_a_factor_that_cannot_be_reached() -> None:
    """At 93 % even a ratio of 1 burns at 14.3 only: 14.4 cannot fire."""
    n = 200
    assert times(replay(alert(PAGE_FAST), np.full(n, 10.0), np.full(n, 10.0), M, objective=93.0)) == []
    assert times(replay(alert(PAGE_FAST), np.full(n, 10.0), np.full(n, 10.0), M, objective=93.1)) != []


def test_no_traffic_fires_nothing_and_is_not_100_per_cent() -> None:
    """Without requests in the short window no alert; without any the ratio is not defined."""
    total = np.concatenate([np.full(60, 100.0), np.zeros(120)])
    found = replay(alert(PAGE_FAST), total.copy(), total, M)
    ((begin, end),) = times(found)
    # it is over once nothing is left in the five minutes
    assert (begin, end) == (M, 65 * M)
    nothing = replay(alert(PAGE_FAST), np.zeros(100), np.zeros(100), M)
    assert times(nothing) == []
    assert math.isnan(nothing.error_ratio)
    assert math.isnan(nothing.status.budget.left)


@pytest.mark.parametrize(
    ("period_d", "percent", "long_ms", "factor"),
    [
        (30, 2, H, "14.4"),
        (30, 5, 6 * H, "6"),
        (30, 10, D, "3"),
        (30, 10, 3 * D, "1"),
        (28, 2, H, "13.44"),
        (28, 5, 6 * H, "5.6"),
        (28, 10, D, "2.8"),
        (28, 10, 3 * D, "14/15"),
        (7, 8, H, "13.44"),
        (7, "12.5", 6 * H, "3.5"),
        (7, 20, D, "1.4"),
        (7, 42, 3 * D, "0.98"),
    ],
)
def test_the_factors_of_sloth_use_up_what_they_say(
    period_d: int, percent: int | str, long_ms: int, factor: str
) -> None:
    """Burning for a long window at exactly the factor of its period uses that much of the budget, and fires not yet."""
    share = Fraction(percent) / 100
    assert share * Fraction(period_d * D, long_ms) == Fraction(factor)
    pair = BurnCondition((long_ms, long_ms // 12), Fraction(factor))
    interval_ms = long_ms // 60
    n = period_d * D // interval_ms
    # 99 % of 1500 requests: whole errors at each of these factors
    total, bad = np.full(n, 1500.0), np.zeros(n)
    burning = Fraction(factor) * Fraction(1, 100) * 1500
    whole = burning.numerator
    total *= burning.denominator
    bad[-60:] = whole
    spec = replace(slo(alert(pair), objective=99.0), period=Rolling(period_d * D))
    found = backtest(
        spec, [counts(bad, total, interval_ms)], [], interval_ms, n * interval_ms, interval_ms, OFF, -60 * D
    )
    assert found.alerts == ()
    assert found.status.budget.left == pytest.approx(float(1 - share))
    bad[-1] += 1
    found = backtest(
        spec, [counts(bad, total, interval_ms)], [], interval_ms, n * interval_ms, interval_ms, OFF, -60 * D
    )
    assert [one.starts_ms for one in found.alerts] == [n * interval_ms]


def day_and_night(days: int, interval_ms: int) -> Floats:
    """Requests an interval: fifty times as many from eight to twenty as at night."""
    hour = np.arange(days * D // interval_ms) * interval_ms % D // H
    return np.where((hour >= 8) & (hour < 20), 5000.0, 100.0)


def slow(pair: BurnCondition, bad: Floats, total: Floats, interval_ms: int) -> list[tuple[int, int | None]]:
    """When a pair fires and clears, each window of each evaluation summed anew."""
    found: list[tuple[int, int | None]] = []
    firing = False
    for at in range(1, len(total) + 1):
        burns = True
        for window in pair.windows_ms:
            inside = slice(max(0, at - window // interval_ms), at)
            # counts are whole, so these sums are exact
            errors, requests = int(bad[inside].sum()), int(total[inside].sum())
            burns &= requests > 0 and Fraction(errors, requests) > pair.factor * BUDGET
        if burns and not firing:
            found.append((at * interval_ms, None))
        if firing and not burns:
            found[-1] = found[-1][0], at * interval_ms
        firing = burns
    return found


UNEVEN: list[tuple[str, BurnCondition, float, float, float]] = [
    ("the morning rush", PAGE_FAST, 3 + 7.5 / 24, 1, 0.03),
    ("a night all wrong", PAGE_SLOW, 3 + 22 / 24, 4, 1.0),
    ("dusk", PAGE_SLOW, 3 + 19.5 / 24, 3, 0.1),
    ("a bad day", TICKET_FAST, 3.5, 24, 0.01),
    ("a slow leak", TICKET_SLOW, 2.25, 60, 0.002),
]


@pytest.mark.parametrize(("pair", "from_days", "hours", "e"), [u[1:] for u in UNEVEN], ids=[u[0] for u in UNEVEN])
def test_uneven_traffic_weighs_by_its_events(pair: BurnCondition, from_days: float, hours: float, e: float) -> None:
    """With fifty times the traffic by day, alerts come and go when the sums of events say, not the hours."""
    interval_ms = 5 * M
    total = day_and_night(8, interval_ms)
    at_ms = np.arange(len(total)) * interval_ms
    loud = (at_ms >= from_days * D) & (at_ms < from_days * D + hours * H)
    bad = np.where(loud, np.round(total * e), 0.0)
    expected = slow(pair, bad, total, interval_ms)
    assert expected
    assert times(replay(alert(pair), bad, total, interval_ms)) == expected


def test_detection_at_uneven_traffic_is_the_formula_with_weights() -> None:
    """A step of e is found once the events since then are f * B / e of those in the window: late after a busy day."""
    interval_ms, e, pair = M, 0.1, PAGE_SLOW
    total = day_and_night(5, interval_ms)
    begin = 3 * 1440 + 20 * 60
    bad = np.where(np.arange(len(total)) >= begin, total * e, 0.0)
    ((found, _),) = times(replay(alert(pair), bad, total, interval_ms))
    long = pair.long_ms // interval_ms
    weighted = next(
        at for at in range(begin, len(total)) if total[begin:at].sum() * e > 0.006 * total[at - long : at].sum() + 1e-6
    )
    assert found == weighted * interval_ms
    # at steady traffic it were 22 minutes
    assert found - begin * interval_ms > 4 * H


def sparse(seed: int, days: int, per_minute: float, e: float) -> tuple[Floats, Floats]:
    """A few requests a minute at random, and their errors."""
    random = np.random.default_rng(seed)
    total = random.poisson(per_minute, days * 1440).astype(float)
    return random.binomial(total.astype(int), e).astype(float), total


def significant(bad: int, total: int, level: float) -> bool:
    """Whether so many errors are no chance at 99.9 %: the exact tail, term by term."""
    tail = sum(comb(total, k) * BUDGET**k * (1 - BUDGET) ** (total - k) for k in range(bad, total + 1))
    return tail < Fraction(level)


@pytest.mark.parametrize(("seed", "e"), [(2, 0.005), (2, 0.01), (3, 0.05)])
def test_sparse_traffic(seed: int, e: float) -> None:
    """Without the guard what fires is what the sums say; with it, what is no chance besides."""
    bad, total = sparse(seed, 4, 0.2, e)
    plain = slow(PAGE_FAST, bad, total, M)
    assert times(replay(alert(PAGE_FAST), bad, total, M)) == plain
    assert plain
    level = 0.01 * H / (30 * D)
    sure = []
    for at in range(1, len(total) + 1):
        errors, requests = (int(column[max(0, at - 60) : at].sum()) for column in (bad, total))
        sure.append(requests >= 695 or significant(errors, requests, level))
    both = np.zeros(len(total) + 1, bool)
    for begin, end in plain:
        both[begin // M : len(both) if end is None else end // M] = True
    expected = both[1:] & np.array(sure)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], expected, [False]]).astype(int)))
    pairs = [(int(b + 1) * M, int(a + 1) * M if a < len(expected) else None) for b, a in edges.reshape(-1, 2)]
    assert times(replay(alert(PAGE_FAST), bad, total, M, ON)) == pairs
    assert len(pairs) < len(plain)


def test_one_failed_of_three_at_night_pages_nobody() -> None:
    """Three requests in a night's hour, one of which fails, page nobody; without the guard they do; two failed page."""
    total, bad = np.zeros(300), np.zeros(300)
    total[[100, 110, 120]] = 1
    bad[120] = 1
    assert times(replay(alert(PAGE_FAST), bad, total, M, ON)) == []
    assert times(replay(alert(PAGE_FAST), bad, total, M)) == [(121 * M, 126 * M)]
    bad[[119, 120]] = 1
    total[119] = 1
    assert times(replay(alert(PAGE_FAST), bad, total, M, ON)) == [(121 * M, 126 * M)]


def test_years_of_chance_page_hardly_ever() -> None:
    """At just the objective and ten requests an hour the guard lets no alert of 15 months by; without it dozens."""
    bad, total = sparse(7, 450, 1 / 6, 0.001)
    spec = alert(PAGE_FAST)
    assert len(replay(spec, bad, total, M).alerts) > 50
    assert len(replay(spec, bad, total, M, ON).alerts) == 0


def test_pyrras_for() -> None:
    """Pyrra's first alert of 28 days, 14 times over 1h and 5m for 2 minutes: as by the formula, and 2 minutes later."""
    pair = BurnCondition((H, 5 * M), Fraction(14))
    waits = alert(pair, for_ms=2 * M)
    for e, interval_ms in ((0.1, S), (0.05, S)):
        bad, total, begin_ms, end_ms = step(pair, e, interval_ms)
        limit = 14 * BUDGET / Fraction(repr(e))
        detect = (math.floor(H * limit / interval_ms) + 1) * interval_ms
        reset = math.ceil(5 * M * (1 - limit) / interval_ms) * interval_ms
        assert times(replay(waits, bad, total, interval_ms)) == [(begin_ms + detect + 2 * M, end_ms + reset)]
    # a spike that burns for less is no alert
    bad, total, begin_ms, _ = step(pair, 0.1, S)
    bad[begin_ms // S + 510 :] = 0
    short = times(replay(alert(pair), bad, total, S))
    assert short
    assert times(replay(waits, bad, total, S)) == [
        (begin + 2 * M, end) for begin, end in short if end is not None and end - begin > 2 * M
    ]


def test_budget_left_when_it_begins() -> None:
    """The page's 2 % are gone when it begins after an hour at 14.4, and 98 % of the budget are left."""
    interval_ms = 10 * M
    n = 30 * 144
    total, bad = np.full(n, 100_000.0), np.zeros(n)
    bad[-6:] = 1440
    bad[-1] += 1
    found = replay(alert(PAGE_FAST), bad, total, interval_ms)
    (one,) = found.alerts
    assert one.starts_ms == n * interval_ms
    assert one.budget_left == pytest.approx(0.98, abs=1e-5)
