"""`watchhouse alerts list`, `explain` and `ack`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
import typer

from app.commands.http import DEFAULT_URL, TokenOption, UrlOption, client, fail, misuse, request, user_name
from app.commands.query import TIME_HELP, seconds_of, series_name
from app.commands.slo.texts import Output, OutputOption, clock_of
from app.commands.tables import print_table

MatcherArguments = Annotated[
    list[str] | None, typer.Argument(metavar="[MATCHER]…", help="Like severity=page or 'team=~\"a|b\"'; a name alone.")
]
AlertArgument = Annotated[
    str, typer.Argument(metavar="ALERT", help="Its fingerprint, or its name where one alert has it.")
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("list")(list_all)
    app.command("explain")(explain)
    app.command("ack")(acknowledge)


def list_all(
    matchers: MatcherArguments = None,
    silenced: Annotated[bool, typer.Option("--silenced", help="Silenced ones too.")] = False,
    inhibited: Annotated[bool, typer.Option("--inhibited", help="Inhibited ones too.")] = False,
    muted: Annotated[bool, typer.Option("--muted", help="Those too that a time interval keeps back.")] = False,
    receiver: Annotated[str, typer.Option(help="Only those that go to a receiver of this name (a pattern).")] = "",
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """The alerts that fire; those that are kept back only when asked for."""
    params = {
        "filter": [as_matcher(text) for text in matchers or []],
        "silenced": silenced,
        "inhibited": inhibited,
        "receiver": receiver,
    }
    with client(url, token) as http:
        found = request(http, "GET", "/api/v2/alerts", params=params, misuse_at=(400,))
        groups = request(
            http,
            "GET",
            "/api/v2/alerts/groups",
            params={**params, "silenced": True, "inhibited": True, "muted": True},
            misuse_at=(400,),
        )
        acknowledged = request(http, "GET", "/api/v1/alerts/acknowledgements")["data"]
    intervals = _muted(groups)
    for alert in found:
        if names := intervals.get(alert["fingerprint"]):
            alert["status"] |= {"mutedBy": names, "state": "suppressed"}
    found = [alert for alert in found if muted or not alert["status"]["mutedBy"]]
    by = {one["fingerprint"]: one["by"] for one in acknowledged}
    if output is Output.JSON:
        typer.echo(json.dumps([{**alert, "acknowledgedBy": by.get(alert["fingerprint"])} for alert in found], indent=2))
        return
    if not found:
        typer.echo("no alerts")
        return
    shared = _shared([alert["labels"] for alert in found])
    if shared:
        typer.echo(f"all of them have {_written(shared)}\n")
    rows = [
        (
            alert["labels"].get("alertname", ""),
            _state(alert["status"]),
            clock_of(alert["startsAt"]),
            alert["fingerprint"],
            by.get(alert["fingerprint"], ""),
            _written({k: v for k, v in alert["labels"].items() if k != "alertname" and k not in shared}),
            alert["annotations"].get("summary", ""),
        )
        for alert in sorted(found, key=lambda alert: str(alert["startsAt"]))
    ]
    columns = ("ALERT", "STATE", "SINCE", "FINGERPRINT", "ACKNOWLEDGED BY", "LABELS", "SUMMARY")
    print_table(columns, rows, prose=("LABELS", "SUMMARY"))


def explain(
    alert: AlertArgument,
    at: Annotated[str, typer.Option("--at", help=f"As of when. {TIME_HELP}")] = "now",
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Why somebody was told of an alert, or was not: route, group, silences, the receiver's answer."""
    now = datetime.now(UTC).timestamp()
    with client(url, token) as http:
        params: dict[str, Any] = {"fingerprint": _fingerprint(http, alert)}
        if at != "now":
            params["at"] = seconds_of(at, now, "--at")
        answer = request(http, "GET", "/api/v1/alerts/explain", params=params)["data"]
    if output is Output.JSON:
        typer.echo(json.dumps(answer, indent=2))
        return
    typer.echo(f"{answer['fingerprint']}  {series_name(answer['labels'])}")
    if "state" in answer:
        typer.echo(f"{answer['state']} since {clock_of(answer['starts_at'])}")
    for one in answer.get("acknowledged_by", ()):
        typer.echo(f"acknowledged by {one['by']} at {clock_of(one['at'])}")
    if not answer["routes"]:
        typer.echo("nothing was decided about it by then")
    for route in answer["routes"]:
        typer.echo("")
        if "path" in route:
            typer.echo(f"route {' / '.join(route['path'])} → {route['receiver']}")
        typer.echo(f"group {route['group_key']}")
        for sentence in route["summary"]:
            typer.echo(f"  {sentence}")


def acknowledge(
    alerts: Annotated[list[str], typer.Argument(metavar="ALERT…", help="Fingerprints, or names of one alert each.")],
    by: Annotated[str, typer.Option("--by", help="Who looks after them; by itself who runs this.")] = "",
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
) -> None:
    """Say that somebody looks after alerts. It is shown in messages, and ends with the alert."""
    with client(url, token) as http:
        body = {"fingerprints": [_fingerprint(http, alert) for alert in alerts], "by": by or user_name()}
        new = request(http, "POST", "/api/v1/alerts/acknowledge", json_body=body)["data"]
    for one in new:
        typer.echo(f"{one['fingerprint']} acknowledged by {one['by']}")
    if not new:
        typer.echo("acknowledged before")


def as_matcher(text: str) -> str:
    """A matcher as the API takes it: a name alone is the alert's name, as amtool has it."""
    return text if any(op in text for op in ("=", "!~")) else f"alertname={text}"


def _muted(groups: list[dict[str, Any]]) -> dict[str, list[str]]:
    """By fingerprint the time intervals that mute an alert; one of which another group is not muted is not."""
    found: dict[str, list[list[str]]] = {}
    for group in groups:
        for alert in group["alerts"]:
            found.setdefault(alert["fingerprint"], []).append(alert["status"]["mutedBy"])
    return {
        fingerprint: sorted({name for names in each for name in names})
        for fingerprint, each in found.items()
        if all(each)
    }


def _shared(labels: list[dict[str, str]]) -> dict[str, str]:
    """What two alerts or more have in common, but their name."""
    if len(labels) < 2:
        return {}
    pairs = set.intersection(*(set(one.items()) for one in labels))
    return {name: value for name, value in pairs if name != "alertname"}


def _written(labels: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(labels.items()))


def _fingerprint(http: httpx.Client, alert: str) -> str:
    if len(alert) == 16 and all(digit in "0123456789abcdef" for digit in alert):
        return alert
    found = request(http, "GET", "/api/v2/alerts", params={"filter": [f'alertname="{alert}"']}, misuse_at=(400,))
    if not found:
        fail(f"no alert named {alert!r} fires; one that is over has to be given by its fingerprint")
    if len(found) > 1:
        each = "\n".join(f"  {one['fingerprint']}  {series_name(one['labels'])}" for one in found)
        misuse(f"{len(found)} alerts are named {alert!r}, give the fingerprint of one:\n{each}")
    return str(found[0]["fingerprint"])


def _state(status: dict[str, Any]) -> str:
    muted = f"muted ({', '.join(status['mutedBy'])})"
    reasons = [(status["silencedBy"], "silenced"), (status["inhibitedBy"], "inhibited"), (status["mutedBy"], muted)]
    return " ".join(word for by, word in reasons if by) or str(status["state"])
