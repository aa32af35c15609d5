"""Pipelines over Loki's API: what lines come out, with which labels, and what values."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.api.loki import loki_router
from app.config import Limits
from app.query.logql.engine import LogQLEngine
from app.store.client import Pool
from tests.integration.logql_world import T, put

S = 10**9
ACCESS = [
    '10.0.0.1 - - "GET /cart HTTP/1.1" 200 512 0.012',
    '10.0.0.2 - - "POST /pay HTTP/1.1" 502 64 1.5',
    '10.0.0.1 - - "GET /cart HTTP/1.1" 200 1024 0.018',
]
APP = [
    '{"level":"info","msg":"started","app":"other","req":{"id":"a1","took":"120ms"},"n":1.50}',
    '{"level":"error","msg":"it \\"broke\\"","req":{"id":"b2","took":"2s"},"n":7}',
    "panic: no JSON at all",
    "\x1b[31mlevel=warn\x1b[0m took=5s size=20MB",
]


@pytest.fixture
async def api(store_pool: Pool) -> AsyncIterator[httpx.AsyncClient]:
    """The API over three lines of an access log and four of an application, a second apart."""
    put(store_pool, ACCESS, {"app": "nginx", "job": "web"}, step_ns=S)
    put(store_pool, APP, {"app": "shop", "job": "web"}, {"node": "n1", "job": "attribute"}, step_ns=S)
    limits = Limits()
    app = FastAPI()
    app.include_router(loki_router(LogQLEngine(store_pool, limits), limits))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://loki/loki/api/v1") as client:
        yield client


async def streams(api: httpx.AsyncClient, query: str, categorized: bool = True) -> list[dict[str, Any]]:
    """The streams a query gives, oldest lines first."""
    headers = {"X-Loki-Response-Encoding-Flags": "categorize-labels"} if categorized else {}
    params: dict[str, str | int] = {"query": query, "start": T, "end": T + 60 * S, "direction": "forward"}
    answer = await api.get("/query_range", params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]["result"]
    return found


async def texts(api: httpx.AsyncClient, query: str) -> list[str]:
    """The lines a query gives, by time."""
    values = [value for stream in await streams(api, query) for value in stream["values"]]
    return [value[1] for value in sorted(values, key=lambda v: int(v[0]))]


async def value(api: httpx.AsyncClient, query: str, at_s: int = 10) -> dict[str, float]:
    """The values of an instant query, by their labels' values."""
    answer = await api.get("/query", params={"query": query, "time": T + at_s * S})
    assert answer.status_code == 200, answer.text
    result = answer.json()["data"]["result"]
    return {",".join(series["metric"].values()): float(series["value"][1]) for series in result}


async def test_what_was_parsed_comes_apart(api: httpx.AsyncClient) -> None:
    """Labels of the stream, attributes and what a parser found are told apart for those who ask so."""
    (stream,) = await streams(api, '{app="shop"} | json | level="info"')
    assert stream["stream"] == {"app": "shop", "job": "web"}
    assert stream["values"] == [
        [
            str(T),
            APP[0],
            {
                "structuredMetadata": {"job_extracted": "attribute", "node": "n1"},
                "parsed": {
                    "app_extracted": "other",
                    "level": "info",
                    "msg": "started",
                    "n": "1.50",
                    "req_id": "a1",
                    "req_took": "120ms",
                },
            },
        ]
    ]
    (stream,) = await streams(api, '{app="shop"} | json | level="error"', categorized=False)
    assert stream["stream"] == {
        "app": "shop",
        "job": "web",
        "job_extracted": "attribute",
        "level": "error",
        "msg": 'it "broke"',
        "n": "7",
        "node": "n1",
        "req_id": "b2",
        "req_took": "2s",
    }


