"""Remote write 2.0: what is kept, what a sender is told of it, and the content types of both versions."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import cramjam
import httpx
import pytest
from fastapi import FastAPI

from app.api.remote_write import MEDIA_TYPE, V1, V2, message_of, remote_write_endpoint
from app.config import Limits
from app.errors import Overloaded, StoreError, StoreUnavailable
from app.store.client import Pool
from ingest import prompb, prompb_v2
from ingest.batch import STALE_NAN, MetricBatch
from ingest.writer import Writer
from tests.integration.service import ServiceProcess
from tests.write_v2 import Series, body_of
from tests.write_v2 import message_of as request_of

HEADERS = {
    "Content-Type": f"{MEDIA_TYPE};proto={V2}",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "2.0.0",
    "User-Agent": "test",
}
TRACE = {"trace_id": "0af7651916cd43dd8448eb211c80319c"}
NOTHING = (0, 0, 0)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service with default settings."""
    with ServiceProcess(tmp_path_factory.mktemp("plain")) as running:
        yield running


def packed(body: bytes) -> bytes:
    """A body as it is sent."""
    return bytes(cramjam.snappy.compress_raw(body))


def send(service: ServiceProcess, body: bytes, **headers: str) -> httpx.Response:
    """The answer to a request of these uncompressed bytes."""
    return httpx.post(f"{service.url}/api/v1/write", content=packed(body), headers={**HEADERS, **headers})


def written(answer: httpx.Response) -> tuple[int, ...] | None:
    """(samples, histograms, exemplars) an answer says were written; None when it says nothing."""
    names = [f"X-Prometheus-Remote-Write-{what}-Written" for what in ("Samples", "Histograms", "Exemplars")]
    return tuple(int(answer.headers[name]) for name in names) if any(name in answer.headers for name in names) else None


