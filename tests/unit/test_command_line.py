"""The command line as a whole."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from app.cli import app


def test_the_version_is_printed() -> None:
    """That of the installed package, without any command."""
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"watchhouse {version('watchhouse')}\n")


@pytest.mark.parametrize("arguments", [["--help"], ["alerts", "list", "--url", "http://127.0.0.1:1"]], ids=" ".join)
def test_a_command_imports_only_what_it_needs(arguments: list[str]) -> None:
    """The service and what counts with arrays take seconds to import: who only asks over HTTP waits for none of it."""
    heavy = (
        "aiohttp",
        "alerting.config",
        "app.service",
        "chdb",
        "fastapi",
        "ingest",
        "numba",
        "numpy",
        "pyarrow",
        "slo",
    )
    script = f"""
import atexit, sys
atexit.register(lambda: print("loaded:", *(name for name in {heavy!r} if name in sys.modules)))
sys.argv = ["watchhouse", *{arguments!r}]
from app.cli import main
main()
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == (0 if arguments == ["--help"] else 1), ended.stderr
    assert ended.stdout.splitlines()[-1].strip() == "loaded:"
