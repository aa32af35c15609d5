"""Silences that come again and again: a rule of RFC 5545 says when, each time is an ordinary silence."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.rrule import DAILY, HOURLY, rrule, rrulestr

from alerting.manager.audit import Audit
from alerting.manager.clock import Clock
from alerting.manager.silences import BadSilence, Silence, Silences, check_matchers, decode_matchers, encode_matchers
from alerting.manager.state import RECURRING, Document, StateWriter
from app.errors import StoreError, WatchhouseError
from app.labels import Matcher

log = logging.getLogger(__name__)

MOST = 1_000
MOST_TIMES_SHOWN = 20
LONGEST = timedelta(days=31)
_AHEAD_DAYS = {HOURLY: 60, DAILY: 2 * 366}
_AHEAD_DAYS_OTHERS = 10 * 366
"""How far away the first time of a rule may be: every hour or day until then is looked at."""
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)
ANNOTATION = "watchhouse.recurring"
"""The annotation of a silence that says which recurring one it is a time of."""


Time = tuple[datetime, datetime]
"""Begin and end, in UTC."""


class NoSuchRecurring(WatchhouseError):
    """There is no recurring silence of this id."""


@dataclass(frozen=True, slots=True)
class RecurringSilence:
    """Alerts that all matchers match stay unsent for `duration_s` seconds from each time of `rule` (an RRULE) on.

    `dtstart` is the first time by the clock of `timezone` (an IANA name), without a zone of its own: a rule for nine
    o'clock is for nine o'clock on either side of a change of summer time. A time that such a change leaves out is
    taken an hour later, one that comes twice the first time, as RFC 5545 has it.
    """

    id: str
    rule: str
    dtstart: datetime
    duration_s: int
    timezone: str
    matchers: tuple[Matcher, ...]
    created_by: str
    comment: str
    created_at: datetime

    @property
    def duration(self) -> timedelta:
        """How long each time lasts."""
        return timedelta(seconds=self.duration_s)

    def times(self, ends_after: datetime) -> Iterator[Time]:
        """(begin, end) in UTC of the times that end after a moment, in order; may be endless."""
        for local in self._rule():
            begins = local.astimezone(UTC)
            if begins + self.duration > ends_after:
                yield begins, begins + self.duration
            if begins > _LATEST:
                return

    def check(self, now: datetime) -> None:
        """Raises BadSilence saying what is wrong."""
        check_matchers(self.matchers)
        if not timedelta(0) < self.duration <= LONGEST:
            raise BadSilence(f"duration: must be longer than 0 and at most {LONGEST.days} days")
        rule: Any = self._rule()
        frequency = rule._freq
        if frequency > HOURLY:
            raise BadSilence("rrule: FREQ must be HOURLY, DAILY, WEEKLY, MONTHLY or YEARLY")
        ahead = timedelta(days=_AHEAD_DAYS.get(frequency, _AHEAD_DAYS_OTHERS))
        starts = self.dtstart.replace(tzinfo=UTC)
        if starts < now - ahead or starts > now + ahead:
            raise BadSilence(f"dtstart: must be within {ahead.days} days of now")
        # a rule may never come true (30 February), and looking for its times would not end
        until = (now + ahead).astimezone(self._zone())
        bounded = rule.replace(until=min(until, rule._until) if rule._until else until, count=None)
        if next(iter(bounded), None) is None or next(self.times(now), None) is None:
            raise BadSilence(f"rrule: comes true at no time in the next {ahead.days} days")

    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):
            raise BadSilence(f"timezone: {self.timezone!r} is not a time zone (as Europe/Berlin)") from None

    def _rule(self) -> rrule:
        text = self.rule.strip()
        if "\n" in text or text.upper().startswith("DTSTART"):
            raise BadSilence("rrule: one RRULE is wanted; dtstart is given by itself")
        try:
            rule = rrulestr(text, dtstart=self.dtstart.replace(tzinfo=self._zone()))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise BadSilence(f"rrule: {error or 'cannot be read'}") from None
        assert isinstance(rule, rrule)
        return rule


class RecurringSilences:
    """All recurring silences, kept in the state store, and the times that come next."""

    def __init__(self, writer: StateWriter, audit: Audit, silences: Silences, clock: Clock) -> None:
        self._writer = writer
        self._audit = audit
        self._silences = silences
        self._clock = clock
        self._all: dict[str, RecurringSilence] = {}
        self._times: dict[str, _Times] = {}
        self._listener: Callable[[], None] | None = None

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Has a listener called whenever another time may come next."""
        self._listener = listener

    async def load(self) -> None:
        """Reads what is kept, and makes silences of the times that are now. Raises StoreError."""
        for key, document in (await self._writer.read(RECURRING)).items():
            await asyncio.to_thread(self.take_over, key, document)

    def take_over(self, key: str, document: Document | None) -> None:
        """Holds one as it stands in the store; None forgets it."""
        if document is None:
            self._all.pop(key, None)
            self._times.pop(key, None)
            return
        try:
            self._hold(_decode(document))
        except (BadSilence, KeyError, TypeError, ValueError):
            log.error("the kept recurring silence %s cannot be read and is left out", key)

    def all(self) -> list[RecurringSilence]:
        """Every one, the oldest first."""
        return sorted(self._all.values(), key=lambda one: (one.created_at, one.id))

    def coming(self, one: RecurringSilence, count: int) -> list[Time]:
        """Its next times, the one that is now among them."""
        return self._times[one.id].coming(self._clock.now(), count)

    def next_change(self) -> datetime | None:
        """When the next time of any of them begins."""
        unmade = (times.unmade() for times in self._times.values())
        return min((time[0] for time in unmade if time), default=None)

    async def add(self, wanted: RecurringSilence, who: str) -> RecurringSilence:
        """Takes one; its id and time of creation are given here. Raises BadSilence or StoreError."""
        if len(self._all) >= MOST:
            raise BadSilence(f"there are {MOST} recurring silences already, delete old ones")
        one = replace(wanted, id=str(uuid.uuid4()), created_at=self._clock.now())
        await asyncio.to_thread(one.check, one.created_at)
        entry = self._audit.entry("created", f"recurring silence {one.id}", who, before=None, after=shown(one))
        await self._writer.write_or_drop({(RECURRING, one.id): _encode(one), **entry})
        self._hold(one)
        await self.turn(self._clock.now())
        return one

    async def delete(self, recurring_id: str, who: str) -> None:
        """Ends it, and the silence it made that is still there. Raises NoSuchRecurring or StoreError."""
        one = self._all.get(recurring_id)
        if one is None:
            raise NoSuchRecurring(f"there is no recurring silence {recurring_id!r}")
        entry = self._audit.entry("deleted", f"recurring silence {one.id}", who, before=shown(one), after=None)
        await self._writer.write_or_drop({(RECURRING, one.id): None, **entry})
        self.take_over(one.id, None)
        for silence in self._silences.all():
            if silence.annotations.get(ANNOTATION) == one.id:
                await self._silences.expire(silence.id, who)

    async def turn(self, now: datetime) -> None:
        """Makes silences of the times that have begun. Those that failed to be kept are made at the next turn."""
        for one in list(self._all.values()):
            times = self._times[one.id]
            try:
                while (time := times.unmade()) and time[0] <= now:
                    if time[1] > now:
                        await self._silences.create_as(_occurrence(one, *time), f"recurring silence {one.id}")
                    times.made_until = time[0]
                times.coming(now, 1)
            except (StoreError, BadSilence) as error:
                log.error("a time of the recurring silence %s could not be kept: %s", one.id, error)

    def _hold(self, one: RecurringSilence) -> None:
        times = _Times(one.times(self._clock.now()))
        self._times[one.id] = times
        self._all[one.id] = one
        if self._listener:
            self._listener()


