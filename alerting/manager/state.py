"""Alerts and the notification log as documents of the state store, written one batch at a time."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from numbers import Integral, Real
from typing import Any, Protocol, TypeVar

import orjson

from app.alert import Alert
from app.errors import StoreError, StoreUnavailable
from app.labels import Labels

ALERT, NOTIFICATION = "alert", "notification"
SENDING = "notification_sending"
"""Written before a message is sent and gone with the receiver's answer."""
SILENCE, SILENCE_AUDIT, RECURRING = "silence", "silence_audit", "silence_recurring"
ACKNOWLEDGEMENT = "alert_acknowledgement"
DECISION, DECIDED_ALERT = "alert_decision", "alert_decided"
INSTANCE = "alert_instance"
Document = dict[str, Any]
Changes = Mapping[tuple[str, str], Document | None]
_REMEMBERED_WRITES = 10_000
WRITE_GAP_S = 0.025
"""Time from the start of a write to that of the next one: in it more gathers for it."""
PATIENCE_S = 5.0
"""So long is waited for a store that does not answer: what hangs must not keep anybody from being told."""
_THREADS = 4
T = TypeVar("T")
log = logging.getLogger(__name__)


class DocumentStore(Protocol):
    """What is needed of `app.store.state.StateStore`. Its methods block."""

    def write(self, changes: Changes) -> int:
        """Writes documents by (kind, key), None forgets one; kept when it returns. Gives the version they got."""

    def get_all(self, kind: str) -> dict[str, Any]:
        """Every document of a kind, by key."""

    def get(self, kind: str, keys: Sequence[str]) -> dict[str, Any]:
        """The documents of a kind that are there, by key."""

    def changed(self, kinds: Sequence[str], since: int) -> Sequence[tuple[str, str, Any, int]]:
        """(kind, key, document or None, version) of what was written after a version, in order."""


