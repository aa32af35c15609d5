"""A real Alertmanager beside us, and Alertmanager's API of ours, over real sockets."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn

from alerting.manager.manager import AlertManager, Sharing
from app.api.alerting import alerting_router
from app.api.alertmanager import alertmanager_router
from app.config import Auth
from app.web import TokenCheck, create_app
from tests.alert_world import MemoryStore, config_of
from tests.ports import free_port


def alertmanager_binary() -> str:
    """The Alertmanager on PATH, or what WATCHHOUSE_ALERTMANAGER_BIN names; without one the test is skipped."""
    found = os.environ.get("WATCHHOUSE_ALERTMANAGER_BIN") or shutil.which("prometheus-alertmanager")
    binary = found or shutil.which("alertmanager")
    if binary is None:
        pytest.skip("alertmanager is not installed (Debian: prometheus-alertmanager)")
    return binary


def amtool_binary() -> str:
    """amtool; without one the test is skipped."""
    binary = shutil.which("amtool")
    if binary is None:
        pytest.skip("amtool is not installed (Debian: prometheus-alertmanager)")
    return binary


@contextmanager
def running_alertmanager(folder: Path, config: str, *options: str) -> Iterator[str]:
    """The URL of an Alertmanager with this configuration, by itself."""
    (folder / "alertmanager.yml").write_text(config)
    address = f"127.0.0.1:{free_port()}"
    command = [alertmanager_binary(), f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/data"]
    command += [f"--web.listen-address={address}", "--cluster.listen-address=", *options]
    with (folder / "alertmanager.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_ready(f"http://{address}", process, folder / "alertmanager.log")
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)


def _wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise AssertionError(log.read_text()[-2000:])
        try:
            if httpx.get(f"{url}/-/ready").status_code == 200:
                return
        except httpx.ConnectError:
            pass
        time.sleep(0.05)  # another process: there is nothing to wait on but its answer
    raise AssertionError("alertmanager was not ready in time")


@dataclass
class Served:
    """A manager, its address, and a client for it."""

    manager: AlertManager
    store: MemoryStore
    url: str
    http: httpx.AsyncClient


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """Signals are the test runner's."""


@asynccontextmanager
async def serving(config: str, *, sharing: Sharing | None = None) -> AsyncIterator[Served]:
    """The API on a free port, and a manager that notifies nobody."""
    store = MemoryStore()
    manager = AlertManager(config_of(config), store, {}, external_url="", sharing=sharing)
    await manager.start()
    routers = [alertmanager_router(manager, max_body_bytes=100_000), alerting_router(manager)]
    app = create_app(routers, {}, TokenCheck(Auth()), "test")
    server = _Server(uvicorn.Config(app, log_level="error"))
    sock = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve([sock]))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, timeout=10) as http:
        yield Served(manager, store, url, http)
    server.should_exit = True
    await task
    await manager.stop()
    sock.close()


async def amtool(url: str, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """Runs amtool against a URL; (exit status, stdout, stderr)."""
    process = await asyncio.create_subprocess_exec(
        amtool_binary(), f"--alertmanager.url={url}", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TZ": "UTC", "HOME": "/nonexistent"},
    )  # fmt: skip
    out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()
