"""`watchhouse slo history NAME`: a burn-down chart, and what was counted step by step."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from app.commands.http import DEFAULT_URL, TokenOption, UrlOption, client, request
from app.commands.query import TIME_HELP, seconds_of
from app.commands.slo.drawing import burn_down, timeline
from app.commands.slo.texts import NameArgument, Output, OutputOption, clock, count, left, percent, slo_path, values_of
from app.commands.tables import print_table


def register(app: typer.Typer) -> None:
    """Adds `history`."""
    app.command("history")(history)


def history(
    name: NameArgument,
    start: Annotated[str | None, typer.Option("--from", help=f"From when; a period ago. {TIME_HELP}")] = None,
    end: Annotated[str, typer.Option("--to", help="To when.")] = "now",
    step: Annotated[str | None, typer.Option(help="The length of a step, like 1h; a 120th of the range.")] = None,
    table: Annotated[bool, typer.Option("--table", help="The figures of each step, below the chart.")] = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """How the error budget of an SLO burnt down."""
    now = time.time()
    params: dict[str, Any] = {"end": seconds_of(end, now, "--to")}
    if start is not None:
        params["start"] = seconds_of(start, now, "--from")
    if step is not None:
        params["step"] = step
    with client(url, token) as http:
        data = request(http, "GET", slo_path(name, "history"), params=params)["data"]
    console = Console()
    if output is Output.JSON:
        console.print_json(data=data)
        return
    points = data["points"]
    console.print(Text(f"{data['id']}: {data['objective']:g} % over {data['period']}, a step is {data['step']}"))
    console.print(burn_down(console, [p["end"] for p in points], values_of(points, "budget_left", 100)))
    removed = [(one["start"], one["end"]) for one in data["maintenance"]]
    if removed:
        console.print(timeline(console, {("maintenance", "maintenance"): removed}, data["start"], data["end"]))
    if not all(point["complete"] for point in points):
        since = clock(data["known_from"])
        console.print(Text(f"Counts begin at {since}: before a period after that, less than a whole one is known."))
    if table:
        _print(data)


def _print(data: dict[str, Any]) -> None:
    rows = [
        (
            clock(point["start"]),
            count(point["good"]),
            count(point["total"]),
            percent(point["sli"], 4),
            percent(point["coverage"], 1),
            left(point["budget_left"]),
        )
        for point in data["points"]
    ]
    print_table(("From", "Good", data["unit"].capitalize(), "SLI", "Covered", "Budget left"), rows)
