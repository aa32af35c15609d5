"""The HTTP surface of a real process: tokens, read-only ClickHouse, taken ports, bad bodies."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import cramjam
import httpx
import pytest

from ingest import prompb
from tests.integration.service import ServiceProcess
from tests.ports import free_port


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service with default settings, /clickhouse read-only."""
    with ServiceProcess(tmp_path_factory.mktemp("plain")) as running:
        yield running


def test_clickhouse_can_be_read_by_its_own_client(service: ServiceProcess) -> None:
    """A ClickHouse client reads tables, with typed parameters."""
    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=service.port, proxy_path="/clickhouse", database="watchhouse"
    )
    rows = client.query(
        "SELECT name FROM system.tables WHERE database = {d:String} AND name = {n:String}",
        {"d": "watchhouse", "n": "logs"},
    )
    assert rows.result_rows == [("logs",)]
    assert client.query("SELECT {a:Array(String)}", {"a": ["it's", "a\\b"]}).result_rows == [(["it's", "a\\b"],)]


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE logs",
        "INSERT INTO logs (body) VALUES ('x')",
        "INSERT INTO logs (body) FORMAT TabSeparated\nx\n",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SET readonly = 0",
        "SYSTEM SHUTDOWN",
        "SELECT 'x' INTO OUTFILE '/dev/shm/watchhouse-must-not-be'",
        "SELECT file('/etc/hostname')",
        "SELECT `file`('/etc/hostname')",
        "SELECT/**/file/**/('/etc/hostname')",
        "SELECT catboostEvaluate('/etc/hostname', 1)",
        "DESCRIBE TABLE url('http://127.0.0.1:1/', 'CSV')",
        "DESCRIBE TABLE file('/etc/hostname')",
        "KILL QUERY WHERE 1",
        "EXPLAIN SELECT file('/etc/hostname')",
    ],
)
def test_clickhouse_can_only_be_read(service: ServiceProcess, statement: str) -> None:
    """Whatever would write, reach files or reach the network is refused."""
    answer = httpx.post(f"{service.url}/clickhouse", params={"database": "watchhouse"}, content=statement.encode())
    assert answer.status_code in (400, 403)
    assert "X-ClickHouse-Exception-Code" in answer.headers


@pytest.mark.parametrize(
    "statement",
    ["SELECT 1", "SHOW TABLES", "DESCRIBE TABLE logs", "WITH 1 AS x SELECT x", "SELECT 'file(x)'", "EXISTS logs"],
)
def test_clickhouse_takes_questions(service: ServiceProcess, statement: str) -> None:
    """What only reads tables is answered, whatever words stand in its texts."""
    answer = httpx.post(f"{service.url}/clickhouse", params={"database": "watchhouse"}, content=statement.encode())
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "rebound.example:9470"}])
def test_pages_of_other_sites_reach_nothing(service: ServiceProcess, headers: dict[str, str]) -> None:
    """While loopback is the only protection, a browser on this machine is no way in."""
    for path in ("/clickhouse?query=SELECT+1", "/api/v1/query?query=1", "/-/reload"):
        assert httpx.post(service.url + path, headers=headers).status_code == 403
    assert httpx.get(f"{service.url}/api/v1/query?query=1", headers={"Origin": service.url}).status_code == 200


def test_metadata_alone_is_kept(service: ServiceProcess) -> None:
    """Prometheus sends what its metrics are in requests without samples."""
    request = prompb.WriteRequest()
    request.metadata.add(type=1, metric_family_name="orders_total", help="Orders.", unit="")
    body = bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    assert httpx.post(f"{service.url}/api/v1/write", content=body, headers=headers).status_code == 204
    found = httpx.get(f"{service.url}/api/v1/metadata", params={"metric": "orders_total"}).json()["data"]
    assert found == {"orders_total": [{"type": "counter", "help": "Orders.", "unit": ""}]}


