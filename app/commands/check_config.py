"""`watchhouse check-config`: every mistake in configuration, scrape, SLO and Alertmanager files, at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.errors import ConfigError
from app.files import check_file


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command("check-config")
    def check_config(
        files: Annotated[
            list[Path] | None, typer.Argument(help="Files of any kind; ./watchhouse.yaml without.")
        ] = None,
    ) -> None:
        """Check configuration, scrape, SLO and Alertmanager files: every mistake with file, line and key."""
        failed = False
        for path in files or [Path("watchhouse.yaml")]:
            try:
                notices = check_file(path)
            except ConfigError as error:
                failed = True
                typer.echo(str(error), err=True)
                continue
            for notice in notices:
                typer.echo(f"notice: {notice}")
            typer.echo(f"{path}: ok")
        raise typer.Exit(1 if failed else 0)
