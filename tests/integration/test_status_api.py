"""Targets and status of a real process, in Prometheus's shapes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from tests.integration.service import ServiceProcess

DROPPED = "127.0.0.1:2"
JOBS: list[dict[str, Any]] = [
    {
        "job_name": "dead",
        "static_configs": [{"targets": ["127.0.0.1:1"]}],
        "basic_auth": {"username": "me", "password": "hunter2"},
    },
    {
        "job_name": "dropped",
        "static_configs": [{"targets": [DROPPED]}],
        "relabel_configs": [{"source_labels": ["__address__"], "regex": DROPPED, "action": "drop"}],
    },
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service that scrapes itself, has a target that is away, and one that is dropped."""
    with ServiceProcess(tmp_path_factory.mktemp("status"), {"scrape": {"scrape_configs": JOBS}}) as running:
        deadline = time.monotonic() + 40
        while not get(running, "targets/metadata", metric="python_info") or not get(
            running, "query", query='up{job="watchhouse"}'
        ):
            assert time.monotonic() < deadline, "it did not scrape itself"
            time.sleep(0.2)
        yield running


def get(service: ServiceProcess, path: str, **params: str) -> Any:
    """The data of a successful answer."""
    answer = httpx.get(f"{service.url}/api/v1/{path}", params=params, timeout=30)
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    return data["result"] if path == "query" else data


def refused(service: ServiceProcess, path: str, **params: str) -> tuple[int, str]:
    """(status, error) of a refusal."""
    answer = httpx.get(f"{service.url}/api/v1/{path}", params=params, timeout=30)
    return answer.status_code, answer.json()["error"]


def test_targets_are_narrowed_by_state_and_pool(service: ServiceProcess) -> None:
    """`state` chooses active or dropped ones; counts of dropped ones come only with them; pools narrow both."""
    everything = get(service, "targets")
    assert [t["scrapePool"] for t in everything["activeTargets"]] == ["dead", "watchhouse"]
    assert everything["droppedTargetCounts"] == {"dead": 0, "dropped": 1, "watchhouse": 0}
    active = get(service, "targets", state="Active")
    assert (len(active["activeTargets"]), active["droppedTargets"], active["droppedTargetCounts"]) == (2, [], None)
    dropped = get(service, "targets", state="dropped")
    assert dropped["activeTargets"] == []
    assert dropped["droppedTargets"][0]["discoveredLabels"]["__address__"] == DROPPED
    assert [t["scrapePool"] for t in get(service, "targets", scrapePool="dead")["activeTargets"]] == ["dead"]
    assert get(service, "scrape_pools") == {"scrapePools": ["dead", "dropped", "watchhouse"]}


def test_metadata_of_targets(service: ServiceProcess) -> None:
    """Each family a target's page describes; without its name when one is asked for."""
    of_one = get(service, "targets/metadata", metric="python_info")
    assert of_one[0]["target"]["job"] == "watchhouse"
    assert (of_one[0]["type"], of_one[0]["unit"], "metric" in of_one[0]) == ("gauge", "", False)
    everything = get(service, "targets/metadata", match_target='{job="watchhouse"}')
    assert {"python_info", "process_cpu_seconds_total"} <= {m["metric"] for m in everything}
    assert get(service, "targets/metadata", match_target='{job="dead"}') == []
    assert refused(service, "targets/metadata", limit="x") == (400, "limit must be a number")


def test_the_status_of_series(service: ServiceProcess) -> None:
    """Series are counted by metric, label and pair; the limit cuts each list and is checked."""
    found = get(service, "status/tsdb", limit="3")
    assert found["headStats"]["numSeries"] > 20
    assert found["headStats"]["minTime"] <= found["headStats"]["maxTime"]
    assert {len(found[key]) for key in found if key != "headStats"} == {3}
    pair = next(p for p in found["seriesCountByLabelValuePair"] if p["name"] == "job=watchhouse")
    series = get(service, "series", **{"match[]": '{job="watchhouse"}'})
    assert pair["value"] == len(series)
    everything = get(service, "status/tsdb", limit="10000")
    names = {s["__name__"] for s in get(service, "series", **{"match[]": '{__name__!=""}'})}
    assert {m["name"] for m in everything["seriesCountByMetricName"]} == names
    assert dict((m["name"], m["value"]) for m in everything["labelValueCountByLabelName"])["__name__"] == len(names)
    assert refused(service, "status/tsdb", limit="0") == (400, "limit must be a positive number")
    assert refused(service, "status/tsdb", limit="10001") == (400, "limit must not exceed 10000")


