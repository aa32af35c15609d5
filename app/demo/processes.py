"""The processes the demo starts: each in a process group of its own, its output in a file, all stopped at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import app
from app.errors import WatchhouseError

STOP_SECONDS = 12.0
_TAIL_LINES = 15


class Died(WatchhouseError):
    """A process of the demo ended by itself; the text holds the last lines of its log."""


@dataclass(slots=True)
class Started:
    """A process, and where its output goes."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    def tail(self) -> str:
        """The last lines of its output."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join(f"    {line}" for line in lines) or "    (it wrote nothing)"


class Processes:
    """Starts processes and stops them, the newest first. Needs a running event loop."""

    def __init__(self, log_dir: Path) -> None:
        self.died: asyncio.Future[Died] = asyncio.get_running_loop().create_future()
        """Done as soon as a process has ended that was not stopped."""
        self._log_dir = log_dir
        self._started: list[Started] = []
        self._watches: list[asyncio.Task[None]] = []

    async def start(self, name: str, arguments: Sequence[str], fds: Sequence[int] = ()) -> Started:
        """Starts this Python with arguments. Its standard input ends when this process does."""
        log = self._log_dir / f"{name}.log"
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                # without the working directory in the path: a folder `app` there must not be taken for ours
                *(sys.executable, "-P", *arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=_environment(),
                pass_fds=tuple(fds),
                # Ctrl-C in the terminal is for the demo, which stops the others in order
                process_group=0,
            )
        started = Started(name, process, log)
        self._started.append(started)
        self._watches.append(asyncio.create_task(self._watch(started)))
        return started

    async def stop(self) -> None:
        """SIGTERM to each group, the newest process first; SIGKILL to what is there after 12 s. Safe to call twice."""
        for watch in self._watches:
            watch.cancel()
        while self._started:
            started = self._started[-1]
            _signal(started, signal.SIGTERM)
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await started.process.wait()
            except TimeoutError:
                _signal(started, signal.SIGKILL)
                await started.process.wait()
            # children that outlived it, if there are any
            _signal(started, signal.SIGKILL)
            self._started.pop()

    def kill(self) -> None:
        """SIGKILL to every group, without waiting."""
        for started in self._started:
            _signal(started, signal.SIGKILL)

    async def _watch(self, started: Started) -> None:
        status = await started.process.wait()
        if not self.died.done():
            self.died.set_result(
                Died(f"{started.name} ended with status {status}. The last lines of its log:\n{started.tail()}")
            )


_TETHER = """\
import os, signal, threading
def end_with_starter():
    # not sys.stdin: its lock, held here, would keep the interpreter from ending
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=end_with_starter, daemon=True).start()
from app.cli import main
main()
"""


def watchhouse(*arguments: str) -> tuple[str, ...]:
    """Arguments for Python that run a `watchhouse` command, installed or not, until its starter is gone."""
    return ("-c", _TETHER, *arguments)


def take_port(wanted: int) -> int:
    """The port when it is free on loopback, another free one otherwise (or for 0)."""
    with contextlib.suppress(OSError), socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", wanted))
        return int(sock.getsockname()[1])
    return take_port(0)


def bound_socket() -> socket.socket:
    """A socket on a free port of loopback, for a child to listen on; until it does, connections are refused."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


def _signal(started: Started, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(started.process.pid, number)


def _environment() -> dict[str, str]:
    """The environment without what would change the service's configuration or where telemetry is sent."""
    kept = {k: v for k, v in os.environ.items() if not k.upper().startswith(("WATCHHOUSE_", "OTEL_"))}
    ours = str(Path(app.__file__).parent.parent)
    path = os.pathsep.join(p for p in (ours, os.environ.get("PYTHONPATH", "")) if p)
    return {**kept, "PYTHONPATH": path, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
