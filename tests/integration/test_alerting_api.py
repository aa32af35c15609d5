"""Explanations, recurring silences, acknowledgements and the audit by API, and who may change what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.web import role_for
from tests.integration.alertmanager_peer import Served, serving

CONFIG = """
route: {receiver: team, group_by: [alertname], group_wait: 0s}
receivers: [{name: team}]
"""
RULE: dict[str, Any] = {
    "rrule": "FREQ=DAILY",
    "dtstart": "2026-11-01T22:00",
    "duration": "2h",
    "timezone": "Europe/Berlin",
    "matchers": ['slo="x"', "severity!=page"],
    "comment": "backups",
    "created_by": "ann",
}
PATH = "/api/v1/silences/recurring"


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """The API on a free port."""
    async with serving(CONFIG) as world:
        yield world


async def test_recurring(served: Served) -> None:
    """Taken, listed with its next times, read by itself, and deleted."""
    taken = (await served.http.post(PATH, json=RULE)).json()["data"]
    assert taken["matchers"] == ['slo="x"', 'severity!="page"']
    assert (taken["duration_seconds"], taken["timezone"], taken["created_by"]) == (7200, "Europe/Berlin", "ann")
    assert (await served.http.get(PATH)).json()["data"] == [taken]
    one = (await served.http.get(f"{PATH}/{taken['id']}")).json()["data"]
    assert (one["next"][:3], len(one["next"])) == (taken["next"], 20)
    assert (await served.http.delete(f"{PATH}/{taken['id']}")).json() == {"status": "success", "data": None}
    assert (await served.http.get(PATH)).json()["data"] == []
    for method in ("GET", "DELETE"):
        answer = await served.http.request(method, f"{PATH}/{taken['id']}")
        assert (answer.status_code, answer.json()["status"]) == (404, "error")
    audit = (await served.http.get("/api/v1/silences/audit", params={"about": taken["id"]})).json()["data"]
    assert [(e["action"], e["who"]) for e in audit] == [("deleted", "anonymous"), ("created", "anonymous")]


async def test_a_time_that_is_now_is_a_silence_in_api_v2(served: Served) -> None:
    """While a time lasts, Alertmanager's API has it as a silence like any other."""
    await served.http.post(PATH, json=RULE | {"rrule": "FREQ=HOURLY", "duration": "59m59s", "timezone": "UTC"})
    (silence,) = (await served.http.get("/api/v2/silences")).json()
    assert silence["status"]["state"] == "active"
    assert silence["comment"] == "backups"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rrule": None}, "rrule"),
        ({"rrule": "FREQ=SECONDLY"}, "rrule: FREQ must be"),
        ({"dtstart": "2026-11-01T22:00:00Z"}, "without a zone"),
        ({"dtstart": "soon"}, "dtstart"),
        ({"duration": "long"}, "duration"),
        ({"duration": "0s"}, "duration"),
        ({"timezone": "Europe/Atlantis"}, "timezone"),
        ({"matchers": []}, "at least one matcher"),
        ({"matchers": ["x"]}, "matchers"),
        ({"matchers": 'a="b"'}, "matchers"),
        ({"weekdays": ["sunday"]}, "known: rrule"),
    ],
    ids=str,
)
async def test_bad_rules(served: Served, change: dict[str, Any], told: str) -> None:
    """400, and the key that is wrong."""
    body = {key: value for key, value in (RULE | change).items() if value is not None}
    answer = await served.http.post(PATH, json=body)
    assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data")
    assert told in answer.json()["error"]


async def test_explain_and_acknowledge(served: Served) -> None:
    """An alert is explained by its fingerprint; who looks after it is shown."""
    await served.http.post("/api/v2/alerts", json=[{"labels": {"alertname": "A"}}])
    (alert,) = (await served.http.get("/api/v2/alerts")).json()
    fingerprint = alert["fingerprint"]
    body = {"fingerprints": [fingerprint], "by": "ann"}
    answer = await served.http.post("/api/v1/alerts/acknowledge", json=body)
    assert [one["by"] for one in answer.json()["data"]] == ["ann"]
    assert [o["by"] for o in (await served.http.get("/api/v1/alerts/acknowledgements")).json()["data"]] == ["ann"]
    told = (await served.http.get("/api/v1/alerts/explain", params={"fingerprint": fingerprint})).json()["data"]
    assert (told["state"], told["routes"][0]["receiver"], told["acknowledged_by"][0]["by"]) == ("firing", "team", "ann")
    past = {"fingerprint": fingerprint, "at": "2026-01-01T00:00:00Z"}
    assert (await served.http.get("/api/v1/alerts/explain", params=past)).status_code == 200


@pytest.mark.parametrize(
    ("params", "status"),
    [({}, 400), ({"fingerprint": "0" * 16}, 404), ({"fingerprint": "0" * 16, "at": "soon"}, 400)],
    ids=str,
)
async def test_bad_questions(served: Served, params: dict[str, str], status: int) -> None:
    """A fingerprint is wanted, and a time that is one."""
    assert (await served.http.get("/api/v1/alerts/explain", params=params)).status_code == status


async def test_bad_acknowledgements(served: Served) -> None:
    """Of nothing, and of an alert that does not fire."""
    assert (await served.http.post("/api/v1/alerts/acknowledge", json={})).status_code == 400
    body = {"fingerprints": ["0" * 16]}
    assert (await served.http.post("/api/v1/alerts/acknowledge", json=body)).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", "/api/v2/silences", "query"),
        ("POST", "/api/v2/silences", "admin"),
        ("DELETE", "/api/v2/silence/x", "admin"),
        ("POST", PATH, "admin"),
        ("DELETE", f"{PATH}/x", "admin"),
        ("GET", "/api/v1/silences/audit", "query"),
        ("POST", "/api/v1/alerts/acknowledge", "admin"),
        ("GET", "/api/v1/alerts/explain", "query"),
        ("POST", "/api/v2/alerts", "ingest"),
        ("GET", "/api/v2/alerts/groups", "query"),
    ],
)
def test_roles(method: str, path: str, role: str) -> None:
    """Who only asks may not silence; who sends alerts may do nothing else."""
    assert role_for(method, path) == role
