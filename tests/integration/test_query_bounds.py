"""Bounds of answers, and of what queries hold together, over the API."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from app.config import Limits
from app.errors import Overloaded
from app.query.promql.engine import PromQLEngine
from app.query.result import QueryResult
from app.running import QueryMemory
from app.store.client import Pool
from tests.integration.promql_world import put, series, serving

T0 = 1_790_000_000_000
RANGE: dict[str, str | float] = {"query": "heat", "start": T0 / 1000, "end": T0 / 1000 + 3600, "step": 15}


def _hour(pool: Pool) -> None:
    points = [(T0 + i * 15_000, i / 7) for i in range(240)]
    put(pool, {series("heat", room=str(i)): points for i in range(20)})


def test_an_answer_that_is_too_large_is_refused_by_its_limit(embedded_pool: Pool) -> None:
    """422 with the limit's name and value; a smaller answer of the same series is given."""
    _hour(embedded_pool)
    limits = Limits.model_validate({"query_max_answer": "100KiB"})
    with serving(embedded_pool, limits) as url:
        refused = httpx.get(f"{url}/api/v1/query_range", params=RANGE)
        given = httpx.get(f"{url}/api/v1/query_range", params={**RANGE, "step": 600})
    assert refused.status_code == 422
    assert refused.json()["errorType"] == "execution"
    assert "limits.query_max_answer = 102400 bytes" in refused.json()["error"]
    assert len(given.json()["data"]["result"]) == 20


class Waiting(PromQLEngine):
    """The query `waits` holds its arrays until it is let go."""

    holds, go = threading.Event(), threading.Event()

    def instant(self, *args: Any, **kwargs: Any) -> QueryResult:
        """As the engine, and then waits."""
        if args[0] == "vector(1)":
            context = self._context(0, 0, None, 0)
            context.check_size(5555, 1000)
            self.holds.set()
            assert self.go.wait(30)
        return super().instant(*args, **kwargs)


def test_queries_together_are_bounded(embedded_pool: Pool) -> None:
    """What would be too much beside the others gets 429 and Retry-After, and is answered when they have ended."""
    _hour(embedded_pool)
    limits = Limits(query_max_memory=50_000_000, query_total_memory=50_000_000)
    with serving(embedded_pool, limits, Waiting(embedded_pool, limits)) as url:
        first = threading.Thread(
            target=httpx.get, args=(f"{url}/api/v1/query",), kwargs={"params": {"query": "vector(1)"}, "timeout": 60}
        )
        first.start()
        assert Waiting.holds.wait(30)
        refused = httpx.get(f"{url}/api/v1/query_range", params=RANGE)
        Waiting.go.set()
        first.join()
        given = httpx.get(f"{url}/api/v1/query_range", params=RANGE)
    assert (refused.status_code, given.status_code) == (429, 200)
    assert "limits.query_total_memory = 50000000 bytes" in refused.json()["error"]
    assert int(refused.headers["Retry-After"]) >= 1


def test_memory_is_counted_by_the_largest_and_freed() -> None:
    """A query counts once, with the most it has held; a freed one counts nothing."""
    memory = QueryMemory(100)
    memory.hold("a", 60)
    memory.hold("a", 50)
    memory.hold("b", 40)
    with pytest.raises(Overloaded, match=r"limits\.query_total_memory = 100 bytes"):
        memory.hold("b", 41)
    memory.free("a")
    memory.hold("b", 100)
    memory.free("b")
    memory.free("b")


def test_all_queries_have_at_least_what_one_may_have() -> None:
    """Bounds that contradict each other are refused by name."""
    with pytest.raises(ValidationError, match="query_total_memory is 10 bytes, less than one query may have"):
        Limits(query_total_memory=10)
