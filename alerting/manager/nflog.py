"""The notification log: what each receiver was last told of each group. It decides what is news."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from alerting.manager.state import NOTIFICATION, StateWriter
from alerting.notify.base import Notification


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What was told, and when. Alerts stand by their fingerprints."""

    firing: frozenset[str]
    resolved: frozenset[str]
    sent_at: datetime
    expires_at: datetime
    memory: Mapping[str, str] = field(default_factory=dict)
    """What the notifier wants to know when it is asked again."""


def needs_telling(
    entry: LogEntry | None,
    firing: frozenset[str],
    resolved: frozenset[str],
    *,
    send_resolved: bool,
    repeat_interval_ms: int,
    now: datetime,
) -> bool:
    """Whether a receiver should be told, given what it was told last. Alertmanager's rules, as a pure function."""
    if entry is None:
        return bool(firing)
    if not firing <= entry.firing:
        return True
    if not firing:
        # also for a receiver that hears of no resolution: the log has to forget what fired
        return bool(entry.firing)
    if send_resolved and not resolved <= entry.resolved:
        return True
    return entry.sent_at < now - timedelta(milliseconds=repeat_interval_ms)


class NotificationLog:
    """Entries by receiver and group, kept in the state store."""

    def __init__(self, writer: StateWriter) -> None:
        self._writer = writer
        self._entries: dict[str, LogEntry] = {}
        self._told: Counter[str] = Counter()

    async def load(self, now: datetime) -> None:
        """Reads what is kept. Raises StoreError."""
        for key, document in (await self._writer.read(NOTIFICATION)).items():
            self._set(key, _decode(document))
        await self.forget_expired(now)

    def get(self, key: str) -> LogEntry | None:
        """What was last told under this key."""
        return self._entries.get(key)

    def told_firing(self, fingerprint: str) -> bool:
        """Whether some receiver was last told that this alert fires."""
        return self._told[fingerprint] > 0

    async def record(self, key: str, notification: Notification) -> None:
        """Notes what was told just now, and the notification's memory.

        Raises StoreError; the note then holds for this process only.
        """
        entry = LogEntry(
            firing=frozenset(a.fingerprint for a in notification.firing),
            resolved=frozenset(a.fingerprint for a in notification.resolved),
            sent_at=notification.now,
            expires_at=notification.now + 2 * timedelta(milliseconds=notification.repeat_interval_ms),
            memory=notification.memory,
        )
        await self._keep(key, entry)

    async def remember(self, key: str, memory: Mapping[str, str]) -> None:
        """Changes an entry's memory and nothing else. Raises StoreError as `record`."""
        entry = self._entries.get(key)
        if entry is not None and entry.memory != memory:
            await self._keep(key, replace(entry, memory=memory))

    async def forget_expired(self, now: datetime) -> None:
        """Drops entries that are past their time. Raises StoreError."""
        expired = [key for key, entry in self._entries.items() if entry.expires_at <= now]
        for key in expired:
            self._told.subtract(self._entries.pop(key).firing)
        self._told = +self._told
        await self._writer.write(NOTIFICATION, dict.fromkeys(expired))

    async def _keep(self, key: str, entry: LogEntry) -> None:
        self._set(key, entry)
        await self._writer.write(NOTIFICATION, {key: _encode(entry)})

    def _set(self, key: str, entry: LogEntry) -> None:
        old = self._entries.get(key)
        if old:
            self._told.subtract(old.firing)
        self._told.update(entry.firing)
        self._entries[key] = entry


def _encode(entry: LogEntry) -> dict[str, Any]:
    return {
        "firing": sorted(entry.firing),
        "resolved": sorted(entry.resolved),
        "sent_at": entry.sent_at.isoformat(),
        "expires_at": entry.expires_at.isoformat(),
        "memory": dict(entry.memory),
    }


def _decode(document: dict[str, Any]) -> LogEntry:
    return LogEntry(
        frozenset(document["firing"]),
        frozenset(document["resolved"]),
        datetime.fromisoformat(document["sent_at"]),
        datetime.fromisoformat(document["expires_at"]),
        document.get("memory", {}),
    )