async def test_a_line_that_cannot_be_parsed_says_so(api: httpx.AsyncClient) -> None:
    """It is given with the error among its labels, and no label else; a metric query fails on it."""
    (stream,) = await streams(api, '{app="shop"} |= "panic" | json')
    assert stream["values"][0][2]["parsed"] == {
        "__error__": "JSONParserErr",
        "__error_details__": "Malformed JSON error",
    }
    answer = await api.get("/query", params={"query": 'count_over_time({app="shop"} | json [1m])', "time": T + 10 * S})
    assert answer.status_code == 400
    assert "pipeline error: 'JSONParserErr' for series: '{__error__=\"JSONParserErr\"," in answer.text
    assert '(e.g | __error__!="JSONParserErr")' in answer.text
    assert await value(api, 'sum(count_over_time({app="shop"} | json | __error__="" [1m]))') == {"": 2}


@pytest.mark.parametrize(
    ("query", "told"),
    [
        # looking at the errors of the parser says nothing of what the unwrap cannot read
        ('sum by (app) (sum_over_time({app="shop"} | json | __error__="" | unwrap msg [1m]))', "SampleExtractionErr"),
        ('sum by (app) (count_over_time({app="shop"} | json | __error__="" | msg > 1 [1m]))', "LabelFilterErr"),
        ('sum(count_over_time({app="shop"} | line_format "{{ div 1 0 }}" [1m]))', "TemplateFormatErr"),
        ('absent_over_time({app="shop"} | json | level="" [1m])', "JSONParserErr"),
    ],
)
async def test_errors_end_metric_queries(api: httpx.AsyncClient, query: str, told: str) -> None:
    """Whatever stage could not do its work, and whatever is asked of the values."""
    answer = await api.get("/query", params={"query": query, "time": T + 10 * S})
    assert answer.status_code == 400
    assert f"pipeline error: '{told}'" in answer.text


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ('{job="web"} | json | __error__="" | req_took > 1s', [1]),
        ('{job="web"} | json | req_took > 1s | __error__=""', [1]),
        ('{job="web"} | node="n1" |= "level" | node!="n2"', [0, 1, 3]),
        ('{job="web"} | app="shop", job_extracted=~"attr.*" |= "level"', [0, 1, 3]),
        ('{app="shop"} |= "level" | json id="req.id", missing="req.none" | id=~"b.|x" and missing=""', [1]),
        ('{app="shop"} | decolorize | logfmt | took >= 5s or size < 1MB', ["level=warn took=5s size=20MB"]),
        ('{app="shop"} | decolorize | logfmt | size = 20MB', ["level=warn took=5s size=20MB"]),
        ('{app="shop"} | decolorize |= "level=warn took"', ["level=warn took=5s size=20MB"]),
        ('{app="shop"} |= "level=warn took"', []),
        ('{app="shop"} |> "{<_>broke<_>"', [1]),
        ('{app="shop"} !> "{<_>"', [2, 3]),
        ('{app="shop"} | json | line_format "{{.msg}}" |= "started"', ["started"]),
        ('{app="shop"} | drop app | app="shop"', []),
        ('{app="shop"} | keep node | app=""', [0, 1, 2, 3]),
    ],
)
async def test_filters(api: httpx.AsyncClient, query: str, wanted: list[int | str]) -> None:
    """Filters see the labels and the text that the stages before them left."""
    assert await texts(api, query) == [APP[w] if isinstance(w, int) else w for w in wanted]


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("plain", "plain"),
        ("{{.level}}: {{.msg}}", 'error: it "broke"'),
        ("{{ .level | upper }}-{{ToLower .req_id}}", "ERROR-b2"),
        ("{{.nothing}}|{{ default `none` .nothing }}", "|none"),
        ('{{ if eq .level "error" }}bad{{ else }}fine{{ end }}', "bad"),
        ("{{ if .nothing }}1{{ else if and .level .msg }}2{{ end }}", "2"),
        ("{{- /* a comment */ -}} x {{- .req_id -}} y ", "xb2y "),
        ('{{ printf "%-6s|%3s|%q" .level .req_id .req_id }}', 'error | b2|"b2"'),
        ('{{ printf "%05d %.2f %v" (int .n) (float64 .n) (add .n 2) }}', "00007 7.00 9"),
        ("{{ trunc 3 .level }}{{ trunc -2 .level }}{{ substr 1 3 .level }}", "errorrr"),
        ('{{ Replace .msg " " "_" -1 }} {{ replace "it" "all" .msg }}', 'it_"broke" all "broke"'),
        ('{{ trimPrefix "it " .msg }}{{ TrimSuffix .msg "ke\\"" }}{{ trimAll "r" .level }}', '"broke"it "broerro'),
        ('{{ regexReplaceAll "(b)(\\\\d)" .req_id "$2-${1}" }}', "2-b"),
        ('{{ regexReplaceAllLiteral "b" .req_id "$1" }}{{ count "r" .level }}', "$123"),
        ("{{ alignLeft 4 .req_id }}|{{ alignRight 4 .req_id }}|{{ alignRight 1 .req_id }}", "b2  |  b2|2"),
        ("{{ b64enc .req_id }}{{ b64dec `YjI=` }}{{ urlencode .msg }}", "YjI=b2it+%22broke%22"),
        ("{{ .req_took | duration }} {{ div .n 2 }} {{ mod .n 2 }} {{ mulf .n 1.5 }} {{ max 1 .n 3 }}", "2 3 1 10.5 7"),
        (
            "{{ ceil 1.2 }} {{ floor 1.8 }} {{ round 1.256 2 }} {{ len .level }} {{ repeat 2 .req_id }}",
            "2 1 1.26 5 b2b2",
        ),
        ("{{ contains `ror` .level }} {{ hasPrefix `x` .level }} {{ not .level }}", "true false false"),
        ("{{ __timestamp__ | unixEpochMillis }} {{ len __line__ }}", f"{T // 10**6 + 1000} {len(APP[1])}"),
        ("{{ if gt (int .n) 5 }}many{{ end }}{{ if or .nothing .level }}!{{ end }}", "many!"),
        (
            "{{ with .level }}<{{ . }} {{ $.req_id }}>{{ end }}{{ with .nothing }}x{{ else }}none{{ end }}",
            "<error b2>none",
        ),
        ("{{ $x := .level | upper }}{{ if $x }}{{ $x := 1 }}{{ $x }}{{ end }}{{ $x }}", "1ERROR"),
        ("{{ print .n 1 (int .n) 2.5 }}|{{ println 1 .n }}|", "71 7 2.5|1 7\n|"),
        ("{{ 0x10 }} {{ 'a' }} {{ 1_000 }} {{ `\\d` }}", "16 97 1000 \\d"),
    ],
)
async def test_templates(api: httpx.AsyncClient, template: str, wanted: str) -> None:
    """line_format and label_format make of a template what Go makes of it."""
    literal = '"' + template.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert await texts(api, f'{{app="shop"}} |= "broke" | json | line_format {literal}') == [wanted]
    (stream,) = await streams(api, f'{{app="shop"}} |= "broke" | json | label_format new={literal}')
    assert stream["values"][0][1:] == [APP[1], stream["values"][0][2]]
    assert stream["values"][0][2]["parsed"]["new"] == wanted


