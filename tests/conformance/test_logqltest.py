"""LogQL test scripts against the engine: our own, and Loki's where WATCHHOUSE_LOGQLTEST_DIR says they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.config import Limits
from app.query.logql.engine import LogQLEngine
from app.store.client import Pool
from tests.conformance.logqltest_runner import run_script
from tests.conformance.scripts import passed

OWN = Path(__file__).parent / "logql"
FOLDER = Path(os.environ.get("WATCHHOUSE_LOGQLTEST_DIR", "../shared/oracles/logqltest"))
FLOORS = {
    # file: how many of its evals pass at least. These numbers may only rise. What is left of them asks for
    # approx_topk, for hexadecimal numbers, or for an error in other words.
    "binary_operations.logqltest": 252,
    "conversions.logqltest": 14,
    "formatters.logqltest": 29,
    "functions.logqltest": 23,
    "label_filters.logqltest": 277,
    "line_filters.logqltest": 56,
    "parsers.logqltest": 53,
    "range_aggregations.logqltest": 240,
    "vector_aggregations.logqltest": 115,
}
# Loki's are not part of this repository (AGPL): without them there is nothing to skip
THEIRS = [name for name in FLOORS if (FOLDER / name).is_file()]


@pytest.mark.parametrize("script", sorted(OWN.glob("*.logqltest")), ids=lambda path: path.name)
def test_own_scripts(script: Path, embedded_pool: Pool) -> None:
    """Every eval of a script comes out as it says."""
    evals, failures = run_script(
        script.read_text(encoding="utf-8"), embedded_pool, LogQLEngine(embedded_pool, Limits())
    )
    assert evals
    assert not failures, "\n".join(f"line {command.line}: {command.query}\n  {reason}" for command, reason in failures)


if THEIRS:

    @pytest.mark.parametrize("name", THEIRS)
    def test_loki_own_scripts(name: str, embedded_pool: Pool, record_property: Callable[[str, object], None]) -> None:
        """As many evals of each script pass as did before."""
        text = (FOLDER / name).read_text(encoding="utf-8")
        evals, failures = run_script(text, embedded_pool, LogQLEngine(embedded_pool, Limits()))
        assert passed(name, evals, failures, record_property) >= FLOORS[name]
