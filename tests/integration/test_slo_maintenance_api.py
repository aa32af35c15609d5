"""Maintenance over HTTP and by command: who may, what it takes out, and the audit."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.config import Auth, Token
from app.store.client import Pool
from tests.integration.slo_api_world import answered, asked, command, refused, served
from tests.integration.slo_world import HOUR, NOW, SPEC, burning_world, slo

FROM, TO = (NOW - HOUR) / 1000, NOW / 1000
OTHER = slo(service="bank")


@pytest.fixture
async def url(embedded_pool: Pool) -> AsyncIterator[str]:
    """Two SLOs that burnt for an hour."""
    async with served(burning_world(embedded_pool), SPEC, OTHER) as address:
        yield address


async def test_a_maintenance_is_out_of_the_budget_until_it_is_removed(url: str) -> None:
    """Created afterwards, shortened and removed: each time the budget is another one."""

    async def good_of_total(name: str = "shop-availability") -> tuple[float, float]:
        slo = await asked(url, f"/{name}")
        return slo["good"], slo["total"]

    body = {"start": FROM, "end": TO, "slos": ["shop-availability"], "reason": "database moved", "by": "eve"}
    one = await asked(url, "/maintenance", "POST", json=body)
    assert (one["start"], one["end"], one["slos"]) == (FROM, TO, ["shop-availability"])
    assert (one["reason"], one["created_by"]) == ("database moved", "eve")
    assert await good_of_total() == (6000, 6000)
    assert await good_of_total("bank-availability") == (10800, 12000)
    changed = await asked(url, f"/maintenance/{one['id']}", "PATCH", json={"end": TO - 1800})
    assert (changed["start"], changed["end"]) == (FROM, TO - 1800)
    assert await good_of_total() == (8400, 9000)
    assert await asked(url, "/maintenance") == [changed]
    assert await asked(url, f"/maintenance/{one['id']}", "DELETE", json={"reason": "was none"}) is None
    assert await good_of_total() == (10800, 12000)
    assert await asked(url, "/maintenance") == []
    entries = await asked(url, "/audit")
    assert [entry["action"] for entry in entries] == ["removed", "changed", "created"]
    assert (entries[2]["by"], entries[2]["reason"], entries[2]["before"]) == ("eve", "database moved", None)
    assert (entries[1]["before"]["end"], entries[1]["after"]["end"]) == (TO, TO - 1800)
    assert (entries[0]["reason"], entries[0]["after"]) == ("was none", None)
    assert len(await asked(url, "/audit", params={"limit": "1", "offset": "1"})) == 1


async def test_history_shows_it(url: str) -> None:
    """The steps it takes out have no figures, and it is told."""
    await asked(url, "/maintenance", "POST", json={"start": FROM, "end": TO})
    data = await asked(url, "/shop-availability/history", params={"start": FROM - 3600, "end": TO, "step": "1h"})
    assert [point["total"] for point in data["points"]] == [6000, 0]
    assert [point["coverage"] for point in data["points"]] == [1, None]
    assert data["maintenance"] == [{"start": FROM, "end": TO}]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"start": TO, "end": FROM}, 400, "must end after it begins"),
        ({"start": FROM}, 400, 'invalid "end"'),
        ({"start": "soon", "end": TO}, 400, 'invalid "start": cannot parse "soon"'),
        ({"start": FROM, "end": TO, "slos": ["shop"]}, 404, "there is no SLO of the id 'shop'"),
        ({"start": FROM, "end": TO, "service": "none"}, 404, "no SLO of the service 'none'"),
        ({"start": FROM, "end": TO, "slos": ["shop-availability"], "service": "bank"}, 400, "not both"),
        ({"start": FROM, "end": TO, "slo": "shop-availability"}, 400, 'invalid "slo"'),
    ],
)
async def test_what_is_wrong_is_named(url: str, body: dict[str, object], status: int, told: str) -> None:
    """Nothing is taken out of any budget, and nothing is in the audit."""
    found, _, error = await refused(url, "/maintenance", "POST", json=body)
    assert found == status
    assert told in error
    assert await asked(url, "/audit") == []


async def test_one_that_is_not_there_is_not_found(url: str) -> None:
    """404 for a change as for a removal."""
    for method in ("PATCH", "DELETE"):
        assert (await refused(url, "/maintenance/none", method))[0] == 404


async def test_only_admins_change_it_and_the_token_says_who(embedded_pool: Pool, tmp_path: Path) -> None:
    """Readers read it. What a request says of itself does not hide whose token it was."""
    tokens = []
    for name, role in (("grafana", "query"), ("deployer", "admin")):
        (tmp_path / name).write_text(name * 4)
        tokens.append(Token(name=name, token_file=tmp_path / name, roles=(role,)))
    async with served(burning_world(embedded_pool), SPEC, auth=Auth(tokens=tuple(tokens))) as url:
        reader, admin = ({"Authorization": f"Bearer {name * 4}"} for name in ("grafana", "deployer"))
        body = {"start": FROM, "end": TO}
        assert (await answered(url, "/maintenance", "POST", json=body, headers=reader)).status_code == 403
        assert await asked(url, "/maintenance", headers=reader) == []
        one = await asked(url, "/maintenance", "POST", json=body, headers=admin)
        assert one["created_by"] == "deployer"
        again = await asked(url, "/maintenance", "POST", json={**body, "by": "eve"}, headers=admin)
        assert again["created_by"] == "eve (deployer)"
        for method in ("PATCH", "DELETE"):
            path = f"/maintenance/{one['id']}"
            assert (await answered(url, path, method, json={}, headers=reader)).status_code == 403
        assert len(await asked(url, "/audit", headers=reader)) == 2
        # asking for a gate or a backtest changes nothing
        assert (await answered(url, "/shop-availability/gate", "POST", headers=reader)).status_code == 200


async def test_the_commands_do_the_same(url: str) -> None:
    """Added by a length of time, listed, ended, removed; the audit has all of it."""
    arguments = ("--from", str(FROM), "--for", "1h", "--service", "shop", "--reason", "move")
    added = await command(url, "maintenance", "add", *arguments, "--output", "json")
    assert added.exit_code == 0, added.output
    one = json.loads(added.stdout)[0]
    assert (one["end"], one["service"]) == (TO, "shop")
    listed = await command(url, "maintenance", "list")
    for text in (one["id"], "service shop", "move", "1h"):
        assert text in listed.stdout
    ended = await command(url, "maintenance", "end", one["id"], "--at", str(TO - 600), "--output", "json")
    assert json.loads(ended.stdout)[0]["end"] == TO - 600
    assert (await command(url, "maintenance", "remove", one["id"])).exit_code == 0
    audit = (await command(url, "audit")).stdout
    for text in ("created", "changed", "removed", "service shop"):
        assert text in audit
    for wrong in ((), ("--all",), ("--all", "--for", "soon"), ("--all", "--service", "x", "--for", "1h")):
        assert (await command(url, "maintenance", "add", *wrong)).exit_code == 2
