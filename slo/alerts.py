"""The alerts of SLOs that are pending, firing or ended and not told yet, across restarts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import numpy as np

from app.alert import Alert
from app.labels import Labels, labels_from
from app.store.state import StateStore
from slo.judge import Verdict, condition_of
from slo.notice import alert_annotations, alert_description, alert_facts, alert_labels
from slo.spec import SloSpec
from slo.state import INACTIVE, AlertState, advance
from slo.status import AlertStatus, SloStatus

STATE_KIND = "slo_alert"


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that fires, or has ended and nobody was told yet. Times in milliseconds since the epoch."""

    slo: str
    alert: str
    """The alert's key within the SLO."""
    labels: Labels
    annotations: Labels
    since_ms: int
    ended_ms: int | None = None
    facts: dict[str, object] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> str:
        """Its name in the state store."""
        return f"{self.slo}/{self.alert}/{Alert(self.labels, _time(self.since_ms)).fingerprint}"


def observe(old: Firing | None, seen: Firing | None, at_ms: int) -> list[Firing]:
    """What is to be told after one look, of an alert that was `old` and is now `seen`; None means not firing.

    An alert goes on since when it began. One whose labels changed is another alert to whoever gets it: the old one
    ends, the new one goes on. One that ended and was not told yet stays, unless the very same fires again.
    """
    if old is None:
        return [seen] if seen else []
    if old.ended_ms is not None:
        return [seen] if seen and seen.labels == old.labels else [old, seen] if seen else [old]
    if seen is None:
        return [replace(old, ended_ms=at_ms)]
    if seen.labels != old.labels:
        return [replace(old, ended_ms=at_ms), replace(seen, since_ms=old.since_ms)]
    return [replace(seen, since_ms=old.since_ms)]


@dataclass(frozen=True, slots=True)
class _Pending:
    """An alert whose conditions hold, but not for long enough yet."""

    slo: str
    alert: str
    pending_ms: int

    @property
    def key(self) -> str:
        return f"{self.slo}/{self.alert}"


@dataclass(frozen=True, slots=True)
class _Entry:
    state: AlertState = INACTIVE
    told: tuple[Firing, ...] = ()
    """The one that fires, and those that ended."""

    @property
    def current(self) -> Firing | None:
        return next((a for a in self.told if a.ended_ms is None), self.told[0] if self.told else None)

    def after(self, state: AlertState, seen: Firing | None, at_ms: int) -> _Entry:
        """The entry after one look."""
        old = self.current
        untold = [a for a in self.told if a is not old]
        return _Entry(state, (*untold, *observe(old, seen, at_ms)))


