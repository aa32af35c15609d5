"""The deploy gate: what lets a deploy through, and what is told where it does not."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from app.errors import BadQuery
from slo.gate import Demands, all_go, gate
from slo.judge import Policy
from slo.state import AlertState
from slo.status import SloStatus, assess, unknown
from tests.slo_judging import PAGE_FAST, TICKET_SLOW, D, H, M, alert, measured, slo, sums

NOW = 1_000 * D
SPEC = slo(replace(alert(PAGE_FAST), name="ShopDown"), replace(alert(TICKET_SLOW, key="ticket"), name="ShopSlow"))


def status(bad: float = 0, total: float = 1_000_000, *, burning: float = 0, coverage: int = 60) -> SloStatus:
    """An SLO of 99.9 % with so many bad events in its period, and a share of bad ones in all windows."""
    windows = {w: sums([burning * 1000], [1000], coverage, 60) for w in (5 * M, H, 6 * H, 3 * D)}
    known = measured(windows, sums([bad], [total]), at_ms=NOW - M)
    return assess([SPEC], known, Policy())[0]


def firing(one: SloStatus, *keys: str) -> SloStatus:
    """The same with some alerts firing."""
    fires = AlertState(NOW - H, NOW - H)
    return replace(one, alerts=tuple(replace(a, state=fires) if a.alert.key in keys else a for a in one.alerts))


def reasons(one: SloStatus, demands: Demands | None = None) -> tuple[str, ...]:
    """Why not."""
    return gate(one, demands or Demands(), NOW, M).reasons


def test_a_service_with_budget_and_without_alerts_goes() -> None:
    """Go, with the numbers it was decided by."""
    found = gate(status(250), Demands(), NOW, M)
    assert found.go
    assert (found.slo, found.budget_left, found.window_ms) == ("shop-availability", 0.75, H)
    assert (found.budget_left_events, found.burn, found.coverage, found.at_ms) == (750, 0, 1, NOW - M)


def test_a_budget_that_is_used_up_is_a_no() -> None:
    """Exactly nothing left is used up, as is less than nothing; the reason has the number."""
    assert reasons(status(1000)) == ("the budget is used up: 0 % is left, and some must be",)
    assert reasons(status(1500)) == ("-50 % of the budget is left, less than 0 %",)


def test_so_much_as_is_asked_for_must_be_left() -> None:
    """The least that is asked for is enough; less is told with both numbers."""
    assert reasons(status(900), Demands(min_budget_left=0.1)) == ()
    assert reasons(status(901), Demands(min_budget_left=0.1)) == ("9.9 % of the budget is left, less than 10 %",)


def test_a_page_that_fires_is_a_no_and_a_ticket_is_none() -> None:
    """Alerts of other severities are told among the numbers only; they can be ignored altogether."""
    assert reasons(firing(status(), "page")) == ("the alert ShopDown (page) fires",)
    slow = gate(firing(status(), "ticket"), Demands(), NOW, M)
    assert (slow.go, slow.firing) == (True, ("ShopSlow",))
    assert reasons(firing(status(), "page"), Demands(ignore_alerts=True)) == ()


def test_the_budget_must_not_burn_faster_than_asked_for() -> None:
    """Over the window asked for, an hour when none is; at the limit is not faster."""
    fast = status(burning=0.02)
    assert reasons(fast) == ()
    assert reasons(fast, Demands(max_burn=20)) == ()
    assert reasons(fast, Demands(max_burn=19.9)) == ("the budget burns 20× over 1h, faster than 19.9×",)
    assert "over 6h" in reasons(fast, Demands(max_burn=2, window_ms=6 * H))[0]


def test_a_window_that_is_not_measured_is_refused_with_those_that_are() -> None:
    """A mistyped window must not let everything through."""
    with pytest.raises(BadQuery, match="not measured over 2h; its windows are: 5m, 1h, 6h, 3d"):
        gate(status(), Demands(window_ms=2 * H), NOW, M)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (status().failed("no such metric"), "it cannot be counted: no such metric"),
        (unknown(SPEC), "nothing was counted yet"),
        (replace(status(), complete=False, known_ms=2 * H), "its history is still being read: 2h of the period"),
        (status(total=0), "there was no traffic in its period"),
        (status(coverage=15), "data is missing: 25 % of the last 1h are known, less than 50 %"),
        (replace(status(), to_ms=NOW - H), "its newest count is 1h old, more than 5m"),
    ],
    ids=["error", "never", "history", "no traffic", "coverage", "old"],
)
def test_what_is_not_known_is_a_no_that_says_so(one: SloStatus, why: str) -> None:
    """A deploy never goes through because nobody looked."""
    assert why in reasons(one)[0]


def test_an_hour_in_maintenance_altogether_is_no_missing_data() -> None:
    """What is not expected cannot be missing."""
    one = status()
    windows = tuple(replace(w, coverage=math.nan, burn=math.nan) for w in one.windows)
    assert reasons(replace(one, windows=windows), Demands(max_burn=1)) == ()


def test_several_go_only_together() -> None:
    """All must go, and none at all is no go."""
    good, bad = gate(status(), Demands(), NOW, M), gate(status(2000), Demands(), NOW, M)
    assert all_go([good, good])
    assert not all_go([good, bad])
    assert not all_go([])


def test_all_reasons_are_told_at_once() -> None:
    """Nobody learns of the second reason after removing the first."""
    told = reasons(firing(status(2000, burning=0.5), "page"), Demands(min_budget_left=0.2, max_burn=1))
    assert len(told) == 3
    assert np.unique(told).size == 3