async def test_a_template_that_fails_keeps_the_line(api: httpx.AsyncClient) -> None:
    """What cannot be read or divided marks the line; it stays as it was."""
    for template in ("{{ .msg | duration }}", "{{ div 1 0 }}", "{{ bytes .level }}"):
        (stream,) = await streams(api, f'{{app="shop"}} |= "broke" | json | line_format "{template}"')
        assert stream["values"][0][1] == APP[1]
        assert stream["values"][0][2]["parsed"]["__error__"] == "TemplateFormatErr"
    # in a branch that is not taken nothing fails
    assert await texts(api, '{app="shop"} |= "broke" | json | line_format "{{ if .no }}{{ div 1 0 }}{{ end }}"') == [""]


async def test_labels_renamed_swapped_kept_and_dropped(api: httpx.AsyncClient) -> None:
    """label_format takes the source away and overwrites any kind of label; templates of one stage see the same."""
    (stream,) = await streams(api, '{app="shop"} |= "broke" | label_format app=node, new=nothing | keep app, new, job')
    assert (stream["stream"], stream["values"][0][2]) == ({"job": "web"}, {"parsed": {"app": "n1"}})
    query = (
        '{app="shop"} |= "broke" | json | label_format level="{{.req_id}}", req_id="{{.level}}" | keep level, req_id'
    )
    (stream,) = await streams(api, query)
    assert stream["stream"] == {}
    assert stream["values"][0][2] == {"parsed": {"level": "b2", "req_id": "error"}}
    (stream,) = await streams(api, '{app="shop"} |= "broke" | drop job, job_extracted="attribute", node="other"')
    assert (stream["stream"], stream["values"][0][2]) == ({"app": "shop"}, {"structuredMetadata": {"node": "n1"}})
    (stream,) = await streams(api, '{app="shop"} |= "panic" | json | drop __error__')
    assert stream["values"][0][2]["parsed"] == {"__error_details__": "Malformed JSON error"}


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ('sum by (method) (count_over_time({app="nginx"} | pattern `<_>"<method> <_>` [1m]))', {"GET": 2, "POST": 1}),
        (
            'sum by (path) (bytes_over_time({app="nginx"} | regexp `[A-Z] (?P<path>\\S+)` [1m]))',
            {"/cart": 95, "/pay": 44},
        ),
        (
            'max_over_time({app="nginx"} | pattern `<_>" <status> <_> <took>` | unwrap took [1m]) by (status)',
            {"200": 0.018, "502": 1.5},
        ),
        (
            'avg_over_time({app="nginx"} | pattern `<_>" <_> <size> <_>` | unwrap size [1m]) without (app)',
            {"web": 1600 / 3},
        ),
        (
            'sum(rate({app="nginx"} | pattern `<_>" <s> <_>` | s >= 500 [1m])) / sum(rate({app="nginx"}[1m]))',
            {"": 1 / 3},
        ),
        ('first_over_time({app="nginx"} | pattern `<_>" <_> <size> <_>` | unwrap size [1m])', {"nginx,web,GET": 0}),
        ('count_over_time({app="shop"} |= "broke" [1m])', {"shop,web,attribute,n1": 1}),
        ('count without (node, job) (count_over_time({app="shop"}[1m]))', {"shop,attribute": 1}),
        ('sort_desc(sum by (m) (count_over_time({app="nginx"} | pattern `<_>"<m> <_>` [1m])))', {"GET": 2, "POST": 1}),
        ('label_replace(sum(count_over_time({job="web"}[1m])), "x", "all", "", "")', {"all": 7}),
        ('sum(count_over_time({app="none"}[1m])) or vector(5)', {"": 5}),
        ("vector(1) / vector(0)", {"": float("nan")}),
        ('absent_over_time({app="none", job="x"}[1m])', {"none,x": 1}),
        ('sum(sum_over_time({app="shop"} |= "{" | json | unwrap duration(req_took) [1m]))', {"": 2.12}),
        ('sum by (__error__) (count_over_time({app="shop"} | json [1m]))', {"": 2, "JSONParserErr": 2}),
        ('sum by (trace_id) (count_over_time({app="shop"}[1m]))', {"": 4}),
    ],
)
async def test_values(api: httpx.AsyncClient, query: str, wanted: dict[str, float]) -> None:
    """Series have the labels that the stages left; unwrapped ones lack the label that was unwrapped."""
    if query.startswith("first_over_time"):
        (found,) = {v for k, v in (await value(api, query)).items() if k == "nginx,web"}
        assert found == 512
        return
    assert await value(api, query) == pytest.approx(wanted, nan_ok=True)


