"""`watchhouse slo backtest FILE`: what the alerts of a spec would have done, drawn."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from app.commands.http import DEFAULT_URL, TokenOption, UrlOption, client, fail, misuse, request
from app.commands.query import TIME_HELP, seconds_of
from app.commands.slo.drawing import burn_down, timeline
from app.commands.slo.texts import Output, OutputOption, burn, clock, count, left, percent, span, values_of
from app.commands.tables import print_table

_MOST_DRAWN = 20
_TIMEOUT_S = 600.0


def register(app: typer.Typer) -> None:
    """Adds `backtest`."""
    app.command("backtest")(run)


def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The spec: Sloth, OpenSLO or Pyrra.")],
    start: Annotated[str, typer.Option("--from", help=f"From when. {TIME_HELP}")],
    end: Annotated[str, typer.Option("--to", help="To when.")] = "now",
    interval: Annotated[str | None, typer.Option(help="Between evaluations, like 30s; else the service's own.")] = None,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """What the alerts of a spec would have done on the samples that are there."""
    now = time.time()
    params: dict[str, Any] = {"start": seconds_of(start, now, "--from"), "end": seconds_of(end, now, "--to")}
    if params["end"] <= params["start"]:
        misuse("--to is not after --from")
    if interval is not None:
        params["interval"] = interval
    try:
        text = file.read_bytes()
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    with client(url, token, _TIMEOUT_S) as http:
        path = "/api/v1/slos/backtest"
        # the service knows the text alone
        named = f"{file}:"
        data = request(http, "POST", path, params=params, content=text, explain=lambda m: m.replace("body:", named))
    data = data["data"]
    console = Console()
    if output is Output.JSON:
        console.print_json(data=data)
        return
    slos = data.get("slos", [data])
    for slo in slos[:_MOST_DRAWN]:
        _print(console, slo)
    if len(slos) > _MOST_DRAWN:
        console.print(f"{len(slos) - _MOST_DRAWN} more SLOs are not drawn: --output json has all")


def _print(console: Console, slo: dict[str, Any]) -> None:
    budget = slo["budget"]
    good = f"{percent(slo['sli'], 4)} good ({count(slo['good'])} of {count(slo['total'])} {slo['unit']})"
    console.print(Text(f"{slo['id']}: {slo['objective']:g} % over {slo['period']}", style="bold"))
    console.print(Text(f"{good}, budget left at the end {percent(budget['left'], 1)}"))
    series = slo["series"]
    console.print(burn_down(console, [p["time"] for p in series], values_of(series, "budget_left", 100)))
    rows: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for alert in slo["alerts"]:
        until = slo["end"] if alert["ends_at"] is None else alert["ends_at"]
        row = (f"{alert['name']} {alert['severity']}", alert["severity"])
        rows.setdefault(row, []).append((alert["starts_at"], until))
    if not rows:
        console.print("no alert would have fired\n")
        return
    console.print(timeline(console, rows, slo["start"], slo["end"]))
    _print_alerts(slo["alerts"])


def _print_alerts(alerts: list[dict[str, Any]]) -> None:
    rows = []
    for one in alerts:
        lasted = None if one["ends_at"] is None else one["ends_at"] - one["starts_at"]
        rows.append(
            (
                one["name"],
                one["severity"],
                burn(one["peak_burn"]),
                clock(one["starts_at"]),
                "still firing" if lasted is None else span(lasted),
                left(one["budget_left"]),
                one["condition"],
            )
        )
    print_table(("Alert", "Severity", "Peak", "From", "For", "Budget left then", "Why"), rows, prose=("Why",))
