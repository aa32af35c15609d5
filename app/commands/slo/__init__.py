"""`watchhouse slo …`: budgets, burn rates, history, backtests, the deploy gate and maintenance."""

from __future__ import annotations

import typer

from app.commands.slo import backtests, gates, history, init, maintenance, views


def register(app: typer.Typer) -> None:
    """Adds the `slo` commands."""
    slo = typer.Typer(no_args_is_help=True, help="Service level objectives: what is left of the budget, what burns it.")
    for module in (views, history, backtests, gates, maintenance, init):
        module.register(slo)
    app.add_typer(slo, name="slo")
