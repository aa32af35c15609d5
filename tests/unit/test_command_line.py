"""The command line as a whole."""

from __future__ import annotations

from importlib.metadata import version

from typer.testing import CliRunner

from app.cli import app


def test_the_version_is_printed() -> None:
    """That of the installed package, without any command."""
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"watchhouse {version('watchhouse')}\n")
