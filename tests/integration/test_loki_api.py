"""Loki's API: lines, values, labels and series, in Loki's own JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.api.loki import loki_router
from app.config import Limits
from app.labels import Matcher, MatchOp, labels_from
from app.query.logql.ast import LogQuery
from app.query.logql.engine import LogQLEngine
from app.query.logql.result import LogResult
from app.query.logql.stages.line_filter import FilterOp, LineFilter
from app.query.result import QueryResult
from app.store.client import Pool
from ingest.batch import LogBatch
from ingest.writer import Writer

S = 10**9
T = 1_700_000_000 * S
WEB = {"namespace": "shop", "container": "web", "stream": "stdout"}
DB = {"namespace": "shop", "container": "db", "stream": "stderr"}


@pytest.fixture
async def writer(store_pool: Pool) -> AsyncIterator[Writer]:
    """A started writer."""
    writer = Writer(store_pool, Limits())
    await writer.start()
    yield writer
    await writer.stop()


async def keep(writer: Writer, *lines: tuple[dict[str, str], int, str, dict[str, str], str]) -> None:
    """Keeps lines: labels, nanoseconds, text, attributes, severity."""
    batch = LogBatch(writer.streams.current)
    for labels, ts_ns, text, attributes, severity in lines:
        batch.add(batch.index.ref(labels_from(labels)), ts_ns, text, attributes, severity)
    await writer.write_logs(batch)


@pytest.fixture
async def api(store_pool: Pool, writer: Writer) -> AsyncIterator[httpx.AsyncClient]:
    """The API over a store with ten lines of web, a second apart, and two of db."""
    lines = [(WEB, T + i * S, f"GET /{i} {'error' if i % 3 == 0 else 'ok'}", {"n": str(i)}, "") for i in range(10)]
    lines += [(DB, T + 5 * S, "Slow Query", {}, "warn"), (DB, T + 5 * S + 1, "deadlock\nERROR", {}, "error")]
    await keep(writer, *lines)
    limits = Limits(log_query_max_lines=50)
    app = FastAPI()
    app.include_router(loki_router(LogQLEngine(store_pool, limits), limits))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://loki/loki/api/v1") as client:
        yield client


async def texts(api: httpx.AsyncClient, query: str, **params: Any) -> list[str]:
    """The lines a query gives, in the order of the answer's one stream, or over all streams by time."""
    answer = await api.get(
        "/query_range", params={"query": query, "start": T, "end": T + 60 * S, "direction": "forward", **params}
    )
    assert answer.status_code == 200, answer.text
    values = [value for stream in answer.json()["data"]["result"] for value in stream["values"]]
    return [v[1] for v in sorted(values, key=lambda v: int(v[0]), reverse=params.get("direction") == "backward")]


async def test_lines_of_a_stream_in_both_directions(api: httpx.AsyncClient) -> None:
    """forward gives the oldest lines, backward the newest, each up to the limit."""
    params: dict[str, str | int] = {"query": '{container="web"}', "start": T, "end": T + 60 * S, "limit": 3}
    headers = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}
    forward = (await api.get("/query_range", params={**params, "direction": "forward"}, headers=headers)).json()
    backward = (await api.get("/query_range", params=params, headers=headers)).json()
    assert forward["data"]["resultType"] == "streams"
    assert forward["data"]["encodingFlags"] == ["categorize-labels"]
    assert "summary" in forward["data"]["stats"]
    assert forward["data"]["result"] == [
        {
            "stream": dict(sorted(WEB.items())),
            "values": [
                [str(T + i * S), f"GET /{i} {'error' if i == 0 else 'ok'}", {"structuredMetadata": {"n": str(i)}}]
                for i in range(3)
            ],
        }
    ]
    assert [v[1] for v in backward["data"]["result"][0]["values"]] == ["GET /9 error", "GET /8 ok", "GET /7 ok"]


async def test_without_the_flag_attributes_are_labels(api: httpx.AsyncClient) -> None:
    """A client that does not ask for categories gets one stream for each set of labels and attributes."""
    answer = await api.get("/query_range", params={"query": '{container="db"}', "start": T, "end": T + 60 * S})
    assert [(s["stream"], s["values"]) for s in answer.json()["data"]["result"]] == [
        ({**DB, "detected_level": "error"}, [[str(T + 5 * S + 1), "deadlock\nERROR"]]),
        ({**DB, "detected_level": "warn"}, [[str(T + 5 * S), "Slow Query"]]),
    ]


