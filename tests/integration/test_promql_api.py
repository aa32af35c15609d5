"""Prometheus's HTTP API over a real socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any

import cramjam
import httpx
import pytest

from app.config import Limits
from app.query.promql.engine import PromQLEngine
from app.query.result import QueryResult
from app.store.client import Pool
from app.store.metrics import Metadata, insert_metadata
from tests.integration.promql_world import put, series, serving

T0 = 1_700_000_000_000


@pytest.fixture
def api(embedded_pool: Pool) -> Iterator[httpx.Client]:
    """A client of the API over four series of two metrics."""
    points = [(T0 + i * 15_000, float(i * 3)) for i in range(60)]
    put(
        embedded_pool,
        {
            series("http_requests_total", code="200", path="/a"): points,
            series("http_requests_total", code="500", path="/a"): points,
            series("http_requests_total", code="200", **{"path.utf8": "ü"}): points,
            series("up", job="api"): [(t, 1.0) for t, _ in points],
        },
    )
    insert_metadata(embedded_pool, [Metadata("http_requests_total", "counter", "", "Requests.")])
    with serving(embedded_pool) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def ok(answer: httpx.Response) -> Any:
    """The data of a successful answer."""
    body = answer.json()
    assert answer.status_code == 200, body
    assert body["status"] == "success"
    return body["data"]


def error(answer: httpx.Response) -> tuple[int, str, str]:
    """(status, errorType, error) of a refusal."""
    body = answer.json()
    assert body["status"] == "error"
    return answer.status_code, body["errorType"], body["error"]


def test_an_instant_query_answers_a_vector(api: httpx.Client) -> None:
    """GET and POST give the same vector, values as strings and the time of evaluation beside them."""
    params = {"query": 'sum by (code) (http_requests_total{path="/a"})', "time": "1700000100.5"}
    got = ok(api.get("/api/v1/query", params=params))
    assert got == {
        "resultType": "vector",
        "result": [
            {"metric": {"code": "200"}, "value": [1700000100.5, "18"]},
            {"metric": {"code": "500"}, "value": [1700000100.5, "18"]},
        ],
    }
    assert ok(api.post("/api/v1/query", data=params)) == got


def test_a_range_query_answers_a_matrix(api: httpx.Client) -> None:
    """Times may be RFC 3339 and the step a duration; steps without a sample are left out."""
    got = ok(
        api.get(
            "/api/v1/query_range",
            params={"query": "up", "start": "2023-11-14T22:13:00Z", "end": "2023-11-14T22:14:00Z", "step": "20s"},
        )
    )
    assert got["resultType"] == "matrix"
    assert got["result"] == [
        {"metric": {"__name__": "up", "job": "api"}, "values": [[t, "1"] for t in (1700000000, 1700000020, 1700000040)]}
    ]


def test_grafana_health_check_at_the_epoch(api: httpx.Client) -> None:
    """A constant is answered at any time, whatever the store holds, and in the year 2096 too."""
    assert ok(api.get("/api/v1/query", params={"query": "1+1", "time": 4})) == {
        "resultType": "scalar",
        "result": [4, "2"],
    }
    assert ok(api.get("/api/v1/query", params={"query": "vector(1)", "time": 4000000000}))["result"]
    assert ok(api.get("/api/v1/query", params={"query": "up", "time": 9.1e14}))["result"] == []


def test_a_range_selector_alone_answers_raw_samples(api: httpx.Client) -> None:
    """An instant query of a range selector gives the samples at their own times."""
    got = ok(api.get("/api/v1/query", params={"query": "up[31s]", "time": 1700000030}))
    assert got["result"][0]["values"] == [[1700000000, "1"], [1700000015, "1"], [1700000030, "1"]]


@pytest.mark.parametrize(
    ("path", "params", "status", "kind", "says"),
    [
        ("query", {"query": "up{"}, 400, "bad_data", "unexpected"),
        ("query", {"query": ""}, 400, "bad_data", "query"),
        ("query", {"query": "up", "time": "yesterday"}, 400, "bad_data", 'cannot parse "yesterday"'),
        ("query", {"query": "start_timestamp(up)"}, 400, "bad_data", 'function "start_timestamp" is not supported yet'),
        ("query", {"query": "up + on() http_requests_total", "time": 1700000060}, 422, "execution", "duplicate series"),
        ("query_range", {"query": "up", "start": 0, "end": 1}, 400, "bad_data", "step"),
        ("query_range", {"query": "up", "start": 0, "end": 1, "step": 0}, 400, "bad_data", "zero or negative"),
        ("query_range", {"query": "up", "start": 2, "end": 1, "step": 1}, 400, "bad_data", "before start"),
        ("query_range", {"query": "up", "start": 0, "end": 20000, "step": 1}, 400, "bad_data", "11,000 points"),
        ("query_range", {"query": "up[1m]", "start": 0, "end": 1, "step": 1}, 400, "bad_data", "range vector"),
        ("series", {}, 400, "bad_data", "match[]"),
        ("series", {"match[]": "rate(up[1m])"}, 400, "bad_data", "selector"),
        ("labels", {"limit": "many"}, 400, "bad_data", "limit"),
    ],
)
def test_what_is_wrong_is_refused_in_prometheus_shape(
    api: httpx.Client, path: str, params: dict[str, Any], status: int, kind: str, says: str
) -> None:
    """A wrong query or parameter has Prometheus's status, error type and a message that says what is wrong."""
    got = error(api.get(f"/api/v1/{path}", params=params))
    assert got[:2] == (status, kind)
    assert says in got[2]


