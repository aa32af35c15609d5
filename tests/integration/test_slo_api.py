"""SLOs over HTTP and on the command line, against a running server."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
import typer
from fastapi import FastAPI
from typer.testing import CliRunner, Result

from app.api.slo import slo_router
from app.commands import slo as slo_command
from app.listen import HttpServer
from app.store.client import Pool
from slo.spec import EventsSli, SloSpec
from tests.integration.slo_world import NOW, SPEC, burning_world

OTHER = SloSpec("availability", "bank", 99.0, EventsSli("none", "none"), description="[bold]Quiet[/bold]")


@pytest.fixture
async def url(embedded_pool: Pool) -> AsyncIterator[str]:
    """A server over one SLO that burns and one that has no data."""
    engine = burning_world(embedded_pool).engine(SPEC, OTHER)
    await engine.cycle()
    sock = socket.create_server(("127.0.0.1", 0))
    app = FastAPI()
    app.include_router(slo_router(engine))
    server = HttpServer(app, sock)
    await server.start()
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()
    await engine.stop()


async def command(url: str, *arguments: str) -> Result:
    """Runs `watchhouse slo …` in a thread."""
    app = typer.Typer()
    app.callback()(lambda: None)
    slo_command.register(app)
    env = {"COLUMNS": "200", "TERM": "dumb"}
    return await asyncio.to_thread(CliRunner(env=env).invoke, app, ["slo", *arguments, "--url", url])


async def test_every_slo_is_listed_with_its_figures(url: str) -> None:
    """Ratios, burn rates, alerts and coverage are numbers; what is not defined is null."""
    async with httpx.AsyncClient(base_url=url) as http:
        body = (await http.get("/api/v1/slos")).json()
    assert body["status"] == "success"
    burning, quiet = body["data"]
    assert (burning["id"], burning["objective"], burning["period"]) == ("shop-availability", 99.9, "30d")
    assert (burning["good"], burning["total"], burning["sli"], burning["error_ratio"]) == (10800, 12000, 0.9, 0.1)
    assert burning["budget_left"] == pytest.approx(-99)
    assert burning["burn_rates"][0] == {"window": "5m", "burn": pytest.approx(200)}
    assert [item["window"] for item in burning["burn_rates"]] == ["5m", "30m", "1h", "2h", "6h", "1d", "3d"]
    page = burning["alerts"][0]
    assert (page["severity"], page["long_window"], page["short_window"]) == ("page", "1h", "5m")
    assert (page["threshold"], page["firing"], page["since"]) == (14.4, True, NOW / 1000)
    assert burning["last_interval"] == NOW / 1000
    assert (quiet["sli"], quiet["error_ratio"], quiet["budget_left"], quiet["total"]) == (None, None, None, 0)
    assert (quiet["burn_rates"][0]["burn"], quiet["coverage"], quiet["alerts"]) == (None, 0, [])


async def test_one_slo_by_id_or_by_a_name_of_its_own(url: str) -> None:
    """An id is found; a name two services use is answered with their ids, an unknown one with 404."""
    async with httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("/api/v1/slos/bank-availability")).json()["data"]["service"] == "bank"
        twice, absent = await http.get("/api/v1/slos/availability"), await http.get("/api/v1/slos/nothing")
    assert (twice.status_code, absent.status_code) == (404, 404)
    assert "shop-availability, bank-availability" in twice.json()["error"]
    assert absent.json() == {"status": "error", "errorType": "not_found", "error": "there is no SLO 'nothing'"}


async def test_the_commands_show_the_same(url: str) -> None:
    """A table for people, the API's JSON for scripts, and texts of specs are no markup."""
    listed = await command(url, "list")
    assert listed.exit_code == 0
    assert "shop-availability" in listed.stdout
    assert "90.0000 %" in listed.stdout
    assert "-9900.0 %" in listed.stdout
    shown = await command(url, "show", "bank-availability")
    assert "[bold]Quiet[/bold]" in shown.stdout
    page = await command(url, "show", "shop-availability")
    assert "14.4x" in page.stdout
    found = json.loads((await command(url, "list", "--output", "json")).stdout)
    assert [item["id"] for item in found] == ["shop-availability", "bank-availability"]


async def test_an_unknown_slo_is_status_1(url: str) -> None:
    """The command fails with what the service says."""
    result = await command(url, "show", "nothing")
    assert result.exit_code == 1
    assert "there is no SLO 'nothing'" in result.output
