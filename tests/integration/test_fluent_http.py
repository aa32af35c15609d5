"""Fluent Bit's HTTP output: recorded bodies, every content type, and what a bad body is told."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgpack
import pytest
from fastapi import FastAPI

from app.api.fluentbit import fluentbit_router
from app.config import Limits
from app.errors import Overloaded, StoreUnavailable
from app.query.logql.engine import LogQLEngine
from app.query.logql.result import LogResult
from app.store.client import Pool
from ingest.batch import LogBatch
from ingest.writer import Writer

RECORDED = Path(__file__).parent.parent / "data" / "fluent-bit"
YEARS_NS = 2**62
T = 1_700_000_000
S = 10**9


def client_of(writer: Writer, limits: Limits) -> httpx.AsyncClient:
    """A client of the endpoint alone."""
    app = FastAPI()
    app.include_router(fluentbit_router(writer, limits))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://watchhouse")


@pytest.fixture
async def client(writer: Writer) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the endpoint, with small limits."""
    async with client_of(writer, Limits(max_body_bytes=2**20, max_decoded_bytes=2**20)) as client:
        yield client


def lines(pool: Pool, query: str, limit: int = 5000) -> list[tuple[int, str]]:
    """Times and texts a LogQL query gives, oldest first."""
    result = LogQLEngine(pool, Limits()).range(query, 0, YEARS_NS, step_ms=1000, limit=limit, direction="forward")
    assert isinstance(result, LogResult)
    return [(line.ts_ns, line.text) for line in result.lines]


@pytest.mark.parametrize("kind", ["http-json", "http-json-lines-gzip", "http-msgpack"])
async def test_recorded_fluent_bit(client: httpx.AsyncClient, embedded_pool: Pool, kind: str) -> None:
    """Fluent Bit 5.1.1's own bodies are the same 308 lines as its forward output sent."""
    for head_file in sorted(RECORDED.glob(f"{kind}.*.head.txt")):
        head = dict(line.split(": ", 1) for line in head_file.read_text().strip().splitlines()[1:])
        headers = {k: v for k, v in head.items() if k in ("Content-Type", "Content-Encoding")}
        body = Path(str(head_file).replace(".head.txt", ".body")).read_bytes()
        answer = await client.post("/fluentbit/kube", content=body, headers=headers)
        assert answer.status_code == 204, answer.text
    wanted = []
    for path in RECORDED.glob("forward-plain.*.bin"):
        wanted += [r["log"].removesuffix("\n") for _, r in msgpack.unpackb(path.read_bytes(), strict_map_key=False)[1]]
    assert sorted(text for _, text in lines(embedded_pool, '{namespace="shop"}')) == sorted(wanted)
    assert len(lines(embedded_pool, '{namespace="shop", container="web"}')) == 208
    assert len(lines(embedded_pool, '{namespace="shop", container="nginx"}')) == 100
    assert lines(embedded_pool, '{namespace="shop"} |= "\\x1b["')


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'[{"date": 1700000000.25, "log": "a"}, {"date": 1700000001, "log": "b"}]'),
        ("application/json; charset=utf-8", b'{"date": 1700000000.25, "log": "a"}\n{"date": 1700000001, "log": "b"}'),
        ("application/x-ndjson", b'{"date": 1700000000.25, "log": "a"}\n\n{"date": 1700000001, "log": "b"}\n'),
        (
            "application/json",
            b'[{"date": "2023-11-14T22:13:20.25Z", "log": "a"}, {"time": "2023-11-14T22:13:21Z", "log": "b"}]',
        ),
        ("application/msgpack", msgpack.packb([T + 0.25, {"log": "a"}]) + msgpack.packb([[T + 1, {}], {"log": "b"}])),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
async def test_every_form_of_a_body(
    client: httpx.AsyncClient, embedded_pool: Pool, content_type: str, body: bytes, packed: bool
) -> None:
    """JSON, JSON lines and msgpack, plain or gzip, with their times; the tag may have slashes."""
    headers = {"Content-Type": content_type, **({"Content-Encoding": "gzip"} if packed else {})}
    answer = await client.post("/fluentbit/a/b.c", content=gzip.compress(body) if packed else body, headers=headers)
    assert answer.status_code == 204, answer.text
    assert lines(embedded_pool, '{tag="a/b.c"}') == [(T * S + S // 4, "a"), (T * S + S, "b")]


@pytest.mark.parametrize(
    ("body", "kept", "message"),
    [
        (b'[{"log": "a"}, 5, {"log": "b"}]', ["a", "b"], "record 2"),
        (b'{"log": "a"}\n{"log": \n{"log": "b"}', ["a", "b"], "record 2"),
        (b"[1]", [], "record 1"),
        (b"{", [], "not JSON"),
        (b"", [], "not JSON"),
    ],
)
async def test_bad_records_are_named(
    client: httpx.AsyncClient, embedded_pool: Pool, body: bytes, kept: list[str], message: str
) -> None:
    """A bad record is 400 and named; the good ones are kept all the same."""
    answer = await client.post("/fluentbit/t", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert message in answer.text
    assert sorted(text for _, text in lines(embedded_pool, '{tag="t"}')) == kept


async def test_text_that_is_no_unicode_is_mended(client: httpx.AsyncClient, embedded_pool: Pool) -> None:
    """Half a surrogate or a byte that is no UTF-8 does not cost the record; a NUL stays."""
    body = b'[{"log": "half \\ud800 of one"}, {"log": "byte \xff"}, {"log": "nul \\u0000"}]'
    assert (await client.post("/fluentbit/t", content=body)).status_code == 204
    found = [text for _, text in lines(embedded_pool, '{tag="t"}')]
    assert found == ["half ? of one", "byte �", "nul \0"]


async def test_bodies_that_are_too_large(client: httpx.AsyncClient) -> None:
    """Past max_body_bytes is 413, a gzip that grows past max_decoded_bytes is 400; each names the limit."""
    answer = await client.post("/fluentbit/t", content=b" " * (2**20 + 1))
    assert (answer.status_code, "limits.max_body_bytes" in answer.text) == (413, True)
    bomb = gzip.compress(b" " * 10_000_000)
    answer = await client.post("/fluentbit/t", content=bomb, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, "limits.max_decoded_bytes" in answer.text) == (400, True)


async def test_other_content_is_not_taken(client: httpx.AsyncClient) -> None:
    """A content type or encoding that is not known is 415 by name."""
    for headers in ({"Content-Type": "text/xml"}, {"Content-Encoding": "br"}):
        answer = await client.post("/fluentbit/t", content=b"{}", headers=headers)
        assert answer.status_code == 415
        assert next(iter(headers.values())) in answer.text


@pytest.mark.parametrize(("failure", "status"), [(Overloaded("full", 3), 429), (StoreUnavailable("away"), 503)])
async def test_the_sender_is_told_to_come_again(embedded_pool: Pool, failure: Exception, status: int) -> None:
    """A full queue is 429 and an absent store 503, both with Retry-After."""

    class Failing(Writer):
        async def write_logs(self, batch: LogBatch, urgent: bool = True) -> None:
            raise failure

    async with client_of(Failing(embedded_pool, Limits()), Limits()) as client:
        answer = await client.post("/fluentbit/t", content=json.dumps({"log": "x"}))
    assert answer.status_code == status
    assert int(answer.headers["retry-after"]) > 0
