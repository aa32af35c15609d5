"""Alerts as they are kept: written when they change, and not each time their sender says that they go on."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from alerting.manager.state import Document
from app.alert import Alert


class KeptAlerts:
    """What was last written of each alert.

    A Prometheus says every minute that an alert goes on, and moves its end; the end that is kept is moved when half of
    the time to it is over.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Alert, datetime]] = {}

    def kept(self, alert: Alert, document: Document) -> None:
        """Notes an alert that was read."""
        if alert.ends_at is not None:
            self._kept[alert.fingerprint] = alert, _told_at(document, alert)

    def is_news(self, alert: Alert, now: datetime) -> bool:
        """Whether an alert has to be written now; it is noted as written then."""
        known = self._kept.get(alert.fingerprint)
        if known is not None and not _changed(*known, alert, now):
            return False
        self._kept[alert.fingerprint] = alert, now
        return True

    def forget(self, fingerprint: str) -> None:
        """Forgets an alert."""
        self._kept.pop(fingerprint, None)


def with_grace(alert: Alert, document: Document, now: datetime) -> Alert:
    """An alert as it was kept, read after a time in which nobody listened.

    Where its sender had said that it goes on for some time, it is given that time once more: it may be saying so still.
    """
    told_at = _told_at(document, alert)
    if alert.ends_at is None or alert.ends_at <= told_at:
        return alert
    return replace(alert, ends_at=max(alert.ends_at, now + (alert.ends_at - told_at)), ends_by_timeout=True)


def _changed(old: Alert, written_at: datetime, new: Alert, now: datetime) -> bool:
    if (old.starts_at, old.annotations, old.generator_url, old.facts) != (
        new.starts_at,
        new.annotations,
        new.generator_url,
        new.facts,
    ):
        return True
    if old.ends_at is None or new.ends_at is None or new.ends_at < old.ends_at:
        return old.ends_at != new.ends_at
    return new.ends_at > old.ends_at and now - written_at >= (old.ends_at - written_at) / 2


def _told_at(document: Document, alert: Alert) -> datetime:
    text = document.get("updated_at")
    return datetime.fromisoformat(text) if text else (alert.ends_at or alert.starts_at)
