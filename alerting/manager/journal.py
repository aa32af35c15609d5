"""What was decided about groups of alerts, and why: the newest decisions of each group and notifier, for a day."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from alerting.manager.state import DECIDED_ALERT, DECISION, Document, StateWriter
from app.alert import Alert
from app.labels import Labels

log = logging.getLogger(__name__)

KEPT_FOR = timedelta(hours=24)
KEPT_EACH = 50
"""Decisions kept for a group and notifier; one that repeats itself counts once."""
MOST_WAYS = 10_000
"""Groups and notifiers decisions are kept for; past it those are forgotten that were decided about longest ago."""
_WRITE_EVERY = timedelta(minutes=15)

Outcome = Literal["sent", "failed", "unchanged", "suppressed", "not_sent"]
"""Sent and taken; failed; nothing new since the last message; every alert suppressed; news nobody wants to be told."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One flush of a group for one notifier, or several that came to the same."""

    group_key: str
    receiver: str
    notifier: str
    """Kind and place, as `slack/0`; "" when it was decided for all of the receiver's."""
    outcome: Outcome
    why: str
    """A reason of `alerting.manager.nflog.Why`, what the receiver answered, or what suppressed the alerts."""
    alerts: Mapping[str, str]
    """By fingerprint: firing, resolved, or what suppressed it (`silence ID`, `inhibition FINGERPRINT`, `mute NAME`)."""
    first_at: datetime
    last_at: datetime
    times: int = 1
    took_ms: int = 0
    by: str = ""
    """The instance that decided, "" when there is only one."""


_Way = tuple[str, str, str]


class _Kept(NamedTuple):
    key: str
    decision: Decision


