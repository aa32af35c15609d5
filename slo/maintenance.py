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
_Target = tuple[str, str]
"""(slo, id), (service, name), or all."""


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

    @property
    def targets(self) -> tuple[_Target, ...]:
        """What it is for."""
        if self.slos:
            return tuple(("slo", name) for name in self.slos)
        return (("service", self.service),) if self.service else (("all", ""),)


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
        every = self.all()
        places: dict[_Target, list[int]] = {}
        for n, one in enumerate(every):
            for target in one.targets:
                places.setdefault(target, []).append(n)
        found: dict[str, tuple[tuple[int, int], ...]] = {}
        known: dict[tuple[_Target, ...], tuple[tuple[int, int], ...]] = {}
        for spec in specs if every else ():
            own = tuple(target for target in _targets_of(spec) if target in places)
            if own and own not in known:
                numbers = sorted({n for target in own for n in places[target]})
                known[own] = tuple((every[n].from_ms, every[n].to_ms) for n in numbers)
            if own:
                found[spec.id] = known[own]
        return found

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


def _targets_of(spec: SloSpec) -> tuple[_Target, ...]:
    """What a maintenance of an SLO is for: its id, that of the spec it is a group of, its service, or all."""
    whole = f"{spec.service}-{spec.name}"
    ids = (spec.id,) if spec.id == whole else (spec.id, whole)
    return (*(("slo", name) for name in ids), ("service", spec.service), ("all", ""))


def _check(one: Maintenance) -> None:
    if one.from_ms >= one.to_ms:
        raise BadQuery("a maintenance must end after it begins (start, end)")
    if one.to_ms - one.from_ms > _LONGEST_MS:
        raise BadQuery("a maintenance may be 366 days long at most (start, end)")
    if one.slos and one.service:
        raise BadQuery("give either slos or a service, not both")


def _from_document(document: Mapping[str, Any]) -> Maintenance:
    return Maintenance(**{**document, "slos": tuple(document.get("slos", ()))})
