"""Fixtures everywhere: a store of one's own for each test.

One process can hold one embedded engine, so all tests of a run share it and each gets a database of its own.
`store_pool` runs a test twice: on that engine, and over ClickHouse's HTTP interface of a second process.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from app.config import Limits, Retention, StoreConfig
from app.store.client import Pool, open_pool
from app.store.schema import migrate
from ingest.writer import Writer
from tests.integration.service import ServiceProcess

# the same examples in every run of CI: a change is judged by what it changed; new ones are looked for at the desk
settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("WATCHHOUSE_NO_SKIPS"):
    settings.load_profile("ci")

_databases = itertools.count()
A_CENTURY = Retention.model_validate({"metrics": "100y", "logs": "100y"})


@pytest.fixture(scope="session")
def engine_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the one embedded engine of this test run."""
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="session")
def _engine(engine_dir: Path) -> Iterator[Pool]:
    """Keeps the engine open from the first test that needs it to the last."""
    pool = open_pool(StoreConfig(), engine_dir, "kept_open")
    yield pool
    pool.close()


@pytest.fixture
def embedded_pool(_engine: Pool, engine_dir: Path) -> Iterator[Pool]:
    """A migrated, empty database in the embedded engine."""
    name = f"test_{next(_databases)}"
    pool = open_pool(StoreConfig(), engine_dir, name)
    migrate(pool)
    yield pool
    pool.command(f"DROP DATABASE `{name}`")
    pool.close()


@pytest.fixture
async def writer(embedded_pool: Pool) -> AsyncIterator[Writer]:
    """A started writer."""
    writer = Writer(embedded_pool, Limits())
    await writer.start()
    yield writer
    await writer.stop()


@pytest.fixture(scope="session")
def clickhouse_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A second process that holds an engine and serves it, for writing too, at /clickhouse."""
    with ServiceProcess(tmp_path_factory.mktemp("server"), {"store": {"http_writable": True}}) as service:
        yield service


@pytest.fixture(params=["embedded", "http"])
def store_pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """A migrated, empty database: in this process's engine, and over the transport of a ClickHouse server."""
    if request.param == "embedded":
        yield request.getfixturevalue("embedded_pool")
        return
    service: ServiceProcess = request.getfixturevalue("clickhouse_process")
    name = f"test_{next(_databases)}"
    url = f"clickhouse://127.0.0.1:{service.port}/{name}?proxy_path=/clickhouse"
    pool = open_pool(StoreConfig(url=url), Path())
    migrate(pool)
    yield pool
    pool.command(f"DROP DATABASE `{name}`")
    pool.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """In CI a skip is a failure: there everything a test needs is installed."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.skipped and os.environ.get("WATCHHOUSE_NO_SKIPS") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {report.longrepr}"
