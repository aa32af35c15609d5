"""`watchhouse slo gate NAME…`: go or no-go for a deploy, by exit status."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from app.commands.http import DEFAULT_URL, TokenOption, UrlOption, client, misuse, request
from app.commands.slo.texts import Output, OutputOption, burn, percent


def register(app: typer.Typer) -> None:
    """Adds `gate`."""
    app.command("gate")(gate)


def gate(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Ids or names of SLOs.")] = None,
    service: Annotated[str, typer.Option(help="All SLOs of this service.")] = "",
    min_budget_left: Annotated[
        float, typer.Option(min=0, max=100, help="So many per cent of the budget must be left; with 0 anything.")
    ] = 0.0,
    max_burn: Annotated[
        float | None, typer.Option(min=0, help="The budget must not burn faster over the window.")
    ] = None,
    window: Annotated[
        str | None, typer.Option(help="The window looked at, one the SLO is measured over; 1h where it is.")
    ] = None,
    ignore_alerts: Annotated[bool, typer.Option("--ignore-alerts", help="Also while a page alert fires.")] = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Whether to deploy: status 0 for go, 1 for no-go or no answer, 2 when it is used wrongly.

    No-go when the budget is used up (or less than asked for is left), when a page alert fires, when it burns too fast,
    and when that cannot be known: an SLO that cannot be counted, whose data is missing, or whose history is being read.
    """
    if not names and not service:
        misuse("give NAME or --service")
    body: dict[str, Any] = {
        "names": names or [],
        "service": service,
        "min_budget_left": min_budget_left / 100,
        "ignore_alerts": ignore_alerts,
        **({"max_burn": max_burn} if max_burn is not None else {}),
        **({"window": window} if window is not None else {}),
    }
    with client(url, token) as http:
        data = request(http, "POST", "/api/v1/slos/gate", json_body=body, misuse_at=(400, 404))["data"]
    console = Console()
    if output is Output.JSON:
        console.print_json(data=data)
    else:
        for slo in data["slos"]:
            _print(console, slo)
    raise typer.Exit(0 if data["go"] else 1)


def _print(console: Console, slo: dict[str, Any]) -> None:
    line = Text("go     ", style="bold green") if slo["go"] else Text("NO-GO  ", style="bold red")
    over = f", burns {burn(slo['burn'])} over {slo['window']}" if slo["window"] else ""
    line.append(f"{slo['id']}: {percent(slo['budget_left'], 2)} of the budget left{over}", "not bold default")
    console.print(line)
    for reason in slo["reasons"]:
        console.print(Text(f"       {reason}"))
