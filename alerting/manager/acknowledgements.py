"""Who looks after which alert. An acknowledgement ends with the alert."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from alerting.manager.audit import Audit
from alerting.manager.clock import Clock
from alerting.manager.state import ACKNOWLEDGEMENT, Document, StateWriter
from alerting.manager.watched import Watched
from alerting.notify.base import Acknowledgement
from app.alert import Alert


class Acknowledgements(Watched):
    """By the alert's fingerprint, kept in the state store. `version` changes with every change."""

    def __init__(self, writer: StateWriter, audit: Audit, clock: Clock) -> None:
        super().__init__()
        self._writer = writer
        self._audit = audit
        self._clock = clock
        self._all: dict[str, Acknowledgement] = {}

    async def load(self) -> None:
        """Reads what is kept. Raises StoreError."""
        for key, document in (await self._writer.read(ACKNOWLEDGEMENT)).items():
            self.take_over(key, document)

    def take_over(self, key: str, document: Document | None) -> None:
        """Holds one as it stands in the store; None forgets it."""
        if document is None:
            self._all.pop(key, None)
        else:
            self._all[key] = Acknowledgement(key, document["by"], datetime.fromisoformat(document["at"]))
        self._changed()

    def all(self) -> list[Acknowledgement]:
        """Every one, the newest first."""
        return sorted(self._all.values(), key=lambda a: a.at, reverse=True)

    def of(self, alerts: Iterable[Alert]) -> tuple[Acknowledgement, ...]:
        """Those of some alerts, in the alerts' order."""
        return tuple(self._all[a.fingerprint] for a in alerts if a.fingerprint in self._all)

    async def add(self, alerts: Iterable[Alert], by: str, who: str) -> list[Acknowledgement]:
        """Notes that `by` looks after these alerts; gives the new ones. Raises StoreError and nothing is noted."""
        now = self._clock.now()
        new = [Acknowledgement(a.fingerprint, by, now) for a in alerts if a.fingerprint not in self._all]
        changes: dict[tuple[str, str], Document | None] = {}
        for one in new:
            changes[ACKNOWLEDGEMENT, one.fingerprint] = {"by": by, "at": now.isoformat()}
            changes |= self._audit.entry("acknowledged", f"alert {one.fingerprint}", who, by=by)
        if changes:
            await self._writer.write_or_drop(changes)
            self._all |= {one.fingerprint: one for one in new}
            self._changed()
        return new

    def end(self, fingerprints: Iterable[str]) -> None:
        """Forgets those of alerts that are over; written with the next change."""
        for fingerprint in fingerprints:
            if self._all.pop(fingerprint, None):
                self._writer.write_later({(ACKNOWLEDGEMENT, fingerprint): None})
