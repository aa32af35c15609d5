"""The notification log: what each receiver was last told of each group. It decides what is news."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from alerting.manager.state import NOTIFICATION, Changes, Document, StateWriter
from alerting.notify.base import Notification

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What was told, and when. Alerts stand by their fingerprints."""

    firing: frozenset[str]
    resolved: frozenset[str]
    sent_at: datetime
    expires_at: datetime
    memory: Mapping[str, str] = field(default_factory=dict)
    """What the notifier wants to know when it is asked again."""
    shown: str = ""
    """What it last showed of suppressed and acknowledged alerts: `shown_of`."""


Why = Literal["first", "new_alerts", "all_resolved", "some_resolved", "repeat"]
"""Why something is told, as Alertmanager's deduplication has it."""


def why_told(
    entry: LogEntry | None,
    firing: frozenset[str],
    resolved: frozenset[str],
    *,
    send_resolved: bool,
    repeat_interval_ms: int,
    now: datetime,
) -> Why | None:
    """Why a receiver should be told, given what it was told last; None when it should not.

    Alertmanager's rules, as a pure function.
    """
    if entry is None:
        return "first" if firing else None
    if not firing <= entry.firing:
        return "new_alerts" if entry.firing else "first"
    if not firing:
        # also for a receiver that hears of no resolution: the log has to forget what fired
        return "all_resolved" if entry.firing else None
    if send_resolved and not resolved <= entry.resolved:
        return "some_resolved"
    return "repeat" if entry.sent_at < now - timedelta(milliseconds=repeat_interval_ms) else None


def shown_of(notification: Notification) -> str:
    """A short text that differs when other alerts are suppressed or acknowledged, in another way, or end meanwhile."""
    now = notification.now
    parts = [
        f"{s.alert.fingerprint} {s.by} {' '.join(s.ids)} {s.until}{' over' if s.alert.resolved_at(now) else ''}"
        for s in notification.suppressed
    ]
    parts += [f"{a.fingerprint} {a.by}" for a in notification.acknowledged]
    return hashlib.blake2b("\n".join(sorted(parts)).encode(), digest_size=8).hexdigest() if parts else ""


class NotificationLog:
    """Entries by receiver and group, kept in the state store."""

    def __init__(self, writer: StateWriter) -> None:
        self._writer = writer
        self._entries: dict[str, LogEntry] = {}
        self._told: Counter[str] = Counter()

    async def load(self, now: datetime) -> None:
        """Reads what is kept. Raises StoreError."""
        for key, document in (await self._writer.read(NOTIFICATION)).items():
            self.take_over(key, document)
        await self.forget_expired(now)

    def take_over(self, key: str, document: Document | None) -> None:
        """Holds an entry as another instance wrote it; None forgets it."""
        if document is None:
            self._drop(key)
            return
        try:
            entry = _decode(document)
        except (KeyError, TypeError, ValueError):
            log.error("the kept entry %s of the notification log cannot be read and is left out", key)
            return
        old = self._entries.get(key)
        if old is None or old.sent_at <= entry.sent_at:
            self._set(key, entry)

    async def refresh(self, key: str) -> None:
        """Takes over what another instance may have told meanwhile. Raises StoreError."""
        found = await self._writer.read_keys(NOTIFICATION, [key])
        if key in found:
            self.take_over(key, found[key])

    def get(self, key: str) -> LogEntry | None:
        """What was last told under this key."""
        return self._entries.get(key)

    def told_firing(self, fingerprint: str) -> bool:
        """Whether some receiver was last told that this alert fires."""
        return self._told[fingerprint] > 0

    async def record(self, key: str, notification: Notification, others: Changes) -> None:
        """Notes what was told just now and the notification's memory, and writes `others` in the same go.

        Raises StoreError; the note then holds for this process, and is written with the next one.
        """
        entry = LogEntry(
            firing=frozenset(a.fingerprint for a in notification.firing),
            resolved=frozenset(a.fingerprint for a in notification.resolved),
            sent_at=notification.now,
            expires_at=notification.now + 2 * timedelta(milliseconds=notification.repeat_interval_ms),
            memory=notification.memory,
            shown=shown_of(notification),
        )
        self._set(key, entry)
        await self._writer.write_all({(NOTIFICATION, key): _encode(entry), **others})

    async def remember(self, key: str, memory: Mapping[str, str], shown: str, over: Set[str] = frozenset()) -> None:
        """Changes an entry's memory and what it shows, and nothing else. Raises StoreError as `record`.

        Of the alerts of `over` the receiver was shown that they ended: if one fires again, that is news.
        """
        entry = self._entries.get(key)
        if entry is not None and (entry.memory, entry.shown) != (memory, shown):
            entry = replace(entry, memory=memory, shown=shown, firing=entry.firing - over)
            self._set(key, entry)
            await self._writer.write(NOTIFICATION, {key: _encode(entry)})

    async def forget_expired(self, now: datetime) -> None:
        """Drops entries that are past their time. Raises StoreError."""
        expired = [key for key, entry in self._entries.items() if entry.expires_at <= now]
        for key in expired:
            self._drop(key)
        self._told = +self._told
        await self._writer.write(NOTIFICATION, dict.fromkeys(expired))

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry:
            self._told.subtract(entry.firing)

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
        "shown": entry.shown,
    }


def _decode(document: dict[str, Any]) -> LogEntry:
    return LogEntry(
        frozenset(document["firing"]),
        frozenset(document["resolved"]),
        datetime.fromisoformat(document["sent_at"]),
        datetime.fromisoformat(document["expires_at"]),
        document.get("memory", {}),
        document.get("shown", ""),
    )
