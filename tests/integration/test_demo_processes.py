"""The demo's processes: ended in order, told of when they end by themselves."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from app.demo.processes import Processes, Started, bound_socket, take_port


async def printed(started: Started) -> str:
    """What a process printed, once it printed a whole line."""
    async with asyncio.timeout(30):
        while not (text := started.log.read_text()).endswith("\n"):
            await asyncio.sleep(0.02)
    return text


def alive(pid: int) -> bool:
    """Whether a process runs; an ended one that nobody has waited for does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


async def test_one_that_ends_by_itself_is_told_with_its_log(tmp_path: Path) -> None:
    """A process that ends by itself is told with its status and the last lines of its output."""
    processes = Processes(tmp_path)
    await processes.start("broken", ("-c", "print('no disk left'); raise SystemExit(3)"))
    async with asyncio.timeout(30):
        died = await processes.died
    assert "broken ended with status 3" in str(died)
    assert "no disk left" in str(died)
    await processes.stop()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
async def test_stop_ends_children_of_children(tmp_path: Path) -> None:
    """Stopping ends the whole group of a process, and is no news of a death."""
    code = "import subprocess, sys; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); p.wait()"
    processes = Processes(tmp_path)
    started = await processes.start("parent", ("-c", code))
    child = int(await printed(started))
    assert alive(child)
    await processes.stop()
    assert not processes.died.done()
    assert started.process.returncode == -15
    async with asyncio.timeout(10):
        while alive(child):
            await asyncio.sleep(0.02)


async def test_the_environment_cannot_change_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of another Watchhouse, or of OpenTelemetry, do not reach the demo's processes."""
    monkeypatch.setenv("WATCHHOUSE_HTTP__LISTEN", "0.0.0.0:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://elsewhere:4317")
    code = "import os; print([k for k in os.environ if k.startswith(('WATCHHOUSE', 'OTEL'))], flush=True); input()"
    processes = Processes(tmp_path)
    started = await processes.start("child", ("-c", code))
    assert await printed(started) == "[]\n"
    await processes.stop()


def test_a_taken_port_is_replaced() -> None:
    """The wanted port is given where it is free, another one where not."""
    with bound_socket() as held:
        held.listen()
        taken = held.getsockname()[1]
        other = take_port(taken)
    assert other != taken
    assert take_port(other) == other


async def test_a_socket_is_handed_over(tmp_path: Path) -> None:
    """A child listens on the socket it was given: connections succeed on the port known before."""
    sock = bound_socket()
    port = sock.getsockname()[1]
    code = (
        "import socket as x, sys; s = x.socket(fileno=int(sys.argv[1])); s.listen(); print(1, flush=True); s.accept()"
    )
    processes = Processes(tmp_path)
    started = await processes.start("listener", ("-c", code, str(sock.fileno())), [sock.fileno()])
    sock.close()
    await printed(started)
    with socket.create_connection(("127.0.0.1", port), timeout=10):
        pass
    await processes.stop()
    assert os.path.exists(started.log)
