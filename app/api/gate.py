"""How many queries run at once, how many may wait, which they are, and how one is ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from fastapi import Request

from app.config import Limits
from app.errors import Overloaded, QueryCanceled, StoreError
from app.running import QueryMemory, RunningQuery, working_for

log = logging.getLogger(__name__)
T = TypeVar("T")
EndStatements = Callable[[str], None]
"""Ends the statements in the store that begin with a text. May block; may raise StoreError."""
_AGAIN_SECONDS = 0.2
"""A query that is being ended may just begin another statement."""


class QueryGate:
    """Runs blocking queries in threads: `query_concurrency` at once, `query_queue` waiting, the rest refused.

    A query that is run with its request ends when its client goes away; `cancel` ends it too. Bound to one event loop.
    """

    def __init__(self, limits: Limits, end_statements: EndStatements | None = None) -> None:
        self._limits = limits
        self._end_statements = end_statements
        self._executor = ThreadPoolExecutor(limits.query_concurrency, thread_name_prefix="query")
        self._memory = QueryMemory(limits.query_total_memory)
        self._inside = 0
        self._asked: dict[str, tuple[RunningQuery, Future[Any]]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self, work: Callable[[], T], request: Request | None = None, text: str = "") -> T:
        """What `work` gives, run in a thread. Raises Overloaded at once when too many wait, or what `work` raises.

        With a request, whose body must be read already, `text` is the query as it is shown to others; raises
        QueryCanceled when the client went away or the query was ended.
        """
        concurrency, queue = self._limits.query_concurrency, self._limits.query_queue
        if self._inside >= concurrency + queue:
            raise Overloaded(
                f"{concurrency} queries run and {queue} wait already"
                f" (limits.query_concurrency = {concurrency}, limits.query_queue = {queue})"
            )
        if request is None:
            return await asyncio.wrap_future(self._submitted(work))
        client = f"{request.client.host}:{request.client.port}" if request.client else ""
        query = RunningQuery(text, client, memory=self._memory)

        def known() -> T:
            with working_for(query):
                return work()

        future = self._submitted(known)
        self._asked[query.id] = (query, future)
        watch = asyncio.create_task(_gone(request), name="client of a query")
        watch.add_done_callback(lambda task: None if task.cancelled() else self.cancel(query.id))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.cancelled():
                raise
            raise QueryCanceled("query was canceled in queue") from None
        finally:
            watch.cancel()
            self._asked.pop(query.id, None)

    def active(self) -> list[RunningQuery]:
        """The queries with a request that run or wait, the oldest first."""
        return [query for query, _ in self._asked.values()]

    def cancel(self, query_id: str) -> bool:
        """Ends a query; False when there is none of this id. Its statement ends a moment after this returns."""
        query, future = self._asked.get(query_id, (None, None))
        if query is None or future is None:
            return False
        query.cancel()
        if not future.cancel():
            task = asyncio.create_task(self._end(query, future), name=f"end of query {query_id}")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        return True

    async def _end(self, query: RunningQuery, future: Future[Any]) -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
        while self._end_statements is not None and not future.done():
            try:
                await asyncio.to_thread(self._end_statements, query.tag)
            except StoreError as error:
                log.warning("a query could not be ended, it runs into its timeout: %s", error)
                return
            try:
                await asyncio.wait_for(ended.wait(), _AGAIN_SECONDS)
            except TimeoutError:
                continue

    def _submitted(self, work: Callable[[], T]) -> Future[T]:
        loop = asyncio.get_running_loop()
        future = self._executor.submit(work)
        self._inside += 1
        # on the future, not after an await: a thread may work on when its asker is gone
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._left))
        return future

    def _left(self) -> None:
        self._inside -= 1

    def close(self) -> None:
        """Refuses new work; what runs ends first."""
        self._executor.shutdown(cancel_futures=True)


async def _gone(request: Request) -> None:
    """Returns when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