class StateWriter:
    """Serialises writes: whatever gathers while one is under way is the next one, and the newest value of a key wins.

    What could not be written stays, and goes with the next write. What the store has not answered after PATIENCE_S is
    a StoreUnavailable to whoever waits; it may be written all the same.
    """

    def __init__(self, store: DocumentStore, gap_s: float = WRITE_GAP_S) -> None:
        self._store = store
        self._gap_s = gap_s
        self._written_at = 0.0
        # threads of its own: calls that hang take none from others
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="alert-state")
        self._closed = False
        self._pending: dict[tuple[str, str], Document | None] = {}
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None
        self._written: dict[int, None] = {}

    async def read(self, kind: str) -> dict[str, Any]:
        """Every document of a kind. Raises StoreError."""
        return await self._in_thread(lambda: self._store.get_all(kind))

    async def read_keys(self, kind: str, keys: Sequence[str]) -> dict[str, Any]:
        """The documents of a kind that are there, by key. Raises StoreError."""
        return await _soon(self._in_thread(lambda: self._store.get(kind, keys)))

    async def changed_by_others(self, kinds: Sequence[str], since: int) -> list[tuple[str, str, Any, int]]:
        """What other processes wrote after a version, in order. Raises StoreError."""
        changes = await self._in_thread(lambda: self._store.changed(kinds, since))
        return [change for change in changes if change[3] not in self._written and change[:2] not in self._pending]

    async def write(self, kind: str, documents: Mapping[str, Document | None]) -> None:
        """Returns when the documents are kept; None forgets one. Raises StoreError."""
        await self.write_all({(kind, key): value for key, value in documents.items()})

    async def write_all(self, changes: Changes) -> None:
        """As `write`, of several kinds: all of it is kept or nothing."""
        await _soon(self._write_all(changes))

    async def _write_all(self, changes: Changes) -> None:
        self._pending.update(changes)
        if self._pending:
            # a caller that goes away does not stop a write that others wait for
            await asyncio.shield(self._batch())
        else:
            await self.flush()

    async def write_or_drop(self, changes: Changes) -> None:
        """As `write_all`; what could not be kept is dropped: whoever asked for it is told so. Raises StoreError.

        Waits as long as the store takes: until then nobody knows.
        """
        try:
            await self._write_all(changes)
        except StoreError:
            for name, document in changes.items():
                if name in self._pending and self._pending[name] is document:
                    del self._pending[name]
            raise

    def write_later(self, changes: Changes) -> None:
        """Leaves documents to go with the next write."""
        self._pending.update(changes)

    @property
    def waiting(self) -> bool:
        """Whether documents wait for the next write."""
        return bool(self._pending)

    def begin(self) -> None:
        """Writes what waits without anybody waiting for it. What fails goes with the next write."""
        if self._pending:
            self._batch()

    async def flush(self) -> None:
        """Returns when nothing is on its way; what failed before is tried once more. Raises StoreError."""
        task = self._batch() if self._pending else self._running
        if task is not None and not task.done():
            await asyncio.shield(task)

    def _batch(self) -> asyncio.Task[None]:
        if self._next is None:
            self._next = asyncio.create_task(self._write_after(self._running), name="alert state")
            # the callers may all be gone by then; what failed is pending again and is no news
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._next

    async def _write_after(self, previous: asyncio.Task[None] | None) -> None:
        if previous is not None:
            await asyncio.wait([previous])
        left_s = self._written_at + self._gap_s - time.monotonic()
        if left_s > 0:
            await asyncio.sleep(left_s)
        self._written_at = time.monotonic()
        self._running, self._next = asyncio.current_task(), None
        batch, self._pending = self._pending, {}
        try:
            version = await self._in_thread(lambda: self._store.write(batch))
        except (TypeError, ValueError):
            # a document that is no JSON would keep all others from being written for ever
            sound = {name: document for name, document in batch.items() if _is_json(document)}
            log.exception("documents that cannot be written are left out: %s", sorted(batch.keys() - sound.keys()))
            self._pending = sound | self._pending
            raise
        except BaseException:
            self._pending = batch | self._pending
            raise
        self._written[version] = None
        if len(self._written) > _REMEMBERED_WRITES:
            self._written.pop(next(iter(self._written)))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise StoreUnavailable("the alert manager has stopped")
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Lets go of the threads; what is under way ends by itself."""
        self._closed = True
        self._threads.shutdown(wait=False)


async def _soon(answer: Coroutine[Any, Any, T]) -> T:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await answer
    except TimeoutError:
        raise StoreUnavailable(f"the store has not answered for {PATIENCE_S:g} s") from None


def _is_json(document: Document | None) -> bool:
    try:
        orjson.dumps(document)
    except TypeError:
        return False
    return True


def encode_alert(alert: Alert) -> Document:
    """An alert as a JSON-able document."""
    return {
        "labels": dict(alert.labels),
        "starts_at": alert.starts_at.isoformat(),
        "ends_at": alert.ends_at.isoformat() if alert.ends_at else None,
        "annotations": dict(alert.annotations),
        "generator_url": alert.generator_url,
        "facts": plain(alert.facts),
        "ends_by_timeout": alert.ends_by_timeout,
    }


def decode_alert(document: Document) -> Alert:
    """The alert of a document. Raises KeyError or ValueError when it is none."""
    ends_at = document["ends_at"]
    return Alert(
        labels=_pairs(document["labels"]),
        starts_at=datetime.fromisoformat(document["starts_at"]),
        ends_at=datetime.fromisoformat(ends_at) if ends_at else None,
        annotations=_pairs(document["annotations"]),
        generator_url=document["generator_url"],
        facts=document["facts"],
        ends_by_timeout=document.get("ends_by_timeout", False),
    )


def plain(value: Any) -> Any:
    """A value of facts as JSON has it: numbers of any library as int and float, what is not finite as null."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value)


def _pairs(mapping: Mapping[str, str]) -> Labels:
    return tuple(sorted(mapping.items()))
