"""Backtests over HTTP and by command: a spec and a range give what its alerts would have done."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from app.config import Limits
from app.store.client import Pool
from tests.integration.slo_api_world import asked, command, refused, served
from tests.integration.slo_world import DAY, HOUR, MINUTE, NOW, SPEC, World

BEGAN = NOW - DAY
SLOTH = """
version: prometheus/v1
service: shop
slos:
  - name: checkout
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(bad[{{.window}}]))
        total_query: sum(rate(all[{{.window}}]))
    alerting:
      name: CheckoutDown
      page_alert: {labels: {severity: critical}}
      ticket_alert: {}
"""
RANGE = {"start": str((NOW - 2 * DAY) / 1000), "end": str(NOW / 1000)}


@pytest.fixture
async def url(embedded_pool: Pool) -> AsyncIterator[str]:
    """Five days of a hundred requests a minute, of which a tenth are bad for an hour a day ago."""
    world = World(embedded_pool)
    world.counted.span(NOW - 5 * DAY, BEGAN, 0, 100)
    world.counted.span(BEGAN, BEGAN + HOUR, 10, 100)
    world.counted.span(BEGAN + HOUR, NOW, 0, 100)
    async with served(world) as address:
        yield address


async def test_alerts_begin_and_end_when_the_workbook_says(url: str) -> None:
    """An error ratio of 10 % is paged after 8.64 minutes (the next evaluation is the ninth), by the fastest pair."""
    data = await asked(url, "/backtest", "POST", params=RANGE, content=SLOTH)
    page, ticket = data["alerts"]
    assert (page["name"], page["severity"]) == ("CheckoutDown", "page")
    assert (page["long_window"], page["short_window"], page["burn_rate"]) == ("1h", "5m", 14.4)
    assert page["starts_at"] == (BEGAN + 9 * MINUTE) / 1000
    # the 30 minutes of the slower pair go below 6 after 28.2 minutes
    assert page["ends_at"] == (BEGAN + HOUR + 29 * MINUTE) / 1000
    assert page["peak_burn"] == pytest.approx(100)
    assert page["budget_left"] == pytest.approx(1 - 90 / (4 * 1440 + 9) / 100 / 0.001)
    assert (ticket["severity"], ticket["starts_at"]) == ("ticket", (BEGAN + 44 * MINUTE) / 1000)
    assert (ticket["long_window"], ticket["short_window"], ticket["burn_rate"]) == ("1d", "2h", 3.0)
    assert data["sli"] == pytest.approx(1 - 600 / 288_000)
    assert (data["good"], data["total"]) == (287_400, 288_000)
    assert data["budget"]["left"] == pytest.approx(1 - 600 / 720_000 / 0.001)
    assert data["series"][-1]["budget_left"] == pytest.approx(data["budget"]["left"])


async def test_json_and_times_as_text_are_taken(url: str) -> None:
    """A body of JSON is the same, and so are times in RFC 3339; numbers of an end that is open are null."""
    start, end = "2025-10-08T08:54:00Z", "2025-10-08T09:30:00Z"
    params = {"start": start, "end": end}
    data = await asked(url, "/backtest", "POST", params=params, content=json.dumps(yaml.safe_load(SLOTH)))
    assert [(alert["severity"], alert["ends_at"]) for alert in data["alerts"]] == [("page", None)]


async def test_a_range_may_end_within_an_interval(embedded_pool: Pool) -> None:
    """Only whole intervals are counted, as the interval that is under way is not over."""
    world = World(embedded_pool)
    world.counted.span(NOW - HOUR, NOW, 10, 100)
    async with served(world) as address:
        params = {"start": str((NOW - HOUR) / 1000 + 7), "end": str(NOW / 1000 - 1)}
        data = await asked(address, "/backtest", "POST", params=params, content=SLOTH)
    assert {(begin % MINUTE, end % MINUTE) for _, begin, end in world.counted.asked} == {(0, 0)}
    assert (data["start"], data["end"]) == ((NOW - 59 * MINUTE) / 1000, (NOW - MINUTE) / 1000)
    assert data["total"] == 58 * 100


async def test_a_file_of_several_slos_names_them(url: str) -> None:
    """All alerts together, each with its SLO, and the figures of each SLO by itself."""
    body = yaml.safe_load(SLOTH)
    second = {**body["slos"][0], "name": "cart", "objective": 90.0}
    body["slos"].append(second)
    data = await asked(url, "/backtest", "POST", params=RANGE, content=yaml.safe_dump(body))
    assert [one["name"] for one in data["slos"]] == ["checkout", "cart"]
    assert {alert["slo"] for alert in data["alerts"]} == {"shop-checkout"}
    assert data["slos"][1]["alerts"] == []
    assert data["slos"][1]["budget"]["left"] == pytest.approx(1 - 600 / 720_000 / 0.1)


async def test_maintenance_that_is_there_is_taken_out(url: str) -> None:
    """A backtest of the configured SLO says what its alerts would do now that the hour counts no more."""
    spec = SLOTH.replace("checkout", SPEC.name)
    body = {"start": BEGAN / 1000, "end": (BEGAN + HOUR) / 1000, "slos": [SPEC.id]}
    await asked(url, "/maintenance", "POST", json=body)
    data = await asked(url, "/backtest", "POST", params=RANGE, content=spec)
    assert (data["alerts"], data["sli"]) == ([], 1)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (SLOTH.replace("objective: 99.9", "objective: 199"), "body:6: slos[0].objective:"),
        ("a: [", "body:1"),
        ("", "no SLO"),
        ("kind: Pod\napiVersion: v1", "v1 Pod is not read"),
    ],
    ids=["objective", "not YAML", "nothing", "format"],
)
async def test_a_fault_of_the_spec_is_told_with_line_and_key(url: str, body: str, told: str) -> None:
    """400, as check-config tells it."""
    status, kind, error = await refused(url, "/backtest", "POST", params=RANGE, content=body)
    assert (status, kind) == (400, "bad_data")
    assert told in error


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"end": "1"}, 'invalid parameter "start"'),
        ({"start": "2", "end": "1"}, '"start" must be before "end"'),
        ({**RANGE, "interval": "1ms"}, 'invalid parameter "interval"'),
        ({**RANGE, "coverage_floor": "50"}, 'invalid parameter "coverage_floor": a number from 0 to 1'),
        ({**RANGE, "false_alarms": "few"}, 'invalid parameter "false_alarms"'),
    ],
)
async def test_a_parameter_that_is_wrong_is_named(url: str, params: dict[str, str], told: str) -> None:
    """400 with its name."""
    status, _, error = await refused(url, "/backtest", "POST", params=params, content=SLOTH)
    assert status == 400
    assert told in error


async def test_a_backtest_is_bounded(embedded_pool: Pool) -> None:
    """In range by interval; the error names the limit."""
    async with served(World(embedded_pool), limits=Limits(slo_max_intervals=1000)) as address:
        status, _, error = await refused(address, "/backtest", "POST", params=RANGE, content=SLOTH)
    assert status == 400
    assert "limits.slo_max_intervals = 1000" in error


async def test_what_cannot_be_counted_is_an_error(embedded_pool: Pool) -> None:
    """Not a backtest without alerts."""
    world = World(embedded_pool)
    world.counted.broken = "bad"
    async with served(world) as address:
        status, kind, error = await refused(address, "/backtest", "POST", params=RANGE, content=SLOTH)
    assert (status, kind, error) == (422, "execution", "it is broken")


async def test_the_command_draws_it(url: str, tmp_path: Path) -> None:
    """A burn-down, a timeline of the alerts and a table; JSON for scripts; faults with the file's name."""
    file = tmp_path / "shop.yml"
    file.write_text(SLOTH)
    arguments = ("backtest", str(file), "--from", RANGE["start"], "--to", RANGE["end"])
    drawn = await command(url, *arguments)
    assert drawn.exit_code == 0, drawn.output
    for text in ("shop-checkout: 99.9 % over 30d", "budget left, %", "CheckoutDown page", "█", "·", "100x", "1h20m"):
        assert text in drawn.stdout
    data = json.loads((await command(url, *arguments, "--output", "json")).stdout)
    assert [alert["severity"] for alert in data["alerts"]] == ["page", "ticket"]
    file.write_text(SLOTH.replace("99.9", "199"))
    wrong = await command(url, *arguments)
    assert wrong.exit_code == 1
    assert f"{file}:6: slos[0].objective" in wrong.output
    assert (await command(url, "backtest", str(file), "--from", "-1h", "--to", "-2h")).exit_code == 2
    assert (await command(url, "backtest", str(tmp_path / "none.yml"), "--from", "-1h")).exit_code == 1
