"""Alertmanager's API over a real socket: what Prometheus posts, what amtool and Grafana read."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from alerting.manager.manager import AlertManager
from app.api.alertmanager import alertmanager_router
from tests.alert_world import MemoryStore, config_of

CONFIG = """
global: {slack_api_url: 'https://hooks.slack.example/services/HUSH', resolve_timeout: 2m}
route:
  receiver: team
  group_by: [alertname]
  group_wait: 1h
  routes: [{matchers: [severity=page], receiver: pager}]
receivers:
  - {name: team, slack_configs: [{channel: '#a'}]}
  - {name: pager}
inhibit_rules: [{source_matchers: [severity=page], target_matchers: [severity=ticket], equal: [slo]}]
"""
ALERTS: list[dict[str, Any]] = [
    {
        "labels": {"alertname": "Burn", "severity": "page", "slo": "x"},
        "annotations": {"summary": "burning"},
        "startsAt": "2026-03-01T12:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph",
    },
    {"labels": {"alertname": "Slow", "severity": "ticket", "slo": "x"}},
    {"labels": {"alertname": "Slow", "severity": "ticket", "slo": "y"}},
]


@dataclass
class Served:
    """A manager, its address, and a client for it."""

    manager: AlertManager
    url: str
    http: httpx.AsyncClient


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """Signals are the test runner's."""


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """The API on a free port, and a manager that notifies nobody."""
    manager = AlertManager(config_of(CONFIG), MemoryStore(), {}, external_url="")
    await manager.start()
    app = FastAPI()
    app.include_router(alertmanager_router(manager, max_body_bytes=100_000))
    server = _Server(uvicorn.Config(app, port=0, log_level="error"))
    config = server.config
    sock = config.bind_socket()
    task = asyncio.create_task(server.serve([sock]))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, timeout=10) as http:
        yield Served(manager, url, http)
    server.should_exit = True
    await task
    await manager.stop()
    sock.close()


async def names(served: Served, **params: Any) -> list[str]:
    """The alerts the API gives, as name and SLO."""
    answer = await served.http.get("/api/v2/alerts", params=params)
    assert answer.status_code == 200, answer.text
    return sorted(f"{a['labels']['alertname']}/{a['labels']['slo']}" for a in answer.json())


async def test_posted_alerts_are_read_back(served: Served) -> None:
    """What is posted is given back in Alertmanager's form, with receivers and state."""
    assert (await served.http.post("/api/v2/alerts", json=ALERTS)).status_code == 200
    answer = (await served.http.get("/api/v2/alerts", params={"filter": "severity=page"})).json()
    (burn,) = answer
    assert burn["startsAt"] == "2026-03-01T12:00:00.123Z"
    assert burn["receivers"] == [{"name": "pager"}]
    assert burn["status"] == {"state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": []}
    assert (burn["annotations"], burn["generatorURL"]) == ({"summary": "burning"}, "http://prometheus.example/graph")
    (slow,) = (await served.http.get("/api/v2/alerts", params={"filter": ["slo=x", "severity=ticket"]})).json()
    assert slow["status"]["state"] == "suppressed"
    assert slow["status"]["inhibitedBy"] == [burn["fingerprint"]]


async def test_filters(served: Served) -> None:
    """Matchers, a receiver and states narrow the answer."""
    await served.http.post("/api/v2/alerts", json=ALERTS)
    assert await names(served) == ["Burn/x", "Slow/x", "Slow/y"]
    assert await names(served, filter='slo=~"x|z"') == ["Burn/x", "Slow/x"]
    assert await names(served, receiver="pag.*") == ["Burn/x"]
    assert await names(served, inhibited="false") == ["Burn/x", "Slow/y"]
    assert await names(served, active="false") == ["Slow/x"]


async def test_groups(served: Served) -> None:
    """Groups have the receiver, the group's labels and the alerts."""
    await served.http.post("/api/v2/alerts", json=ALERTS)
    groups = (await served.http.get("/api/v2/alerts/groups")).json()
    assert [(g["receiver"]["name"], g["labels"], len(g["alerts"])) for g in groups] == [
        ("pager", {"alertname": "Burn"}, 1),
        ("team", {"alertname": "Slow"}, 2),
    ]


