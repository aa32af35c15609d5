"""Every alert that is known, by fingerprint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from app.alert import Alert


@dataclass(frozen=True, slots=True)
class KnownAlert:
    """An alert and when its state was last told."""

    alert: Alert
    updated_at: datetime


class AlertTable:
    """The newest state of each alert. `version` changes with every change of state."""

    def __init__(self) -> None:
        self._known: dict[str, KnownAlert] = {}
        self.version = 0

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, fingerprint: str) -> bool:
        return fingerprint in self._known

    def __iter__(self) -> Iterator[KnownAlert]:
        return iter(list(self._known.values()))

    def get(self, fingerprint: str) -> KnownAlert | None:
        """The known alert of a fingerprint."""
        return self._known.get(fingerprint)

    def put(self, alert: Alert, now: datetime) -> Alert:
        """Takes the newest state of an alert and gives what is kept: one that fires on keeps its first start."""
        old = self._known.get(alert.fingerprint)
        if old and not old.alert.resolved_at(now) and old.alert.starts_at < alert.starts_at:
            alert = replace(alert, starts_at=old.alert.starts_at)
        self._known[alert.fingerprint] = KnownAlert(alert, now)
        self.version += 1
        return alert

    def remove(self, fingerprint: str) -> None:
        """Forgets an alert."""
        self._known.pop(fingerprint, None)
        self.version += 1