def test_the_status_of_the_process(service: ServiceProcess) -> None:
    """Flags are texts, the configuration hides secrets, the runtime says how the configuration was taken."""
    flags = get(service, "status/flags")
    assert flags["query.timeout"] == "2m"
    assert flags["web.listen-address"] == f"127.0.0.1:{service.port}"
    shown = get(service, "status/config")["yaml"]
    assert "hunter2" not in shown
    assert "<secret>" in shown
    runtime = get(service, "status/runtimeinfo")
    assert runtime["reloadConfigSuccess"] is True
    assert runtime["startTime"] <= runtime["serverTime"]
    assert get(service, "alertmanagers")["activeAlertmanagers"] == [{"url": f"{service.url}/api/v2/alerts"}]
    assert refused(service, "query_exemplars", query="up[")[0] == 400


def configured(service: ServiceProcess) -> tuple[dict[str, str], dict[str, float]]:
    """What health says of the configuration, and the metrics of the last reload by what their names end with."""
    health = httpx.get(f"{service.url}/api/v1/status/health", timeout=30).json()
    assert health["status"] == health["components"]["configuration"]["status"]
    prefix = "watchhouse_config_last_reload_"
    lines = [line for line in httpx.get(f"{service.url}/metrics").text.splitlines() if line.startswith(prefix)]
    return health["components"]["configuration"], {
        name.removeprefix(prefix): float(value) for name, value in (line.split() for line in lines)
    }


def test_a_reload_that_fails_is_seen_until_one_works(service: ServiceProcess) -> None:
    """Health is yellow with the mistake, the metrics and the runtime say so; and all is well after one that works."""
    green = {"status": "green", "detail": ""}
    began = time.time()
    health, metrics = configured(service)
    assert (health, metrics["successful"]) == (green, 1)
    started_at = metrics["success_timestamp_seconds"]
    assert began - 600 < started_at < began
    before = service.config.read_text()
    service.config.write_text(before + "no_such_key: 1\n")
    try:
        answer = httpx.post(f"{service.url}/-/reload", timeout=30)
        assert answer.status_code == 400
        assert get(service, "status/runtimeinfo")["reloadConfigSuccess"] is False
        health, metrics = configured(service)
        assert health["status"] == "yellow"
        assert f"{service.config}:{len(before.splitlines()) + 1}: no_such_key: " in health["detail"]
        assert metrics == {"successful": 0, "success_timestamp_seconds": started_at}
    finally:
        service.config.write_text(before)
    assert httpx.post(f"{service.url}/-/reload", timeout=30).status_code == 200
    assert get(service, "status/runtimeinfo")["reloadConfigSuccess"] is True
    health, metrics = configured(service)
    assert (health, metrics["successful"]) == (green, 1)
    assert metrics["success_timestamp_seconds"] > began


def test_a_reload_says_what_waits_for_a_restart(service: ServiceProcess) -> None:
    """Targets and rules are taken up and shown, other keys are named in the log and shown as they are in force."""
    before = service.config.read_text()
    old = yaml.safe_load(get(service, "status/config")["yaml"])
    new = yaml.safe_load(before)
    new |= {
        "data_dir": str(service.folder / "elsewhere"),
        "rules": {"builtin_off": ["NodeDown"]},
        "scrape": {"scrape_configs": JOBS[1:]},
        "alerting": {"external_url": "https://watch.example"},
    }
    new["receivers"]["otlp"] = {"grpc_listen": None}
    said = service.log.stat().st_size
    service.config.write_text(yaml.safe_dump(new))
    try:
        for _ in range(2):
            answer = httpx.post(f"{service.url}/-/reload", timeout=30)
            assert (answer.status_code, answer.text) == (200, "")
        waiting = "changed, and taken up at the next start: data_dir, receivers.otlp, alerting.external_url\n"
        assert service.log.read_text()[said:].count(waiting) == 2
        shown = yaml.safe_load(get(service, "status/config")["yaml"])
        assert [job["job_name"] for job in shown["scrape"]["scrape_configs"]] == ["dropped"]
        assert shown["rules"]["builtin_off"] == ["NodeDown"]
        assert shown == old | {"scrape": shown["scrape"], "rules": shown["rules"]}
        assert get(service, "scrape_pools") == {"scrapePools": ["dropped", "watchhouse"]}
        assert get(service, "status/flags")["web.external-url"] == ""
    finally:
        service.config.write_text(before)
    said = service.log.stat().st_size
    assert httpx.post(f"{service.url}/-/reload", timeout=30).status_code == 200
    assert "next start" not in service.log.read_text()[said:]
    assert yaml.safe_load(get(service, "status/config")["yaml"]) == old