class AlertBook:
    """Alerts by (SLO id, alert key), in memory and in the state store.

    It holds those only that are pending, firing or to be told as ended: ten thousand quiet SLOs cost it nothing. Not
    safe for two threads at once.
    """

    def __init__(self, state: StateStore, external_url: str) -> None:
        self._state = state
        self._external_url = external_url.rstrip("/")
        self._slos: dict[str, dict[str, _Entry]] = {}
        self._kept: dict[str, Firing | _Pending] = {}

    def load(self) -> None:
        """Takes up what an earlier process kept. Blocks; raises StoreError."""
        self._slos = {}
        self._kept = {key: _from_document(document) for key, document in self._state.get_all(STATE_KIND).items()}
        for record in self._kept.values():
            entry = self._entry(record.slo, record.alert)
            if isinstance(record, _Pending):
                entry = replace(entry, state=AlertState(record.pending_ms))
            else:
                state = entry.state if record.ended_ms is not None else AlertState(record.since_ms, record.since_ms)
                entry = _Entry(state, (*entry.told, record))
            self._put(record.slo, record.alert, entry)

    def state(self, slo: str, alert: str) -> AlertState:
        """How far an alert is."""
        return self._entry(slo, alert).state

    def states(self) -> dict[str, dict[str, AlertState]]:
        """How far the alerts are that are pending or fire, by SLO id and key."""
        found = {
            slo: {alert: entry.state for alert, entry in entries.items() if entry.state.active}
            for slo, entries in self._slos.items()
        }
        return {slo: states for slo, states in found.items() if states}

    def to_look_at(self, specs: Sequence[SloSpec], verdicts: Mapping[str, Verdict]) -> list[int]:
        """Which of the SLOs, one a point of the verdicts, have an alert that may begin, go on or end."""
        some = np.zeros(len(specs), bool)
        for verdict in verdicts.values():
            some |= verdict.firing
        if self._slos:
            some |= np.array([spec.id in self._slos for spec in specs])
        return [int(n) for n in np.flatnonzero(some)]

    def look(self, status: SloStatus) -> None:
        """Notes how the alerts of an SLO are at `status.to_ms`; nothing of one that was never counted."""
        if status.to_ms is not None:
            for one in status.alerts:
                self._look(status, one, status.to_ms)

    def end_missing(self, exists: Callable[[str, str], bool], at_ms: int) -> None:
        """Ends the alerts whose (SLO id, alert key) is not configured any more."""
        for slo, alert in [(slo, alert) for slo, alerts in self._slos.items() for alert in alerts]:
            if not exists(slo, alert):
                self._put(slo, alert, self._entry(slo, alert).after(INACTIVE, None, at_ms))

    def keep(self) -> None:
        """Writes what changed to the state store; facts alone are no change. Blocks; raises StoreError."""
        records = {record.key: record for slo, entries in self._slos.items() for record in _records(slo, entries)}
        news = {key: record for key, record in records.items() if self._kept.get(key) != record}
        gone = [key for key in self._kept if key not in records]
        self._state.put(STATE_KIND, {key: asdict(record) for key, record in news.items()})
        self._state.delete(STATE_KIND, gone)
        self._kept = records

    def alerts(self) -> list[Alert]:
        """Everything to put to the sink."""
        every = (entry for entries in self._slos.values() for entry in entries.values())
        return [_alert(alert, self._external_url) for entry in every for alert in entry.told]

    def forget_ended(self) -> None:
        """Forgets the ended alerts, once the sink has taken them. Blocks; raises StoreError."""
        for slo, alert, entry in [(s, a, e) for s, entries in self._slos.items() for a, e in entries.items()]:
            if any(one.ended_ms is not None for one in entry.told):
                left = tuple(one for one in entry.told if one.ended_ms is None)
                self._put(slo, alert, replace(entry, told=left))
        self.keep()

    def _look(self, status: SloStatus, one: AlertStatus, at_ms: int) -> None:
        slo, alert = status.spec.id, one.alert
        entry = self._entry(slo, alert.key)
        held = bool(one.held)
        state = advance(entry.state, at_ms, firing=one.fires, held=held, for_ms=alert.for_ms)
        seen = _seen(status, one, entry, at_ms) if state.firing_ms is not None else None
        self._put(slo, alert.key, entry.after(state, seen, at_ms))

    def _entry(self, slo: str, alert: str) -> _Entry:
        return self._slos.get(slo, {}).get(alert, _Entry())

    def _put(self, slo: str, alert: str, entry: _Entry) -> None:
        if entry.state.active or entry.told:
            self._slos.setdefault(slo, {})[alert] = entry
        elif alert in self._slos.get(slo, {}):
            del self._slos[slo][alert]
            if not self._slos[slo]:
                del self._slos[slo]


def _seen(status: SloStatus, one: AlertStatus, entry: _Entry, at_ms: int) -> Firing | None:
    """The alert as it fires now; one that is held says what it said, and why it is held."""
    if not one.fires:
        return entry.current and replace(entry.current, facts={**entry.current.facts, "held": one.held})
    condition = condition_of(one.alert, one.condition)
    return Firing(
        status.spec.id,
        one.alert.key,
        alert_labels(status.spec, one.alert),
        alert_annotations(status.spec, one.alert, condition),
        at_ms,
        facts=alert_facts(status, one, condition),
    )


def _records(slo: str, entries: Mapping[str, _Entry]) -> list[Firing | _Pending]:
    """What is kept of the alerts of an SLO."""
    found: list[Firing | _Pending] = []
    for alert, entry in entries.items():
        found += entry.told
        if entry.state.pending_ms is not None and entry.state.firing_ms is None:
            found.append(_Pending(slo, alert, entry.state.pending_ms))
    return found


def _alert(alert: Firing, external_url: str) -> Alert:
    # made of the facts, so that numbers which always change are no change of what is kept
    said = dict(alert.annotations)
    said["description"] = alert_description(said.get("description", ""), alert.facts, alert.since_ms, alert.ended_ms)
    return Alert(
        labels=alert.labels,
        starts_at=_time(alert.since_ms),
        ends_at=None if alert.ended_ms is None else _time(alert.ended_ms),
        annotations=labels_from(said),
        generator_url=f"{external_url}/api/v1/slos/{quote(alert.slo)}" if external_url else "",
        facts=alert.facts,
    )


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _from_document(document: dict[str, Any]) -> Firing | _Pending:
    if "pending_ms" in document:
        return _Pending(**document)
    document = dict(document)
    # an earlier build had one alert a severity
    document.setdefault("alert", document.pop("severity", ""))
    pairs = {name: tuple((str(k), str(v)) for k, v in document[name]) for name in ("labels", "annotations")}
    return Firing(**{**document, **pairs})
