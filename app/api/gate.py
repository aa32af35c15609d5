"""How many queries run at once, and how many may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from app.config import Limits
from app.errors import Overloaded

T = TypeVar("T")


class QueryGate:
    """Runs blocking queries in threads: `query_concurrency` at once, `query_queue` waiting, the rest refused."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._executor = ThreadPoolExecutor(limits.query_concurrency, thread_name_prefix="query")
        self._inside = 0

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` gives, run in a thread. Raises Overloaded at once when too many wait, or what `work` raises."""
        concurrency, queue = self._limits.query_concurrency, self._limits.query_queue
        if self._inside >= concurrency + queue:
            raise Overloaded(
                f"{concurrency} queries run and {queue} wait already"
                f" (limits.query_concurrency = {concurrency}, limits.query_queue = {queue})"
            )
        loop = asyncio.get_running_loop()
        future = self._executor.submit(work)
        self._inside += 1
        # on the future, not after the await: an asker that goes away leaves its query running
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._left))
        return await asyncio.wrap_future(future)

    def _left(self) -> None:
        self._inside -= 1

    def close(self) -> None:
        """Refuses new work; what runs ends first."""
        self._executor.shutdown(cancel_futures=True)
