"""A query under way: who asked it, how far it is, and the way to end it from another thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import uuid4

from app.errors import Overloaded, QueryCanceled


class QueryMemory:
    """The arrays of all queries together, by the largest each has had. Safe to use from many threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._held: dict[str, int] = {}

    def hold(self, query_id: str, size: int) -> None:
        """Notes that a query holds so many bytes. Raises Overloaded when all together would hold too many."""
        with self._lock:
            more = size - self._held.get(query_id, 0)
            if more <= 0:
                return
            if sum(self._held.values()) + more > self._limit:
                raise Overloaded(
                    "the queries that run need more memory together than"
                    f" limits.query_total_memory = {self._limit} bytes; ask again when they have ended"
                )
            self._held[query_id] = size

    def free(self, query_id: str) -> None:
        """Forgets a query. Safe to call twice."""
        with self._lock:
            self._held.pop(query_id, None)


@dataclass(slots=True, eq=False)
class RunningQuery:
    """What is known of a query that waits or runs; `started` is Unix time, `samples` what it has read so far."""

    text: str
    client: str
    id: str = field(default_factory=lambda: uuid4().hex)
    started: float = field(default_factory=time.time)
    runs: bool = False
    samples: int = 0
    memory: QueryMemory | None = None
    _canceled: threading.Event = field(default_factory=threading.Event)

    @property
    def tag(self) -> str:
        """How each of its statements in the store begins."""
        return f"/* query {self.id} */ "

    def cancel(self) -> None:
        """Lets it end at its next step. Safe to call twice, from any thread."""
        self._canceled.set()

    def hold(self, size: int) -> None:
        """Notes that arrays of so many bytes are to be made for it. Raises Overloaded."""
        if self.memory is not None:
            self.memory.hold(self.id, size)

    def check(self) -> None:
        """Raises QueryCanceled when it is to end."""
        if self._canceled.is_set():
            raise QueryCanceled("query was canceled in query execution")


_current: ContextVar[RunningQuery | None] = ContextVar("running query", default=None)


def current() -> RunningQuery | None:
    """The query this thread works for, if it is known."""
    return _current.get()


@contextlib.contextmanager
def working_for(query: RunningQuery) -> Iterator[None]:
    """Makes `query` the one this thread works for. Raises QueryCanceled when it was ended before."""
    token = _current.set(query)
    try:
        query.check()
        query.runs = True
        yield
    finally:
        if query.memory is not None:
            query.memory.free(query.id)
        _current.reset(token)
