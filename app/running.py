"""A query under way: who asked it, how far it is, and the way to end it from another thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import uuid4

from app.errors import QueryCanceled


@dataclass(slots=True, eq=False)
class RunningQuery:
    """What is known of a query that waits or runs; `started` is Unix time, `samples` what it has read so far."""

    text: str
    client: str
    id: str = field(default_factory=lambda: uuid4().hex)
    started: float = field(default_factory=time.time)
    runs: bool = False
    samples: int = 0
    _canceled: threading.Event = field(default_factory=threading.Event)

    @property
    def tag(self) -> str:
        """How each of its statements in the store begins."""
        return f"/* query {self.id} */ "

    def cancel(self) -> None:
        """Lets it end at its next step. Safe to call twice, from any thread."""
        self._canceled.set()

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
        _current.reset(token)