class Journal:
    """Decisions by group, receiver and notifier. They are written with what else is written, not at once."""

    def __init__(self, writer: StateWriter, instance: str) -> None:
        self._writer = writer
        self._instance = instance
        self._ways: dict[_Way, list[_Kept]] = {}
        self._numbers: dict[_Way, int] = {}
        self._written: dict[_Way, datetime] = {}
        self._labels: dict[str, tuple[Labels, datetime]] = {}

    async def load(self, now: datetime) -> None:
        """Reads what is kept. Raises StoreError."""
        for key, document in (await self._writer.read(DECISION)).items():
            self.take_over(key, document)
        for fingerprint, document in (await self._writer.read(DECIDED_ALERT)).items():
            self.take_over_labels(fingerprint, document)
        self.forget(now)

    def take_over(self, key: str, document: Document | None) -> None:
        """Holds a decision as it stands in the store."""
        if document is None:
            return
        try:
            decision, number = _decode(document), int(document["number"])
        except (KeyError, TypeError, ValueError):
            log.error("the kept decision %s cannot be read and is left out", key)
            return
        way = _way(decision)
        kept = [one for one in self._ways.get(way, ()) if one.key != key]
        self._ways[way] = sorted([*kept, _Kept(key, decision)], key=lambda one: one.decision.first_at)
        if decision.by == self._instance:
            self._numbers[way] = max(self._numbers.get(way, -1), number)

    def take_over_labels(self, fingerprint: str, document: Document | None) -> None:
        """Holds the labels of an alert as they stand in the store."""
        if document is not None:
            labels = tuple(sorted(document["labels"].items()))
            self._labels[fingerprint] = (labels, datetime.fromisoformat(document["at"]))

    def note(self, decision: Decision, alerts: Iterable[Alert]) -> None:
        """Keeps a decision. One that is as the last of its way was only makes that one longer."""
        decision = replace(decision, by=self._instance)
        way = _way(decision)
        # the newest way is the last one
        kept = self._ways[way] = self._ways.pop(way, [])
        last = kept[-1].decision if kept else None
        if last is not None and _goes_on(last, decision):
            longer = replace(last, last_at=decision.last_at, times=last.times + 1)
            kept[-1] = _Kept(kept[-1].key, longer)
            if decision.last_at - self._written.get(way, last.last_at) >= _WRITE_EVERY:
                self._write(way, kept[-1])
            return
        if last is not None and last.times > 1:
            self._write(way, kept[-1])
        number = self._numbers[way] = self._numbers.get(way, -1) + 1
        key = self._key(way, number)
        kept[:] = [one for one in kept if one.key != key]
        kept.append(_Kept(key, decision))
        self._write(way, kept[-1])
        for old in kept[:-KEPT_EACH]:
            self._writer.write_later({(DECISION, old.key): None})
        del kept[:-KEPT_EACH]
        self._keep_labels(alerts, decision.last_at)
        while len(self._ways) > MOST_WAYS:
            self._forget_way(next(iter(self._ways)))

    def about(self, fingerprint: str) -> list[Decision]:
        """Every decision about an alert, oldest first."""
        found = [one.decision for kept in self._ways.values() for one in kept if fingerprint in one.decision.alerts]
        return sorted(found, key=lambda d: (d.first_at, d.last_at))

    def labels(self, fingerprint: str) -> Labels | None:
        """The labels of an alert something was decided about."""
        found = self._labels.get(fingerprint)
        return found[0] if found else None

    def forget(self, now: datetime) -> None:
        """Drops what is past its time."""
        for way, kept in list(self._ways.items()):
            if not kept or kept[-1].decision.last_at + KEPT_FOR <= now:
                self._forget_way(way)
        for fingerprint, (_, at) in list(self._labels.items()):
            if at + 2 * KEPT_FOR <= now:
                del self._labels[fingerprint]
                self._writer.write_later({(DECIDED_ALERT, fingerprint): None})

    def write_counts(self) -> None:
        """Leaves to the next write how often the last decisions repeated themselves."""
        for way, kept in self._ways.items():
            if kept and kept[-1].decision.times > 1 and kept[-1].decision.by == self._instance:
                self._write(way, kept[-1])

    def _keep_labels(self, alerts: Iterable[Alert], now: datetime) -> None:
        for alert in alerts:
            known = self._labels.get(alert.fingerprint)
            if known is None or now - known[1] >= KEPT_FOR / 2:
                self._labels[alert.fingerprint] = (alert.labels, now)
                document = {"labels": dict(alert.labels), "at": now.isoformat()}
                self._writer.write_later({(DECIDED_ALERT, alert.fingerprint): document})

    def _write(self, way: _Way, kept: _Kept) -> None:
        self._written[way] = kept.decision.last_at
        self._writer.write_later({(DECISION, kept.key): _encode(kept.decision, self._numbers.get(way, 0))})

    def _forget_way(self, way: _Way) -> None:
        self._numbers.pop(way, None)
        self._written.pop(way, None)
        self._writer.write_later({(DECISION, one.key): None for one in self._ways.pop(way)})

    def _key(self, way: _Way, number: int) -> str:
        # a place is written over and over: what is forgotten leaves a trace in the store, so keys must be few
        digest = hashlib.blake2b("\0".join((*way, self._instance)).encode(), digest_size=8).hexdigest()
        return f"{digest}-{number % KEPT_EACH}"


def _way(decision: Decision) -> _Way:
    return decision.group_key, decision.receiver, decision.notifier


def _goes_on(last: Decision, new: Decision) -> bool:
    same = (last.outcome, last.why, last.alerts, last.by) == (new.outcome, new.why, new.alerts, new.by)
    return same and new.outcome in ("unchanged", "suppressed", "not_sent")


def _encode(decision: Decision, number: int) -> Document:
    return {
        "number": number,
        "group_key": decision.group_key,
        "receiver": decision.receiver,
        "notifier": decision.notifier,
        "outcome": decision.outcome,
        "why": decision.why,
        "alerts": dict(decision.alerts),
        "first_at": decision.first_at.isoformat(),
        "last_at": decision.last_at.isoformat(),
        "times": decision.times,
        "took_ms": decision.took_ms,
        "by": decision.by,
    }


def _decode(document: Mapping[str, Any]) -> Decision:
    fields: dict[str, Any] = {key: value for key, value in document.items() if key != "number"}
    for key in ("first_at", "last_at"):
        fields[key] = datetime.fromisoformat(fields[key])
    return Decision(**fields)
