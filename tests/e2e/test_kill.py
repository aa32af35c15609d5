"""Killed at any moment, the service loses nothing it acknowledged."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import cramjam
import httpx

from ingest import prompb
from tests.integration.service import ServiceProcess

SERIES = 50
HEADERS = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}


def body(sender: int, n: int, at_ms: int) -> bytes:
    """One sample of each of a sender's series, numbered n."""
    request = prompb.WriteRequest()
    for i in range(SERIES):
        entry = request.timeseries.add()
        for name, value in (("__name__", "kept"), ("i", str(i)), ("sender", str(sender))):
            entry.labels.add(name=name.encode(), value=value.encode())
        entry.samples.add(timestamp=at_ms + n, value=float(n))
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


class Sender(threading.Thread):
    """Writes numbered samples until told to stop, and remembers which were acknowledged."""

    def __init__(self, url: str, number: int, at_ms: int, enough: threading.Semaphore) -> None:
        super().__init__(daemon=True)
        self.url, self.number, self.at_ms, self.enough = url, number, at_ms, enough
        self.acknowledged: list[int] = []
        self.next = 0
        self.done = threading.Event()

    def run(self) -> None:
        """Sends; a request without an answer is not acknowledged, and is not sent again."""
        with httpx.Client(timeout=10) as client:
            while not self.done.is_set():
                n, self.next = self.next, self.next + 1
                try:
                    answer = client.post(
                        f"{self.url}/api/v1/write", content=body(self.number, n, self.at_ms), headers=HEADERS
                    )
                except httpx.HTTPError:
                    self.done.wait(0.05)
                    continue
                if answer.status_code == 204:
                    self.acknowledged.append(n)
                    self.enough.release()


def test_every_acknowledged_sample_survives_five_kills(tmp_path: Path) -> None:
    """SIGKILL under remote-write load, five times: every acknowledged sample is there afterwards."""
    service = ServiceProcess(tmp_path)
    at_ms = int(time.time() * 1000) - 3_600_000
    enough = threading.Semaphore(0)
    with service:
        senders = [Sender(service.url, i, at_ms, enough) for i in range(3)]
        for sender in senders:
            sender.start()
        for _ in range(5):
            for _ in range(60):
                assert enough.acquire(timeout=30), "no sample was acknowledged for 30 s"
            service.kill()
            service.start()
        for sender in senders:
            sender.done.set()
            sender.join(20)
        rows = service.clickhouse(
            "SELECT labels['sender'], toUInt64(value), uniqExact(series_id) FROM metric_samples AS s INNER JOIN "
            "(SELECT series_id, any(labels) AS labels FROM metric_series GROUP BY series_id) AS l USING series_id "
            "WHERE metric = 'kept' GROUP BY 1, 2"
        )
    kept = {(int(a), int(b)): int(c) for a, b, c in (line.split("\t") for line in rows.splitlines())}
    lost = [(s.number, n) for s in senders for n in s.acknowledged if kept.get((s.number, n)) != SERIES]
    assert sum(len(s.acknowledged) for s in senders) >= 300
    assert lost == []
