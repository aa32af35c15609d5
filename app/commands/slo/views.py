"""`watchhouse slo list` and `slo show NAME`."""

from __future__ import annotations

from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.text import Text

from app.commands.http import DEFAULT_URL, TokenOption, UrlOption, client, request
from app.commands.slo.texts import (
    NameArgument,
    Output,
    OutputOption,
    burn,
    clock,
    count,
    left,
    percent,
    slo_path,
    span,
)
from app.commands.tables import print_table

_COLUMNS = ("SLO", "Objective", "Good", "Budget left", "Burn", "Firing", "Held", "Covered", "Error")
_COMPONENTS = ("Component", "Objective", "Weight", "Good")
_BURNS = ("Window", "Burn rate", "Errors", "Covered")
_ALERTS = ("Alert", "Severity", "Windows", "Fires above", "Burn rates", "State")
_PAGE = 1_000


def register(app: typer.Typer) -> None:
    """Adds `list` and `show`."""
    app.command("list")(list_slos)
    app.command("show")(show_slo)


def list_slos(
    service: Annotated[list[str] | None, typer.Option(help="Only those of this service; may be repeated.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only those with this label; may be repeated.")
    ] = None,
    firing: Annotated[bool, typer.Option("--firing", help="Only those of which an alert fires.")] = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Every SLO with its error budget."""
    params: dict[str, Any] = {"service": service or [], "label": label or [], **({"firing": "true"} if firing else {})}
    with client(url, token) as http:
        slos = _every(http, params)
    if output is Output.JSON:
        Console().print_json(data=slos)
        return
    rows = [
        (
            slo["id"],
            f"{slo['objective']:g} %",
            percent(slo["sli"], 4),
            left(slo["budget_left"]),
            burn(_long_burn(slo)),
            _firing(slo["alerts"]),
            _held(slo["alerts"]),
            percent(slo["coverage"], 1),
            slo["error"] or "",
        )
        for slo in slos
    ]
    print_table(_COLUMNS, rows, prose=("Error",))


def show_slo(
    name: NameArgument, url: UrlOption = DEFAULT_URL, token: TokenOption = None, output: OutputOption = Output.TABLE
) -> None:
    """One SLO with its burn rates and alerts."""
    with client(url, token) as http:
        slo = request(http, "GET", slo_path(name))["data"]
    if output is Output.JSON:
        Console().print_json(data=slo)
        return
    print_table(("Figure", "Value"), _facts(slo), prose=("Value",), header=False)
    for columns, rows in ((_COMPONENTS, _components(slo)), (_BURNS, _burns(slo)), (_ALERTS, _alerts(slo))):
        if rows:
            typer.echo()
            print_table(columns, rows, prose=("State",))


def _every(http: httpx.Client, params: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = request(http, "GET", "/api/v1/slos", params={**params, "limit": _PAGE, "offset": len(found)})
        found += page["data"]
        if not page["data"] or len(found) >= page["total"]:
            return found


def _facts(slo: dict[str, Any]) -> list[tuple[str, str | Text]]:
    good = f"{percent(slo['sli'], 4)} ({count(slo['good'])} of {count(slo['total'])} {slo['unit']})"
    budget = left(slo["budget_left"])
    if slo["budget_left_minutes"] is not None:
        budget.append(f" ({count(slo['budget_left_events'])} {slo['unit']}, {slo['budget_left_minutes']:,.1f} minutes)")
    rows = [
        ("SLO", slo["id"]),
        ("Description", slo["description"]),
        ("Objective", f"{slo['objective']:g} % of {slo['budgeting']} over {slo['period']}"),
        ("SLA", f"{slo['sla']:g} %, {percent(slo['sla_left'], 1)} of its budget left" if slo["sla"] else None),
        ("Good", good),
        ("Budget left", budget),
        _used_up(slo),
        ("Covered", percent(slo["coverage"], 1) + ("" if slo["complete"] else ", history is still being read")),
        ("Counted to", clock(slo["last_interval"])),
        ("Error", slo["error"] or "none"),
    ]
    return [(label, value) for label, value in rows if value is not None]


def _used_up(slo: dict[str, Any]) -> tuple[str, str | None]:
    if slo["budget_left"] is not None and slo["budget_left"] <= 0:
        return "Used up", "all spent"
    return "Used up in", span(slo["exhausted_in"]) if slo["exhausted_in"] is not None else None


def _components(slo: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (one["name"], f"{one['objective']:g} %", f"{one['weight']:g}", percent(one["sli"], 4))
        for one in slo["components"]
    ]


def _burns(slo: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (one["window"], burn(one["burn"]), percent(one["error_ratio"], 4), percent(one["coverage"], 1))
        for one in slo["burn_rates"]
    ]


def _alerts(slo: dict[str, Any]) -> list[tuple[str | Text, ...]]:
    return [
        (
            one["name"],
            one["severity"],
            ", ".join(dict.fromkeys(one[key] for key in ("long_window", "short_window") if one[key])),
            _limit(one),
            f"{burn(one['long_burn'])}, {burn(one['short_burn'])}" if one["threshold"] is not None else "",
            _state(one),
        )
        for one in slo["alerts"]
    ]


def _limit(one: dict[str, Any]) -> str:
    if one["threshold"] is not None:
        return f"{one['threshold']:g}x"
    return "no data" if one["consumed"] is None else f"{one['consumed'] * 100:g} % used"


def _state(one: dict[str, Any]) -> Text:
    if one["firing"]:
        text = Text(f"firing since {clock(one['since'])}", style="bold red")
    else:
        text = Text("pending" if one["pending"] else "")
    return text.append(f" held: {one['held']}") if one["held"] else text


def _long_burn(slo: dict[str, Any]) -> float | None:
    """The burn rate over the long window of the fastest alert: one figure that says how things go now."""
    burning = [a for a in slo["alerts"] if a["threshold"] is not None]
    first = next((a for a in burning if a["severity"] in ("page", "critical")), burning[0] if burning else None)
    return first["long_burn"] if first else None


def _firing(alerts: list[dict[str, Any]]) -> Text:
    found = sorted({a["severity"] for a in alerts if a["firing"]})
    return Text(", ".join(found), style="bold red" if {"page", "critical"} & set(found) else "yellow")


def _held(alerts: list[dict[str, Any]]) -> Text:
    """The severities of alerts that cannot be decided, for one of their conditions; `slo show` says why."""
    return Text(", ".join(sorted({a["severity"] for a in alerts if a["held"]})), style="yellow")
