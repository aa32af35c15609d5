"""The Alertmanager file is taken up while the service runs: what was told stays told, a wrong file changes nothing."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from tests.integration.service import ServiceProcess
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
