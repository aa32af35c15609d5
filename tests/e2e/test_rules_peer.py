"""Rules of a Prometheus and of Watchhouse over the same samples: the same series at the same times.

Both read one rule file, so that their groups have the same slots, and both are sent each second's samples at once. The
groups' names are chosen for slots in the middle of a second.
"""

from __future__ import annotations

import difflib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cramjam
import httpx
import pytest
import yaml

from alerting.rules.slots import offset_ns
from alerting.rules.spec import Group
from app.labels import Labels
from tests.integration.prometheus_peer import prometheus_binary, wait_ready, write_request
from tests.integration.promql_world import series
from tests.integration.service import ServiceProcess
from tests.ports import free_port

SECONDS = 15
STALE = float("nan")
"""The peer's writer makes a stale marker of it."""
SCRIPT: dict[Labels, list[float | None]] = {
    series("m", i="1", job="a"): [0, 0, 0, 0, 0, 3, 3, 3, 3, 0, 0, 0, 3, 3, 3],
    series("m", i="2", job="a"): [1, 2, 3, 4, 5, 6, 7, STALE, None, None, 2, 3, 4, 5, 6],
    series("m", i="3", job="b"): [None, None, None, None, None, None, 9, 8, 7, 6, 5, 4, 3, 2, 1],
    series("c_total", i="1"): [float(10 * n) for n in range(SECONDS)],
}
RULES: list[list[dict[str, Any]]] = [
    [
        {"record": "r:sum", "expr": "sum by (job) (m)", "labels": {"x": "y"}},
        {"record": "r:twice", "expr": "r:sum * 2"},
        {"record": "r:above", "expr": "m > 2"},
        {"record": "r:count", "expr": "count(r:above) or vector(0)"},
        {"record": "r:rate", "expr": "rate(c_total[3500ms])"},
        {"record": "r:time", "expr": "time()"},
        {"record": "r:absent", "expr": 'absent(m{i="2"})'},
    ],
    [
        {"alert": "Above", "expr": "m > 2", "labels": {"v": "{{ $labels.i }}"}},
        {"alert": "AboveFor", "expr": "m > 2", "for": "2s", "annotations": {"t": "{{ $value }}"}},
        {"alert": "Kept", "expr": "m > 2", "for": "1s", "keep_firing_for": "2s"},
        {"record": "r:alerts", "expr": 'count by (alertname, alertstate) (ALERTS{alertname!="Many"})'},
        {"alert": "Wrong", "expr": "m * on (job) group_left m"},
    ],
    [{"alert": "Many", "expr": "m >= 0"}],
]


def rule_file(folder: Path) -> Path:
    """Three groups, one of them with a limit, whose slots are in the middle of a second."""
    path = folder / "rules.yml"
    groups = []
    for number, rules in enumerate(RULES):
        name = next(
            name
            for name in (f"g{number}-{n}" for n in range(1000))
            if 350 <= offset_ns(Group(str(path), name, 1000, ())) // 1_000_000 <= 550
        )
        groups.append({"name": name, "interval": "1s", "rules": rules, **({"limit": 2} if number == 2 else {})})
    path.write_text(yaml.safe_dump({"groups": groups}))
    return path


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, float]]:
    """(the URL of a Prometheus, of a Watchhouse, the first second of what both were sent)."""
    binary, folder = prometheus_binary(), tmp_path_factory.mktemp("rules-peer")
    path = rule_file(folder)
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"rule_files": [str(path)]}))
    address = f"127.0.0.1:{free_port()}"
    command = [binary, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/peer"]
    command += [f"--web.listen-address={address}", "--web.enable-remote-write-receiver", "--log.level=error"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_ready(f"http://{address}", process, folder / "log")
        config = {"rules": {"files": [str(path)], "builtin": False}}
        with ServiceProcess(folder / "watchhouse", config) as service:
            urls = (f"http://{address}", service.url)
            # the first evaluations of a Prometheus give no ALERTS: it may have to restore them
            first = int(time.time()) + 3
            _send(urls, first)
            yield (*urls, first)
    finally:
        process.terminate()
        process.wait(20)


def _send(urls: tuple[str, str], first: int) -> None:
    with httpx.Client(timeout=10) as client:
        for second in range(SECONDS):
            at_ms = (first + second) * 1000
            data = {
                labels: [(at_ms, value)] for labels, values in SCRIPT.items() if (value := values[second]) is not None
            }
            body = bytes(cramjam.snappy.compress_raw(write_request(data)))
            time.sleep(max(0.0, first + second - time.time()))
            for url in urls:
                headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
                assert client.post(f"{url}/api/v1/write", content=body, headers=headers).status_code < 300
    time.sleep(1.5)


def _ask(url: str, path: str, **params: Any) -> Any:
    answer = httpx.get(f"{url}/api/v1/{path}", params=params, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def _samples(url: str, first: int) -> dict[Labels, dict[float, str]]:
    """Every sample of the rules' series from the script's second second on."""
    query = f'{{__name__=~"r:.*|ALERTS.*"}}[{SECONDS - 1}s]'
    found = _ask(url, "query", query=query, time=first + SECONDS)["result"]
    return {tuple(sorted(one["metric"].items())): {at: value for at, value in one["values"]} for one in found}


def test_the_same_samples_at_the_same_times(both: tuple[str, str, float]) -> None:
    """Recorded series, ALERTS and ALERTS_FOR_STATE have the same samples, by the millisecond."""
    theirs, ours = (_samples(url, int(both[2])) for url in both[:2])
    assert {dict(labels)["__name__"] for labels in theirs} == {
        *(rule["record"] for rules in RULES for rule in rules if "record" in rule),
        "ALERTS",
        "ALERTS_FOR_STATE",
    }
    assert ours == theirs


def test_series_end_at_the_same_times(both: tuple[str, str, float]) -> None:
    """What is seen after each slot is the same: stale markers are where Prometheus writes them."""
    first = int(both[2])
    for query in ('{__name__=~"r:.*"}', "ALERTS", "ALERTS_FOR_STATE"):
        params = {"query": query, "start": first + 1.8, "end": first + SECONDS - 0.2, "step": 1}
        theirs, ours = (_ask(url, "query_range", **params)["result"] for url in both[:2])
        key = lambda one: sorted(one["metric"].items())  # noqa: E731
        assert sorted(ours, key=key) == sorted(theirs, key=key), query


def test_the_apis_show_the_same_rules(both: tuple[str, str, float]) -> None:
    """`/api/v1/rules` and `/api/v1/alerts` are alike but for how long evaluations took."""
    for path in ("rules", "alerts"):
        theirs, ours = (_shown(_ask(url, path)) for url in both[:2])
        before, after = (json.dumps(one, indent=1, sort_keys=True).splitlines() for one in (theirs, ours))
        assert ours == theirs, "\n".join(difflib.unified_diff(before, after))


def _shown(data: Any) -> Any:
    """Without what cannot be the same: times of clocks, and what newer versions have beside."""
    if isinstance(data, dict):
        left = ("evaluationTime", "lastEvaluation", "activeAt", "keepFiringFor", "keepFiringSince")
        shown = {key: _shown(value) for key, value in data.items() if key not in left and value != {}}
        # which of two series is named first is chance
        return {**shown, **({"lastError": shown["lastError"].partition(" on the ")[0]} if "lastError" in shown else {})}
    if isinstance(data, list):
        return sorted((_shown(item) for item in data), key=lambda item: json.dumps(item, sort_keys=True))
    return data