def test_native_histograms_are_taken_and_asked_for(service: ServiceProcess) -> None:
    """Of a request with a bad histogram the rest is kept and the bad one named; the kept can be asked for at once."""
    request = prompb.WriteRequest()
    now_ms = int(time.time() * 1000)
    spans = [prompb.BucketSpan(offset=0, length=2)]
    for pod, schema in (("a", 0), ("b", -7)):
        entry = request.timeseries.add()
        for name, value in (("__name__", "latency_native"), ("pod", pod)):
            entry.labels.add(name=name.encode(), value=value.encode())
        entry.histograms.add(
            count_int=3, sum=4.5, schema=schema, positive_spans=spans, positive_deltas=[1, 1], timestamp=now_ms
        )
    body = bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    answer = httpx.post(f"{service.url}/api/v1/write", content=body, headers=headers)
    assert answer.status_code == 400
    assert 'native histogram of {__name__="latency_native", pod="b"}: its schema is -7' in answer.text
    found = httpx.get(f"{service.url}/api/v1/query", params={"query": "latency_native"}).json()["data"]["result"]
    assert [(s["metric"], s["histogram"][1]) for s in found] == [
        (
            {"__name__": "latency_native", "pod": "a"},
            {"count": "3", "sum": "4.5", "buckets": [[0, "0.5", "1", "1"], [0, "1", "2", "2"]]},
        )
    ]


def test_samples_of_no_time_we_keep_are_told(service: ServiceProcess) -> None:
    """What is older than the retention, or far ahead, gets 400 with the number; the rest is kept."""
    request = prompb.WriteRequest()
    now_ms = int(time.time() * 1000)
    for name, at_ms in (("far", 2**62), ("old", 1000), ("kept_one", now_ms)):
        entry = request.timeseries.add()
        entry.labels.add(name=b"__name__", value=name.encode())
        entry.samples.add(timestamp=at_ms, value=1.0)
    body = bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    answer = httpx.post(f"{service.url}/api/v1/write", content=body, headers=headers)
    assert answer.status_code == 400
    assert "2 samples not taken" in answer.text
    assert httpx.get(f"{service.url}/api/v1/query", params={"query": "kept_one"}).json()["data"]["result"]


def test_a_statement_that_hangs_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    """SIGTERM ends the process within 10 s, whatever runs in the store."""
    with ServiceProcess(tmp_path, {"limits": {"query_concurrency": 2}}) as service:
        slow = b"SELECT count() FROM numbers(1000000000000)"

        def ask() -> None:
            with contextlib.suppress(httpx.HTTPError):
                httpx.post(f"{service.url}/clickhouse", content=slow, timeout=60)

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(1)  # by then both are under way, and the gate has no room left to ask by
        _, seconds = service.stop()
        assert seconds < 10


def test_clickhouse_errors_keep_their_code(service: ServiceProcess) -> None:
    """A wrong statement gives ClickHouse's own code and words."""
    answer = httpx.get(f"{service.url}/clickhouse", params={"query": "SELECT nothing FROM nowhere"})
    assert answer.status_code == 400
    assert answer.headers["X-ClickHouse-Exception-Code"] == "60"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"\xff\xff", {"Content-Encoding": "snappy"}, 400),
        (b"", {"Content-Encoding": "gzip"}, 415),
        (b"", {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v3.Request"}, 415),
        (b"", {"Content-Type": "application/json"}, 415),
    ],
)
def test_remote_write_refuses_what_it_cannot_read(
    service: ServiceProcess, body: bytes, headers: dict[str, str], status: int
) -> None:
    """Each kind of unreadable request gets the status its sender understands."""
    sent = {"Content-Type": "application/x-protobuf", **headers}
    assert httpx.post(f"{service.url}/api/v1/write", content=body, headers=sent).status_code == status


def test_a_body_over_the_limit_is_refused(tmp_path: Path) -> None:
    """A body larger than limits.max_body_bytes gets 413 and the limit's name."""
    with ServiceProcess(tmp_path, {"limits": {"max_body_bytes": "1KiB"}}) as service:
        answer = httpx.post(f"{service.url}/api/v1/write", content=bytes(2000))
        assert answer.status_code == 413
        assert "limits.max_body_bytes = 1024" in answer.text


