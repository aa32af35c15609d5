"""`watchhouse slo maintenance …` and `slo audit`."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.console import Console

from app.commands.http import DEFAULT_URL, TokenOption, UrlOption, client, misuse, request, user_name
from app.commands.query import TIME_HELP, seconds_of
from app.commands.slo.texts import Output, OutputOption, clock, span
from app.commands.tables import print_table
from app.durations import parse_duration_ms

_PATH = "/api/v1/slos/maintenance"
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Its id, as `maintenance list` shows it.")]
ReasonOption = Annotated[str, typer.Option(help="Why; it is kept in the audit.")]


def register(app: typer.Typer) -> None:
    """Adds `maintenance` and `audit`."""
    group = typer.Typer(no_args_is_help=True, help="Times that are taken out of error budgets, planned or afterwards.")
    group.command("add")(add)
    group.command("list")(list_all)
    group.command("end")(end_now)
    group.command("remove")(remove)
    app.add_typer(group, name="maintenance")
    app.command("audit")(audit)


def add(
    start: Annotated[str, typer.Option("--from", help=f"From when. {TIME_HELP}")] = "now",
    end: Annotated[str | None, typer.Option("--to", help="To when; or give --for.")] = None,
    length: Annotated[str | None, typer.Option("--for", help="How long, like 2h.")] = None,
    slo: Annotated[list[str] | None, typer.Option(help="The id of an SLO; may be repeated.")] = None,
    service: Annotated[str, typer.Option(help="All SLOs of this service.")] = "",
    every: Annotated[bool, typer.Option("--all", help="All SLOs there are.")] = False,
    reason: ReasonOption = "",
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Take a time out of the budgets of some SLOs. Intervals it touches are neither counted nor missing."""
    if [bool(slo), bool(service), every].count(True) != 1:
        misuse("give one of --slo, --service and --all")
    if (end is None) == (length is None):
        misuse("give --to or --for")
    now = time.time()
    first = seconds_of(start, now, "--from")
    last = seconds_of(end, now, "--to") if end is not None else first + _length_s(length or "")
    body = {"start": first, "end": last, "slos": slo or [], "service": service, "reason": reason, "by": user_name()}
    with client(url, token) as http:
        one = request(http, "POST", _PATH, json_body=body)["data"]
    _print([one], output)


def list_all(url: UrlOption = DEFAULT_URL, token: TokenOption = None, output: OutputOption = Output.TABLE) -> None:
    """Every maintenance, past and planned."""
    with client(url, token) as http:
        found = request(http, "GET", _PATH)["data"]
    _print(found, output)


def end_now(
    name: IdArgument,
    at: Annotated[str, typer.Option("--at", help=f"When it ends instead. {TIME_HELP}")] = "now",
    reason: ReasonOption = "",
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """End a maintenance at another time: now."""
    body = {"end": seconds_of(at, time.time(), "--at"), "by": user_name(), **({"reason": reason} if reason else {})}
    with client(url, token) as http:
        one = request(http, "PATCH", f"{_PATH}/{name}", json_body=body)["data"]
    _print([one], output)


def remove(
    name: IdArgument, reason: ReasonOption = "", url: UrlOption = DEFAULT_URL, token: TokenOption = None
) -> None:
    """Remove a maintenance: its time counts again. The audit keeps that it was there."""
    with client(url, token) as http:
        request(http, "DELETE", f"{_PATH}/{name}", json_body={"reason": reason, "by": user_name()})
    typer.echo(f"removed {name}")


def audit(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many entries, the newest.")] = 100,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Who took which time out of which budgets, when and why."""
    with client(url, token) as http:
        found = request(http, "GET", "/api/v1/slos/audit", params={"limit": limit})["data"]
    if output is Output.JSON:
        Console().print_json(data=found)
        return
    rows = []
    for one in found:
        said = one["after"] or one["before"]
        time_of = f"{clock(said['start'])} for {span(said['end'] - said['start'])}"
        rows.append((clock(one["at"]), one["by"], one["action"], one["maintenance"], time_of, _of(said), one["reason"]))
    print_table(("When", "By", "What", "Maintenance", "Time", "Of", "Reason"), rows, prose=("Of", "Reason"))


def _print(found: list[dict[str, Any]], output: Output) -> None:
    if output is Output.JSON:
        Console().print_json(data=found)
        return
    rows = []
    for one in found:
        lasts = span(one["end"] - one["start"])
        by, of = one["created_by"], _of(one)
        rows.append((one["id"], clock(one["start"]), clock(one["end"]), lasts, by, of, one["reason"]))
    print_table(("ID", "From", "To", "For", "By", "Of", "Reason"), rows, prose=("Of", "Reason"))


def _of(one: dict[str, Any]) -> str:
    return ", ".join(one["slos"]) or (f"service {one['service']}" if one["service"] else "all")


def _length_s(text: str) -> float:
    try:
        return parse_duration_ms(text) / 1000
    except ValueError as error:
        misuse(f"--for: {error}")
