"""Silences: who keeps which alerts unsent, from when to when. Rules, ids and history are Alertmanager's."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson

from alerting.manager.audit import Audit
from alerting.manager.clock import Clock
from alerting.manager.matching import MatcherIndex, all_match
from alerting.manager.state import SILENCE, Document, StateWriter
from alerting.manager.watched import Watched
from alerting.matchers import checked
from app.errors import WatchhouseError
from app.labels import Labels, Matcher, MatchOp

log = logging.getLogger(__name__)

SilenceState = Literal["active", "pending", "expired"]
DEFAULT_RETENTION = timedelta(hours=120)
MAX_SILENCES = 10_000
MAX_SILENCE_BYTES = 65_536


class BadSilence(WatchhouseError):
    """A silence that cannot be taken; the text says why, in Alertmanager's words."""


class NoSuchSilence(WatchhouseError):
    """There is no silence of this id."""

    def __init__(self) -> None:
        super().__init__("silence not found")


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts that all `matchers` match stay unsent from `starts_at` until before `ends_at`."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    updated_at: datetime
    created_by: str
    comment: str
    annotations: Mapping[str, str] = field(default_factory=dict)

    def state(self, now: datetime) -> SilenceState:
        """Pending, active or expired."""
        if now < self.starts_at:
            return "pending"
        return "active" if now < self.ends_at else "expired"

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with these labels is meant."""
        return all_match(self.matchers, labels)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many silences are kept at once (expired ones among them), how large one may be, and how long it is kept."""

    retention: timedelta = DEFAULT_RETENTION
    most: int = MAX_SILENCES
    most_bytes: int = MAX_SILENCE_BYTES


