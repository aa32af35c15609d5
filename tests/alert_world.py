"""A clock turned by hand and small fakes, for tests of the alert manager."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from alerting.config import AlertmanagerConfig, parse_alertmanager
from alerting.manager.manager import AlertManager
from alerting.notify.base import Notification, Notifier, NotifyError
from app.alert import Alert
from app.errors import StoreUnavailable
from app.labels import labels_from
from app.yamlfile import read_documents

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class HandClock:
    """A `Clock` that stands still until it is turned."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now
        self._waiting: dict[asyncio.Task[Any], tuple[datetime | None, asyncio.Event, asyncio.Event]] = {}
        self._parked = asyncio.Event()

    def now(self) -> datetime:
        return self._now

    async def wait(self, until: datetime | None, wake: asyncio.Event) -> None:
        if until is not None and until <= self._now:
            return
        task = asyncio.current_task()
        assert task is not None
        due = asyncio.Event()
        self._waiting[task] = (until, wake, due)
        self._parked.set()
        waits = [asyncio.ensure_future(event.wait()) for event in (wake, due)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            self._waiting.pop(task, None)

    async def settle(self, manager: AlertManager) -> None:
        """Returns when every task of the manager waits for a later time."""
        while awake := [task for task in manager.tasks() if not self._sleeps(task)]:
            self._parked.clear()
            parked = asyncio.ensure_future(self._parked.wait())
            await asyncio.wait([*awake, parked], return_when=asyncio.FIRST_COMPLETED)
            parked.cancel()
            await asyncio.sleep(0)  # callbacks of tasks that are done run first

    async def turn(self, manager: AlertManager, seconds: float) -> None:
        """Moves the time on, stopping wherever somebody waits for."""
        await self.settle(manager)
        target = self._now + timedelta(seconds=seconds)
        while True:
            coming = [until for until, _, _ in self._waiting.values() if until is not None and until <= target]
            if not coming:
                break
            self._now = max(self._now, min(coming))
            for until, _, due in list(self._waiting.values()):
                if until is not None and until <= self._now:
                    due.set()
            await self.settle(manager)
        self._now = target

    def _sleeps(self, task: asyncio.Task[Any]) -> bool:
        entry = self._waiting.get(task)
        return entry is not None and not entry[1].is_set() and not entry[2].is_set()


class MemoryStore:
    """A state store in memory; `broken` makes every write fail."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.broken = False
        self.writes = 0
        self._log: list[tuple[str, str, Any, int]] = []

    def write(self, changes: Mapping[tuple[str, str], Any]) -> int:
        if self.broken:
            raise StoreUnavailable("the store is away")
        self.writes += 1
        for (kind, key), value in changes.items():
            plain = orjson.loads(orjson.dumps(value))
            self._log.append((kind, key, plain, self.writes))
            documents = self.documents.setdefault(kind, {})
            if value is None:
                documents.pop(key, None)
            else:
                documents[key] = plain
        return self.writes

    def get_all(self, kind: str) -> dict[str, Any]:
        return dict(self.documents.get(kind, {}))

    def get(self, kind: str, keys: Sequence[str]) -> dict[str, Any]:
        found = self.documents.get(kind, {})
        return {key: found[key] for key in keys if key in found}

    def changed(self, kinds: Sequence[str], since: int) -> list[tuple[str, str, Any, int]]:
        newest = {(kind, key): (kind, key, value, at) for kind, key, value, at in self._log if at > since}
        return sorted((c for c in newest.values() if c[0] in kinds), key=lambda change: change[3])


class Recorder:
    """A notifier that keeps what it was told; `failures` are raised first, one an attempt."""

    integration = "slack"

    def __init__(self, clock: HandClock, *, send_resolved: bool = True) -> None:
        self.send_resolved = send_resolved
        self.told: list[tuple[float, list[str], list[str]]] = []
        self.failures: list[NotifyError] = []
        self.attempts: list[float] = []
        self._clock = clock

    async def notify(self, notification: Notification) -> None:
        at_s = (self._clock.now() - START).total_seconds()
        self.attempts.append(at_s)
        if self.failures:
            raise self.failures.pop(0)
        names = [sorted(a.name for a in many) for many in (notification.firing, notification.resolved)]
        self.told.append((at_s, names[0], names[1]))

    async def close(self) -> None:
        return


def config_of(text: str) -> AlertmanagerConfig:
    """The configuration of a text."""
    return parse_alertmanager(read_documents("alertmanager.yml", text)[0], Path())


def manager_of(text: str, store: Any, clock: HandClock, notifiers: dict[str, list[Notifier]]) -> AlertManager:
    """A manager that is not started."""
    return AlertManager(config_of(text), store, notifiers, external_url="http://watchhouse.example", clock=clock)


def alert(name: str, since_s: float = 0, until_s: float | None = None, **labels: str) -> Alert:
    """An alert with times in seconds after START."""
    return Alert(
        labels_from({"alertname": name, **labels}),
        START + timedelta(seconds=since_s),
        None if until_s is None else START + timedelta(seconds=until_s),
    )
