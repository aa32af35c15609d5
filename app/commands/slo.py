"""`watchhouse slo list` and `slo show NAME`."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from app.commands import slo_init
from app.commands.http import DEFAULT_URL, TokenOption, UrlOption, client, request

_COLUMNS = ("Objective", "Good", "Budget left", "Burn", "Firing", "Covered", "Error")


class Output(StrEnum):
    """What to print."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="A table, or the API's JSON.")]


def register(app: typer.Typer) -> None:
    """Adds the `slo` commands."""
    slo = typer.Typer(no_args_is_help=True, help="Service level objectives: what is left of the budget, what burns it.")
    slo.command("list")(list_slos)
    slo.command("show")(show_slo)
    slo_init.register(slo)
    app.add_typer(slo, name="slo")


def list_slos(url: UrlOption = DEFAULT_URL, token: TokenOption = None, output: OutputOption = Output.TABLE) -> None:
    """Every SLO with its error budget."""
    with client(url, token) as http:
        slos = request(http, "GET", "/api/v1/slos")["data"]
    console = Console()
    if output is Output.JSON:
        console.print_json(data=slos)
        return
    # names are what a user copies from here: the other columns give way in a narrow terminal
    table = Table(Column("SLO", no_wrap=True, overflow="fold"), *_COLUMNS, box=None)
    for slo in slos:
        table.add_row(
            Text(slo["id"]),
            f"{slo['objective']:g} %",
            _percent(slo["sli"], 4),
            _left(slo["budget_left"]),
            _burn(_long_burn(slo)),
            _firing(slo["alerts"]),
            _percent(slo["coverage"], 1),
            Text(slo["error"] or ""),
        )
    console.print(table)


def show_slo(
    name: Annotated[str, typer.Argument(help="Its id, or its name where no two services use it.")],
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """One SLO with its burn rates and alerts."""
    with client(url, token) as http:
        slo = request(http, "GET", f"/api/v1/slos/{quote(name, safe='')}")["data"]
    console = Console()
    if output is Output.JSON:
        console.print_json(data=slo)
        return
    facts = Table(show_header=False, box=None)
    for label, value in (
        ("SLO", Text(slo["id"])),
        ("Description", Text(slo["description"])),
        ("Objective", f"{slo['objective']:g} % over {slo['period']}"),
        ("Good", f"{_percent(slo['sli'], 4)} ({slo['good']:,.0f} of {slo['total']:,.0f})"),
        ("Budget left", _left(slo["budget_left"])),
        ("Covered", _percent(slo["coverage"], 1)),
        ("Counted to", _time(slo["last_interval"])),
        ("Error", Text(slo["error"] or "none")),
    ):
        facts.add_row(label, value)
    burns = Table("Window", "Burn rate", box=None)
    for item in slo["burn_rates"]:
        burns.add_row(item["window"], _burn(item["burn"]))
    alerts = Table("Alert", "Windows", "Fires above", "Burn rates", "Firing since", box=None)
    for item in slo["alerts"]:
        alerts.add_row(
            item["severity"],
            f"{item['long_window']}, {item['short_window']}",
            f"{item['threshold']:g}x",
            f"{_burn(item['long_burn'])}, {_burn(item['short_burn'])}",
            _time(item["since"]) if item["firing"] else "",
        )
    for part in (facts, burns, alerts):
        console.print(part)
        console.print()


def _long_burn(slo: dict[str, Any]) -> float | None:
    """The burn rate over the long window of the fastest alert: one figure that says how things go now."""
    pages = [a for a in slo["alerts"] if a["severity"] == "page"] or slo["alerts"]
    return pages[0]["long_burn"] if pages else None


def _firing(alerts: list[dict[str, Any]]) -> Text:
    found = sorted({a["severity"] for a in alerts if a["firing"]})
    return Text(", ".join(found), style="bold red" if "page" in found else "yellow")


def _percent(ratio: float | None, digits: int) -> str:
    return "-" if ratio is None else f"{ratio * 100:.{digits}f} %"


def _left(ratio: float | None) -> Text:
    return Text(_percent(ratio, 1), style="red" if ratio is not None and ratio < 0 else "")


def _burn(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.3g}x" if rate < 1000 else f"{rate:.0f}x"


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