def asked(service: ServiceProcess, path: str, **params: Any) -> Any:
    """The data of an answer of the query API."""
    answer = httpx.get(f"{service.url}/api/v1/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def histogram(ts_ms: int, **fields: Any) -> Any:
    """A histogram of integers with three observations."""
    spans = [prompb_v2.BucketSpan(offset=0, length=2)]
    given = {"count_int": 3, "sum": 4.5, "positive_spans": spans, "positive_deltas": [1, 1], **fields}
    return prompb_v2.Histogram(timestamp=ts_ms, **given)


def test_all_there_is_in_a_request_is_kept(service: ServiceProcess) -> None:
    """Samples, histograms of every kind, exemplars and metadata are kept, counted, and can be asked for at once."""
    now_ms = int(time.time() * 1000)
    spans = [prompb_v2.BucketSpan(offset=0, length=2)]
    floats = histogram(now_ms, count_float=3.0, positive_deltas=[], positive_counts=[1.0, 2.0])
    custom = histogram(now_ms, schema=-53, custom_values=[1.0, 5.0], positive_spans=spans)
    answer = send(
        service,
        body_of(
            [
                Series(
                    {"__name__": "orders_total", "shop": "a"},
                    [(now_ms - 1000, 1.0, now_ms - 9000), (now_ms, 3.0, now_ms - 9000)],
                    exemplars=[(now_ms, 1.0, TRACE)],
                    metadata=(1, "Orders.", "orders"),
                ),
                Series(
                    {"__name__": "latency", "kind": "int"},
                    histograms=[histogram(now_ms)],
                    metadata=(3, "Latency.", "s"),
                ),
                Series({"__name__": "latency", "kind": "float"}, histograms=[floats], metadata=(3, "Latency.", "s")),
                Series(
                    {"__name__": "latency", "kind": "custom"}, histograms=[custom], exemplars=[(now_ms, 0.5, TRACE)]
                ),
                Series({"__name__": "old_bucket", "le": "1"}, [(now_ms, 7.0, 0)], metadata=(3, "Old.", "")),
            ]
        ),
    )
    assert (answer.status_code, answer.text, written(answer)) == (204, "", (3, 3, 2))
    (found,) = asked(service, "query", query="orders_total")["result"]
    assert (found["metric"], found["value"][1]) == ({"__name__": "orders_total", "shop": "a"}, "3")
    assert len(asked(service, "query", query="orders_total[1m]")["result"][0]["values"]) == 2
    kinds = {s["metric"]["kind"]: s["histogram"][1] for s in asked(service, "query", query="latency")["result"]}
    buckets = [[0, "0.5", "1", "1"], [0, "1", "2", "2"]]
    assert kinds["int"] == kinds["float"] == {"count": "3", "sum": "4.5", "buckets": buckets}
    assert [bucket[1:3] for bucket in kinds["custom"]["buckets"]] == [["-Inf", "1"], ["1", "5"]]
    metadata = asked(service, "metadata")
    assert metadata["orders_total"] == [{"type": "counter", "help": "Orders.", "unit": "orders"}]
    assert metadata["latency"] == [{"type": "histogram", "help": "Latency.", "unit": "s"}]
    assert metadata["old"] == [{"type": "histogram", "help": "Old.", "unit": ""}]
    exemplars = asked(
        service, "query_exemplars", query="orders_total", start=now_ms / 1000 - 60, end=now_ms / 1000 + 60
    )
    assert [(e["labels"], e["value"]) for s in exemplars for e in s["exemplars"]] == [(TRACE, "1")]


def test_a_stale_marker_ends_a_series(service: ServiceProcess) -> None:
    """A series marked stale is no longer found now, and is found where it was."""
    now_ms = int(time.time() * 1000)
    answer = send(service, body_of([Series({"__name__": "ended"}, [(now_ms - 2000, 1.0, 0), (now_ms, STALE_NAN, 0)])]))
    assert (answer.status_code, written(answer)) == (204, (2, 0, 0))
    assert asked(service, "query", query="ended", time=(now_ms + 1000) / 1000)["result"] == []
    assert len(asked(service, "query", query="ended", time=(now_ms - 1000) / 1000)["result"]) == 1


def test_the_good_part_is_kept_and_counted(service: ServiceProcess) -> None:
    """400 names the first bad part and how many there are; the counts are of what was kept."""
    now_ms = int(time.time() * 1000)
    request = request_of(
        [
            Series(
                {"__name__": "part_good"},
                [(now_ms, 1.0, 0)],
                exemplars=[(now_ms, 1.0, TRACE), (now_ms, 2.0, {"a": "x" * 128})],
            ),
            Series({"job": "nameless"}, [(now_ms, 1.0, 0)]),
            Series({"__name__": "part_native"}, histograms=[histogram(now_ms), histogram(now_ms, count_int=99)]),
        ]
    )
    request.timeseries.add(labels_refs=[1, 99], samples=[{"timestamp": now_ms, "value": 1.0}])
    answer = send(service, bytes(request.SerializeToString()))
    assert (answer.status_code, written(answer)) == (400, (1, 1, 1))
    assert answer.text == (
        '4 series not taken, the first: an exemplar of {__name__="part_good"}: '
        "its labels have more than 128 characters\n"
    )
    assert len(asked(service, "query", query='{__name__=~"part_.*"}')["result"]) == 2


def test_what_is_out_of_bounds_is_told_and_the_rest_kept(service: ServiceProcess) -> None:
    """Samples, histograms and exemplars of no time that is kept are told with their number, beside a bad series."""
    now_ms = int(time.time() * 1000)
    answer = send(
        service,
        body_of(
            [
                Series({"__name__": "bounds"}, [(1000, 1.0, 0), (now_ms, 2.0, 0)], exemplars=[(1000, 1.0, TRACE)]),
                Series({"__name__": "bounds"}, histograms=[histogram(now_ms + 3_600_000)]),
                Series({"job": "nameless"}, [(now_ms, 1.0, 0)]),
            ]
        ),
    )
    assert (answer.status_code, written(answer)) == (400, (1, 0, 0))
    lines = answer.text.splitlines()
    assert [line.split(":")[0] for line in lines] == ["out of bounds", "out of bounds", "1 series not taken, the first"]
    assert "2 samples not taken" in lines[0]
    assert "1 exemplars not taken" in lines[1]
    assert [s["value"][1] for s in asked(service, "query", query="bounds")["result"]] == ["2"]


def test_an_empty_request_is_fine(service: ServiceProcess) -> None:
    """Nothing in, nothing written."""
    for body in (b"", body_of([])):
        answer = send(service, body)
        assert (answer.status_code, written(answer)) == (204, NOTHING)


@pytest.mark.parametrize(
    ("content", "headers", "status", "text"),
    [
        (b"\xff\xff", {}, 400, "not snappy"),
        (packed(b"hello, world"), {}, 400, "not a Request"),
        (packed(b"\x0a\x04\x0a\x02\x0a\x00"), {}, 400, "remote write 1.0"),
        (b"\xff\xff\xff\xff\x0f", {}, 400, "limits.max_decoded_bytes"),
        (
            packed(body_of([Series({"a": "b"}, [(1, 1.0, 0)])])),
            {},
            400,
            '1 series not taken, the first: no metric name in {a="b"}',
        ),
        (b"", {"Content-Encoding": "gzip"}, 415, "snappy"),
        (bytes(65 * 2**20), {}, 413, "limits.max_body_bytes"),
    ],
    ids=["no-snappy", "no-protobuf", "version-1", "bomb", "all-bad", "gzip", "too-large"],
)
def test_what_is_refused_whole_says_that_nothing_was_written(
    service: ServiceProcess, content: bytes, headers: dict[str, str], status: int, text: str
) -> None:
    """Each kind of unreadable request gets the status its sender understands, the reason, and counts of zero."""
    answer = httpx.post(f"{service.url}/api/v1/write", content=content, headers={**HEADERS, **headers}, timeout=30)
    assert (answer.status_code, written(answer)) == (status, NOTHING)
    assert text in answer.text


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        ("application/x-protobuf", V1),
        ("application/x-protobuf;proto=prometheus.WriteRequest", V1),
        ("application/x-protobuf; charset=utf-8", V1),
        ("application/x-protobuf;proto=io.prometheus.write.v2.Request", V2),
        ('Application/X-Protobuf; charset=utf-8; Proto="io.prometheus.write.v2.Request"', V2),
        ("application/x-protobuf;proto=io.prometheus.write.v3.Request", "io.prometheus.write.v3.Request"),
        ("application/x-protobuf-delimited", ""),
        ("application/json", ""),
        ("", ""),
    ],
)
def test_the_content_type_names_the_message(content_type: str, name: str) -> None:
    """Parameters as RFC 9110 has them; without `proto` it is 1.0."""
    assert message_of(content_type) == name


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/x-protobuf;proto=io.prometheus.write.v3.Request"]
)
def test_messages_that_are_not_taken_are_refused_by_name(service: ServiceProcess, content_type: str) -> None:
    """415 says what was sent and what is taken."""
    answer = send(service, body_of([]), **{"Content-Type": content_type})
    assert answer.status_code == 415
    assert content_type in answer.text
    assert V2 in answer.text


