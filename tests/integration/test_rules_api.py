"""`/api/v1/rules` and `/api/v1/alerts`, as Grafana's alert list asks for them, and Loki's rules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app.alert import Alert
from app.api.rules import loki_rules_router, rules_router
from app.config import Auth, Limits
from app.store.client import Pool
from app.web import TokenCheck, create_app
from ingest.writer import Writer
from tests.integration.rule_world import T0, RuleWorld

Params = dict[str, Any]


class NoSlos:
    """SLOs without alerts."""

    def alerts(self) -> list[Alert]:
        """None."""
        return []


@pytest.fixture
async def world(embedded_pool: Pool, tmp_path: Path) -> AsyncIterator[RuleWorld]:
    """Three groups of PromQL, evaluated once, one alert firing and one pending; and one of LogQL."""
    writer = Writer(embedded_pool, Limits.model_validate({"commit_delay": "1ms"}))
    await writer.start()
    world = RuleWorld(embedded_pool, writer, tmp_path)
    world.put("heat", [(T0 + s * 1000, 60.0) for s in range(-60, 60, 5)], room="a")
    fire = {"alert": "Fire", "expr": "heat > 50", "labels": {"team": "a"}, "annotations": {"s": "{{ $value }}"}}
    groups = [
        *world.groups(fire, {"record": "r", "expr": "sum(heat)by(room)", "labels": {"team": "b"}}, name="a"),
        *world.groups({**fire, "alert": "Slow", "for": "90s", "keep_firing_for": "1m"}, name="b", limit=7),
        *world.groups({"record": "wrong", "expr": "heat[1m]"}, name="c"),
        *world.groups({"alert": "Lines", "expr": "vector(1) > 0", "for": "1m"}, language="logql", name="l"),
    ]
    await world.begin(groups)
    for group in groups:
        await world.engine.turn(group.key)
    world.now_ms += 20_000
    for group in groups:
        while await world.engine.turn(group.key) == 0:
            pass
    yield world
    await writer.stop()


@pytest.fixture
async def http(world: RuleWorld) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API."""
    routers = [rules_router(world.engine, NoSlos()), loki_rules_router(world.engine)]  # type: ignore[arg-type]
    app = create_app(routers, {}, TokenCheck(Auth()), "test")
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


async def groups(http: httpx.AsyncClient, path: str = "/api/v1/rules", **params: Any) -> list[dict[str, Any]]:
    """The groups of an answer."""
    answer = await http.get(path, params={key.replace("__", "[]"): value for key, value in params.items()})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]["groups"]
    return found


def names(found: list[dict[str, Any]]) -> list[list[str]]:
    """The rules' names by group."""
    return [[rule["name"] for rule in group["rules"]] for group in found]


async def test_everything_of_a_rule_is_shown(http: httpx.AsyncClient, world: RuleWorld) -> None:
    """Prometheus's keys, the query as it writes it, state, health, alerts."""
    first, second, third = await groups(http)
    assert (first["name"], first["file"], first["interval"], first["limit"]) == (
        "a",
        str(world.folder / "a.yml"),
        15,
        0,
    )
    fire, record = first["rules"]
    assert (fire["type"], fire["state"], fire["health"], fire["duration"]) == ("alerting", "firing", "ok", 0)
    (alert,) = fire["alerts"]
    assert alert["labels"] == {"alertname": "Fire", "room": "a", "team": "a"}
    assert (alert["annotations"], alert["state"], alert["value"]) == ({"s": "60"}, "firing", "6e+01")
    assert alert["activeAt"].endswith("Z")
    assert record["query"] == "sum by (room) (heat)"
    assert set(record) == {"name", "query", "labels", "health", "evaluationTime", "lastEvaluation", "type"}
    (slow,) = second["rules"]
    assert (second["limit"], slow["state"], slow["duration"], slow["keepFiringFor"]) == (7, "pending", 90, 60)
    (wrong,) = third["rules"]
    assert wrong["health"] == "err"
    assert wrong["lastError"]


NARROWED: list[tuple[Params, list[list[str]]]] = [
    ({"type": "alert"}, [["Fire"], ["Slow"]]),
    ({"type": "record"}, [["r"], ["wrong"]]),
    ({"rule_name__": ["Fire", "wrong"]}, [["Fire"], ["wrong"]]),
    ({"rule_group__": ["b"]}, [["Slow"]]),
    ({"match__": ['{team="b"}']}, [["r"]]),
    ({"match__": ['{team="b"}', '{team="a"}']}, [["Fire", "r"], ["Slow"]]),
    ({"rule_name__": "nothing"}, []),
]