async def test_start_is_in_and_end_is_out(api: httpx.AsyncClient) -> None:
    """A line at start is given, one at end is not."""
    assert await texts(api, '{container="web"}', start=T + 2 * S, end=T + 4 * S) == ["GET /2 ok", "GET /3 error"]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ('{namespace="shop"} |= "rror"', ["GET /0 error", "GET /3 error", "GET /6 error", "GET /9 error"]),
        ('{namespace="shop"} |= "ERROR"', ["deadlock\nERROR"]),
        ('{container="web"} != "ok" != "/3"', ["GET /0 error", "GET /6 error", "GET /9 error"]),
        ('{container="web"} |~ "/[12] "', ["GET /1 ok", "GET /2 ok"]),
        ('{container="web"} !~ "^GET /[0-8]"', ["GET /9 error"]),
        ('{container="web"} |= "/1" or "/2"', ["GET /1 ok", "GET /2 ok"]),
        ('{container="web"} != "ok" or "/0"', ["GET /3 error", "GET /6 error", "GET /9 error"]),
        ('{container="db"} |~ "deadlock.ERROR"', []),
        ('{container="db"} |~ "(?i)slow q"', ["Slow Query"]),
        ('{container=~"d.", stream!="stdout"}', ["Slow Query", "deadlock\nERROR"]),
        ('{container=~"d"}', []),
        ('{container!~"we.*", namespace=~".+"} |= ` Query`', ["Slow Query"]),
        ('{namespace="shop", pod=""} |= " Query"', ["Slow Query"]),
        ('{namespace="shop", pod!=""}', []),
        ('{namespace="nothing"}', []),
    ],
)
async def test_selectors_and_line_filters(api: httpx.AsyncClient, query: str, wanted: list[str]) -> None:
    """Matchers are anchored, filters are substrings or unanchored expressions, both mind the case."""
    assert await texts(api, query) == wanted