def test_series_labels_and_values(api: httpx.Client) -> None:
    """Browsing sees every series, is narrowed by match[] and time, and says when a limit cut it."""
    assert len(ok(api.get("/api/v1/series", params={"match[]": ["up", 'http_requests_total{code="500"}']}))) == 2
    assert ok(api.get("/api/v1/labels")) == ["__name__", "code", "job", "path", "path.utf8"]
    assert ok(api.post("/api/v1/labels", data={"match[]": "up"})) == ["__name__", "job"]
    assert ok(api.get("/api/v1/label/__name__/values")) == ["http_requests_total", "up"]
    assert ok(api.get("/api/v1/label/code/values", params={"match[]": '{path="/a"}'})) == ["200", "500"]
    assert ok(api.get("/api/v1/label/U__path_2e_utf8/values")) == ["ü"]
    assert ok(api.get("/api/v1/label/code/values", params={"start": 1800000000})) == []
    cut = api.get("/api/v1/label/code/values", params={"limit": 1}).json()
    assert cut["data"] == ["200"]
    assert cut["warnings"] == ["results truncated due to limit"]


def test_a_limit_cuts_a_query_and_says_so(api: httpx.Client) -> None:
    """`limit` leaves the first series and a warning."""
    body = api.get("/api/v1/query", params={"query": "http_requests_total", "time": 1700000100, "limit": 2}).json()
    assert len(body["data"]["result"]) == 2
    assert body["warnings"] == ["results truncated due to limit"]