class _Times:
    """The times of a rule that are not over, as far as they were asked for. A rule is gone through only once."""

    def __init__(self, times: Iterator[Time]) -> None:
        self._later = times
        self._known: deque[Time] = deque()
        self.made_until: datetime | None = None
        self._know(1)

    def unmade(self) -> Time | None:
        """The first time that no silence was made of."""
        count = 1
        while self._know(count):
            time = self._known[count - 1]
            if self.made_until is None or time[0] > self.made_until:
                return time
            count += 1
        return None

    def coming(self, now: datetime, count: int) -> list[Time]:
        """At most `count` times that are not over."""
        while self._know(1) and self._known[0][1] <= now:
            self._known.popleft()
        self._know(count)
        return list(self._known)[:count]

    def _know(self, count: int) -> bool:
        while len(self._known) < count:
            time = next(self._later, None)
            if time is None:
                return False
            self._known.append(time)
        return True


def shown(one: RecurringSilence) -> dict[str, Any]:
    """A recurring silence as JSON."""
    return {
        "id": one.id,
        "rrule": one.rule,
        "dtstart": one.dtstart.isoformat(),
        "duration_seconds": one.duration_s,
        "timezone": one.timezone,
        "matchers": [str(m) for m in one.matchers],
        "created_by": one.created_by,
        "comment": one.comment,
        "created_at": one.created_at.isoformat(),
    }


def _occurrence(one: RecurringSilence, begins: datetime, ends: datetime) -> Silence:
    # every instance makes the same of it, and a time that somebody expired is not made again
    silence_id = str(uuid.uuid5(uuid.UUID(one.id), begins.isoformat()))
    return Silence(
        id=silence_id,
        matchers=one.matchers,
        starts_at=begins,
        ends_at=ends,
        updated_at=begins,
        created_by=one.created_by,
        comment=one.comment,
        annotations={ANNOTATION: one.id},
    )


def _encode(one: RecurringSilence) -> Document:
    times = {"dtstart": one.dtstart.isoformat(), "created_at": one.created_at.isoformat()}
    return {**asdict(one), **times, "matchers": encode_matchers(one.matchers)}


def _decode(document: Document) -> RecurringSilence:
    return RecurringSilence(
        **{
            **document,
            "dtstart": datetime.fromisoformat(document["dtstart"]),
            "created_at": datetime.fromisoformat(document["created_at"]),
            "matchers": decode_matchers(document["matchers"]),
        }
    )