async def test_counts_over_time(api: httpx.AsyncClient) -> None:
    """Windows are left-open, steps without lines are absent, and sums know labels, attributes and severity."""
    params: dict[str, str | int] = {"start": T // S, "end": T // S + 6, "step": "2"}
    answer = await api.get("/query_range", params={"query": 'count_over_time({container="db"}[4s])', **params})
    assert answer.json()["data"]["resultType"] == "matrix"
    assert [(r["metric"], r["values"]) for r in answer.json()["data"]["result"]] == [
        ({**DB, "detected_level": "error"}, [[T // S + 6, "1"]]),
        ({**DB, "detected_level": "warn"}, [[T // S + 6, "1"]]),
    ]
    query = 'sum by (container, detected_level) (count_over_time({namespace="shop"}[2s]))'
    answer = await api.get("/query_range", params={"query": query, **params})
    assert [(r["metric"], r["values"]) for r in answer.json()["data"]["result"]] == [
        ({"container": "db", "detected_level": "error"}, [[T // S + 6, "1"]]),
        ({"container": "db", "detected_level": "warn"}, [[T // S + 6, "1"]]),
        ({"container": "web"}, [[T // S, "1"], [T // S + 2, "2"], [T // S + 4, "2"], [T // S + 6, "2"]]),
    ]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ('sum(count_over_time({namespace="shop"}[1h]))', "12"),
        ('sum(rate({container="web"} |= "error" [10s]))', "0.4"),
        ('sum(bytes_over_time({container="db"}[1h]))', "24"),
        ('sum(bytes_rate({container="db"}[12s])) * 12', "24"),
        ('count(count_over_time({container="web"}[1h]))', "10"),
        ('max(sum by (container) (count_over_time({namespace="shop"}[1h])))', "10"),
        ('topk(1, sum by (container) (count_over_time({namespace="shop"}[1h])))', "10"),
        ('sum(count_over_time({container="web"}[5s] offset 5s))', "5"),
        ("vector(1)+vector(1)", "2"),
    ],
)
async def test_instant_values(api: httpx.AsyncClient, query: str, wanted: str) -> None:
    """One value for each aggregation at one time."""
    answer = await api.get("/query", params={"query": query, "time": T + 9 * S})
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert data["resultType"] == "vector"
    assert [float(r["value"][1]) for r in data["result"]] == [float(wanted)]


async def test_constants_answer_at_any_time(api: httpx.AsyncClient) -> None:
    """Grafana's health check, which asks at a time far away, gets one value."""
    for at in ("4000000000", "4", "1970-01-01T00:00:04Z"):
        data = (await api.get("/query", params={"query": "vector(1)+vector(1)", "time": at})).json()["data"]
        assert [(r["metric"], r["value"][1]) for r in data["result"]] == [({}, "2")]
    assert (await api.get("/query", params={"query": "1+1"})).json()["data"]["result"][1] == "2"


async def test_labels_values_and_series(api: httpx.AsyncClient) -> None:
    """Labels, their values and series of the time asked for; a form does as well as a URL."""
    window = {"start": T, "end": T + 60 * S}
    assert (await api.get("/labels", params=window)).json() == {
        "status": "success",
        "data": ["container", "namespace", "stream"],
    }
    assert (await api.get("/label/container/values", params=window)).json()["data"] == ["db", "web"]
    narrowed: dict[str, str | int] = {**window, "query": '{stream="stderr"}'}
    assert (await api.get("/label/container/values", params=narrowed)).json()["data"] == ["db"]
    assert (await api.get("/labels")).json()["data"] == []
    series = await api.post("/series", data={**window, "match[]": ['{container="db"}', '{container="web"}']})
    assert series.json()["data"] == [dict(sorted(DB.items())), dict(sorted(WEB.items()))]
    assert (await api.get("/status/buildinfo")).json()["version"]


@pytest.mark.parametrize(
    ("path", "params", "message"),
    [
        ("query_range", {"query": 'approx_topk(3, rate({a="b"}[1m]))'}, "`approx_topk` is not supported"),
        ("query_range", {"query": '{a="b"', "start": 1, "end": 2}, "line 1, col 7"),
        ("query_range", {"query": "{}"}, "at least one regexp or equality matcher"),
        ("query_range", {"query": '{a="b"}', "limit": 51}, "limits.log_query_max_lines"),
        ("query_range", {"query": '{a="b"}', "limit": 0}, "limit must be a positive value"),
        ("query_range", {"query": '{a="b"}', "direction": "sideways"}, "invalid direction"),
        ("query_range", {"query": '{a="b"}', "start": "yesterday"}, "'start'"),
        ("query_range", {"query": '{a="b"}', "start": 5, "end": 4}, "end timestamp"),
        ("query_range", {"query": 'rate({a="b"}[1m])', "step": "0"}, "resolution step"),
        ("query_range", {"query": 'rate({a="b"}[1m])', "step": "1ms", "start": 1, "end": 100}, "query_max_points"),
        ("query_range", {}, "query"),
        ("query", {"query": '{a="b"}'}, "log queries are not supported as an instant query"),
        ("series", {}, "match[]"),
    ],
)
async def test_mistakes_are_told_as_text(
    api: httpx.AsyncClient, path: str, params: dict[str, Any], message: str
) -> None:
    """What cannot be answered is 400 in plain text that names it."""
    answer = await api.get(f"/{path}", params=params)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/plain")
    assert message in answer.text


NASTY = st.text(
    st.one_of(st.sampled_from("'\"\\`{}()[]%$\n\t\0;-*./|?:한 aA0_"), st.characters(exclude_categories=["Cs"])),
    min_size=1,
    max_size=12,
)


async def test_any_string_finds_exactly_its_lines(store_pool: Pool, writer: Writer) -> None:
    """Whatever stands in a selector or a filter is compared as it is, and is never read as SQL."""
    engine = LogQLEngine(store_pool, Limits())
    at = iter(range(T, T + 10**9))

    loop = asyncio.get_running_loop()

    def write(*lines: tuple[dict[str, str], int, str, dict[str, str], str]) -> None:
        asyncio.run_coroutine_threadsafe(keep(writer, *lines), loop).result(10)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(needle=NASTY, around=NASTY, op=st.sampled_from([op for op in FilterOp if not op.of_patterns]))
    def check(needle: str, around: str, op: FilterOp) -> None:
        start = next(at)
        label = needle.strip("\0") or "x"
        others = [around + needle + around, around, needle.swapcase(), needle * 2]
        write(
            *[({"app": label}, start, text, {}, "") for text in others], ({"app": label + "x"}, start, needle, {}, "")
        )
        next(at)
        text = needle
        if op.of_expressions:
            text = "".join(f"\\x{{{ord(c):x}}}" for c in needle)
        query = LogQuery((Matcher("app", MatchOp.EQUAL, label),), (LineFilter(op, (text,)),))
        result = engine.range(str(query), start, start + 1, step_ms=1000, direction="forward")
        assert isinstance(result, LogResult)
        wanted = [line for line in others if (needle in line) != op.negative]
        assert [line.text for line in result.lines] == wanted
        counted = engine.instant(f"sum(count_over_time({query} [1ms]))", start)
        assert isinstance(counted, QueryResult)

    await asyncio.to_thread(check)
