"""`watchhouse check-config`: every mistake in configuration, scrape, rule, SLO and Alertmanager files, at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command("check-config")
    def check_config(
        files: Annotated[
            list[Path] | None, typer.Argument(help="Files of any kind; ./watchhouse.yaml without.")
        ] = None,
    ) -> None:
        """Check configuration, scrape, rule, SLO and Alertmanager files: every mistake with file, line and key."""
        # here and in other commands: what takes a second to import is imported by those who need it
        from app.files import check_files

        checked = check_files(files or [Path("watchhouse.yaml")])
        for file in checked:
            for problem in file.problems:
                typer.echo(str(problem), err=True)
            for notice in file.notices:
                typer.echo(f"notice: {notice}")
            if not file.problems:
                typer.echo(f"{file.path}: ok")
        raise typer.Exit(1 if any(file.problems for file in checked) else 0)