@pytest.mark.parametrize(
    ("asked", "given"), [("gzip", "gzip"), ("gzip;q=0, zstd", "zstd"), ("br, gzip, zstd", "zstd"), ("br, gzip;q=0", "")]
)
def test_large_answers_are_compressed_as_asked_for(api: httpx.Client, asked: str, given: str) -> None:
    """gzip and zstd for those who take them; what is unpacked is what is sent to those who do not."""
    params: dict[str, Any] = {"query": "http_requests_total", "start": T0 // 1000, "end": T0 // 1000 + 900, "step": 1}
    plain = api.get("/api/v1/query_range", params=params, headers={"Accept-Encoding": "identity"})
    assert len(plain.content) > 10_000
    with api.stream("GET", "/api/v1/query_range", params=params, headers={"Accept-Encoding": asked}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers.get("content-encoding", "") == given
    unpack: Any = {"gzip": cramjam.gzip.decompress, "zstd": cramjam.zstd.decompress, "": bytes}[given]
    assert bytes(unpack(raw)) == plain.content
    assert not given or len(raw) < len(plain.content) / 3
    small = api.get("/api/v1/query", params={"query": "1"}, headers={"Accept-Encoding": asked})
    assert "content-encoding" not in small.headers


def test_statistics_come_when_asked_for(api: httpx.Client) -> None:
    """`stats` adds timings and samples in Prometheus's shape; a value that is none of its two is warned of."""
    params = {"query": "http_requests_total", "time": "1700000100"}
    assert "stats" not in ok(api.get("/api/v1/query", params=params))
    stats = ok(api.get("/api/v1/query", params={**params, "stats": "all"}))["stats"]
    assert stats["samples"]["samplesRead"] >= 3
    assert stats["samples"].keys() == {"totalQueryableSamples", "samplesRead", "peakSamples"}
    assert {"evalTotalTime", "execQueueTime", "execTotalTime", "innerEvalTime"} <= stats["timings"].keys()
    warned = api.get("/api/v1/query", params={**params, "stats": "yes"}).json()
    assert "stats" in warned["data"]
    assert 'value "yes" for parameter "stats" is deprecated' in warned["warnings"][0]


def test_metadata_and_what_grafana_asks_at_start(api: httpx.Client) -> None:
    """Metadata, build information without features, and exemplars, where there are none."""
    assert ok(api.get("/api/v1/metadata", params={"metric": "http_requests_total"})) == {
        "http_requests_total": [{"type": "counter", "help": "Requests.", "unit": ""}]
    }
    built = ok(api.get("/api/v1/status/buildinfo"))
    assert built["version"].startswith("3.")
    assert "features" not in built
    assert ok(api.get("/api/v1/query_exemplars", params={"query": "test", "start": 1, "end": 2})) == []


def test_a_query_is_formatted_and_parsed(api: httpx.Client) -> None:
    """format_query and parse_query answer GET and POST, and refuse what is no query."""
    assert ok(api.get("/api/v1/format_query", params={"query": "sum(up)by(job)"})) == "sum by (job) (up)"
    assert ok(api.post("/api/v1/format_query", data={"query": "up[60s:]"})) == "up[1m:]"
    assert ok(api.post("/api/v1/parse_query", data={"query": "1"})) == {"type": "numberLiteral", "val": "1"}
    for path in ("format_query", "parse_query"):
        assert error(api.get(f"/api/v1/{path}", params={"query": "sum("}))[:2] == (400, "bad_data")


def test_too_many_queries_are_refused_not_queued(embedded_pool: Pool) -> None:
    """With one running and one waiting, a third is refused with 429 and the limits' names; the others are answered."""
    limits = Limits(query_concurrency=1, query_queue=1)
    entered, release = threading.Semaphore(0), threading.Event()

    class Slow(PromQLEngine):
        def instant(self, *args: Any, **kwargs: Any) -> QueryResult:
            entered.release()
            release.wait(20)
            return super().instant(*args, **kwargs)

    with (
        serving(embedded_pool, limits, Slow(embedded_pool, limits)) as url,
        ThreadPoolExecutor(3) as threads,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        answers = [threads.submit(client.get, "/api/v1/query", params={"query": "1"}) for _ in range(3)]
        assert entered.acquire(timeout=20)
        refused = next(a for a in _completed(answers) if a.status_code == 429)
        release.set()
        statuses = sorted(a.result().status_code for a in answers)
    assert "limits.query_concurrency = 1" in refused.json()["error"]
    assert refused.headers["Retry-After"]
    assert statuses == [200, 200, 429]


def _completed(futures: list[Future[httpx.Response]]) -> Iterator[httpx.Response]:
    for future in as_completed(futures, timeout=20):
        yield future.result()
