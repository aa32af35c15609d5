"""The Alertmanager file is taken up while the service runs: what was told stays told, a wrong file changes nothing."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

from tests.integration.service import ServiceProcess
from tests.ports import free_port
from tests.receiver_world import Service

BEFORE = """
templates: ['*.tmpl']
route: {receiver: a, group_wait: 0s, group_interval: 1s, routes: [{receiver: a}]}
receivers: [{name: a, webhook_configs: [{url: 'URL/{{ template "path" . }}'}]}]
"""
AFTER = """
templates: ['*.tmpl']
route:
  receiver: a
  group_wait: 0s
  group_interval: 1s
  routes:
    - {receiver: b, continue: true, labels: {owner: '{{ .Receiver }}'}}
    - {receiver: a}
inhibit_rules: [{source_matchers: [severity=page], target_matchers: [severity=ticket]}]
receivers:
  - {name: a, webhook_configs: [{url: 'URL/{{ template "path" . }}'}]}
  - {name: b, webhook_configs: [{url: 'URL/{{ template "path" . }}'}]}
"""


def posted(name: str, severity: str) -> dict[str, Any]:
    """An alert as a Prometheus sends it."""
    return {"labels": {"alertname": name, "severity": severity}, "startsAt": datetime.now(UTC).isoformat()}


async def test_reload(tmp_path: Path) -> None:
    """Routes, receivers, inhibition and templates are the new file's; nobody hears anything twice."""
    hooks = await Service().start()
    file = tmp_path / "alertmanager.yml"
    (tmp_path / "own.tmpl").write_text('{{ define "path" }}{{ .Receiver }}{{ end }}')
    file.write_text(BEFORE.replace("URL", hooks.url))
    service = ServiceProcess(tmp_path / "service", {"alerting": {"config": str(file)}})
    process = await asyncio.to_thread(service.start)
    try:
        async with httpx.AsyncClient(base_url=process.url) as http:
            (await http.post("/api/v2/alerts", json=[posted("Slow", "page")])).raise_for_status()
            await hooks.wait_for(1)

            file.write_text("route: {receiver: a}\nreceivers: [{name: a, webhok_configs: []}]\n")
            answer = await http.post("/-/reload")
            assert answer.status_code == 400
            assert f"{file}:2: receivers[0].webhok_configs" in answer.text
            (tmp_path / "own.tmpl").write_text("{{ if }}")
            file.write_text(BEFORE.replace("URL", hooks.url))
            assert f"{tmp_path / 'own.tmpl'}:1: " in (await http.post("/-/reload")).text
            assert [r["name"] for r in (await http.get("/api/v2/receivers")).json()] == ["a"]

            (tmp_path / "own.tmpl").write_text('{{ define "path" }}new/{{ .Receiver }}{{ end }}')
            file.write_text(AFTER.replace("URL", hooks.url))
            assert process.process is not None
            process.process.send_signal(signal.SIGHUP)
            await hooks.wait_for(2)
            # of two that wait for the same group_interval, the inhibited one would come with the other or before
            await http.post("/api/v2/alerts", json=[posted("Tired", "ticket"), posted("Late", "info")])
            told = await hooks.wait_for(4)
        assert [request.path for request in told[:2]] == ["/a", "/new/b"]
        assert sorted(r.path for r in told[2:]) == ["/new/a", "/new/b"]
        assert told[1].json["notification_reason"] == "first notification"
        assert told[1].json["routeLabels"] == {"owner": "b"}
        for request in told[2:]:
            assert request.json["notification_reason"] == "new alerts added"
            names = [alert["labels"]["alertname"] for alert in request.json["alerts"]]
            assert names == ["Late", "Slow"]
    finally:
        await asyncio.to_thread(process.stop)
        await hooks.stop()


TWO = """
route:
  receiver: ops/a
  group_wait: 0s
  group_interval: 1s
  routes: [{receiver: ops/a, continue: true}, {receiver: away}]
receivers:
  - {name: ops/a, webhook_configs: [{url: 'URL/a'}]}
  - {name: away, webhook_configs: [{url: 'http://127.0.0.1:PORT/SECRET'}]}
"""
ONE = """
route: {receiver: ops/a, group_wait: 0s, group_interval: 1s}
receivers: [{name: ops/a, webhook_configs: [{url: 'URL/a'}]}]
"""


async def troubled(http: httpx.AsyncClient, *names: str) -> dict[str, str]:
    """The details of the receivers in health, once exactly these are in it."""
    async with asyncio.timeout(30):
        while True:
            health = (await http.get("/api/v1/status/health")).json()
            found = {name: one for name, one in health["components"].items() if name.startswith("receiver ")}
            if set(found) == {f"receiver {name}" for name in names}:
                assert {one["status"] for one in found.values()} <= {"yellow"}
                assert health["status"] == ("yellow" if found else "green")
                return {name.removeprefix("receiver "): one["detail"] for name, one in found.items()}
            await asyncio.sleep(0.05)


async def test_receivers_that_do_not_take_notifications_are_in_health(tmp_path: Path) -> None:
    """One that answers 403 and one that nobody listens for: each until it works again, or is in the file no more."""
    hooks = await Service().start()
    hooks.answer = lambda _: web.Response(status=403)
    file = tmp_path / "alertmanager.yml"
    file.write_text(TWO.replace("URL", hooks.url).replace("PORT", str(free_port())))
    service = ServiceProcess(tmp_path / "service", {"alerting": {"config": str(file)}})
    process = await asyncio.to_thread(service.start)
    try:
        async with httpx.AsyncClient(base_url=process.url) as http:
            assert await troubled(http) == {}
            (await http.post("/api/v2/alerts", json=[posted("Slow", "page")])).raise_for_status()
            told = await troubled(http, "ops/a/webhook/0", "away/webhook/0")
            assert told["ops/a/webhook/0"].startswith("rejected: ")
            assert "403" in told["ops/a/webhook/0"]
            assert told["away/webhook/0"].startswith("unreachable: ")
            assert "SECRET" not in str(told)
            hooks.answer = lambda _: web.Response()
            await troubled(http, "away/webhook/0")
            file.write_text(ONE.replace("URL", hooks.url))
            (await http.post("/-/reload")).raise_for_status()
            assert await troubled(http) == {}
    finally:
        await asyncio.to_thread(process.stop)
        await hooks.stop()
