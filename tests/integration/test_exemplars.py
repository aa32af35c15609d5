"""Exemplars from a sender to an answer, over real sockets, and beside a real Prometheus."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cramjam
import httpx
import numpy as np
import pytest
import yaml

from app.config import Limits
from app.labels import Labels
from app.store.client import Pool
from ingest import prompb
from ingest.batch import MetricBatch
from ingest.exemplars import Exemplars
from ingest.writer import Writer
from tests.integration.prometheus_peer import prometheus_binary, wait_ready
from tests.integration.promql_world import series, serving
from tests.integration.scrape_site import Site, site
from tests.integration.service import ServiceProcess
from tests.integration.test_scrape import loop_for
from tests.ports import free_port

__all__ = ["site"]
T0 = 1_700_000_000_000
OPENMETRICS = "application/openmetrics-text"
One = tuple[int, float, Mapping[str, str]]


async def write(pool: Pool, data: Mapping[Labels, list[One]], repeat: int = 1) -> None:
    """Keeps exemplars by series, through as many writers that know nothing of each other."""
    for _ in range(repeat):
        writer = Writer(pool, Limits())
        await writer.start()
        index, found = writer.series.current, Exemplars()
        for labels, exemplars in data.items():
            for ts_ms, value, own in exemplars:
                found.add(index.ref(labels), ts_ms, value, own.items())
        nothing = (np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0))
        await writer.write_metrics(MetricBatch(index, *nothing, exemplars=found.rows()))
        await writer.stop()


def ask(url: str, query: str, **params: Any) -> Any:
    """The data of a successful answer, the same for GET and POST."""
    wanted = {"query": query, **params}
    got, posted = (
        httpx.request(method, f"{url}/api/v1/query_exemplars", **{where: wanted}, timeout=30).json()  # type: ignore[arg-type]
        for method, where in (("GET", "params"), ("POST", "data"))
    )
    assert got == posted
    assert got["status"] == "success", got
    return got["data"]


def answer(url: str, **params: Any) -> tuple[int, Any]:
    """(status, document) of an answer."""
    got = httpx.get(f"{url}/api/v1/query_exemplars", params=params)
    return got.status_code, got.json()


def error(url: str, **params: Any) -> tuple[int, str, str]:
    """(status, errorType, error) of a refusal."""
    status, body = answer(url, **params)
    return status, body["errorType"], body["error"]


@pytest.fixture
async def url(embedded_pool: Pool) -> Any:
    """The API over exemplars of some series, each kept twice, as after a request that was sent again."""
    a = {"trace_id": "a"}
    data: dict[Labels, list[One]] = {
        series("lat_bucket", le="1", job="x"): [(T0 + 2000, 0.5, a), (T0 + 1000, 0.25, {"trace_id": "b", "n": "ü"})],
        series("lat_bucket", le="+Inf", job="x"): [(T0 + 1500, 7.0, a), (T0 + 1500, 7.0, {}), (T0 + 1500, 6.0, a)],
        series("lat_bucket", le="1", job="y"): [(T0 + 479, float("inf"), a)],
        series("done_total", job="x"): [(T0, 1e21, a)],
    }
    await write(embedded_pool, data, repeat=2)
    with serving(embedded_pool) as base:
        yield base


async def test_the_answer_has_the_shape_of_prometheus(url: str) -> None:
    """By series in the order of their labels, then by time; an exemplar that was kept twice is one."""
    span = {"start": T0 / 1000, "end": T0 / 1000 + 3}
    assert ask(url, 'lat_bucket{job=~"x|y"}', **span) == [
        {
            "seriesLabels": {"__name__": "lat_bucket", "job": "x", "le": "+Inf"},
            "exemplars": [
                {"labels": {"trace_id": "a"}, "value": "6", "timestamp": 1700000001.5},
                {"labels": {}, "value": "7", "timestamp": 1700000001.5},
                {"labels": {"trace_id": "a"}, "value": "7", "timestamp": 1700000001.5},
            ],
        },
        {
            "seriesLabels": {"__name__": "lat_bucket", "job": "x", "le": "1"},
            "exemplars": [
                {"labels": {"n": "ü", "trace_id": "b"}, "value": "0.25", "timestamp": 1700000001},
                {"labels": {"trace_id": "a"}, "value": "0.5", "timestamp": 1700000002},
            ],
        },
        {
            "seriesLabels": {"__name__": "lat_bucket", "job": "y", "le": "1"},
            "exemplars": [{"labels": {"trace_id": "a"}, "value": "+Inf", "timestamp": 1700000000.479}],
        },
    ]


def found(data: Any) -> list[tuple[str, list[str]]]:
    """(metric and job of a series, values of its exemplars)."""
    names = [(one["seriesLabels"]["__name__"], one["seriesLabels"].get("job", "")) for one in data]
    return [(" ".join(name), [e["value"] for e in one["exemplars"]]) for name, one in zip(names, data, strict=True)]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("done_total", ["done_total x"]),
        ('{job="y"}', ["lat_bucket y"]),
        ('sum(rate(done_total[5m] offset 1d)) / on() sum(lat_bucket{job="y"} @ 0)', ["done_total x", "lat_bucket y"]),
        ('histogram_quantile(0.9, sum by (le) (rate(lat_bucket{le="1",job="x"}[1h:1m])))', ["lat_bucket x"]),
        ("done_total + done_total", ["done_total x"]),
        ('topk(scalar(done_total), lat_bucket{job="y"})', ["done_total x", "lat_bucket y"]),
        ('lat_bucket{job="y" or le="none"}', ["lat_bucket y"]),
        ("absent_total", []),
        ("1 + 2", []),
        ("time()", []),
    ],
)
async def test_every_selector_of_the_query_is_taken(url: str, query: str, wanted: list[str]) -> None:
    """Offsets, ranges, subqueries and @ have no say; without an end everything is in the span."""
    assert [name for name, _ in found(ask(url, query))] == wanted


async def test_both_ends_are_in_the_span(url: str) -> None:
    """Times are seconds or RFC 3339."""
    assert found(ask(url, 'lat_bucket{job="x",le="1"}', start="2023-11-14T22:13:21Z", end=1700000002)) == [
        ("lat_bucket x", ["0.25", "0.5"])
    ]
    assert found(ask(url, 'lat_bucket{job="x",le="1"}', start=1700000001.001)) == [("lat_bucket x", ["0.5"])]
    assert found(ask(url, 'lat_bucket{job="x",le="1"}', end=1700000001.999)) == [("lat_bucket x", ["0.25"])]
    assert found(ask(url, "done_total", start=1700000000, end=1700000000)) == [("done_total x", ["1e+21"])]


async def test_what_grafana_asks_at_start_is_answered(url: str) -> None:
    """It asks for `test` with times in milliseconds, and takes a success for support."""
    assert ask(url, "test", start=str(T0), end=str(T0 + 1_800_000)) == []


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"query": "m", "start": 2, "end": 1}, "end timestamp must not be before start timestamp"),
        ({"query": "m", "start": "then"}, 'invalid parameter "start": cannot parse "then" to a valid timestamp'),
        ({"query": "m["}, 'invalid parameter "query"'),
        ({}, 'invalid parameter "query"'),
    ],
)
async def test_refusals_are_those_of_prometheus(url: str, params: dict[str, Any], reason: str) -> None:
    """400 bad_data, with what is wrong."""
    status, kind, message = error(url, **params)
    assert (status, kind) == (400, "bad_data")
    assert message.startswith(reason)


async def test_of_too_many_the_newest_are_given(embedded_pool: Pool) -> None:
    """And a warning says by which limit."""
    await write(embedded_pool, {series("m"): [(T0 + i, float(i), {"i": str(i)}) for i in range(10)]})
    with serving(embedded_pool, Limits(query_max_exemplars=3)) as url:
        body = answer(url, query="m")[1]
        assert found(body["data"]) == [("m ", ["7", "8", "9"])]
        assert body["warnings"] == ["only the newest 3 exemplars are given (limits.query_max_exemplars)"]
    with serving(embedded_pool, Limits(query_max_exemplars=10)) as url:
        body = answer(url, query="m")[1]
        assert len(body["data"][0]["exemplars"]) == 10
        assert "warnings" not in body


async def test_exemplars_of_a_scraped_page(site: Site, embedded_pool: Pool, writer: Writer) -> None:
    """Over pages whose exemplars stay, move, come and go, each is kept once and with its own time, else the scrape's;
    a page whose batch found no room costs none that is still there."""
    site.content_type = OPENMETRICS
    pages = [
        'lat_bucket{le="1"} 1 # {trace_id="a"} 0.5 1700000000.5\ndone_total 1 # {trace_id="u"} 1\nplain 1\n',
        'lat_bucket{le="1"} 2 # {trace_id="a"} 0.5 1700000000.5\ndone_total 2 # {trace_id="u"} 1\nplain 2\n',
        'lat_bucket{le="1"} 3 # {trace_id="b"} 0.25 1700000001.5\ndone_total 3\nplain 3\n',
        'lat_bucket{le="1"} 3 # {trace_id="b"} 0.25 1700000001.5\ndone_total 4 # {trace_id="v"} 2\n'
        "plain 4 # {} 9 1700000003\n",
    ]
    async with loop_for(writer, site.address) as loop:
        for n, page in enumerate(pages):
            site.page = page + "# EOF\n"
            await loop.scrape_once(T0 + n * 1000)
            assert loop.health.up
    await writer.stop()
    assert embedded_pool.command("SELECT count() FROM metric_exemplars") == 5
    with serving(embedded_pool) as url:
        all_series = ask(url, '{job="j"}')
    exemplars = {
        one["seriesLabels"]["__name__"]: [
            (e["timestamp"], e["value"], e["labels"].get("trace_id")) for e in one["exemplars"]
        ]
        for one in all_series
    }
    assert exemplars == {
        "lat_bucket": [(1700000000.5, "0.5", "a"), (1700000001.5, "0.25", "b")],
        "done_total": [(1700000000, "1", "u"), (1700000003, "2", "v")],
        "plain": [(1700000003, "9", None)],
    }
    assert all(one["seriesLabels"]["instance"] == site.address for one in all_series)


async def test_a_page_that_found_no_room_is_made_up_for(site: Site, embedded_pool: Pool) -> None:
    """Exemplars of a batch that was lost are kept with the next, while the page still has them."""
    writer = Writer(embedded_pool, Limits())
    await writer.start()
    site.content_type = OPENMETRICS
    async with loop_for(writer, site.address, limits=Limits(ingest_queue_rows=8)) as loop:
        for n in range(2):
            site.page = f'm_total {n} # {{trace_id="{n}"}} {n} 170000000{n}\n# EOF\n'
            await loop.scrape_once(T0 + n * 1000)  # the second finds the first one's rows in its way
        loop._collector.flush()
        await loop.scrape_once(T0 + 2000)
    await writer.stop()
    with serving(embedded_pool) as url:
        assert found(ask(url, "m_total")) == [("m_total j", ["0", "1"])]


def sent(*rows: tuple[str, dict[str, str], list[tuple[int, float]], list[One]]) -> bytes:
    """A remote write body."""
    request = prompb.WriteRequest()
    for name, labels, samples, exemplars in rows:
        entry = request.timeseries.add()
        for key, value in {"__name__": name, **labels}.items():
            entry.labels.add(name=key.encode(), value=value.encode())
        for ts_ms, number in samples:
            entry.samples.add(timestamp=ts_ms, value=number)
        for ts_ms, number, own in exemplars:
            pairs = [{"name": key.encode(), "value": value.encode()} for key, value in own.items()]
            entry.exemplars.add(timestamp=ts_ms, value=number, labels=pairs)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


def test_exemplars_by_remote_write(tmp_path: Path) -> None:
    """They are there when the request is answered, once however often it is sent; too long or old ones cost it nothing
    and are counted."""
    now_ms = time.time_ns() // 1_000_000
    a = {"trace_id": "a"}
    body = sent(
        ("rw_total", {"pod": "1"}, [(now_ms, 1.0)], [(now_ms - 5, 0.5, a), (now_ms - 4, 0.75, a)]),
        ("rw_total", {"pod": "2"}, [(now_ms, 2.0)], [(now_ms, 1.0, {"trace_id": "x" * 128}), (1000, 1.0, a)]),
        ("rw_total", {"pod": "3"}, [], [(now_ms, 3.0, {})]),
    )
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    with ServiceProcess(tmp_path) as service:
        for _ in range(2):
            posted = httpx.post(f"{service.url}/api/v1/write", content=body, headers=headers, timeout=30)
            assert posted.status_code == 204, posted.text
            assert [(one["seriesLabels"]["pod"], one["exemplars"]) for one in ask(service.url, "rw_total")] == [
                (
                    "1",
                    [
                        {"labels": a, "value": "0.5", "timestamp": (now_ms - 5) / 1000},
                        {"labels": a, "value": "0.75", "timestamp": (now_ms - 4) / 1000},
                    ],
                ),
                ("3", [{"labels": {}, "value": "3", "timestamp": now_ms / 1000}]),
            ]
        metrics = httpx.get(f"{service.url}/metrics").text
        assert 'watchhouse_dropped_exemplars_total{reason="too_long"} 2.0' in metrics
        assert 'watchhouse_dropped_exemplars_total{reason="out_of_bounds"} 2.0' in metrics
        result = httpx.get(f"{service.url}/api/v1/query", params={"query": "rw_total"}).json()["data"]["result"]
        assert sorted(one["value"][1] for one in result) == ["1", "2"]


async def until(what: Callable[[], Any], seconds: float = 30) -> Any:
    """What `what` gives as soon as it is true. Fails when it is not within `seconds`."""
    async with asyncio.timeout(seconds):
        while not (found := await asyncio.to_thread(what)):
            await asyncio.sleep(0.1)
    return found


@pytest.fixture
def peers(site: Site, tmp_path: Path) -> Iterator[tuple[ServiceProcess, str]]:
    """(Watchhouse, the URL of a Prometheus): both scrape the site, and Prometheus writes to Watchhouse too."""
    scrape = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "static_configs": [{"targets": [site.address]}]}
    config = {"scrape": {"scrape_configs": [{"job_name": "scraped", **scrape}]}}
    address = f"127.0.0.1:{free_port()}"
    with ServiceProcess(tmp_path / "watchhouse", config) as service:
        remote = {"url": f"{service.url}/api/v1/write", "send_exemplars": True}
        theirs = {"scrape_configs": [{"job_name": "written", **scrape}], "remote_write": [remote]}
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(theirs))
        command = [prometheus_binary(), f"--config.file={tmp_path}/prometheus.yml", f"--web.listen-address={address}"]
        command += [f"--storage.tsdb.path={tmp_path}/data", "--enable-feature=exemplar-storage"]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_ready(f"http://{address}", process, tmp_path / "log")
            yield service, f"http://{address}"
        finally:
            process.terminate()
            process.wait(20)


async def test_a_prometheus_beside_us_has_the_same(site: Site, peers: tuple[ServiceProcess, str]) -> None:
    """What a Prometheus makes of the pages both scrape, and what it writes to us, is what we answer."""
    service, theirs = peers
    site.content_type = OPENMETRICS
    began = time.time() - 100
    for n in range(4):
        at = f"{began + n:.3f}"
        site.page = (
            "# TYPE lat histogram\n"
            f'lat_bucket{{le="1"}} {n + 1} # {{trace_id="fast-{n}",span_id="{n // 2}"}} 0.{n + 1}5 {at}\n'
            f'lat_bucket{{le="+Inf"}} {2 * n + 2} # {{trace_id="slow-{n // 2}"}} {n // 2}e3\n'
            f"lat_count {2 * n + 2}\nlat_sum {n}\n"
            f'# TYPE done counter\ndone_total {n} # {{trace_id="ü}} # {{",a="b"}} 1 {at}\n# EOF\n'
        )

        def newest(url: str, n: int = n) -> bool:
            return f'"fast-{n}"' in httpx.get(f"{url}/api/v1/query_exemplars", params={"query": "lat_bucket"}).text

        await until(lambda: newest(theirs))
        await until(lambda: newest(service.url))
    query = 'histogram_quantile(0.9, rate(lat_bucket[1m])) + on() group_left() rate(done_total{job!=""}[1m])'
    wanted = [_bare(one) for one in ask(theirs, query)]
    assert sum(len(exemplars) for _, exemplars in wanted) == 4 + 2 + 4
    for job in ("written", "scraped"):
        mine = [_bare(one) for one in await until(functools.partial(_complete, service.url, query, job))]
        assert mine == wanted


def _complete(url: str, query: str, job: str) -> Any:
    # by GET alone: between two questions another exemplar may arrive
    answer = httpx.get(f"{url}/api/v1/query_exemplars", params={"query": query}, timeout=30).json()
    found = [one for one in answer["data"] if one["seriesLabels"]["job"] == job]
    return found if sum(len(one["exemplars"]) for one in found) >= 10 else None


def _bare(one: Any) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    """A series without its job, and its exemplars, without the times of those that are of their scrape."""
    labels = {key: value for key, value in one["seriesLabels"].items() if key != "job"}
    timed = labels.get("le") != "+Inf"
    return labels, [(e["labels"], e["value"], e["timestamp"] if timed else None) for e in one["exemplars"]]
