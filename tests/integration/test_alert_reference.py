"""The same configuration and the same alerts: Alertmanager and Watchhouse send the same notifications."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from alerting.config import load_alertmanager
from alerting.manager.manager import AlertManager
from alerting.notify.build import build_notifiers
from app.alert import Alert
from app.labels import labels_from
from tests.alert_world import MemoryStore
from tests.ports import free_port

CONFIG = """
route:
  receiver: team
  group_by: [slo]
  group_wait: 1s
  group_interval: 1s
  repeat_interval: 1h
  routes:
    - matchers: [severity="page"]
      receiver: pager
      continue: true
    - matchers: [severity=~"page|ticket"]
      receiver: tickets
      group_by: ['...']
inhibit_rules: [{source_matchers: [severity=page], target_matchers: [severity=ticket], equal: [slo]}]
receivers:
  - {name: team, webhook_configs: [{url: 'URL/team'}]}
  - {name: pager, webhook_configs: [{url: 'URL/pager', send_resolved: false}]}
  - {name: tickets, webhook_configs: [{url: 'URL/tickets'}]}
"""
# (alertname, slo, severity, firing) posted together; the last step of a round waits for silence
ROUNDS: list[list[tuple[str, str, str, bool]]] = [
    [("A", "x", "page", True), ("B", "x", "ticket", True), ("C", "y", "ticket", True), ("D", "y", "info", True)],
    [("E", "x", "page", True), ("A", "x", "page", True)],
    [("A", "x", "page", False), ("E", "x", "page", False), ("D", "y", "info", False)],
    [("B", "x", "ticket", False), ("C", "y", "ticket", False), ("A", "x", "page", True)],
    [("A", "x", "page", False)],
]
Told = tuple[str, str, tuple[tuple[str, str], ...]]


class Hook:
    """Takes webhooks and keeps what they say: receiver, group key, and each alert's name and state."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self._news = asyncio.Event()
        self._runner = web.AppRunner(self._app(), access_log=None)
        self.url = ""

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/{receiver}", self._take)
        return app

    async def start(self) -> Hook:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        alerts = tuple(sorted((a["labels"]["alertname"], a["status"]) for a in body["alerts"]))
        self.told.append((body["receiver"], body["groupKey"], alerts))
        self._news.set()
        return web.Response()

    async def silence(self, for_s: float) -> None:
        """Returns when nothing came for a while: longer than any timer of the configuration."""
        while True:
            self._news.clear()
            try:
                async with asyncio.timeout(for_s):
                    await self._news.wait()
            except TimeoutError:
                return


@pytest.fixture
async def hooks() -> AsyncIterator[tuple[Hook, Hook]]:
    """One for each side."""
    pair = (await Hook().start(), await Hook().start())
    yield pair
    for hook in pair:
        await hook.stop()


def written(path: Path, hook: Hook) -> Path:
    """The configuration for one side."""
    path.write_text(CONFIG.replace("URL", hook.url))
    return path


async def test_same_notifications(hooks: tuple[Hook, Hook], tmp_path: Path) -> None:
    """Grouping, inhibition, resolution and deduplication agree, round by round."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        pytest.skip("alertmanager is not installed (Debian: prometheus-alertmanager)")
    theirs, ours = hooks
    address = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={written(tmp_path / 'theirs.yml', theirs)}",
        f"--storage.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    config = load_alertmanager(written(tmp_path / "ours.yml", ours))
    manager = AlertManager(config, MemoryStore(), build_notifiers(config, external_url=""), external_url="")
    await manager.start()
    try:
        transport = httpx.AsyncHTTPTransport(retries=10)
        async with httpx.AsyncClient(base_url=f"http://{address}", transport=transport) as http:
            # an alert older than group_wait is sent at once, before its inhibitor is known: be ready before the first
            (await http.get("/-/ready")).raise_for_status()
            for number, posted in enumerate(ROUNDS):
                started = len(theirs.told), len(ours.told)
                await asyncio.gather(_post(http, posted), manager.put_alerts([_alert(*a) for a in posted]))
                await asyncio.gather(theirs.silence(2.5), ours.silence(2.5))
                told = sorted(theirs.told[started[0] :]), sorted(ours.told[started[1] :])
                assert told[0] == told[1], f"round {number}"
        assert len(theirs.told) >= len(ROUNDS)
    finally:
        await manager.stop()
        process.terminate()
        await process.wait()


def _alert(name: str, slo: str, severity: str, firing: bool) -> Alert:
    now = datetime.now(UTC)
    return Alert(labels_from({"alertname": name, "slo": slo, "severity": severity}), now, None if firing else now)


async def _post(http: httpx.AsyncClient, posted: list[tuple[str, str, str, bool]]) -> None:
    now = datetime.now(UTC)
    body = []
    for name, slo, severity, firing in posted:
        item: dict[str, Any] = {"labels": {"alertname": name, "slo": slo, "severity": severity}}
        item |= {"startsAt": now.isoformat()} if firing else {"startsAt": now.isoformat(), "endsAt": now.isoformat()}
        body.append(item)
    (await http.post("/api/v2/alerts", json=body)).raise_for_status()
