"""`watchhouse alerts …`: what amtool does, for those who have only this, and why somebody was told or was not."""

from __future__ import annotations

import typer

from app.commands.alerts import routes, silences, views


def register(app: typer.Typer) -> None:
    """Adds the `alerts` commands."""
    alerts = typer.Typer(
        no_args_is_help=True, help="Alerts that fire, why somebody was told of them, routes, silences."
    )
    views.register(alerts)
    routes.register(alerts)
    silences.register(alerts)
    app.add_typer(alerts, name="alerts")
