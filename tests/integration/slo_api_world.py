"""A server over SLOs whose past is counted already, and the commands that ask it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import typer
from typer.testing import CliRunner, Result

from app.api.gate import QueryGate
from app.api.slo import slo_router
from app.commands import slo as slo_command
from app.config import Auth, Limits
from app.listen import HttpServer
from app.web import TokenCheck, create_app
from slo.spec import SloSpec
from tests.integration.slo_world import World


@asynccontextmanager
async def served(
    world: World, *specs: SloSpec, auth: Auth | None = None, limits: Limits | None = None, cycles: int = 1
) -> AsyncIterator[str]:
    """The address of a server over an engine that went through some cycles."""
    engine, limits = world.engine(*specs), limits or Limits()
    for _ in range(cycles):
        await engine.cycle()
    gate = QueryGate(limits)
    sock = socket.create_server(("127.0.0.1", 0))
    app = create_app([slo_router(engine, gate, limits)], {}, TokenCheck(auth or Auth()), "test")
    server = HttpServer(app, sock)
    await server.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        await server.stop()
        await asyncio.to_thread(gate.close)
        await engine.stop()


async def asked(url: str, path: str = "", method: str = "GET", **request: Any) -> Any:
    """The `data` of an answer that is well."""
    answer = await answered(url, path, method, **request)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["status"] == "success"
    return body["data"]


async def refused(url: str, path: str = "", method: str = "GET", **request: Any) -> tuple[int, str, str]:
    """(status, errorType, error) of an answer that is not."""
    answer = await answered(url, path, method, **request)
    body = answer.json()
    assert body["status"] == "error", body
    return answer.status_code, body["errorType"], body["error"]


async def answered(url: str, path: str = "", method: str = "GET", **request: Any) -> httpx.Response:
    """An answer of the API below /api/v1/slos."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        return await http.request(method, f"/api/v1/slos{path}", **request)


async def command(url: str, *arguments: str) -> Result:
    """Runs `watchhouse slo …` in a thread."""
    app = typer.Typer()
    app.callback()(lambda: None)
    slo_command.register(app)
    env = {"COLUMNS": "200", "LINES": "40", "TERM": "dumb"}
    return await asyncio.to_thread(CliRunner(env=env).invoke, app, ["slo", *arguments, "--url", url])
