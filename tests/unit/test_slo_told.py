"""How an SLO is told to who asks: by `slo`, `top` and `status` in Slack, and by `watchhouse slo list` and `show`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, cast

import pytest
import typer
from typer.testing import CliRunner

from alerting.slack.commands import Commands
from alerting.slack.desk import Group, Person, Rights, SloView, Status, World
from alerting.slack.room import SlackRoom
from app.api.slack.slos import SlackSlos
from app.api.slo.figures import slo_json
from app.commands.slo import views
from app.query.logql.engine import LogQLEngine
from app.query.promql.engine import PromQLEngine
from slo.judge import Policy
from slo.measure import Sums
from slo.spec import BudgetCondition
from slo.state import AlertState
from slo.status import SloStatus, assess, with_alerts
from slo.view import View
from tests.slo_judging import PAGE_FAST, TICKET_FAST, D, H, M, alert, measured, slo, sums

KIM = Person("U0KIM", "kim")
SPEC = slo(alert(PAGE_FAST), alert(TICKET_FAST, key="ticket"))
QUIET, SPENT, HALF = sums([0], [1000], 60, 60), sums([7], [1000], 60, 60), sums([5], [10_000], 60, 60)


def status(windows: dict[int, Sums], period: Sums, *firing: str, name: str = "availability") -> SloStatus:
    """An SLO some alerts of which fire."""
    spec = replace(SPEC, name=name)
    known = measured(dict.fromkeys(spec.windows_ms, QUIET) | windows, period, at_ms=8 * H)
    states = {spec.id: dict.fromkeys(firing, AlertState(7 * H, 7 * H))}
    return with_alerts(assess([spec], known, Policy())[0], View(states=states))


# a burst is over: the shortest window is quiet, while the windows of the ticket still have it
TICKET = status({D: sums([52], [1000], 60, 60), 2 * H: sums([54], [5000], 60, 60)}, SPENT, "ticket")
BURNS = status({5 * M: sums([9], [1000], 60, 60)}, HALF, name="burns")
SOUND = status({}, HALF, name="sound")


class Asked:
    """A `World` of some SLOs; what an engine knows of them is told as the service tells it."""

    def __init__(self, *known: SloStatus) -> None:
        self._known = known

    async def statuses(self) -> Sequence[SloStatus]:
        return self._known

    async def slos(self) -> list[SloView]:
        promql, logql = cast(PromQLEngine, None), cast(LogQLEngine, None)
        return await SlackSlos(lambda: cast(Any, self), promql, logql, cast(Any, None), cast(Any, None)).views()

    def groups(self) -> list[Group]:
        return []

    async def status(self) -> Status:
        return Status("green")

    async def answer(self, text: str) -> str:
        """The text of an answer."""
        return (await Commands(cast(World, self), SlackRoom(), Rights()).answer(text, KIM)).text


async def test_top_and_status_agree() -> None:
    """What fires is first, at the burn rate of the condition that fires; `status` counts the same one."""
    asked = Asked(SOUND, BURNS, TICKET)
    top = (await asked.answer("top")).splitlines()
    assert top == [
        "*Burning fastest*",
        "🟠 *shop-availability* · burns at 52× · budget spent (-600 % left)",
        "✅ *shop-burns* · burns at 9× · budget left 50 %",
    ]
    assert "1 of 3 SLOs burn" in await asked.answer("status")
    assert await Asked(SOUND).answer("top") == "✅ No SLO burns its budget."


async def test_an_slo_has_the_burn_rates_of_what_fires() -> None:
    """The header has the firing condition's, and no budget that is spent has a day on which it will be."""
    told = await Asked(TICKET).answer("slo availability")
    assert "burns at 52×" in told
    assert "ticket fires: 52× over 1d and 10.8× over 2h" in told
    assert "gone in" not in told


async def test_a_spent_budget_is_never_well() -> None:
    """Nothing fires, and yet there is nothing left to burn."""
    told = await Asked(status({}, SPENT)).answer("slo availability")
    assert told.startswith("🟠")
    assert "budget spent" in told


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `slo show` and `slo list` print of an SLO."""

    def run(known: SloStatus, *words: str) -> str:
        data = slo_json(known)
        answer = {"data": [data], "total": 1} if words == ("list",) else {"data": data}
        monkeypatch.setattr(views, "request", lambda *args, **more: answer)
        app = typer.Typer()
        views.register(app)
        result = CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    return run


def fresh(floor: float = 0.5) -> SloStatus:
    """An SLO three minutes after the first sample, at 07:47, counted each minute: a page and a ticket."""
    windows = {window: sums([0], [10], 3, window // M) for window in SPEC.windows_ms}
    known = measured(windows, sums([0], [10], 3, 30 * 24 * 60), at_ms=7 * H + 47 * M)
    return assess([SPEC], known, Policy(coverage_floor=floor))[0]


@pytest.mark.parametrize(
    ("floor", "page", "ticket"),
    [
        (0.5, "5 % of the 1h window is known, 50 % are wanted; decided from 08:14", "decided from 19:44 UTC on"),
        (
            0.9,
            "5 % of the 1h window is known, 90 % are wanted; decided from 08:38",
            "decided from 1970-01-02 05:20 UTC",
        ),
    ],
)
def test_a_held_alert_says_how_much_is_known_and_until_when(shown: Any, floor: float, page: str, ticket: str) -> None:
    """By `slo show` with the window and the time from which it may be decided; `slo list` names what is held."""
    told = shown(fresh(floor), "show", "x")
    assert page in told
    assert ticket in told
    assert fresh(floor).alerts[0].held == f"{page} UTC on at the earliest"
    listed = shown(fresh(floor), "list")
    assert "Held" in listed
    assert "page, ticket" in listed
    assert "page" not in shown(SOUND, "list")


def test_a_budget_is_held_by_its_period() -> None:
    """An alert on budget used waits for the period; one that is held for maintenance has no such figures."""
    spec = slo(alert(BudgetCondition(Fraction(9, 10))))
    known = measured({H: sums([0], [10], 3, 60)}, sums([0], [10], 3, 60), at_ms=7 * H)
    held = assess([spec], known, Policy())[0].alerts[0].held
    assert held == "5 % of the period is known, 50 % are wanted; decided from 07:27 UTC on at the earliest"
    out = status(dict.fromkeys(SPEC.windows_ms, sums([0], [0], 0, 0)), HALF)
    assert out.alerts[0].held.startswith("nothing is expected of a window")


def test_show_says_that_a_budget_is_spent(shown: Any) -> None:
    """A spent one is not used up in 0 s; another says when it will be."""
    assert "Used up all spent" in shown(TICKET, "show", "x")
    assert "Used up in 40d" in shown(status({D: HALF}, sums([3], [9000], 9, 9)), "show", "x")
