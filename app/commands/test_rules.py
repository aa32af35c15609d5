"""`watchhouse test-rules`: unit tests of rules, in promtool's files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from app.commands.http import misuse


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command("test-rules")
    def test_rules(
        files: Annotated[list[Path], typer.Argument(help="Files of unit tests, as promtool reads them.")],
        run: Annotated[
            list[str] | None, typer.Option(help="Run only tests whose name matches this regular expression.")
        ] = None,
        junit: Annotated[Path | None, typer.Option(help="Write the results here, as JUnit XML.")] = None,
    ) -> None:
        """Run promtool's unit tests of rules: no service is needed. Exit status 0, or 1 when one fails."""
        # here, as it takes a second that other commands need not wait for
        from alerting.rules.testing.junit import write_junit
        from alerting.rules.testing.run import run_file

        try:
            only = re.compile("|".join(run)) if run else None
        except re.error as error:
            misuse(f"--run: not a regular expression: {error}")
        results = []
        for file in files:
            if not file.exists():
                misuse(f"{file}: cannot be read: there is no such file")
            typer.echo(f"Unit Testing:  {file}")
            result = run_file(file, only)
            results.append(result)
            for warning in result.warnings:
                typer.echo(warning, err=True)
            if result.errors:
                typer.echo("  FAILED:", err=True)
                for told in result.errors:
                    typer.echo(told, err=True)
                    typer.echo()
            else:
                typer.echo("  SUCCESS")
            typer.echo()
        if junit is not None:
            write_junit(junit, results)
        raise typer.Exit(1 if any(result.errors for result in results) else 0)