class Silences(Watched):
    """All silences, kept in the state store. `version` changes with every change of them."""

    def __init__(self, writer: StateWriter, audit: Audit, clock: Clock, limits: Limits | None = None) -> None:
        super().__init__()
        self._writer = writer
        self._audit = audit
        self._clock = clock
        self._limits = limits or Limits()
        self._all: dict[str, Silence] = {}
        self._index: MatcherIndex[Silence] = MatcherIndex(())
        self._indexed = -1
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Reads what is kept. Raises StoreError."""
        for key, document in (await self._writer.read(SILENCE)).items():
            self.take_over(key, document)

    def take_over(self, key: str, document: Document | None) -> None:
        """Holds a silence as somebody wrote it to the store; None forgets it."""
        if document is None:
            self._all.pop(key, None)
        else:
            try:
                self._all[key] = _decode(key, document)
            except (KeyError, TypeError, ValueError):
                log.error("the kept silence %s cannot be read and is left out", key)
        self._changed()

    def get(self, silence_id: str) -> Silence:
        """The silence of an id. Raises NoSuchSilence."""
        try:
            return self._all[silence_id]
        except KeyError:
            raise NoSuchSilence from None

    def all(self) -> list[Silence]:
        """Every silence: active ones by their end, pending ones by their start, then what expired last."""
        now = self._clock.now()
        return sorted(self._all.values(), key=lambda silence: _order(silence, now))

    def silencing(self, labels: Labels, now: datetime) -> list[Silence]:
        """The active silences that an alert with these labels is under, the one that lasts longest first."""
        if self._indexed != self.version:
            self._index = MatcherIndex((s.matchers, s) for s in self._all.values() if s.ends_at > now)
            self._indexed = self.version
        found = [s for s in self._index.candidates(labels) if s.state(now) == "active"]
        mapping = dict(labels)
        return sorted((s for s in found if s.matches(mapping)), key=lambda s: (-s.ends_at.timestamp(), s.id))

    def next_change(self, now: datetime) -> datetime | None:
        """When the next silence begins or ends by itself."""
        moments = (at for s in self._all.values() for at in (s.starts_at, s.ends_at))
        return min((at for at in moments if at > now), default=None)

    async def set(self, wanted: Silence, who: str) -> str:
        """Creates a silence, or changes the one whose id `wanted` has; gives the id it has then.

        A change that would rewrite what was (other matchers, another start of an active one, an expired one) expires
        the old silence and creates a new one. Raises BadSilence, NoSuchSilence, or StoreError and nothing is changed.
        """
        async with self._changing:
            now = self._clock.now()
            _check(wanted)
            old = self.get(wanted.id) if wanted.id else None
            if old is not None and _can_update(old, wanted, now):
                silence = replace(wanted, updated_at=now)
                self._check_size(silence)
                await self._keep({silence.id: silence}, "updated", who, old)
                return silence.id
            if len(self._all) >= self._limits.most:
                raise BadSilence(f"exceeded maximum number of silences: {len(self._all)} (limit: {self._limits.most})")
            starts_at = max(wanted.starts_at, now)
            silence = replace(wanted, id=str(uuid.uuid4()), starts_at=starts_at, updated_at=now)
            self._check_size(silence)
            changed = {silence.id: silence}
            if old is not None and old.state(now) != "expired":
                changed[old.id] = _expired(old, now)
            await self._keep(changed, "created", who, old)
            return silence.id

    async def create_as(self, silence: Silence, who: str) -> None:
        """Creates a silence under the id it has, unless there is one. Raises BadSilence or StoreError."""
        async with self._changing:
            if silence.id not in self._all:
                self._check_size(silence)
                await self._keep({silence.id: silence}, "created", who, None)

    async def expire(self, silence_id: str, who: str) -> None:
        """Ends a silence now; one that has expired stays as it is. Raises NoSuchSilence or StoreError."""
        async with self._changing:
            old, now = self.get(silence_id), self._clock.now()
            if old.state(now) != "expired":
                await self._keep({silence_id: _expired(old, now)}, "expired", who, old)

    async def forget(self, now: datetime) -> None:
        """Drops what expired longer than the retention ago. Raises StoreError."""
        gone = [s.id for s in self._all.values() if s.ends_at + self._limits.retention <= now]
        for silence_id in gone:
            del self._all[silence_id]
        if gone:
            self._changed()
            await self._writer.write(SILENCE, dict.fromkeys(gone))

    async def _keep(self, changed: Mapping[str, Silence], action: str, who: str, old: Silence | None) -> None:
        changes: dict[tuple[str, str], Document | None] = {}
        for silence in changed.values():
            changes[SILENCE, silence.id] = _encode(silence)
            done = action if old is None or silence.id != old.id or action == "updated" else "expired"
            before = old if old is not None and old.id == silence.id else None
            entry = self._audit.entry(
                done, f"silence {silence.id}", who,
                before=shown(before) if before else None, after=shown(silence),
            )  # fmt: skip
            changes |= entry
        await self._writer.write_or_drop(changes)
        self._all |= changed
        self._changed()

    def _check_size(self, silence: Silence) -> None:
        size, most = len(orjson.dumps(_encode(silence))), self._limits.most_bytes
        if size > most:
            raise BadSilence(f"silence exceeded maximum size: {size} bytes (limit: {most} bytes)")


def shown(silence: Silence) -> dict[str, Any]:
    """A silence as the audit and explanations show it."""
    return {
        "matchers": [str(m) for m in silence.matchers],
        "starts_at": silence.starts_at.isoformat(),
        "ends_at": silence.ends_at.isoformat(),
        "created_by": silence.created_by,
        "comment": silence.comment,
    }


def check_matchers(matchers: tuple[Matcher, ...]) -> None:
    """Raises BadSilence unless there are matchers, all compile, and one of them refuses the empty text."""
    if not matchers:
        raise BadSilence("invalid silence: at least one matcher required")
    for i, matcher in enumerate(matchers):
        if not matcher.name:
            raise BadSilence(f'invalid silence: invalid label matcher {i}: invalid label name "{matcher.name}"')
        try:
            checked(matcher)
        except ValueError as error:
            raise BadSilence(f"invalid silence: invalid label matcher {i}: {error}") from None
    if all(m.op in (MatchOp.EQUAL, MatchOp.REGEX) and m.matches("") for m in matchers):
        raise BadSilence("invalid silence: at least one matcher must not match the empty string")


def _check(silence: Silence) -> None:
    check_matchers(silence.matchers)
    if silence.ends_at < silence.starts_at:
        raise BadSilence("invalid silence: end time must not be before start time")


def _can_update(old: Silence, new: Silence, now: datetime) -> bool:
    if old.matchers != new.matchers:
        return False
    match old.state(now):
        case "active":
            # seconds: what clients read and send back may have lost the rest
            return int(old.starts_at.timestamp()) == int(new.starts_at.timestamp()) and new.ends_at >= now
        case "pending":
            return new.starts_at >= now
    return False


def _expired(silence: Silence, now: datetime) -> Silence:
    starts_at = min(silence.starts_at, now)
    return replace(silence, starts_at=starts_at, ends_at=now, updated_at=now)


def _order(silence: Silence, now: datetime) -> tuple[int, float]:
    match silence.state(now):
        case "active":
            return 1, silence.ends_at.timestamp()
        case "pending":
            return 2, silence.starts_at.timestamp()
    return 3, -silence.ends_at.timestamp()


def encode_matchers(matchers: tuple[Matcher, ...]) -> list[list[str]]:
    """Matchers as JSON: name, operator and value of each."""
    return [[m.name, m.op.value, m.value] for m in matchers]


def decode_matchers(found: Iterable[list[str]]) -> tuple[Matcher, ...]:
    """The matchers of `encode_matchers`. Raises ValueError."""
    return tuple(checked(Matcher(name, MatchOp(op), value)) for name, op, value in found)


def _encode(silence: Silence) -> Document:
    return {
        "matchers": encode_matchers(silence.matchers),
        "starts_at": silence.starts_at.isoformat(),
        "ends_at": silence.ends_at.isoformat(),
        "updated_at": silence.updated_at.isoformat(),
        "created_by": silence.created_by,
        "comment": silence.comment,
        "annotations": dict(silence.annotations),
    }


def _decode(key: str, document: Document) -> Silence:
    return Silence(
        id=key,
        matchers=decode_matchers(document["matchers"]),
        starts_at=_time(document["starts_at"]),
        ends_at=_time(document["ends_at"]),
        updated_at=_time(document["updated_at"]),
        created_by=document["created_by"],
        comment=document["comment"],
        annotations=document.get("annotations", {}),
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
