"""What rules cost, beside a Prometheus with the same file. Run: python -m tests.bench.bench_rules [--seconds 60].

50 groups of 20 rules every 15 s over 4,000 series that are written every 15 s, with five minutes of history. Four
processes are fed at once: each server with the rules and without. Prints the seconds of CPU each takes a minute, what
the rules are of that, and memory; and how many series the rules give. Without a Prometheus on PATH (or
WATCHHOUSE_PROMETHEUS_BIN) Watchhouse alone is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cramjam
import httpx
import yaml

from app.labels import Labels
from tests.integration.prometheus_peer import wait_ready, write_request
from tests.integration.promql_world import series
from tests.integration.service import ServiceProcess
from tests.ports import free_port

GROUPS, METRICS, INSTANCES, INTERVAL_S, HISTORY = 50, 40, 100, 15, 20


def rules() -> dict[str, Any]:
    """The rule file: 12 recording and 8 alerting rules a group; one alert in ten fires."""
    return {
        "groups": [{"name": f"g{g}", "interval": f"{INTERVAL_S}s", "rules": list(_rules(g))} for g in range(GROUPS)]
    }


def _rules(group: int) -> Iterator[dict[str, Any]]:
    for n in range(8):
        metric = f"requests_{(group * 3 + n // 2) % METRICS}_total"
        window = "5m" if n % 2 else "2m"
        where = '{zone="z1"}' if n % 4 == 3 else ""
        yield {"record": f"g{group}:rate{n}", "expr": f"sum by (zone, code) (rate({metric}{where}[{window}]))"}
    for n in range(4):
        yield {
            "record": f"g{group}:ratio{n}",
            "expr": f"g{group}:rate{n} / on (zone) group_left sum by (zone) (g{group}:rate0)",
        }
    for n in range(8):
        yield {
            "alert": f"G{group}High{n}",
            "expr": f"g{group}:rate{n} > {0 if n == 7 and group % 10 == 0 else 1e9}",
            "for": "1m",
            "labels": {"severity": "page"},
            "annotations": {"summary": "{{ $labels.zone }} has {{ $value | humanize }} requests a second"},
        }


def samples(at_ms: int, step: int) -> dict[Labels, list[tuple[int, float]]]:
    """A sample of every series."""
    return {
        series(f"requests_{m}_total", instance=f"host-{i}", zone=f"z{i % 4}", code=str(200 + i % 5), job="shop"): [
            (at_ms, float(step * (i % 9 + 1)))
        ]
        for m in range(METRICS)
        for i in range(INSTANCES)
    }


@dataclass(frozen=True, slots=True)
class Server:
    """A server under measurement."""

    name: str
    url: str
    pid: int

    def cpu_s(self) -> float:
        """Seconds of CPU so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self) -> int:
        """Resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) // 1024


@contextlib.contextmanager
def prometheus(folder: Path, name: str, rule_files: Sequence[Path]) -> Iterator[Server]:
    """A running Prometheus."""
    folder.mkdir()
    binary = os.environ.get("WATCHHOUSE_PROMETHEUS_BIN") or shutil.which("prometheus")
    assert binary is not None
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"rule_files": [str(path) for path in rule_files]}))
    address = f"127.0.0.1:{free_port()}"
    command = [binary, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    command += [f"--web.listen-address={address}", "--web.enable-remote-write-receiver", "--log.level=error"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_ready(f"http://{address}", process, folder / "log")
        yield Server(name, f"http://{address}", process.pid)
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def watchhouse(folder: Path, name: str, rule_files: Sequence[Path]) -> Iterator[Server]:
    """A running Watchhouse."""
    with ServiceProcess(folder, {"rules": {"files": [str(path) for path in rule_files]}}) as service:
        assert service.process is not None
        yield Server(name, service.url, service.process.pid)


def send(servers: Sequence[Server], at_s: int, step: int) -> None:
    """Writes one round of samples to all."""
    body = bytes(cramjam.snappy.compress_raw(write_request(samples(at_s * 1000, step))))
    for server in servers:
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
        answer = httpx.post(f"{server.url}/api/v1/write", content=body, headers=headers, timeout=60)
        assert answer.status_code < 300, answer.text


def recorded(server: Server) -> int:
    """How many series of the rules there are."""
    query = 'count({__name__=~"g[0-9]+:.+|ALERTS.*"})'
    found = httpx.get(f"{server.url}/api/v1/query", params={"query": query}, timeout=60).json()["data"]["result"]
    return int(found[0]["value"][1]) if found else 0


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    seconds = parser.parse_args().seconds
    peer = os.environ.get("WATCHHOUSE_PROMETHEUS_BIN") or shutil.which("prometheus")
    ways = [("Watchhouse", watchhouse), *([("Prometheus", prometheus)] if peer else [])]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        path = folder / "rules.yml"
        path.write_text(yaml.safe_dump(rules()))
        servers = [
            stack.enter_context(way(folder / f"{name}-{len(files)}", f"{name}{' with rules' if files else ''}", files))
            for name, way in ways
            for files in ([path], [])
        ]
        begin = int(time.time()) // INTERVAL_S * INTERVAL_S
        for step in range(HISTORY):
            send(servers, begin - (HISTORY - step) * INTERVAL_S, step)
        # two rounds until every group has been evaluated and everything is compiled
        rounds = 2 + seconds // INTERVAL_S
        for n in range(rounds):
            time.sleep(max(0.0, begin + n * INTERVAL_S - time.time()))
            if n == 2:
                before = [server.cpu_s() for server in servers]
            send(servers, begin + n * INTERVAL_S, HISTORY + n)
        time.sleep(max(0.0, begin + rounds * INTERVAL_S - time.time()))
        used = [(server.cpu_s() - then) * 60 / seconds for server, then in zip(servers, before, strict=True)]
        for at in range(0, len(servers), 2):
            print(
                f"{ways[at // 2][0]}: {used[at]:.1f} s of CPU a minute, {used[at + 1]:.1f} s without rules:"
                f" {used[at] - used[at + 1]:.1f} s for the rules; {servers[at].memory_mib()} MiB;"
                f" {recorded(servers[at])} series of the rules"
            )


if __name__ == "__main__":
    main()
