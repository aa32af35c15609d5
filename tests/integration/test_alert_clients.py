"""What karma, Grafana and a Prometheus ask of an Alertmanager, answered as they expect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app.api.alertmanager import VERSION
from app.telemetry import REGISTRY
from tests.integration.alertmanager_peer import Served, serving
from tests.integration.prometheus_peer import prometheus_binary
from tests.ports import free_port

CONFIG = """
route:
  receiver: team
  group_by: [alertname]
  group_wait: 0s
  routes: [{matchers: [severity=page], receiver: pager, continue: true}, {matchers: [severity=page]}]
receivers: [{name: team}, {name: pager}]
"""
ALERTS = [
    {"labels": {"alertname": "Burn", "severity": "page"}, "annotations": {"summary": "burning"}},
    {"labels": {"alertname": "Slow", "instance": "a:1"}, "generatorURL": "http://p.example/graph"},
]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """The API on a free port, with two alerts."""
    async with serving(CONFIG) as world:
        (await world.http.post("/api/v2/alerts", json=ALERTS)).raise_for_status()
        yield world


async def test_karma(served: Served) -> None:
    """Its version probe, its collection of groups and silences, and what its page sends, as prymitive/karma does."""
    families = {f.name: f for f in text_string_to_metric_families(generate_latest(REGISTRY).decode())}
    (sample,) = families["alertmanager_build_info"].samples
    assert sample.labels["version"] == VERSION
    assert tuple(int(part) for part in VERSION.split(".")) >= (0, 22, 0)  # the least it supports
    later = datetime.now(UTC) + timedelta(hours=1)
    posted = await served.http.post(
        "/api/v2/silences",
        json={
            "matchers": [{"name": "alertname", "value": "(Burn|Down)", "isRegex": True, "isEqual": True}],
            "startsAt": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "endsAt": later.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "createdBy": "me@example.com",
            "comment": "from karma",
        },
    )
    silence_id = posted.json()["silenceID"]
    groups = (await served.http.get("/api/v2/alerts/groups")).json()
    seen = []
    for group in groups:
        receiver = group["receiver"]["name"]
        for alert in group["alerts"]:
            datetime.fromisoformat(alert["startsAt"])
            assert isinstance(alert["fingerprint"], str)
            assert isinstance(alert["generatorURL"], str)
            assert all(isinstance(v, str) for v in [*alert["labels"].values(), *alert["annotations"].values()])
            status = alert["status"]
            seen.append((receiver, alert["labels"]["alertname"], status["state"], status["silencedBy"]))
            assert status["inhibitedBy"] == []
    assert seen == [
        ("pager", "Burn", "suppressed", [silence_id]),
        ("team", "Burn", "suppressed", [silence_id]),
        ("team", "Slow", "active", []),
    ]
    (silence,) = (await served.http.get("/api/v2/silences")).json()
    assert {key: silence[key] for key in ("id", "comment", "createdBy", "matchers")} == {
        "id": silence_id,
        "comment": "from karma",
        "createdBy": "me@example.com",
        "matchers": [{"name": "alertname", "value": "(Burn|Down)", "isRegex": True, "isEqual": True}],
    }
    assert (await served.http.delete(f"/api/v2/silence/{silence_id}")).status_code == 200


async def test_grafana(served: Served) -> None:
    """Its test of the data source, and the calls of its alerting pages."""
    # a 200 here would mean a Mimir
    assert (await served.http.get("/alertmanager/api/v2/status")).status_code == 404
    status = (await served.http.get("/api/v2/status")).json()
    assert set(status) == {"cluster", "versionInfo", "config", "uptime"}
    headers = {"Content-Type": "application/json; charset=utf-8"}
    now = datetime.now(UTC)
    silence: dict[str, Any] = {
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=2)).isoformat(),
        "comment": "created",
        "createdBy": "admin",
        "matchers": [{"name": "alertname", "value": "Slow", "isRegex": False, "isEqual": True}],
        "annotations": {},
    }
    answer = await served.http.post("/api/v2/silences", json=silence, headers=headers)
    silence_id = answer.json()["silenceID"]
    params = {"silenced": "true", "active": "true", "inhibited": "true", "filter": 'alertname="Slow"'}
    groups = (await served.http.get("/api/v2/alerts/groups", params=params)).json()
    assert [len(group["alerts"]) for group in groups] == [1]
    alerts = (await served.http.get("/api/v2/alerts", params={**params, "silenced": "false"})).json()
    assert alerts == []
    one = (await served.http.get(f"/api/v2/silence/{silence_id}")).json()
    assert one["status"] == {"state": "active"}
    changed = {**silence, "id": silence_id, "startsAt": one["startsAt"], "comment": "edited"}
    answer = await served.http.post("/api/v2/silences", json=changed, headers=headers)
    assert answer.json() == {"silenceID": silence_id}
    assert (await served.http.get(f"/api/v2/silence/{silence_id}")).json()["comment"] == "edited"
    assert (await served.http.delete(f"/api/v2/silence/{silence_id}")).status_code == 200


async def test_a_prometheus_sends_its_alerts(served: Served, tmp_path: Path) -> None:
    """A real Prometheus sends an alert again and again: it is one alert, with its start, its labels and its link."""
    binary = prometheus_binary()
    (tmp_path / "rules.yml").write_text(
        "groups: [{name: g, rules: [{alert: AlwaysOn, expr: vector(1), labels: {severity: page},"
        " annotations: {summary: '{{ $value }} of one'}}]}]\n"
    )
    (tmp_path / "prometheus.yml").write_text(
        "global: {evaluation_interval: 500ms, external_labels: {cluster: c1}}\n"
        f"rule_files: [{tmp_path}/rules.yml]\n"
        f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{served.url.removeprefix('http://')}']}}]}}]}}\n"
    )
    process = await asyncio.create_subprocess_exec(
        binary,
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{free_port()}",
        "--rules.alert.resend-delay=500ms",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        first = await _alert(served, lambda alert: True)
        again = await _alert(served, lambda alert: bool(alert["endsAt"] > first["endsAt"]))
    finally:
        process.terminate()
        await process.wait()
    assert again["labels"] == {"alertname": "AlwaysOn", "cluster": "c1", "severity": "page"}
    assert again["annotations"] == {"summary": "1 of one"}
    assert "/graph?g0.expr=vector" in again["generatorURL"]
    assert (again["startsAt"], again["fingerprint"]) == (first["startsAt"], first["fingerprint"])
    assert again["receivers"] == [{"name": "pager"}, {"name": "team"}]


async def _alert(served: Served, wanted: Any) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            found = (await served.http.get("/api/v2/alerts", params={"filter": "alertname=AlwaysOn"})).json()
            if found and wanted(found[0]):
                alert: dict[str, Any] = found[0]
                return alert
            await asyncio.sleep(0.05)  # another process: there is nothing to wait on but what it sends