def test_tokens_open_what_their_roles_say(tmp_path: Path) -> None:
    """Without a token 401, with the wrong role 403, with the right one the answer; health is open."""
    tokens = []
    for role in ("ingest", "query", "admin"):
        (tmp_path / role).write_text(f"secret-{role}\n")
        tokens.append({"name": role, "token_file": role, "roles": [role]})
    with ServiceProcess(tmp_path, {"auth": {"tokens": tokens}}) as service:

        def status(method: str, path: str, role: str | None) -> int:
            headers = {"Authorization": f"Bearer secret-{role}"} if role else {}
            return httpx.request(method, service.url + path, headers=headers).status_code

        assert status("GET", "/-/healthy", None) == 200
        assert status("GET", "/api/v1/slos", None) == 401
        assert status("GET", "/api/v1/slos", "nobody") == 401
        assert status("GET", "/api/v1/slos", "ingest") == 403
        assert status("GET", "/api/v1/slos", "query") == 200
        assert status("POST", "/api/v1/write", "query") == 403
        assert status("POST", "/api/v1/write", "ingest") == 400
        assert status("POST", "/-/reload", "query") == 403
        assert status("POST", "/-/reload", "admin") == 200
        assert status("POST", "/api/v2/alerts", "query") == 403
        assert (
            "secret-"
            not in httpx.get(
                f"{service.url}/api/v1/status/config", headers={"Authorization": "Bearer secret-query"}
            ).text
        )


def test_a_taken_port_ends_the_start_with_the_setting_to_change(tmp_path: Path) -> None:
    """The message names address and setting; there is no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for setting, config in (
            ("http.listen", {"http": {"listen": f"127.0.0.1:{port}"}}),
            (
                "receivers.fluent_forward.listen",
                {"receivers": {"otlp": None, "fluent_forward": {"listen": f"127.0.0.1:{port}"}}},
            ),
        ):
            service = ServiceProcess(tmp_path / setting, config)
            with pytest.raises(AssertionError) as caught:
                service.start()
            assert f"127.0.0.1:{port} is taken by another process; change {setting}" in str(caught.value)
            assert "Traceback" not in str(caught.value)


def test_a_second_process_on_one_store_is_told_so(tmp_path: Path) -> None:
    """Two processes cannot share an embedded store; the second says which folder it is."""
    with ServiceProcess(tmp_path):
        second = ServiceProcess(
            tmp_path / "second", {"data_dir": str(tmp_path / "data"), "http": {"listen": f"127.0.0.1:{free_port()}"}}
        )
        with pytest.raises(AssertionError, match="cannot be opened"):
            second.start()


def test_sigterm_ends_it_within_seconds(tmp_path: Path) -> None:
    """An idle service stops at once, with status 0."""
    with ServiceProcess(tmp_path) as service:
        status, seconds = service.stop()
    assert status == 0
    assert seconds < 5


def test_the_engine_is_held_to_its_memory_limit(tmp_path: Path) -> None:
    """A statement that wants more than store.memory_limit is refused; the service goes on."""
    with ServiceProcess(tmp_path, {"store": {"memory_limit": "600MiB"}}) as service:
        assert service.process is not None
        idle = memory_mib(service.process.pid, "VmRSS")
        greedy = "SELECT length(groupArray(number)) FROM numbers(400000000)"
        answer = httpx.post(f"{service.url}/clickhouse", content=greedy.encode(), timeout=60)
        assert answer.headers["X-ClickHouse-Exception-Code"] == "241"
        assert "600.00 MiB" in answer.text
        # the statement wanted more than 3 GiB; the engine looks at what it holds now and then, not at each page
        assert memory_mib(service.process.pid, "VmHWM") < idle + 900
        assert service.clickhouse("SELECT 1") == "1"


def memory_mib(pid: int, field: str) -> int:
    """A figure of a process's memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(field))
