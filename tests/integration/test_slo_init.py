"""`watchhouse slo init` against a server over a real socket: what it writes loads, and asks for what is there."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from app.commands.slo import init as slo_init
from app.store.client import Pool
from slo.files import check_slo, read_files
from slo.init.render import HOW_TO
from slo.spec import EventsSli, SloSpec
from slo.windows import load_windows
from tests.integration.promql_world import put, series, serving
from tests.integration.service import ServiceProcess

Init = Callable[..., Result]
STEP_MS, STEPS = 60_000, 120


def counters(pool: Pool) -> None:
    """Two hours of a shop with 1 % of errors and a histogram, a gRPC server without errors, a node and two probes."""
    end = int(time.time() * 1000) // STEP_MS * STEP_MS
    times = [end - k * STEP_MS for k in reversed(range(STEPS))]

    def rising(by: float) -> list[tuple[int, float]]:
        return [(at, by * k) for k, at in enumerate(times)]

    def flat(value: float) -> list[tuple[int, float]]:
        return [(at, value) for at in times]

    shop = {"job": "shop", "instance": "a:80"}
    put(
        pool,
        {
            series("http_requests_total", status="200", **shop): rising(990),
            series("http_requests_total", status="503", **shop): rising(10),
            series("http_requests_total", status="200", job='odd "job"'): rising(5),
            series("http_request_duration_seconds_count", **shop): rising(1000),
            **{
                series("http_request_duration_seconds_bucket", le=le, **shop): rising(count)
                for le, count in (("0.1", 900), ("0.25", 995), ("1.0", 1000), ("+Inf", 1000))
            },
            series("grpc_server_handled_total", grpc_code="OK", job="billing"): rising(2000),
            series("grpc_server_handled_total", grpc_code="NotFound", job="billing"): rising(10),
            series("up", **shop): flat(1),
            series("up", job="node", instance="b:9100"): flat(1),
            series("probe_success", job="probes", instance="https://example.com"): flat(1),
            series("probe_success", job="probes", instance="https://example.org"): flat(0),
            series("gin_requests_total", job="plain"): rising(1),
        },
    )


@pytest.fixture
def init(embedded_pool: Pool) -> Iterator[Init]:
    """Runs the command with arguments, against a server over the store."""
    app = typer.Typer()
    app.callback()(lambda: None)
    slo_init.register(app)
    with serving(embedded_pool) as url:
        yield lambda *arguments: CliRunner().invoke(app, ["init", "--url", url, *arguments])


def specs(path: Path) -> dict[str, SloSpec]:
    """What a written file says, by id."""
    return {spec.id: spec for spec in read_files([path], load_windows()).specs}


def test_what_is_there_becomes_a_file(init: Init, embedded_pool: Pool, tmp_path: Path) -> None:
    """Each service has what is known of it, with an objective that it keeps; check-config takes the file."""
    counters(embedded_pool)
    path = tmp_path / "slos.yml"
    written = init("--output", str(path), "--since", "1h")
    assert written.exit_code == 0, written.output
    assert written.output.startswith(f"{path}: 6 SLOs of 5 services")
    assert not [notice for notice in check_slo([path]) if "can never fire" not in str(notice)]
    found = specs(path)
    assert {spec_id: spec.objective for spec_id, spec in found.items()} == {
        "billing-availability": 99.9,
        "node-up": 98,
        "odd-job-availability": 99.5,
        "probes-reachable": 50,
        "shop-availability": 99,
        "shop-latency": 99.5,
    }
    assert found["probes-reachable"].grouping == ("instance",)
    assert [alert.name for alert in found["shop-availability"].alerts] == ["ShopAvailability"] * 2
    text = path.read_text()
    assert "# http_requests_total: of 60,000 in the last 1h 99 % were good." in text
    assert "# - gin_requests_total: no label code or status that would tell errors" in text


def test_its_queries_count_what_is_there(init: Init, embedded_pool: Pool, tmp_path: Path) -> None:
    """Every query of the file, over a window, gives a number, for the share of errors that was put in."""
    counters(embedded_pool)
    path = tmp_path / "slos.yml"
    assert init("--output", str(path)).exit_code == 0
    ratios = {}
    with serving(embedded_pool) as url, httpx.Client(base_url=url) as http:
        for spec_id, spec in specs(path).items():
            sli = spec.components[0].sli
            assert isinstance(sli, EventsSli)
            assert sli.bad is not None
            query = f"sum({sli.bad.text} or vector(0)) / sum({sli.total.text})".replace("{{.window}}", "1h")
            ((_, value),) = [
                r["value"] for r in http.get("/api/v1/query", params={"query": query}).json()["data"]["result"]
            ]
            ratios[spec_id] = float(value)
    assert ratios == pytest.approx(
        {
            "billing-availability": 0,
            "node-up": 0,
            "odd-job-availability": 0,
            "probes-reachable": 0.5,
            "shop-availability": 0.01,
            "shop-latency": 0.005,
        },
        abs=1e-6,
    )


def test_a_file_that_is_there_is_kept(init: Init, embedded_pool: Pool, tmp_path: Path) -> None:
    """Without --force nothing is written over; without --output the file goes to the terminal."""
    counters(embedded_pool)
    path = tmp_path / "slos.yml"
    path.write_text("mine\n")
    refused = init("--output", str(path))
    assert (refused.exit_code, path.read_text()) == (1, "mine\n")
    assert f"{path} is there already" in refused.stderr
    printed = init()
    assert printed.exit_code == 0
    assert init("--output", str(path), "--force").exit_code == 0
    first = specs(path)
    path.write_text(printed.output)
    assert list(specs(path)) == list(first)


def test_no_password_is_written(init: Init, embedded_pool: Pool) -> None:
    """Of the address the file says where it is, not who asked."""
    counters(embedded_pool)
    head = init("--since", "1h").output.splitlines()[0]
    address = head.rpartition(" ")[2].removesuffix(".")
    secret = init("--since", "1h", "--url", address.replace("http://", "http://me:hidden@"))
    assert secret.exit_code == 0
    assert address in secret.output
    assert "hidden" not in secret.output


def test_nothing_known_is_said(init: Init, embedded_pool: Pool, tmp_path: Path) -> None:
    """Without a known metric the command fails, says so, and shows how to write an SLO that loads."""
    put(embedded_pool, {series("own_total", job="a"): [(int(time.time() * 1000), 1.0)]})
    path = tmp_path / "slos.yml"
    failed = init("--output", str(path))
    assert (failed.exit_code, path.exists()) == (1, False)
    assert "No metric that `watchhouse slo init` knows is there" in failed.stderr
    example = failed.stderr[failed.stderr.index("version:") : failed.stderr.index("A query may")]
    path.write_text(example)
    assert list(specs(path)) == ["shop-availability"]


@pytest.mark.parametrize(("since", "says"), [("soon", "not a duration"), ("0", "must be above 0")])
def test_since_is_a_duration(init: Init, since: str, says: str) -> None:
    """Anything else is misuse."""
    wrong = init("--since", since)
    assert wrong.exit_code == 2
    assert says in wrong.stderr


def test_a_whole_service_has_an_slo_of_itself(tmp_path: Path) -> None:
    """A service that scrapes itself is asked by the real command; what it writes, it then serves as its SLOs."""
    service = ServiceProcess(tmp_path / "service", {"slo": {"files": [str(tmp_path / "slos.yml")]}})
    (tmp_path / "slos.yml").write_text(HOW_TO[HOW_TO.index("version:") : HOW_TO.index("A query may")])
    config = yaml.safe_load(service.config.read_text())
    target = {
        "job_name": "self",
        "scrape_interval": "1s",
        "static_configs": [{"targets": [f"127.0.0.1:{service.port}"]}],
    }
    service.config.write_text(yaml.safe_dump({**config, "scrape": {"scrape_configs": [target]}}))
    with service, httpx.Client(base_url=service.url, timeout=60) as http:
        wait_for(http, 'sum(increase(watchhouse_http_request_seconds_count{job="self"}[1h])) > 0')
        command = [sys.executable, "-c", "from app.cli import main; main()"]
        written = subprocess.run(
            [
                *command,
                "slo",
                "init",
                "--url",
                service.url,
                "--since",
                "1h",
                "--force",
                "-o",
                str(tmp_path / "slos.yml"),
            ],
            capture_output=True,
            text=True,
        )
        assert written.returncode == 0, written.stderr
    assert "self-availability" in specs(tmp_path / "slos.yml")
    checked = subprocess.run([*command, "check-config", str(service.config)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    with service, httpx.Client(base_url=service.url, timeout=60) as http:
        assert "self-availability" in [slo["id"] for slo in http.get("/api/v1/slos").json()["data"]]


def wait_for(http: httpx.Client, promql: str) -> None:
    """Waits until a query has an answer."""
    deadline = time.monotonic() + 30
    while not http.get("/api/v1/query", params={"query": promql}).json()["data"]["result"]:
        assert time.monotonic() < deadline, promql
