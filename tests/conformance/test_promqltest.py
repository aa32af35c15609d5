"""Prometheus's own PromQL test scripts against the engine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.config import Limits
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool
from tests.conformance.promqltest_runner import run_script
from tests.conformance.scripts import passed

FOLDER = Path(os.environ.get("WATCHHOUSE_PROMQLTEST_DIR", "../shared/oracles/promqltest"))

FLOORS = {
    # file: how many of its evals pass at least. These numbers may only rise.
    "aggregators.test": 159,
    "at_modifier.test": 78,
    "functions.test": 431,
    "histograms.test": 185,
    "info.test": 53,
    "literals.test": 25,
    "native_histograms.test": 522,
    "operators.test": 214,
    "selectors.test": 31,
    "staleness.test": 17,
    "subquery.test": 34,
}


WAYS = {
    "compiled": {"push_down": True, "compiled": True},
    "engine": {"push_down": True, "compiled": False},
    "arrays": {"push_down": False, "compiled": False},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", sorted(FLOORS))
def test_prometheus_own_scripts(
    name: str, way: str, embedded_pool: Pool, record_property: Callable[[str, object], None]
) -> None:
    """As many evals of each script pass as did before, on each of the ways a query can be answered."""
    script = FOLDER / name
    if not script.is_file():
        pytest.skip(f"no Prometheus test scripts in {FOLDER} (WATCHHOUSE_PROMQLTEST_DIR)")
    engine = PromQLEngine(embedded_pool, Limits(), **WAYS[way])
    evals, failures = run_script(script.read_text(encoding="utf-8"), embedded_pool, engine)
    assert passed(name, evals, failures, record_property) >= FLOORS[name]
