"""Maintenance: times that are taken out of the budget, planned or afterwards, and who did so."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from app.errors import BadQuery
from app.store.state import StateStore
from slo.spec import SloSpec

STATE_KIND = "slo_maintenance"
AUDIT_KIND = "slo_audit"
_LONGEST_MS = 366 * 86_400_000
_MOST = 10_000
Action = Literal["created", "changed", "removed"]


@dataclass(frozen=True, slots=True)
class Maintenance:
    """[from_ms, to_ms) is taken out of the budgets of `slos` (ids), of all SLOs of `service`, or, with neither, of all.

    Intervals that overlap it at all are neither counted nor expected. Times in milliseconds since the epoch.
    """

    id: str
    from_ms: int
    to_ms: int
    slos: tuple[str, ...] = ()
    service: str = ""
    reason: str = ""
    created_by: str = ""
    created_ms: int = 0

    def applies_to(self, spec: SloSpec) -> bool:
        """Whether it is one of this SLO: by its id, or by that of the spec it is a group of."""
        if self.slos:
            return spec.id in self.slos or f"{spec.service}-{spec.name}" in self.slos
        return not self.service or spec.service == self.service


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What was done to a maintenance, by whom, when and why; `before` and `after` are what it said."""

    at_ms: int
    action: Action
    maintenance: str
    by: str
    reason: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class MaintenanceBook:
    """All maintenances, in memory and in the state store, with the audit of their changes. Methods that write block."""

    def __init__(self, state: StateStore, clock: Callable[[], float] = time.time) -> None:
        self._state = state
        self._clock = clock
        self._all: dict[str, Maintenance] = {}

    def load(self) -> None:
        """Takes up what is kept."""
        self._all = {key: _from_document(document) for key, document in self._state.get_all(STATE_KIND).items()}

    def all(self) -> list[Maintenance]:
        """Every maintenance, by its beginning."""
        return sorted(self._all.values(), key=lambda one: (one.from_ms, one.id))

    def get(self, name: str) -> Maintenance | None:
        """The one of this id."""
        return self._all.get(name)

    def ranges(self, specs: Iterable[SloSpec]) -> dict[str, tuple[tuple[int, int], ...]]:
        """The ranges by SLO id, of those that have any."""
        if not self._all:
            return {}
        every = self.all()
        found = {s.id: tuple((m.from_ms, m.to_ms) for m in every if m.applies_to(s)) for s in specs}
        return {slo: ranges for slo, ranges in found.items() if ranges}

    def add(
        self,
        from_ms: int,
        to_ms: int,
        *,
        slos: tuple[str, ...] = (),
        service: str = "",
        reason: str = "",
        by: str = "",
    ) -> Maintenance:
        """Takes a time out of budgets. Raises BadQuery, or StoreError and nothing is taken out."""
        if len(self._all) >= _MOST:
            raise BadQuery(f"there are {_MOST:,} maintenances already, remove old ones")
        now_ms = self._now_ms()
        one = Maintenance(uuid.uuid4().hex[:12], from_ms, to_ms, slos, service, reason, by, now_ms)
        _check(one)
        self._write(AuditEntry(now_ms, "created", one.id, by, reason, None, asdict(one)), one)
        return one

    def change(self, name: str, *, by: str = "", reason: str | None = None, **changes: Any) -> Maintenance:
        """Gives a maintenance other times or SLOs. Raises BadQuery, KeyError for none of this id, or StoreError."""
        old = self._all[name]
        if reason is not None:
            changes["reason"] = reason
        one = replace(old, **changes)
        _check(one)
        self._write(AuditEntry(self._now_ms(), "changed", name, by, reason or "", asdict(old), asdict(one)), one)
        return one

    def remove(self, name: str, *, by: str = "", reason: str = "") -> None:
        """Gives the time back to the budgets. Raises KeyError for none of this id, or StoreError."""
        old = self._all[name]
        self._write(AuditEntry(self._now_ms(), "removed", name, by, reason, asdict(old), None), None)
        self._state.delete(STATE_KIND, [name])
        del self._all[name]

    def audit(self, limit: int = 1000, offset: int = 0) -> list[AuditEntry]:
        """What was done, the newest first."""
        entries = sorted(self._state.get_all(AUDIT_KIND).items(), reverse=True)[offset : offset + limit]
        return [AuditEntry(**document) for _, document in entries]

    def _write(self, entry: AuditEntry, one: Maintenance | None) -> None:
        # the audit first: a change that nobody can account for must not be
        key = f"{entry.at_ms:020d}-{time.monotonic_ns():020d}-{entry.maintenance}"
        self._state.put(AUDIT_KIND, {key: asdict(entry)})
        if one is not None:
            self._state.put(STATE_KIND, {one.id: asdict(one)})
            self._all[one.id] = one

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _check(one: Maintenance) -> None:
    if one.from_ms >= one.to_ms:
        raise BadQuery("a maintenance must end after it begins (start, end)")
    if one.to_ms - one.from_ms > _LONGEST_MS:
        raise BadQuery("a maintenance may be 366 days long at most (start, end)")
    if one.slos and one.service:
        raise BadQuery("give either slos or a service, not both")


def _from_document(document: Mapping[str, Any]) -> Maintenance:
    return Maintenance(**{**document, "slos": tuple(document.get("slos", ()))})
