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
from alerting.notify.base import Notification, Notifier, NotifyError, Suppression
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

    async def settle(self, *managers: AlertManager) -> None:
        """Returns when every task of the managers waits for a later time."""
        quiet = 0
        while quiet < 2:
            await self._callbacks()
            awake = [task for manager in managers for task in manager.tasks() if not self._sleeps(task)]
            quiet = 0 if awake else quiet + 1
            if awake:
                self._parked.clear()
                parked = asyncio.ensure_future(self._parked.wait())
                await asyncio.wait([*awake, parked], return_when=asyncio.FIRST_COMPLETED)
                parked.cancel()

    async def _callbacks(self) -> None:
        # those of tasks that are done run first: they may wake another task
        for _ in range(2):
            await asyncio.sleep(0)

    async def turn(self, managers: AlertManager | Sequence[AlertManager], seconds: float) -> None:
        """Moves the time on, stopping wherever somebody waits for."""
        managers = [managers] if isinstance(managers, AlertManager) else managers
        await self.settle(*managers)
        target = self._now + timedelta(seconds=seconds)
        while True:
            coming = [until for until, _, _ in self._waiting.values() if until is not None and until <= target]
            if not coming:
                break
            self._now = max(self._now, min(coming))
            for until, _, due in list(self._waiting.values()):
                if until is not None and until <= self._now:
                    due.set()
            await self.settle(*managers)
        self._now = target

    def pass_by(self, seconds: float) -> None:
        """Time goes on while nobody waits for it."""
        self._now += timedelta(seconds=seconds)

    def _sleeps(self, task: asyncio.Task[Any]) -> bool:
        entry = self._waiting.get(task)
        return entry is not None and not entry[1].is_set() and not entry[2].is_set()


class MemoryStore:
    """A state store in memory; `broken` makes every write fail."""

    def __init__(self, clock: HandClock | None = None) -> None:
        self._clock = clock
        self.documents: dict[str, dict[str, Any]] = {}
        self.broken = False
        self.writes = 0
        self._log: list[tuple[str, str, Any, int]] = []

    def write(self, changes: Mapping[tuple[str, str], Any]) -> int:
        if self.broken:
            raise StoreUnavailable("the store is away")
        self.writes += 1
        # versions are nanoseconds: since 1970, or of no clock at all
        version = self.writes + (int(self._clock.now().timestamp() * 1e9) if self._clock else 0)
        for (kind, key), value in changes.items():
            plain = orjson.loads(orjson.dumps(value))
            self._log.append((kind, key, plain, version))
            documents = self.documents.setdefault(kind, {})
            if value is None:
                documents.pop(key, None)
            else:
                documents[key] = plain
        return version

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

    async def notify(self, notification: Notification) -> Mapping[str, str] | None:
        at_s = (self._clock.now() - START).total_seconds()
        self.attempts.append(at_s)
        if self.failures:
            raise self.failures.pop(0)
        names = [sorted(a.name for a in many) for many in (notification.firing, notification.resolved)]
        self.told.append((at_s, names[0], names[1]))
        return None

    async def close(self) -> None:
        return


class EditingRecorder(Recorder):
    """A recorder that can change what it said, as Slack with a token; it remembers how often it spoke."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        self.updates: list[tuple[float, list[str], list[tuple[str, Suppression]], list[str]]] = []
        self.update_failures: list[NotifyError] = []

    async def notify(self, notification: Notification) -> Mapping[str, str] | None:
        await super().notify(notification)
        return {"ts": str(len(self.told)), "before": notification.memory.get("ts", "")}

    async def update(self, notification: Notification) -> Mapping[str, str] | None:
        if self.update_failures:
            raise self.update_failures.pop(0)
        at_s = (self._clock.now() - START).total_seconds()
        suppressed = [(s.alert.name, s.by) for s in notification.suppressed]
        acknowledged = [a.by for a in notification.acknowledged]
        self.updates.append((at_s, sorted(a.name for a in notification.alerts), suppressed, acknowledged))
        assert notification.memory
        return None


class AlertWorld:
    """A manager with one receiver, `team`, and the means to kill and restart it. Started in a `async with`."""

    def __init__(self, text: str, *, editing: bool = False, **options: Any) -> None:
        self.text = text
        self.clock = HandClock()
        self.store = MemoryStore()
        self.team = EditingRecorder(self.clock) if editing else Recorder(self.clock)
        self.options = options
        self.manager = self._new()

    def _new(self) -> AlertManager:
        return manager_of(self.text, self.store, self.clock, {"team": [self.team]}, **self.options)

    async def __aenter__(self) -> AlertWorld:
        await self.manager.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.manager.stop()

    @property
    def editor(self) -> EditingRecorder:
        """The receiver of a world that is `editing`."""
        assert isinstance(self.team, EditingRecorder)
        return self.team

    async def put(self, *alerts: Alert) -> None:
        """Alerts come, and what they lead to at once is done."""
        await self.manager.put_alerts(list(alerts))
        await self.clock.settle(self.manager)

    async def turn(self, seconds: float) -> None:
        """Time goes on."""
        await self.clock.turn(self.manager, seconds)

    async def kill(self) -> None:
        """What SIGKILL leaves: the store, and nothing of the process."""
        for task in self.manager.tasks():
            task.cancel()
        await asyncio.gather(*self.manager.tasks(), return_exceptions=True)
        await self.restart()

    async def restart(self) -> None:
        """Starts anew on what the store has."""
        self.manager = self._new()
        await self.manager.start()
        await self.clock.settle(self.manager)


def config_of(text: str) -> AlertmanagerConfig:
    """The configuration of a text."""
    return parse_alertmanager(read_documents("alertmanager.yml", text)[0], Path())


def manager_of(
    text: str, store: Any, clock: HandClock, notifiers: Mapping[str, Sequence[Notifier]], **options: Any
) -> AlertManager:
    """A manager that is not started."""
    url = "http://watchhouse.example"
    # the clock is turned by hand: a gap in real time would only take time
    return AlertManager(config_of(text), store, notifiers, external_url=url, clock=clock, write_gap_s=0, **options)


def alert(name: str, since_s: float = 0, until_s: float | None = None, **labels: str) -> Alert:
    """An alert with times in seconds after START."""
    return Alert(
        labels_from({"alertname": name, **labels}),
        START + timedelta(seconds=since_s),
        None if until_s is None else START + timedelta(seconds=until_s),
    )
