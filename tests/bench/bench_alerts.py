"""10,000 alerts in 2,000 groups, beside Alertmanager. Run: python -m tests.bench.bench_alerts [--seconds 90].

Each alert is sent again every 15 s, as a Prometheus does with a short resend delay, 256 a request; a webhook takes the
notifications. Prints for each: processor seconds and time until all groups were told, processor seconds a minute after
that (Watchhouse's also before the first alert: it scrapes itself), and resident memory.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.integration.alertmanager_peer import alertmanager_binary
from tests.integration.service import ServiceProcess
from tests.ports import free_port

ALERTS, GROUPS, BATCH = 10_000, 2_000, 256
RESEND_S, IDLE_S = 15.0, 20.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Hook:
    """Takes notifications and counts the groups it heard of."""

    def __init__(self) -> None:
        self.groups: set[str] = set()
        self.notifications = 0
        self.all_told = asyncio.Event()

    async def take(self, request: web.Request) -> web.Response:
        """One notification."""
        body = await request.json()
        self.notifications += 1
        self.groups.add(body["groupKey"])
        if len(self.groups) == GROUPS:
            self.all_told.set()
        return web.Response()


def config(hook: str) -> str:
    """Alertmanager's file."""
    return (
        "route: {receiver: hook, group_by: [group], group_wait: 5s, group_interval: 30s, repeat_interval: 4h}\n"
        f"receivers: [{{name: hook, webhook_configs: [{{url: '{hook}'}}]}}]\n"
        "inhibit_rules: [{source_matchers: [severity=page], target_matchers: [severity=ticket], equal: [group]}]\n"
    )


def cpu_s(pid: int) -> float:
    """Processor seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def alerts(started: str) -> list[dict[str, object]]:
    """All alerts, as a Prometheus sends them now."""
    ends = (datetime.now(UTC) + timedelta(minutes=4)).isoformat()
    return [
        {
            "labels": {
                "alertname": f"Alert{i % 50}",
                "group": f"g{i % GROUPS}",
                "instance": f"host-{i}:9100",
                "job": "node",
                "severity": ("page", "info")[i % 2],
            },
            "annotations": {"summary": f"host-{i} is not well", "runbook_url": "http://runbooks.example/a"},
            "startsAt": started,
            "endsAt": ends,
            "generatorURL": "http://prometheus.example/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
        }
        for i in range(ALERTS)
    ]


async def send(http: aiohttp.ClientSession, started: str) -> None:
    """Sends all alerts once."""
    found = alerts(started)
    for i in range(0, ALERTS, BATCH):
        async with http.post("/api/v2/alerts", json=found[i : i + BATCH]) as answer:
            answer.raise_for_status()


@contextmanager
def alertmanager(folder: Path, hook: str) -> Iterator[tuple[str, int]]:
    """A running Alertmanager: its URL and process."""
    (folder / "alertmanager.yml").write_text(config(hook))
    port = free_port()
    command = [alertmanager_binary(), f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/data"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        time.sleep(2)  # another process: until it listens
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def watchhouse(folder: Path, hook: str) -> Iterator[tuple[str, int]]:
    """A running Watchhouse: its URL and process."""
    (folder / "alertmanager.yml").write_text(config(hook))
    with ServiceProcess(folder, {"alerting": {"config": str(folder / "alertmanager.yml")}}) as service:
        assert service.process is not None
        yield service.url, service.process.pid


async def measure(name: str, url: str, pid: int, hook: Hook, seconds: float) -> None:
    """Measures one of them and prints."""
    before = cpu_s(pid)
    await asyncio.sleep(IDLE_S)
    idle = (cpu_s(pid) - before) * 60 / IDLE_S
    async with aiohttp.ClientSession(url) as http:
        started, began, used = datetime.now(UTC).isoformat(), time.monotonic(), cpu_s(pid)
        await send(http, started)
        async with asyncio.timeout(300):
            await hook.all_told.wait()
        told_s, told_cpu = time.monotonic() - began, cpu_s(pid) - used
        began, used, peak = time.monotonic(), cpu_s(pid), 0.0
        while time.monotonic() < began + seconds:
            turn = time.monotonic()
            await send(http, started)
            peak = max(peak, rss_mib(pid))
            await asyncio.sleep(max(0.0, turn + RESEND_S - time.monotonic()))
        minute = (cpu_s(pid) - used) * 60 / (time.monotonic() - began)
    print(
        f"{name}: all {GROUPS} groups told after {told_s:.1f} s with {told_cpu:.2f} s of CPU; then {minute:.2f} s"
        f" of CPU a minute ({idle:.2f} before there were alerts); {peak:.0f} MiB;"
        f" {hook.notifications} notifications",
        flush=True,
    )


async def main(seconds: float, only: str) -> None:
    """Measures both, or only one."""
    for name, running in (("Alertmanager", alertmanager), ("Watchhouse", watchhouse)):
        if only not in ("", name.lower()):
            continue
        hook = Hook()
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/", hook.take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        with (
            tempfile.TemporaryDirectory() as folder,
            running(Path(folder), f"http://127.0.0.1:{runner.addresses[0][1]}/") as (url, pid),
        ):
            await measure(name, url, pid, hook, seconds)
        await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--only", choices=("", "alertmanager", "watchhouse"), default="")
    options = parser.parse_args()
    asyncio.run(main(options.seconds, options.only))
