"""`watchhouse alerts routes`: the routing tree, and which receivers some labels lead to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from alerting.config import AlertmanagerConfig, load_alertmanager, parse_alertmanager
from alerting.intervals import muted_by
from alerting.manager.routes import GROUP_BY_ALL, RouteNode, build_routes
from alerting.matchers import format_matchers
from app.commands.http import DEFAULT_URL, TokenOption, UrlOption, client, fail, misuse, request
from app.commands.slo.texts import Output, OutputOption
from app.commands.tables import print_table, print_tree
from app.durations import format_duration_ms
from app.errors import ConfigError
from app.labels import Labels, labels_from
from app.yamlfile import read_documents

LabelArguments = Annotated[
    list[str] | None, typer.Argument(metavar="[LABEL=VALUE]…", help="An alert's labels; without any the tree is shown.")
]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("routes")(routes)


def routes(
    labels: LabelArguments = None,
    config: Annotated[
        Path | None, typer.Option(help="An Alertmanager file; without it the service's is asked for.")
    ] = None,
    receivers: Annotated[str, typer.Option(help="Fails unless these are the receivers: a,b.")] = "",
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """The routing tree; with labels, where an alert with them goes, and why it would be quiet there now."""
    found = _from_file(config) if config else _from_service(url, token)
    root = build_routes(found.route)
    if not labels:
        if receivers:
            misuse("--receivers wants the labels of an alert")
        if output is Output.JSON:
            typer.echo(json.dumps(_tree(root), indent=2))
        else:
            print_tree(_drawn(root))
        return
    given = _labels(labels)
    told = [_told(node, given, found) for node in root.match(dict(given))]
    if output is Output.JSON:
        typer.echo(json.dumps(told, indent=2))
    else:
        _print(told)
    names = ",".join(one["receiver"] for one in told)
    if receivers and receivers != names:
        fail(f"wanted {receivers}, and it goes to {names}")


def _from_file(path: Path) -> AlertmanagerConfig:
    try:
        return load_alertmanager(path)
    except ConfigError as error:
        fail(str(error))


def _from_service(url: str, token: str | None) -> AlertmanagerConfig:
    with client(url, token) as http:
        text = str(request(http, "GET", "/api/v2/status")["config"]["original"])
    # hidden secrets may be URLs, which are checked
    shown = re.sub(r"(?:http://)?<secret>", "http://hidden", text)
    try:
        return parse_alertmanager(read_documents("the service's configuration", shown, as_written=True)[0], Path())
    except ConfigError as error:
        fail(str(error))


def _labels(texts: list[str]) -> Labels:
    pairs: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not name or not sign:
            misuse(f"not a label with its value: {text!r} (write it like severity=page)")
        pairs[name] = value.removeprefix('"').removesuffix('"')
    return labels_from(pairs)


def _told(node: RouteNode, labels: Labels, config: AlertmanagerConfig) -> dict[str, Any]:
    now = datetime.now(UTC)
    muted = muted_by(node.mute_time_intervals, node.active_time_intervals, config.intervals(), now)
    return {
        "receiver": node.receiver,
        "route": node.key,
        "group": dict(node.group_labels(labels)),
        "group_wait": format_duration_ms(node.group_wait_ms),
        "group_interval": format_duration_ms(node.group_interval_ms),
        "repeat_interval": format_duration_ms(node.repeat_interval_ms),
        "muted_by": list(muted or ()),
    }


def _print(told: list[dict[str, Any]]) -> None:
    columns = ("RECEIVER", "WAIT", "INTERVAL", "REPEAT", "ROUTE", "GROUP", "QUIET NOW BY")
    rows = [
        (
            one["receiver"],
            one["group_wait"],
            one["group_interval"],
            one["repeat_interval"],
            one["route"],
            " ".join(f"{name}={value}" for name, value in one["group"].items()),
            ", ".join(one["muted_by"]),
        )
        for one in told
    ]
    print_table(columns, rows, prose=("ROUTE", "GROUP", "QUIET NOW BY"))


def _grouped_by(node: RouteNode) -> list[str]:
    return [GROUP_BY_ALL] if node.group_by_all else sorted(node.group_by)


def _tree(node: RouteNode) -> dict[str, Any]:
    return {
        "matchers": [str(matcher) for matcher in node.matchers],
        "receiver": node.receiver,
        "group_by": _grouped_by(node),
        "continue": node.goes_on,
        "routes": [_tree(child) for child in node.children],
    }


def _drawn(node: RouteNode) -> Tree:
    tree = Tree(_line(node))
    for child in node.children:
        tree.children.append(_drawn(child))
    return tree


def _line(node: RouteNode) -> Text:
    parts: Iterator[str] = filter(
        None,
        (
            format_matchers(node.matchers) if node.matchers else "every alert",
            f"→ {node.receiver}",
            f"grouped by {', '.join(_grouped_by(node))}" if _grouped_by(node) else "",
            "continues" if node.goes_on else "",
        ),
    )
    return Text("  ".join(parts))
