"""`watchhouse logs 'LOGQL'`: lines as they are, newest last; `--follow` waits for more."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

import httpx
import typer

from app.commands.http import DEFAULT_URL, TokenOption, UrlOption, client, misuse, request
from app.durations import parse_duration_ms

_PAGE = 1000
_POLL_S = 1.0
_LATE_NS = 10 * 10**9
_AHEAD_NS = 3600 * 10**9
_CATEGORIES = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}


class Output(StrEnum):
    """What to print of each line."""

    TEXT = "text"
    JSON = "json"


class Entry(NamedTuple):
    """A line as the API gives it; all labels are JSON, so that lines can be compared and counted."""

    ts_ns: int
    text: str
    labels: str
    attributes: str
    parsed: str


def register(app: typer.Typer) -> None:
    """Adds the `logs` command."""
    app.command("logs")(logs)


def logs(
    logql: Annotated[str, typer.Argument(metavar="LOGQL", help='The query, like \'{container="web"} |= "error"\'.')],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for new lines until interrupted.")] = False,
    since: Annotated[str, typer.Option(help="How far back to look, like 15m.")] = "1h",
    limit: Annotated[int, typer.Option(min=1, help="How many lines at most; with --follow, to begin with.")] = 100,
    output: Annotated[Output, typer.Option("--output", "-o", help="Lines as they are, or a JSON object each.")] = (
        Output.TEXT
    ),
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
) -> None:
    """Show log lines, newest last."""
    try:
        since_ns = parse_duration_ms(since) * 1_000_000
    except ValueError as error:
        misuse(f"--since: {error}")
    with client(url, token) as http:
        now = time.time_ns()
        found = fetch(http, logql, now - since_ns, now + (_AHEAD_NS if follow else 1), limit, "backward")
        # reversed first: lines of one stream and one time are in the order they came
        shown = sorted(reversed(found), key=lambda e: e.ts_ns)
        _print(shown, output)
        if not follow:
            return
        floor = shown[0].ts_ns if len(shown) == limit else now - since_ns
        tail = Tail(http, logql, floor, Counter(shown))
        try:
            while True:
                time.sleep(_POLL_S)
                _print(tail.new(time.time_ns()), output)
        except KeyboardInterrupt:
            return


@dataclass(slots=True)
class Tail:
    """What was shown of the last seconds, so that a line that comes late is shown and none is shown twice."""

    http: httpx.Client
    logql: str
    floor_ns: int
    shown: Counter[Entry] = field(default_factory=Counter)

    def new(self, now_ns: int) -> list[Entry]:
        """The lines that came since the last call, oldest first."""
        self.floor_ns = max(self.floor_ns, now_ns - _LATE_NS)
        window = list(pages(self.http, self.logql, self.floor_ns, now_ns + _AHEAD_NS))
        counted = Counter(window)
        fresh = counted - self.shown
        self.shown = counted | Counter({e: n for e, n in self.shown.items() if e.ts_ns >= self.floor_ns})
        news = []
        for entry in window:
            if fresh[entry] > 0:
                fresh[entry] -= 1
                news.append(entry)
        return news


def pages(http: httpx.Client, logql: str, start_ns: int, end_ns: int) -> Iterator[Entry]:
    """Every line with start <= ts < end, oldest first, however many."""
    while True:
        page = sorted(fetch(http, logql, start_ns, end_ns, _PAGE, "forward"), key=lambda e: e.ts_ns)
        if len(page) < _PAGE:
            yield from page
            return
        last_ns = page[-1].ts_ns
        # the lines of the last nanosecond may go on: the next page begins with them, unless they are all there is
        yield from (e for e in page if e.ts_ns < last_ns or page[0].ts_ns == last_ns)
        start_ns = last_ns + 1 if page[0].ts_ns == last_ns else last_ns


def fetch(http: httpx.Client, logql: str, start_ns: int, end_ns: int, limit: int, direction: str) -> list[Entry]:
    """At most `limit` lines; each stream's in the order asked for."""
    http.headers.update(_CATEGORIES)
    params = {"query": logql, "start": start_ns, "end": end_ns, "limit": limit, "direction": direction}
    data = request(http, "GET", "/loki/api/v1/query_range", params=params)["data"]
    if data["resultType"] != "streams":
        misuse("the query computes values; logs shows lines, so give it a selector and filters")
    return [_entry(stream["stream"], value) for stream in data["result"] for value in stream["values"]]


def _entry(labels: dict[str, str], value: list[Any]) -> Entry:
    beside = value[2] if len(value) > 2 else {}
    kinds = (labels, beside.get("structuredMetadata", {}), beside.get("parsed", {}))
    return Entry(int(value[0]), value[1], *(json.dumps(kind, sort_keys=True) for kind in kinds))


def _print(entries: list[Entry], output: Output) -> None:
    for entry in entries:
        # with colour codes and all, also into a file
        typer.echo(entry.text if output is Output.TEXT else _as_json(entry), color=True)


def _as_json(entry: Entry) -> str:
    fields = {
        "ts": entry.ts_ns,
        "line": entry.text,
        "labels": json.loads(entry.labels),
        "attributes": json.loads(entry.attributes),
    }
    parsed = json.loads(entry.parsed)
    return json.dumps({**fields, "parsed": parsed} if parsed else fields, ensure_ascii=False)
