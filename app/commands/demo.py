"""`watchhouse demo`: the main job, end to end, on this machine, with an incident in it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from app.commands.http import misuse
from app.durations import parse_duration_ms


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def demo(
        for_: Annotated[
            str | None, typer.Option("--for", help="End by itself after at most this long, e.g. 90s.")
        ] = None,
        data_dir: Annotated[
            Path | None, typer.Option(file_okay=False, help="Keep the data here instead of nowhere.")
        ] = None,
    ) -> None:
        """Run the service and a small shop that breaks and heals, and show what Slack would be told.

        With --for the status is 0 only when both messages came. Without it, Ctrl-C ends it.
        """
        try:
            for_s = None if for_ is None else parse_duration_ms(for_) / 1000
        except ValueError as error:
            misuse(f"--for: {error}")
        from app.demo.run import run_demo
        from app.demo.screen import Screen

        raise typer.Exit(asyncio.run(run_demo(Screen(), for_s, data_dir)))