@pytest.mark.parametrize("content_type", [None, MEDIA_TYPE, f"{MEDIA_TYPE};proto={V1}"])
def test_version_1_is_answered_as_ever(service: ServiceProcess, content_type: str | None) -> None:
    """A 1.0 sender is told no counts: it is not to rely on them."""
    request = prompb.WriteRequest()
    entry = request.timeseries.add(samples=[{"timestamp": int(time.time() * 1000), "value": 1.0}])
    entry.labels.add(name=b"__name__", value=b"by_version_1")
    headers = {"Content-Type": content_type} if content_type else {}
    answer = httpx.post(f"{service.url}/api/v1/write", content=packed(request.SerializeToString()), headers=headers)
    assert (answer.status_code, answer.text, written(answer)) == (204, "", None)


class Failing(Writer):
    """A writer that fails as long as there is something to fail with."""

    error: Exception | None = None

    async def write_metrics(self, batch: MetricBatch, urgent: bool = True) -> None:
        if self.error:
            raise self.error
        await super().write_metrics(batch, urgent)


@pytest.fixture
async def failing(embedded_pool: Pool) -> AsyncIterator[Failing]:
    """A writer that works until it is told to fail."""
    writer = Failing(embedded_pool, Limits())
    await writer.start()
    yield writer
    await writer.stop()


@pytest.fixture
async def post(failing: Failing) -> AsyncIterator[Callable[[bytes], Any]]:
    """Sends a request to the endpoint alone."""
    app = FastAPI()
    app.add_route("/api/v1/write", remote_write_endpoint(failing, Limits(), 86_400_000), methods=["POST"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://watchhouse") as client:
        yield lambda body: client.post("/api/v1/write", content=packed(body), headers=HEADERS)


@pytest.mark.parametrize(
    ("error", "status"),
    [(Overloaded("full", 3), 429), (StoreUnavailable("away"), 503), (StoreError("refused", 241), 503)],
)
async def test_a_sender_is_told_to_come_again(
    failing: Failing, post: Callable[[bytes], Any], embedded_pool: Pool, error: Exception, status: int
) -> None:
    """429 and 503 have Retry-After and counts of zero; sent again, the request brings its metadata again."""
    now_ms = int(time.time() * 1000)
    body = body_of([Series({"__name__": "m"}, [(now_ms, 1.0, 0)], metadata=(2, "Help.", ""))])
    failing.error = error
    for _ in range(2):
        answer = await post(body)
        assert (answer.status_code, written(answer)) == (status, NOTHING)
        assert int(answer.headers["retry-after"]) > 0
    failing.error = None
    answer = await post(body)
    assert (answer.status_code, written(answer)) == (204, (1, 0, 0))
    rows = embedded_pool.query("SELECT family, help FROM metric_metadata").to_pylist()
    assert [tuple(row.values()) for row in rows] == [("m", "Help.")]
