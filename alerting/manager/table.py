"""Every alert that is known, by fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from app.alert import Alert

_FAR = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class KnownAlert:
    """An alert and when its state was last told."""

    alert: Alert
    updated_at: datetime
    foreign: bool = False
    """Whether another instance on the same store was told so, and this one has it from there."""


Listener = Callable[[Alert], None]


class AlertTable:
    """The newest state of each alert."""

    def __init__(self) -> None:
        self._known: dict[str, KnownAlert] = {}
        self._follower: tuple[Listener, Listener] | None = None

    def follow(self, put: Listener, removed: Listener) -> None:
        """Has every alert that is put handed on, and every one that is removed. One follows: the last that asked."""
        self._follower = put, removed

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, fingerprint: str) -> bool:
        return fingerprint in self._known

    def __iter__(self) -> Iterator[KnownAlert]:
        return iter(list(self._known.values()))

    def get(self, fingerprint: str) -> KnownAlert | None:
        """The known alert of a fingerprint."""
        return self._known.get(fingerprint)

    def put(self, alert: Alert, now: datetime, *, updated_at: datetime | None = None) -> Alert:
        """Takes the newest state of an alert and gives what is kept: merged with what was known.

        With `updated_at` another instance was told so, then.
        """
        old = self._known.get(alert.fingerprint)
        if old is not None:
            alert = merged(old.alert, alert, now)
        self._known[alert.fingerprint] = KnownAlert(alert, updated_at or now, updated_at is not None)
        if self._follower:
            self._follower[0](alert)
        return alert

    def remove(self, fingerprint: str) -> None:
        """Forgets an alert."""
        known = self._known.pop(fingerprint, None)
        if known and self._follower:
            self._follower[1](known.alert)


def merged(old: Alert, new: Alert, now: datetime) -> Alert:
    """What is known after `new` came: where both times overlap, the first start and Alertmanager's choice of the end.

    Of two ends that are over the later counts; one that is to come, and that a sender named, is not made earlier.
    """
    old_end, new_end = old.ends_at or _FAR, new.ends_at or _FAR
    if not (old.starts_at < new_end < old_end or old.starts_at < new.starts_at < old_end):
        return new
    ends_at = new.ends_at
    # "until told otherwise" is told otherwise by any end
    if old.ends_at is not None and old_end > new_end:
        keeps = old.resolved_at(now) if new.resolved_at(now) else not old.ends_by_timeout
        ends_at = old.ends_at if keeps else new.ends_at
    return replace(new, starts_at=min(old.starts_at, new.starts_at), ends_at=ends_at)