async def test_an_alert_ends_after_resolve_timeout(served: Served) -> None:
    """Without an end an alert posted here ends when its sender falls silent; with one in the past it is over."""
    await served.http.post("/api/v2/alerts", json=ALERTS[1:2])
    (known,) = served.manager.alerts()
    assert known.alert.ends_at is not None
    assert (known.alert.ends_at - known.alert.starts_at).total_seconds() == pytest.approx(120)
    over = ALERTS[1] | {"startsAt": "2026-03-01T12:00:00Z", "endsAt": "2026-03-01T12:01:00Z"}
    await served.http.post("/api/v2/alerts", json=[over])
    assert await names(served) == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "parsing alerts body failed"),
        (b"{}", "a list of alerts is wanted"),
        (b"[{}]", "at least one label pair required"),
        (b'[{"labels":{"a":1}}]', "labels is no object of texts"),
        (b'[{"labels":{"a":"b"},"startsAt":"soon"}]', "startsAt is no time"),
        (
            b'[{"labels":{"a":"b"},"startsAt":"2026-01-02T00:00:00Z","endsAt":"2026-01-01T00:00:00Z"}]',
            "before end time",
        ),
        (b"[" + b" " * 100_001 + b"]", "larger than 100000 bytes"),
    ],
    ids=range(7),
)
async def test_a_bad_body_is_refused(served: Served, body: bytes, told: str) -> None:
    """The reason comes as a JSON string, with 400."""
    answer = await served.http.post("/api/v2/alerts", content=body)
    assert answer.status_code == 400
    assert told in answer.json()


async def test_the_good_part_is_taken(served: Served) -> None:
    """One bad alert does not cost the others."""
    answer = await served.http.post("/api/v2/alerts", json=[{}, ALERTS[0]])
    assert (answer.status_code, await names(served)) == (400, ["Burn/x"])


@pytest.mark.parametrize("params", [{"filter": "x"}, {"filter": 'a=~"("'}, {"receiver": "("}], ids=str)
async def test_a_bad_filter_is_refused(served: Served, params: dict[str, str]) -> None:
    """A filter that cannot be read is answered with 400 and a JSON string."""
    for path in ("/api/v2/alerts", "/api/v2/alerts/groups"):
        answer = await served.http.get(path, params=params)
        assert (answer.status_code, type(answer.json())) == (400, str)


async def test_status_holds_no_secret(served: Served) -> None:
    """Status, receivers and silences are there, and the webhook's URL is not."""
    status = await served.http.get("/api/v2/status")
    assert status.json()["cluster"] == {"status": "disabled", "peers": []}
    assert "HUSH" not in status.text
    assert "<secret>" in status.json()["config"]["original"]
    assert (await served.http.get("/api/v2/receivers")).json() == [{"name": "team"}, {"name": "pager"}]
    assert (await served.http.get("/api/v2/silences")).json() == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["alert", "query"], ["Burn", "Slow"]),
        (["alert", "query", "severity=page"], ["Burn"]),
        (["-o", "extended", "alert", "query", "-i"], ["Slow"]),
        (["-o", "json", "alert", "query"], ['"name":"pager"']),
        (["alert", "add", "alertname=New", "slo=z"], []),
        (["silence", "query"], []),
        (["config", "show"], ["resolve_timeout: 2m"]),
        (["config", "routes", "test", "severity=page"], ["pager"]),
        (["cluster", "show"], ["disabled"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
async def test_amtool(served: Served, arguments: list[str], told: list[str]) -> None:
    """Alertmanager's own tool reads and writes here."""
    if shutil.which("amtool") is None:
        pytest.skip("amtool is not installed (Debian: prometheus-alertmanager)")
    await served.http.post("/api/v2/alerts", json=ALERTS)
    process = await asyncio.create_subprocess_exec(
        "amtool", f"--alertmanager.url={served.url}", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert [word for word in told if word not in out.decode()] == []
