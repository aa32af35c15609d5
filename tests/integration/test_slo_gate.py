"""The deploy gate over HTTP and by exit status."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from app.store.client import Pool
from tests.integration.slo_api_world import asked, command, refused, served
from tests.integration.slo_world import HOUR, NOW, PAGE, SPEC, World, slo

QUIET = slo(alerts=(replace(PAGE, name="BankDown"),), service="bank", objective=99.0)


@pytest.fixture
async def url(embedded_pool: Pool) -> AsyncIterator[str]:
    """Two SLOs over the same counts: 0.5 % bad is more than one of them allows, and half of what the other does."""
    world = World(embedded_pool)
    world.counted.span(NOW - 2 * HOUR, NOW, 5, 1000)
    async with served(world, SPEC, QUIET, cycles=2) as address:
        yield address


async def test_go_and_no_go_with_their_numbers(url: str) -> None:
    """A no-go is an answer like any other; it says why, with what was asked for."""
    good = await asked(url, "/bank-availability/gate", "POST")
    assert (good["go"], good["reasons"], good["id"]) == (True, [], "bank-availability")
    assert (good["budget_left"], good["burn"], good["window"]) == (pytest.approx(0.5), pytest.approx(0.5), "1h")
    bad = await asked(url, "/shop-availability/gate", "POST", json={})
    assert bad["go"] is False
    assert bad["reasons"] == ["-400 % of the budget is left, less than 0 %"]
    strict = {"min_budget_left": 0.6, "max_burn": 0.1, "window": "30m", "ignore_alerts": True}
    why = (await asked(url, "/bank-availability/gate", "POST", json=strict))["reasons"]
    assert why == ["50 % of the budget is left, less than 60 %", "the budget burns 0.5× over 30m, faster than 0.1×"]


async def test_several_at_once(url: str) -> None:
    """Go only if all go; reasons name the SLO."""
    data = await asked(url, "/gate", "POST", json={"names": ["bank-availability", "shop-availability"]})
    assert (data["go"], [one["go"] for one in data["slos"]]) == (False, [True, False])
    assert data["reasons"][0].startswith("shop-availability: -400 %")
    assert (await asked(url, "/gate", "POST", json={"service": "bank"}))["go"] is True


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("/bank-availability/gate", {"min_budget_left": 10}, 400, 'invalid "min_budget_left"'),
        ("/bank-availability/gate", {"budget": 0.1}, 400, 'invalid "budget"'),
        ("/bank-availability/gate", {"window": "7h"}, 400, "not measured over 7h; its windows are: 5m, 30m"),
        ("/bank-availability/gate", {"window": "soon"}, 400, 'invalid "window"'),
        ("/nothing/gate", {}, 404, "there is no SLO 'nothing'"),
        ("/gate", {}, 400, 'give "names" or a "service"'),
        ("/gate", {"service": "none"}, 404, "no SLO of the service 'none'"),
    ],
)
async def test_what_cannot_be_meant_so_is_refused(
    url: str, path: str, body: dict[str, object], status: int, told: str
) -> None:
    """A mistyped demand lets nothing through."""
    found, _, error = await refused(url, path, "POST", json=body)
    assert found == status
    assert told in error


async def test_the_exit_status_is_the_answer(url: str) -> None:
    """0 for go, 1 for no-go, 2 when it is used wrongly; reasons are printed."""
    good = await command(url, "gate", "bank-availability", "--min-budget-left", "50")
    assert (good.exit_code, good.stdout.split()[0]) == (0, "go")
    bad = await command(url, "gate", "bank-availability", "--min-budget-left", "60", "--max-burn", "0.1")
    assert bad.exit_code == 1
    for text in ("NO-GO", "50 % of the budget is left, less than 60 %", "faster than 0.1×"):
        assert text in bad.stdout
    assert (await command(url, "gate", "--service", "bank")).exit_code == 0
    assert (await command(url, "gate", "bank-availability", "shop-availability")).exit_code == 1
    found = json.loads((await command(url, "gate", "shop-availability", "--output", "json")).stdout)
    assert found["go"] is False
    for wrong in ((), ("nothing",), ("bank-availability", "--window", "7h"), ("x", "--min-budget-left", "101")):
        assert (await command(url, "gate", *wrong)).exit_code == 2, wrong
    assert (await command("http://127.0.0.1:9", "gate", "bank-availability")).exit_code == 1


async def test_what_cannot_be_counted_is_a_no_go(embedded_pool: Pool) -> None:
    """It says that nothing is known, and why."""
    world = World(embedded_pool)
    world.counted.broken = "all"
    async with served(world) as address:
        data = await asked(address, "/shop-availability/gate", "POST")
    assert (data["go"], data["reasons"]) == (False, ["it cannot be counted: it is broken"])
