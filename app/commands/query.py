"""`watchhouse query 'PROMQL'`: an instant, or a range with --start, --end and --step."""

from __future__ import annotations

import csv
import json
import re
import sys
import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from app.commands.http import DEFAULT_URL, TokenOption, UrlOption, client, misuse, request
from app.commands.plot import PlotSeries, draw
from app.commands.tables import print_table
from app.durations import parse_duration_ms

_DEFAULT_STEPS = 120
_PLACE = re.compile(r"\b(\d+):(\d+): parse error")
_BAR = 20
_ENDS = {0: "(]", 1: "[)", 2: "()", 3: "[]"}


class Output(StrEnum):
    """What to print."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


TIME_HELP = "RFC 3339, Unix seconds, `now`, or how long ago, like 1h."


def register(app: typer.Typer) -> None:
    """Adds the `query` command."""
    app.command("query")(query)


def query(
    promql: Annotated[str, typer.Argument(metavar="PROMQL", help="The query.", show_default=False)],
    at: Annotated[str, typer.Option("--time", help=f"When, for an instant query. {TIME_HELP}")] = "now",
    start: Annotated[str | None, typer.Option(help=f"Start of a range. {TIME_HELP}")] = None,
    end: Annotated[str, typer.Option(help="End of a range.")] = "now",
    step: Annotated[str | None, typer.Option(help="Between the points of a range, like 30s.")] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="How to print the answer.")] = Output.TABLE,
    plot: Annotated[bool, typer.Option("--plot", help="Draw a range in the terminal.")] = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
) -> None:
    """Ask a PromQL question."""
    now = time.time()
    if start is None:
        if step is not None or plot:
            misuse("--step and --plot are for a range: give --start")
        path, params = "/api/v1/query", {"query": promql, "time": seconds_of(at, now, "--time")}
    else:
        path, params = "/api/v1/query_range", {"query": promql, **_range(start, end, step, now)}
    with client(url, token) as http:
        body = request(http, "POST", path, data=params, explain=lambda text: with_caret(promql, text))
    for note in (*body.get("warnings", ()), *body.get("infos", ())):
        typer.echo(note, err=True)
    _print(body["data"], output, plot)


def with_caret(promql: str, message: str) -> str:
    """An error of the service and, where it gives a place (`line:column: parse error`), that line with a caret."""
    place = _PLACE.search(message)
    lines = promql.split("\n")
    if place is None or not 1 <= int(place[1]) <= len(lines):
        return message
    line = lines[int(place[1]) - 1]
    # columns count bytes
    read = line.encode(errors="surrogateescape")[: int(place[2]) - 1].decode(errors="ignore")
    # a tab stays a tab, so that the caret is below what it means
    before = "".join("\t" if c == "\t" else " " * cell_len(c) for c in read)
    return f"{message}\n\n  {line}\n  {before}^"


def _range(start: str, end: str, step: str | None, now: float) -> dict[str, float]:
    first, last = seconds_of(start, now, "--start"), seconds_of(end, now, "--end")
    if last < first:
        misuse("--end is before --start")
    if step is None:
        return {"start": first, "end": last, "step": max(1.0, round((last - first) / _DEFAULT_STEPS))}
    try:
        ms = parse_duration_ms(step)
    except ValueError as error:
        misuse(f"--step: {error}")
    if ms == 0:
        misuse("--step must be more than 0")
    return {"start": first, "end": last, "step": ms / 1000}


def seconds_of(text: str, now: float, option: str) -> float:
    """A time as `TIME_HELP` has it, in Unix seconds; ends the command with status 2 when it is none."""
    if text == "now":
        return round(now, 3)
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return float(text)
    try:
        return round(now - parse_duration_ms(text.removeprefix("-")) / 1000, 3)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        misuse(f"{option}: not a time: {text!r}. {TIME_HELP}")
    return (moment if moment.tzinfo else moment.astimezone()).timestamp()


def _print(data: dict[str, Any], output: Output, plot: bool) -> None:
    kind, result = data["resultType"], data["result"]
    if plot:
        _plot(result)
    elif output is Output.JSON:
        Console().print_json(data=data)
    elif output is Output.CSV:
        _csv(kind, result)
    elif kind in ("scalar", "string"):
        typer.echo(result[1])
    else:
        _table(kind, result)


def _table(kind: str, result: list[dict[str, Any]]) -> None:
    if not result:
        typer.echo("no series", err=True)
        return
    rows = []
    for series in result:
        name = series_name(series["metric"])
        for i, (at, value) in enumerate(_points(series)):
            text = histogram_text(value) if isinstance(value, dict) else Text(value, justify="right")
            when = () if kind == "vector" else (_clock(at),)
            rows.append(("" if i else name, *when, text))
    print_table(("Series", *(("Time", "Value") if kind == "matrix" else ("Value",))), rows, prose=("Series",))


def _points(series: dict[str, Any]) -> list[tuple[float, Any]]:
    """The samples of a series by time: the text of a number, or a histogram."""
    single = [series[key] for key in ("value", "histogram") if key in series]
    return sorted(single or [*series.get("values", ()), *series.get("histograms", ())], key=lambda point: point[0])


def histogram_text(histogram: dict[str, Any]) -> Text:
    """A native histogram: count and sum, then a line for each bucket with a bar as long as its part of the count."""
    lines = [f"count {histogram['count']}  sum {histogram['sum']}"]
    buckets = histogram.get("buckets", ())
    ends = [f"{_ENDS[rule][0]}{low}, {high}{_ENDS[rule][1]}" for rule, low, high, _ in buckets]
    most = max((abs(float(count)) for *_, count in buckets), default=0.0)
    for end, (*_, count) in zip(ends, buckets, strict=True):
        bar = "█" * round(_BAR * abs(float(count)) / most) if 0 < most < float("inf") else ""
        lines.append(f"{end:<{max(map(len, ends))}}  {count}  {bar}".rstrip())
    return Text("\n".join(lines))


def _csv(kind: str, result: Any) -> None:
    writer = csv.writer(sys.stdout)
    if kind in ("scalar", "string"):
        writer.writerows([("time", "value"), (_clock(result[0]), result[1])])
        return
    names = sorted({name for series in result for name in series["metric"]})
    writer.writerow([*names, "time", "value"])
    for series in result:
        own = [series["metric"].get(name, "") for name in names]
        writer.writerows(
            [*own, _clock(at), json.dumps(value, separators=(",", ":")) if isinstance(value, dict) else value]
            for at, value in _points(series)
        )


def _plot(result: list[dict[str, Any]]) -> None:
    if not result:
        typer.echo("no series", err=True)
        return
    console = Console()
    drawn = [
        PlotSeries(series_name(s["metric"]), [at for at, _ in s["values"]], [float(v) for _, v in s["values"]])
        for s in result
        if "values" in s
    ]
    if not drawn:
        misuse("--plot draws numbers: ask for histogram_quantile() or histogram_count() of these histograms")
    console.print(draw(drawn, console.width, min(24, max(8, console.height - 8))))


def series_name(metric: dict[str, str]) -> str:
    """A label set as PromQL writes it."""
    labels = ", ".join(f'{name}="{value}"' for name, value in sorted(metric.items()) if name != "__name__")
    name = metric.get("__name__", "")
    return f"{name}{{{labels}}}" if labels or not name else name


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
