"""SLOs over HTTP and on the command line, against a running server: lists, one SLO, and its history."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote

import pytest

from app.config import Limits
from app.store.client import Pool
from slo.period import Calendar
from slo.spec import EventsSli, Query
from tests.integration.slo_api_world import asked, command, refused, served
from tests.integration.slo_world import DAY, HOUR, MINUTE, NOW, SPEC, World, burning_world, slo

NONE = EventsSli(Query("none"), Query("none"))
OTHER = slo(NONE, (), service="bank", objective=99.0, description="[bold]Quiet[/bold]", labels=(("tier", "1"),))
GROUPED = replace(SPEC, name="latency", grouping=("handler",))
HANDLERS = ("/a/history", 'b"}{', "")


@pytest.fixture
async def url(embedded_pool: Pool) -> AsyncIterator[str]:
    """A server over one SLO that burns and one that has no data."""
    async with served(burning_world(embedded_pool), SPEC, OTHER) as address:
        yield address


async def test_every_slo_is_listed_with_its_figures(url: str) -> None:
    """Ratios, burn rates, alerts and coverage are numbers; what is not defined is null."""
    burning, quiet = await asked(url)
    assert (burning["id"], burning["objective"], burning["period"]) == ("shop-availability", 99.9, "30d")
    assert (burning["good"], burning["total"], burning["unit"]) == (10800, 12000, "events")
    assert (burning["sli"], burning["error_ratio"]) == pytest.approx((0.9, 0.1))
    assert burning["budget_left"] == pytest.approx(-99)
    assert burning["budget_left_events"] == pytest.approx(-1188)
    assert burning["budget_left_minutes"] == pytest.approx(-99 * 43.2)
    assert burning["exhausted_in"] == 0
    first = burning["burn_rates"][0]
    assert (first["window"], first["burn"], first["coverage"]) == ("5m", pytest.approx(200), 1)
    assert [item["window"] for item in burning["burn_rates"]] == ["5m", "30m", "1h", "2h", "6h", "1d", "3d"]
    page = burning["alerts"][0]
    assert (page["name"], page["severity"], page["kind"]) == ("ShopDown", "page", "burn rate")
    assert (page["long_window"], page["short_window"], page["threshold"]) == ("1h", "5m", 14.4)
    assert (page["firing"], page["since"], page["held"]) == (True, NOW / 1000, None)
    assert burning["last_interval"] == NOW / 1000
    assert (quiet["sli"], quiet["error_ratio"], quiet["budget_left"], quiet["total"]) == (None, None, None, 0)
    assert (quiet["burn_rates"][0]["burn"], quiet["coverage"], quiet["alerts"]) == (None, 0, [])


async def test_a_list_is_filtered_and_paged(url: str) -> None:
    """By service, labels and what fires; a page says how many there are altogether."""

    async def ids(**params: str) -> list[str]:
        return [item["id"] for item in await asked(url, params=params)]

    assert await ids(service="bank") == ["bank-availability"]
    assert await ids(label="tier=1") == ["bank-availability"]
    assert await ids(label="tier=2") == []
    assert await ids(firing="true") == ["shop-availability"]
    assert await ids(firing="false") == ["bank-availability"]
    assert await ids(limit="1", offset="1") == ["bank-availability"]
    for params, told in (
        ({"limit": "20000"}, "at most 10000 SLOs"),
        ({"firing": "maybe"}, "true or false is wanted"),
        ({"label": "tier"}, "name=value"),
    ):
        status, kind, error = await refused(url, params=params)
        assert (status, kind) == (400, "bad_data")
        assert told in error


async def test_one_slo_by_id_or_by_a_name_of_its_own(url: str) -> None:
    """An id is found; a name two services use is answered with their ids, an unknown one with 404."""
    assert (await asked(url, "/bank-availability"))["service"] == "bank"
    status, kind, error = await refused(url, "/availability")
    assert (status, kind) == (404, "not_found")
    assert "shop-availability, bank-availability" in error
    assert await refused(url, "/nothing") == (404, "not_found", "there is no SLO 'nothing'")


async def test_ids_of_groups_may_hold_anything(embedded_pool: Pool) -> None:
    """Braces, quotes and slashes, and what looks like another route."""
    world = burning_world(embedded_pool)
    world.counted.groups = {(("handler", name),) if name else (): 1.0 for name in HANDLERS}
    async with served(world, GROUPED) as address:
        found = await asked(address)
        assert {item["group"].get("handler", "") for item in found} == set(HANDLERS)
        for item in found:
            path = f"/{quote(item['id'], safe='')}"
            assert (await asked(address, path))["group"] == item["group"]
            assert (await asked(address, f"{path}/history"))["id"] == item["id"]
            assert item["id"] in [one["id"] for one in (await asked(address, f"{path}/gate", "POST"))["slos"]]
        together = await asked(address, "/shop-latency/gate", "POST")
        assert [one["id"] for one in together["slos"]] == [item["id"] for item in found]


async def test_history_is_the_counts_of_each_step_and_the_budget_they_leave(url: str) -> None:
    """Sums of the steps are the sums of the whole, and the last step's budget is today's."""
    start, end = (NOW - 2 * HOUR) / 1000, NOW / 1000
    data = await asked(url, "/shop-availability/history", params={"start": start, "end": end, "step": "30m"})
    points = data["points"]
    assert (points[0]["start"], points[0]["end"]) == (start, start + 1800)
    assert [point["good"] for point in points] == [3000, 3000, 2400, 2400]
    assert [point["sli"] for point in points] == [1, 1, 0.8, 0.8]
    assert [point["coverage"] for point in points] == [1] * 4
    assert points[1]["budget_left"] == 1
    assert points[2]["budget_left"] == pytest.approx(1 - 600 / 9000 / 0.001)
    assert points[3]["budget_left"] == pytest.approx((await asked(url, "/shop-availability"))["budget_left"])
    assert points[3]["budget_left_events"] == pytest.approx(-1188)
    assert (data["step"], data["unit"], data["maintenance"]) == ("30m", "events", [])


async def test_history_before_anything_was_counted_is_null(url: str) -> None:
    """No traffic is no figure, and nothing known is no coverage."""
    start = (NOW - DAY) / 1000
    data = await asked(url, "/shop-availability/history", params={"start": start, "end": start + 3600})
    assert {point["sli"] for point in data["points"]} == {None}
    assert {point["total"] for point in data["points"]} == {0}
    assert {point["coverage"] for point in data["points"]} == {0}


async def test_history_is_bounded(embedded_pool: Pool) -> None:
    """In points and in what has to be read; the error names the limit."""
    limits = Limits(query_max_points=10, slo_max_intervals=60 * 24 * 31)
    async with served(burning_world(embedded_pool), SPEC, limits=limits) as address:
        params = {"start": str((NOW - HOUR) / 1000), "end": str(NOW / 1000), "step": "1m"}
        status, kind, error = await refused(address, "/shop-availability/history", params=params)
        assert (status, kind) == (400, "bad_data")
        assert "60 points are asked for, more than limits.query_max_points = 10" in error
        params = {"start": str((NOW - 3 * DAY) / 1000), "end": str(NOW / 1000), "step": "1d"}
        _, _, error = await refused(address, "/shop-availability/history", params=params)
        assert "limits.slo_max_intervals = 44640" in error


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"start": "yesterday"}, 'invalid parameter "start"'),
        ({"step": "soon"}, 'invalid parameter "step"'),
        ({"start": str(NOW / 1000), "end": str(NOW / 1000 - 60)}, '"start" must be before "end"'),
    ],
)
async def test_a_parameter_that_is_wrong_is_named(url: str, params: dict[str, str], told: str) -> None:
    """400, in the shape of the other APIs."""
    status, kind, error = await refused(url, "/shop-availability/history", params=params)
    assert (status, kind) == (400, "bad_data")
    assert told in error


async def test_the_commands_show_the_same(url: str) -> None:
    """A table for people, the API's JSON for scripts, and texts of specs are no markup."""
    listed = await command(url, "list")
    assert listed.exit_code == 0, listed.output
    for text in ("shop-availability", "90.0000 %", "-9900.0 %", "page"):
        assert text in listed.stdout
    assert "shop-availability" not in (await command(url, "list", "--service", "bank")).stdout
    assert "bank-availability" not in (await command(url, "list", "--firing")).stdout
    shown = await command(url, "show", "bank-availability")
    assert "[bold]Quiet[/bold]" in shown.stdout
    page = await command(url, "show", "shop-availability")
    for text in ("14.4x", "-1,188 events", "firing since 2025-10-09"):
        assert text in page.stdout
    found = json.loads((await command(url, "list", "--output", "json")).stdout)
    assert [item["id"] for item in found] == ["shop-availability", "bank-availability"]


