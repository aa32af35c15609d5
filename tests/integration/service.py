"""A real Watchhouse process for tests: started, asked over real sockets, stopped or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.ports import free_port


class ServiceProcess:
    """`watchhouse serve` with a configuration of its own, on free ports of loopback."""

    def __init__(self, folder: Path, config: dict[str, Any] | None = None, **receivers: Any) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "serve.log"
        self.config = folder / "watchhouse.yaml"
        settings: dict[str, Any] = {
            "data_dir": str(folder / "data"),
            "http": {"listen": f"127.0.0.1:{self.port}"},
            "receivers": {"otlp": None, "fluent_forward": None, **receivers},
            **(config or {}),
        }
        self.config.write_text(yaml.safe_dump(settings))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, timeout_s: float = 60) -> ServiceProcess:
        """Starts it and waits until it is ready. Fails with its log when it is not."""
        command = [sys.executable, "-c", "from app.cli import main; main()", "serve", "--config", str(self.config)]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, "NO_COLOR": "1"})
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"serve ended with {self.process.returncode}:\n{self.log.read_text()[-3000:]}")
            try:
                if httpx.get(f"{self.url}/-/ready", timeout=2).status_code == 200:
                    return self
            except httpx.HTTPError:
                time.sleep(0.05)
        raise AssertionError(f"serve was not ready in time:\n{self.log.read_text()[-3000:]}")

    def kill(self) -> None:
        """SIGKILL, and waits for the end."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self, timeout_s: float = 15) -> tuple[int, float]:
        """SIGTERM; gives (exit status, seconds until the end)."""
        assert self.process is not None
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout_s)
        return status, time.monotonic() - started

    def __enter__(self) -> ServiceProcess:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def clickhouse(self, sql: str) -> str:
        """The answer to a statement at /clickhouse, as text."""
        answer = httpx.post(f"{self.url}/clickhouse", content=sql.encode(), timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.text.strip()