async def test_groups_can_be_narrowed(http: httpx.AsyncClient) -> None:
    """By kind, names and labels; a group without rules is left out."""
    for params, found in NARROWED:
        assert names(await groups(http, **params)) == found, params


async def test_narrowed_by_file_and_without_alerts(http: httpx.AsyncClient, world: RuleWorld) -> None:
    """`file[]` is the path; `exclude_alerts` leaves the alerts themselves out."""
    (only,) = await groups(http, file__=str(world.folder / "a.yml"), exclude_alerts="true")
    assert only["rules"][0]["alerts"] is None


async def test_pages(http: httpx.AsyncClient) -> None:
    """`group_limit` groups at a time, the next ones by the token; what is filtered out counts for nothing."""
    seen, token, pages = [], "", 0
    while True:
        params: Params = {"group_limit": 2, "type": "record", **({"group_next_token": token} if token else {})}
        data = (await http.get("/api/v1/rules", params=params)).json()["data"]
        seen += names(data["groups"])
        pages += 1
        token = data.get("groupNextToken", "")
        if not token:
            break
    assert (seen, pages) == ([["r"], ["wrong"]], 1)
    first = (await http.get("/api/v1/rules", params={"group_limit": 2})).json()["data"]
    assert names(first["groups"]) == [["Fire", "r"], ["Slow"]]
    params = {"group_limit": 2, "group_next_token": first["groupNextToken"]}
    second = (await http.get("/api/v1/rules", params=params)).json()["data"]
    assert names(second["groups"]) == [["wrong"]]
    assert "groupNextToken" not in second


WRONG: list[tuple[Params, str]] = [
    ({"type": "both"}, 'invalid parameter "type": not supported value "both"'),
    ({"exclude_alerts": "maybe"}, 'invalid parameter "exclude_alerts"'),
    ({"group_limit": "x"}, "group_limit needs to be a valid number"),
    ({"group_limit": "0"}, "group_limit needs to be greater than 0"),
    ({"group_next_token": "x"}, "group_limit needs to be present"),
    ({"group_limit": "1", "group_next_token": "x"}, "were rule groups changed?"),
    ({"match[]": "{"}, "parse error"),
]


async def test_wrong_parameters(http: httpx.AsyncClient) -> None:
    """400 with Prometheus's words."""
    for params, told in WRONG:
        answer = await http.get("/api/v1/rules", params=params)
        assert answer.status_code == 400
        assert (answer.json()["status"], answer.json()["errorType"]) == ("error", "bad_data")
        assert told in answer.json()["error"]


async def test_alerts(http: httpx.AsyncClient) -> None:
    """What is pending or firing, of PromQL rules."""
    alerts = (await http.get("/api/v1/alerts")).json()["data"]["alerts"]
    assert [(alert["labels"]["alertname"], alert["state"]) for alert in alerts] == [
        ("Fire", "firing"),
        ("Slow", "pending"),
    ]


async def test_rules_of_a_loki(http: httpx.AsyncClient, world: RuleWorld) -> None:
    """LogQL rules where Grafana asks a Loki for them, and as the ruler's YAML."""
    assert names(await groups(http, "/prometheus/api/v1/rules")) == [["Lines"]]
    (alert,) = (await http.get("/prometheus/api/v1/alerts")).json()["data"]["alerts"]
    assert alert["state"] == "pending"
    file = str(world.folder / "l.yml")
    listed = yaml.safe_load((await http.get("/loki/api/v1/rules")).text)
    rules = [{"alert": "Lines", "expr": "vector(1) > 0", "for": "1m"}]
    group = {"name": "l", "interval": "15s", "rules": rules}
    assert listed == {file: [group]}
    assert yaml.safe_load((await http.get(f"/loki/api/v1/rules/{file}")).text) == {file: [group]}
    assert yaml.safe_load((await http.get(f"/loki/api/v1/rules/{file}/l")).text) == group
    answer = await http.get("/loki/api/v1/rules/nothing")
    assert (answer.status_code, answer.text) == (404, "no rule groups found\n")


async def test_links_lead_somewhere(http: httpx.AsyncClient) -> None:
    """A generator URL leads to the query's answer, and a runbook is there to read."""
    answer = await http.get("/graph", params={"g0.expr": "up == 0", "g0.tab": "1"})
    assert (answer.status_code, answer.headers["location"]) == (307, "/api/v1/query?query=up%20%3D%3D%200")
    assert (await http.get("/graph")).status_code == 400
    runbook = await http.get("/runbooks/NodeDown")
    assert (runbook.status_code, runbook.text.startswith("# NodeDown")) == (200, True)
    assert (await http.get("/runbooks/None")).status_code == 404
