"""`watchhouse …`: the command line. Each command stands in a module of `app.commands`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from app.commands import alerts, check_config, demo, logs, query, serve, slack, slo, test_rules

app = typer.Typer(name="watchhouse", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"watchhouse {version('watchhouse')}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end."),
    ] = False,
) -> None:
    """Metrics, logs, SLOs and alerts over ClickHouse, spoken in PromQL and LogQL."""


for command in (serve, check_config, test_rules, query, logs, slo, alerts, slack, demo):
    command.register(app)


def main() -> None:
    """Runs the command the user typed."""
    app()