async def test_windows_of_samples_on_a_grid(api: httpx.AsyncClient) -> None:
    """A window is left-open, and steps without samples have no value, whether buckets or samples are read."""
    for function in ("last_over_time(", "quantile_over_time(0.5, ", "max_over_time(", "avg_over_time("):
        query = f'{function}{{app="nginx"}} | pattern `<_>" <_> <size> <_>` | unwrap size [1s]) by ()'
        params: dict[str, str | int] = {"query": query, "start": T - S, "end": T + 4 * S, "step": "1"}
        answer = (await api.get("/query_range", params=params)).json()["data"]["result"]
        assert [series["values"] for series in answer] == [
            [[T // S, "512"], [T // S + 1, "64"], [T // S + 2, "1024"]]
        ], function


async def test_what_a_query_may_read_is_bounded(store_pool: Pool) -> None:
    """More samples or series than the limits allow are refused by the limit's name; a query without time ends."""
    put(store_pool, [f"user=u{i} took={i}ms" for i in range(500)], step_ns=S // 100)
    query = 'quantile_over_time(0.9, {app="x"} | logfmt | unwrap duration(took) [1m])'
    cases: list[tuple[Limits, str, str]] = [
        (Limits(query_max_samples=100), query + " by ()", "limits.query_max_samples = 100"),
        (Limits(query_max_series=100), query, "limits.query_max_series = 100"),
        (Limits(query_timeout="1ms"), query, "limits.query_timeout"),
    ]
    for limits, asked, told in cases:
        app = FastAPI()
        app.include_router(loki_router(LogQLEngine(store_pool, limits), limits))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://loki/loki/api/v1") as api:
            answer = await api.get("/query", params={"query": asked, "time": T + 10 * S})
            assert answer.status_code in (400, 504)
            assert told in answer.text


async def test_as_many_stages_as_are_allowed(store_pool: Pool) -> None:
    """Four parsers and sixteen other stages are one statement that the store understands in time."""
    put(store_pool, ['{"a":1}'])
    engine = LogQLEngine(store_pool, Limits(query_timeout="30s"))
    query = '{app="x"}' + " | json | logfmt | json | logfmt" + " | a > 0 | a <= 5s or a > 0" * 4
    query += ' | label_format b="{{.a}}", c=b | line_format "{{.c}}" | decolorize | drop x | keep a' + " | a=~`.*`" * 2
    result = await asyncio.to_thread(engine.range, query, T, T + S, step_ms=1000)
    assert [line.text for line in result.lines] == ["1"]  # type: ignore[union-attr]


RECORDED = Path(__file__).parents[2].parent / "shared" / "oracles" / "logs"
OPENSSH = RECORDED / "OpenSSH.log"


@pytest.mark.skipif(not OPENSSH.is_file(), reason="no recorded logs beside the repository")
async def test_a_recorded_log(store_pool: Pool) -> None:
    """Failed logins in an OpenSSH log, by user: as many as an expression in Python finds."""
    recorded = OPENSSH.read_text(encoding="utf-8", errors="replace").splitlines()
    put(store_pool, recorded, step_ns=S)
    expression = r"Failed password for (invalid user )?(?P<user>\S+) from"
    query = f'sum by (user) (count_over_time({{app="x"}} |= "Failed password" | regexp `{expression}` [1h]))'
    engine = LogQLEngine(store_pool, Limits())
    found = await asyncio.to_thread(engine.instant, query, T + 3599 * S)
    users = [m["user"] if (m := re.search(expression, line)) else "" for line in recorded if "Failed password" in line]
    assert {
        dict(labels).get("user", ""): count for labels, count in zip(found.labels, found.values[:, 0], strict=True)
    } == {user: users.count(user) for user in users}