async def test_history_is_drawn(url: str) -> None:
    """A chart with the line where the budget is used up; a table and JSON when asked for."""
    arguments = ("history", "shop-availability", "--from", str((NOW - 2 * HOUR) / 1000), "--to", str(NOW / 1000))
    drawn = await command(url, *arguments, "--table", "--step", "30m")
    assert drawn.exit_code == 0, drawn.output
    for text in ("budget left, %", "used up", "⣀", "80.0000 %", "Counts begin at"):
        assert text in drawn.stdout
    data = json.loads((await command(url, *arguments, "--output", "json")).stdout)
    assert len(data["points"]) == 120


async def test_an_unknown_slo_is_status_1(url: str) -> None:
    """The command fails with what the service says."""
    result = await command(url, "show", "nothing")
    assert result.exit_code == 1
    assert "there is no SLO 'nothing'" in result.output


async def test_ten_thousand_slos_are_listed_page_by_page(embedded_pool: Pool) -> None:
    """The command gives all of them, whatever fits a page."""
    world = World(embedded_pool)
    world.counted.span(NOW - 10 * MINUTE, NOW, 0, 10)
    specs = [replace(SPEC, name=f"slo{n}") for n in range(2100)]
    async with served(world, *specs) as address:
        found = json.loads((await command(address, "list", "--output", "json")).stdout)
        assert [item["name"] for item in found] == [spec.name for spec in specs]


@pytest.mark.parametrize("start", ["-9e14", "-62135596801", "0"])
async def test_history_of_all_time_is_refused(embedded_pool: Pool, start: str) -> None:
    """A range that no calendar reaches is too long, as any other, also for a period of the calendar."""
    spec = slo(period=Calendar(datetime(2025, 1, 1), "Europe/Berlin", "M"))
    async with served(burning_world(embedded_pool), spec) as url:
        status, kind, told = await refused(url, "/shop-availability/history", params={"start": start})
        assert (status, kind) == (400, "bad_data")
        assert "limits.slo_max_intervals" in told
        point = await asked(url, "/shop-availability/history", params={"step": "99999999999y"})
        assert len(point["points"]) == 1
