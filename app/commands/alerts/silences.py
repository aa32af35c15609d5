"""`watchhouse alerts silence …`: silences, also ones that come again and again."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from alerting.matchers import parse_matchers
from app.commands.alerts.views import as_matcher
from app.commands.http import DEFAULT_URL, TokenOption, UrlOption, client, misuse, request, user_name
from app.commands.query import TIME_HELP, seconds_of
from app.commands.slo.texts import Output, OutputOption, clock_of
from app.commands.tables import print_table
from app.durations import parse_duration_ms
from app.labels import Matcher, MatchOp

_RECURRING = "/api/v1/silences/recurring"


def register(app: typer.Typer) -> None:
    """Adds the `silence` commands."""
    group = typer.Typer(no_args_is_help=True, help="Alerts that are to stay unsent, for a time or again and again.")
    group.command("add")(add)
    group.command("list")(list_all)
    group.command("expire")(expire)
    app.add_typer(group, name="silence")


def add(
    matchers: Annotated[list[str], typer.Argument(metavar="MATCHER…", help="Like severity=page; a name alone.")],
    length: Annotated[str, typer.Option("--for", help="How long, like 2h.")] = "1h",
    start: Annotated[str, typer.Option("--from", help=f"From when. {TIME_HELP}")] = "now",
    comment: Annotated[str, typer.Option("--comment", "-c", help="Why.")] = "",
    author: Annotated[str, typer.Option("--author", "-a", help="By itself who runs this.")] = "",
    rrule: Annotated[str, typer.Option("--rrule", help="Again and again: FREQ=WEEKLY;BYDAY=SU, with --dtstart.")] = "",
    dtstart: Annotated[str, typer.Option("--dtstart", help="The first time, without a zone: 2026-03-01T22:00.")] = "",
    timezone: Annotated[str, typer.Option("--timezone", help="Whose clock the rule goes by.")] = "UTC",
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
) -> None:
    """Keep alerts unsent that all matchers match; prints the silence's id."""
    found = _matchers(matchers)
    if bool(rrule) != bool(dtstart):
        misuse("--rrule and --dtstart go together")
    who = author or user_name()
    with client(url, token) as http:
        if rrule:
            body: dict[str, Any] = {"rrule": rrule, "dtstart": dtstart, "duration": length, "timezone": timezone}
            body |= {"matchers": [str(m) for m in found], "comment": comment, "created_by": who}
            typer.echo(request(http, "POST", _RECURRING, json_body=body, misuse_at=(400,))["data"]["id"])
            return
        first = seconds_of(start, time.time(), "--from")
        body = {
            "matchers": [_json(matcher) for matcher in found],
            "startsAt": _text(first),
            "endsAt": _text(first + _length_s(length)),
            "createdBy": who,
            "comment": comment,
        }
        typer.echo(request(http, "POST", "/api/v2/silences", json_body=body, misuse_at=(400,))["silenceID"])


def list_all(
    expired: Annotated[bool, typer.Option("--expired", help="Expired ones too.")] = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Silences that hold or will, and those that come again and again."""
    with client(url, token) as http:
        silences = request(http, "GET", "/api/v2/silences", params={"expired": expired})
        recurring = request(http, "GET", _RECURRING)["data"]
    if output is Output.JSON:
        typer.echo(json.dumps({"silences": silences, "recurring": recurring}, indent=2))
        return
    rows = [
        (
            one["id"],
            one["status"]["state"],
            clock_of(one["endsAt"]),
            one["createdBy"],
            clock_of(one["startsAt"]),
            " ".join(str(_matcher(m)) for m in one["matchers"]),
            "",
            one["comment"],
        )
        for one in silences
    ]
    for one in recurring:
        following = one["next"][0] if one["next"] else None
        begins, ends = (clock_of(following[key]) if following else "never" for key in ("starts_at", "ends_at"))
        who, matchers = one["created_by"], " ".join(one["matchers"])
        rows.append((one["id"], "recurring", ends, who, begins, matchers, one["rrule"], one["comment"]))
    if not rows:
        typer.echo("no silences")
        return
    columns = ("ID", "STATE", "TO", "BY", "FROM", "MATCHERS", "RULE", "COMMENT")
    print_table(columns, rows, prose=("FROM", "MATCHERS", "RULE", "COMMENT"))


def expire(
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="As `silence list` shows them.")],
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
) -> None:
    """End silences now; one that comes again and again comes no more."""
    with client(url, token) as http:
        recurring = {one["id"] for one in request(http, "GET", _RECURRING)["data"]}
        for one in ids:
            if one in recurring:
                request(http, "DELETE", f"{_RECURRING}/{one}")
            else:
                request(http, "DELETE", f"/api/v2/silence/{one}", misuse_at=(422,), empty=True)
            typer.echo(f"expired {one}")


def _matchers(texts: list[str]) -> list[Matcher]:
    try:
        return [matcher for text in texts for matcher in parse_matchers(as_matcher(text))]
    except ValueError as error:
        misuse(str(error))


def _json(matcher: Matcher) -> dict[str, Any]:
    return {
        "name": matcher.name,
        "value": matcher.value,
        "isRegex": matcher.op in (MatchOp.REGEX, MatchOp.NOT_REGEX),
        "isEqual": matcher.op in (MatchOp.EQUAL, MatchOp.REGEX),
    }


def _matcher(found: dict[str, Any]) -> Matcher:
    ops = {(True, False): MatchOp.EQUAL, (False, False): MatchOp.NOT_EQUAL, (True, True): MatchOp.REGEX}
    return Matcher(found["name"], ops.get((found["isEqual"], found["isRegex"]), MatchOp.NOT_REGEX), found["value"])


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _length_s(text: str) -> float:
    try:
        return parse_duration_ms(text) / 1000
    except ValueError as error:
        misuse(f"--for: {error}")
