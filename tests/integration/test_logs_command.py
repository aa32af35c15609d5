"""`watchhouse logs` against the API over a real socket."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from app.api.loki import loki_router
from app.config import Limits
from app.labels import labels_from
from app.query.logql.engine import LogQLEngine
from app.store.client import Pool
from ingest.batch import LogBatch
from ingest.writer import Writer

COMMAND = (
    "import typer; from app.commands import logs; a = typer.Typer(); a.callback()(lambda: None); logs.register(a); a()"
)


@pytest.fixture
async def url(embedded_pool: Pool) -> AsyncIterator[str]:
    """The API on a free port."""
    app = FastAPI()
    app.include_router(loki_router(LogQLEngine(embedded_pool, Limits()), Limits()))
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve([sock]))
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    server.should_exit = True
    await serving


async def keep(writer: Writer, texts: list[str], ts_ns: int, step_ns: int = 1) -> None:
    """Keeps lines from a time on."""
    batch = LogBatch(writer.streams.current)
    ref = batch.index.ref(labels_from({"container": "web"}))
    for i, text in enumerate(texts):
        batch.add(ref, ts_ns + i * step_ns, text, {"n": str(i)} if step_ns else {})
    await writer.write_logs(batch)


async def start(url: str, *arguments: str) -> asyncio.subprocess.Process:
    """The command, started."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, "logs", *arguments, "--url", url, stdout=pipe, stderr=pipe, limit=2**22
    )


async def run(url: str, *arguments: str) -> tuple[int, str, str]:
    """Status, output and error output."""
    process = await start(url, *arguments)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_lines_newest_last(writer: Writer, url: str) -> None:
    """The newest lines within the limit, as they are; as JSON with time, labels and attributes."""
    at = time.time_ns() - 10**9
    await keep(writer, [f"line {i} \x1b[31m빨강" for i in range(20)], at)
    assert await run(url, '{container="web"}', "--limit", "3") == (
        0,
        "".join(f"line {i} \x1b[31m빨강\n" for i in (17, 18, 19)),
        "",
    )
    _, out, _ = await run(url, '{container="web"}', "--limit", "1", "--output", "json")
    assert json.loads(out) == {
        "ts": at + 19,
        "line": "line 19 \x1b[31m빨강",
        "labels": {"container": "web"},
        "attributes": {"n": "19"},
    }


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["{"], 1, "parse error"),
        (['sum(rate({a="b"}[1m]))'], 2, "computes values"),
        (['{a="b"}', "--since", "soon"], 2, "--since"),
    ],
)
async def test_mistakes(url: str, arguments: list[str], status: int, message: str) -> None:
    """A query the service refuses is status 1, arguments that cannot be meant so are 2."""
    code, out, err = await run(url, *arguments)
    assert (code, out) == (status, "")
    assert message in err


async def test_follow_loses_and_doubles_nothing(writer: Writer, url: str) -> None:
    """New lines come once each: more than a page of them, late ones, and ones just like others."""
    now = time.time_ns()
    await keep(writer, ["old 1", "old 2"], now - 10**9)
    process = await start(url, '{container="web"}', "--follow", "--limit", "1")
    assert process.stdout is not None
    try:
        assert await _line(process) == "old 2"
        burst = [f"new {i}" for i in range(2500)]
        await keep(writer, burst, time.time_ns())
        assert [await _line(process) for _ in burst] == burst
        await keep(writer, ["late"], time.time_ns() - 5 * 10**8)
        assert await _line(process) == "late"
        await keep(writer, ["same", "same"], time.time_ns(), 0)
        assert [await _line(process), await _line(process)] == ["same", "same"]
        await keep(writer, ["end"], time.time_ns())
        assert await _line(process) == "end"
    finally:
        process.send_signal(2)
    assert await process.wait() == 0


async def _line(process: Any) -> str:
    async with asyncio.timeout(20):
        line: bytes = await process.stdout.readline()
    return line.decode().removesuffix("\n")
