"""What is known and kept of alerts: taking them, making room, taking over from other instances, forgetting."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from alerting.manager.acknowledgements import Acknowledgements
from alerting.manager.clock import Clock
from alerting.manager.groups import GroupTable
from alerting.manager.kept import KeptAlerts, with_grace
from alerting.manager.nflog import NotificationLog
from alerting.manager.state import ALERT, Document, StateWriter, decode_alert, encode_alert
from alerting.manager.table import AlertTable
from app.alert import Alert
from app.errors import Overloaded, StoreError
from app.telemetry import ALERT_STATE_FAILURES

log = logging.getLogger(__name__)

MAX_ALERTS = 100_000
"""Alerts known at once; past it new ones are refused."""


class KnownAlerts:
    """The alerts in the table, in the groups of the configuration in force, and in the state store.

    `changed` is called when alerts came that may be due.
    """

    def __init__(
        self,
        writer: StateWriter,
        nflog: NotificationLog,
        acknowledgements: Acknowledgements,
        clock: Clock,
        max_alerts: int,
        changed: Callable[[], None],
    ) -> None:
        self.table = AlertTable()
        self._writer = writer
        self._nflog = nflog
        self._acknowledgements = acknowledgements
        self._clock = clock
        self._max_alerts = max_alerts
        self._changed = changed
        self._ends = KeptAlerts()
        self._groups: GroupTable | None = None

    @property
    def groups(self) -> GroupTable:
        """The groups alerts are put into."""
        assert self._groups is not None
        return self._groups

    def use(self, groups: GroupTable, now: datetime) -> None:
        """Takes up the groups of a configuration, and puts every known alert into them."""
        self._groups = groups
        for known in self.table:
            groups.insert(known.alert, now)

    async def load(self, now: datetime) -> None:
        """Reads what is kept. Raises StoreError."""
        for fingerprint, document in (await self._writer.read(ALERT)).items():
            try:
                alert = decode_alert(document)
            except (KeyError, TypeError, ValueError):
                log.error("the kept alert %s cannot be read and is left out", fingerprint)
                continue
            if alert.fingerprint != fingerprint:  # kept by a version that counted otherwise
                with contextlib.suppress(StoreError):
                    await self._keep({fingerprint: None, alert.fingerprint: document})
            self._ends.kept(alert, document)
            self.groups.insert(self.table.put(with_grace(alert, document, now), now), now)

    async def put(self, alerts: list[Alert]) -> None:
        """Takes the present state of some alerts; returns when it is kept. Raises as `AlertManager.put_alerts`."""
        now = self._clock.now()
        news = [a for a in alerts if a.fingerprint in self.table or not self._over_unheard(a, now)]
        new = dict.fromkeys(a.fingerprint for a in news if a.fingerprint not in self.table)
        changes: dict[str, Document | None] = dict.fromkeys(self._make_room(len(new), now))
        refused = set(list(new)[max(0, self._max_alerts - len(self.table)) :])
        changed: dict[str, Alert] = {}
        for alert in news:
            if alert.fingerprint in refused:
                continue
            kept = self.table.put(alert, now)
            self.groups.insert(kept, now)
            if self._ends.is_news(kept, now):
                changed[kept.fingerprint] = kept
        self._changed()
        await self._keep(changes | {fingerprint: _document(alert, now) for fingerprint, alert in changed.items()})
        if refused:
            raise Overloaded(
                f"{len(refused)} new alerts are refused: at most {self._max_alerts} are known at once",
                retry_after_s=60.0,
            )

    def _make_room(self, count: int, now: datetime) -> list[str]:
        """Forgets alerts that are over and could not be told, when new ones need their room. Gives fingerprints."""
        most = len(self.table) + count - self._max_alerts
        if most <= 0:
            return []
        over = sorted((k.alert for k in self.table if k.alert.resolved_at(now)), key=lambda a: a.ends_at or now)[:most]
        for alert in over:
            self.groups.remove(alert)
            self.table.remove(alert.fingerprint)
            self._ends.forget(alert.fingerprint)
        gone = [alert.fingerprint for alert in over]
        self._acknowledgements.end(gone)
        if gone:
            log.error("the end of %d alerts could not be told in time: new ones need their room", len(gone))
        return gone

    def _over_unheard(self, alert: Alert, now: datetime) -> bool:
        return alert.resolved_at(now) and not self._nflog.told_firing(alert.fingerprint)

    async def forget_told(self, fingerprints: Iterable[str], now: datetime) -> None:
        """Forgets those alerts that are over, once no group has them any more: their end was told."""
        gone = []
        for fingerprint in fingerprints:
            known = self.table.get(fingerprint)
            if known and known.alert.resolved_at(now) and not self.groups.holds(known.alert):
                self.table.remove(fingerprint)
                self._ends.forget(fingerprint)
                gone.append(fingerprint)
        if gone:
            self._acknowledgements.end(gone)
            with contextlib.suppress(StoreError):  # counted; tried again with the next change
                await self._keep(dict.fromkeys(gone))

    def take_over(self, fingerprint: str, document: Document | None) -> None:
        """An alert as another instance was told of it; None: it told its end and forgot it."""
        now, known = self._clock.now(), self.table.get(fingerprint)
        if document is None:
            if known is None or not known.foreign or known.alert.resolved_at(now):
                return
            # nobody else will say that it is over
            alert = _ended(known.alert, now)
            self.groups.insert(self.table.put(alert, now, updated_at=now), now)
        else:
            try:
                alert, updated_at = decode_alert(document), datetime.fromisoformat(document["updated_at"])
            except (KeyError, TypeError, ValueError):
                log.error("the alert %s of another instance cannot be read and is left out", fingerprint)
                return
            if known is not None and known.updated_at >= updated_at:
                return
            if known is None and self._over_unheard(alert, now):
                return
            self.groups.insert(self.table.put(alert, now, updated_at=updated_at), now)
        self._changed()

    async def _keep(self, documents: Mapping[str, Document | None]) -> None:
        try:
            if documents:
                await self._writer.write(ALERT, documents)
        except StoreError:
            ALERT_STATE_FAILURES.inc()
            raise


def _document(alert: Alert, now: datetime) -> Document:
    return {**encode_alert(alert), "updated_at": now.isoformat()}


def _ended(alert: Alert, now: datetime) -> Alert:
    return Alert(alert.labels, alert.starts_at, now, alert.annotations, alert.generator_url, alert.facts)
