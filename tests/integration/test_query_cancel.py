"""Queries that are ended: by their client's leaving, and by DELETE."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from app.config import Limits
from app.query.promql.conditions import Parameters
from app.query.promql.engine import PromQLEngine
from app.query.result import QueryResult
from app.store.client import Pool
from app.web import role_for
from tests.integration.promql_world import serving

MARK = "a statement of a minute"
LIMITS = Limits(query_concurrency=1, query_queue=1)


class Slow(PromQLEngine):
    """Every instant query is a statement that takes a minute."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool, LIMITS)
        self.pool = pool

    def instant(self, *args: Any, **kwargs: Any) -> QueryResult:
        """Answers what the store says first, and it says nothing for a minute."""
        if args[0] == "slow":
            context = self._context(0, 0, None, 0)
            slow = f"SELECT sleepEachRow(0.1), '{MARK}' FROM numbers(600) SETTINGS max_block_size = 1"
            self._source._query(f"SELECT count() FROM ({slow}) WHERE NOT ignore(*)", Parameters(), context)
        return super().instant(*args, **kwargs)


def statements(pool: Pool) -> int:
    """How many of the slow statements the engine runs."""
    sql = (
        "SELECT count() FROM system.processes WHERE position(query, {mark:String}) > 0 AND NOT position(query, 'mark')"
    )
    return int(pool.command(sql, {"mark": MARK}))


@pytest.fixture
def url(embedded_pool: Pool) -> Iterator[str]:
    """A server with room for one query."""
    with serving(embedded_pool, LIMITS, Slow(embedded_pool)) as base:
        yield f"{base}/api/v1"


def until(condition: Any, seconds: float = 20) -> Any:
    """What the condition gives, once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def active(url: str) -> list[dict[str, Any]]:
    """What runs and waits."""
    found: list[dict[str, Any]] = httpx.get(f"{url}/status/active_queries").json()["data"]["activeQueries"]
    return found


def test_a_client_that_leaves_ends_its_query(url: str, embedded_pool: Pool) -> None:
    """Its statement is gone from the engine and its place is free, long before any timeout."""
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{url}/query", params={"query": "slow"}, timeout=1.5)
    left = time.monotonic()
    assert httpx.get(f"{url}/query", params={"query": "1"}, timeout=20).status_code == 200
    until(lambda: not statements(embedded_pool))
    assert active(url) == []
    assert time.monotonic() - left < 10


def test_queries_are_listed_and_ended(url: str, embedded_pool: Pool) -> None:
    """The list says what runs and what waits; one that is ended answers 499 `canceled`, and the next has its place."""
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(httpx.post, f"{url}/query", data={"query": "slow"}, timeout=40)
        until(lambda: statements(embedded_pool))
        second = threads.submit(httpx.get, f"{url}/query", params={"query": "slow"}, timeout=40)
        running, waiting = until(lambda: found if len(found := active(url)) == 2 else None)
        assert (running["query"], running["state"], waiting["state"]) == ("slow", "running", "waiting")
        assert running["client"].startswith("127.0.0.1:")
        assert running["elapsedSeconds"] > 0
        for query in (waiting, running):
            answer = httpx.delete(f"{url}/status/active_queries/{query['id']}")
            assert answer.json() == {"status": "success", "data": {"id": query["id"]}}
        for future in (first, second):
            answer = future.result(20)
            assert answer.status_code == 499
            assert answer.json()["errorType"] == "canceled"
            assert answer.json()["error"].startswith("query was canceled in ")
    until(lambda: not statements(embedded_pool))
    assert httpx.delete(f"{url}/status/active_queries/{running['id']}").status_code == 404


def test_only_an_admin_ends_queries() -> None:
    """Reading the list is a query; ending one is not."""
    assert role_for("GET", "/api/v1/status/active_queries") == "query"
    assert role_for("DELETE", "/api/v1/status/active_queries/x") == "admin"
