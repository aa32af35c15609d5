"""`watchhouse demo`, as a user runs it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

DEMO = [sys.executable, "-c", "from app.cli import main; main()", "demo"]


@contextmanager
def demo(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A running demo in a session of its own, its temporary files in `folder`."""
    process = subprocess.Popen(
        [*DEMO, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1", "COLUMNS": "100"},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for pid in session_of(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def session_of(leader: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # after the name, which may hold anything: state, parent, group, session
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == leader and state != "Z":
            found.append(int(folder.name))
    return found


def read_until(process: subprocess.Popen[str], text: str) -> list[str]:
    """The lines printed up to one that holds `text`."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"{text!r} was not printed:\n{''.join(lines)}")


def seconds(output: str, text: str) -> float:
    """When the first line with `text` was printed, by its own stamp."""
    line = next(line for line in output.splitlines() if text in line)
    stamp = re.match(r" *([0-9.]+) s ", line)
    assert stamp, line
    return float(stamp[1])


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_the_shop_breaks_and_heals_and_slack_is_told_of_both(tmp_path: Path) -> None:
    """Within 90 s both messages come, the status is 0, and neither a process nor a file is left."""
    with demo(tmp_path, "--for", "90s") as process:
        output, _ = process.communicate(timeout=150)
        left = session_of(process.pid)
    assert process.returncode == 0, output
    told = [
        "up is 1 for all three",
        "payments breaks",
        "the alert arrived",
        "is healed",
        "the resolved message arrived",
    ]
    times = [seconds(output, text) for text in told]
    assert times == sorted(times)
    assert times[1] >= 20
    assert "🔴 checkout-availability (shop) burns at" in output
    assert "✅ Resolved: checkout-availability" in output
    # asked over the service's own APIs: the shop's traffic, its lines from each of the three, the budget
    assert re.search(r"[1-9][0-9]* requests/s, [1-9][0-9]* charges/s, [0-9.]+% of orders fail", output)
    assert re.search(r"logs: [1-9][0-9]* frontend, [1-9][0-9]* checkout, [1-9][0-9]* payments", output)
    assert re.search(r"SLO burns [0-9.]+×, budget left [0-9.]+%, FIRING", output)
    assert re.search(r"ERROR order A-[0-9]+ failed: payments answered 500", output)
    assert "no answer" not in output
    assert left == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    """Interrupted while the shop runs, it ends soon with status 0 and leaves nothing, on ports of its own choice."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # where it cannot be had, somebody else has it: as good
        with suppress(OSError):
            taken.bind(("127.0.0.1", 24224))
            taken.listen()
        with demo(tmp_path) as process:
            lines = read_until(process, "the customers come")
            began = time.monotonic()
            # as a terminal does it: to the demo's own process group only
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=60)
            took = time.monotonic() - began
            left = session_of(process.pid)
    assert process.returncode == 0
    assert any("port 24224 (forward) is taken" in line for line in lines)
    assert took < 20
    assert left == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_nothing_outlives_a_killed_demo(tmp_path: Path) -> None:
    """Even after SIGKILL of the demo, what it started ends by itself."""
    with demo(tmp_path) as process:
        read_until(process, "the customers come")
        process.kill()
        deadline = time.monotonic() + 30
        while (left := session_of(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.1)
    assert left == []


def test_a_wrong_duration_is_misuse() -> None:
    """A --for that is no duration is told and ends with status 2."""
    answer = subprocess.run([*DEMO, "--for", "soon"], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 2
    assert "not a duration: 'soon'" in answer.stderr
