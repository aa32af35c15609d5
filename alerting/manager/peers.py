"""Other alert managers on the same store: who is there, and in which order they tell.

Instances wait for one another as Alertmanager's do (`--cluster.peer-timeout`): the first in the order of their ids
tells at once, each further one a peer timeout later, and finds in the notification log that there is nothing left to
tell. What Alertmanager gossips is read from the store here, once a second while there are others.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from alerting.manager.clock import Clock
from alerting.manager.state import INSTANCE, StateWriter
from app.errors import StoreError
from app.telemetry import ALERT_PEERS, ALERT_STATE_FAILURES

log = logging.getLogger(__name__)

PEER_TIMEOUT_S = 15.0
LOOK_S = 1.0
SETTLE_S = 3.0
"""How long a new instance waits so that the others have seen it: they look every LOOK_S."""
_OVERLAP = timedelta(seconds=60)
"""Clocks of machines differ, and an insert takes its time: changes are asked for again from so long ago."""
_LONG_GONE = timedelta(hours=1)

ClusterStatus = Literal["disabled", "settling", "ready"]
TakeOver = Callable[[str, Any], None]


@dataclass(slots=True)
class _Peer:
    beat: int
    silent_s: float = 0.0


class Peers:
    """This instance's place among those of its store. Not `shared`: it is alone, and nothing is written or read."""

    def __init__(self, writer: StateWriter, clock: Clock, *, shared: bool, timeout_s: float = PEER_TIMEOUT_S) -> None:
        self.id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.shared = shared
        self._writer = writer
        self._clock = clock
        self._timeout_s = timeout_s
        # three beats may be missed
        self._beat_s, self._dead_s = max(LOOK_S, timeout_s / 3), max(3 * LOOK_S, timeout_s)
        self._peers: dict[str, _Peer] = {}
        self._beats = 0
        self._beaten = False
        self._failed = ""
        self._next_beat: datetime | None = None
        self._looked_at: datetime | None = None
        self._settled_at: datetime | None = None
        self._since = 0
        self._taken: dict[tuple[str, str], int] = {}
        self._followers: dict[str, TakeOver] = {}

    def follow(self, kind: str, take_over: TakeOver) -> None:
        """Hands documents of a kind that another instance wrote (None: forgot) to `take_over`."""
        self._followers[kind] = take_over

    async def join(self) -> None:
        """Makes itself known and looks who is there. Raises StoreError."""
        if not self.shared:
            return
        now = self._clock.now()
        self._since = _version(now - _OVERLAP)
        await self._beat(now)
        await self._look(now)
        self._settled_at = now + timedelta(seconds=SETTLE_S) if self.others() else now

    async def leave(self) -> None:
        """Says that it goes, so that the others wait for it no longer. Raises StoreError."""
        if self._beats:
            await self._writer.write(INSTANCE, {self.id: None})

    def others(self) -> list[str]:
        """The ids of the others that are alive."""
        return sorted(name for name, peer in self._peers.items() if peer.silent_s < self._dead_s)

    def alive(self, name: str) -> bool:
        """Whether an instance runs: this one, or another one whose beats come."""
        return name == self.id or name in self.others()

    @property
    def status(self) -> ClusterStatus:
        """As Alertmanager's API says it."""
        if not self.shared:
            return "disabled"
        return "ready" if self._settled_at and self._settled_at <= self._clock.now() else "settling"

    @property
    def settled_at(self) -> datetime | None:
        """Until when nothing may be told, None for no such time."""
        return self._settled_at

    def position(self) -> int:
        """How many live instances tell before this one."""
        return sum(name < self.id for name in self.others())

    def delay(self) -> timedelta:
        """How long this instance waits before it tells what another one may tell."""
        return timedelta(seconds=self._timeout_s * self.position())

    async def run(self, stopping: asyncio.Event) -> None:
        """Beats, looks and takes over until `stopping`. A store that does not answer is asked again."""
        while not stopping.is_set():
            now = self._clock.now()
            try:
                await self._turn(now)
                self._failed = ""
            except StoreError as error:
                ALERT_STATE_FAILURES.inc()
                if self._failed != str(error):
                    self._failed = str(error)
                    log.warning("other instances cannot be looked for: %s", error)
            except Exception:
                log.exception("looking for other instances failed")
            await self._clock.wait(now + timedelta(seconds=LOOK_S), stopping)

    async def _turn(self, now: datetime) -> None:
        if self._next_beat is None or now >= self._next_beat:
            await self._beat(now)
        await self._look(now)
        if self.others():
            await self.take_over(now)

    async def take_over(self, now: datetime) -> None:
        """Reads what others changed. Raises StoreError."""
        changes = await self._writer.changed_by_others(list(self._followers), self._since)
        for kind, key, value, version in changes:
            if self._taken.get((kind, key), 0) < version:
                self._taken[kind, key] = version
                self._followers[kind](key, value)
        self._since = max(self._since, _version(now - _OVERLAP))
        self._taken = {name: version for name, version in self._taken.items() if version > self._since}

    async def _beat(self, now: datetime) -> None:
        self._beats += 1
        self._next_beat = now + timedelta(seconds=self._beat_s)
        self._beaten = False
        await self._writer.write(INSTANCE, {self.id: {"beat": self._beats, "at": now.isoformat()}})
        self._beaten = True

    async def _look(self, now: datetime) -> None:
        # only time in which beats could have been seen counts: a store that was away makes nobody dead
        seen_at = self._looked_at if self._beaten else None
        passed_s = min((now - seen_at).total_seconds(), 2 * LOOK_S) if seen_at else 0.0
        found = await self._writer.read(INSTANCE)
        self._looked_at = now
        for name in set(self._peers) - set(found):
            log.info("the instance %s went", name)
            del self._peers[name]
        for name, document in found.items():
            if name != self.id:
                self._see(name, document, passed_s, now)
        ALERT_PEERS.set(len(self.others()))
        gone = [n for n, d in found.items() if n != self.id and _at(d) < now - _LONG_GONE and not self.alive(n)]
        if gone:
            await self._writer.write(INSTANCE, dict.fromkeys(gone))

    def _see(self, name: str, document: dict[str, Any], passed_s: float, now: datetime) -> None:
        peer = self._peers.get(name)
        if peer is None:
            # one that stopped beating long ago was killed; a clock that is wrong is made good by its next beat
            stale = abs((now - _at(document)).total_seconds()) > self._dead_s
            self._peers[name] = _Peer(document["beat"], self._dead_s if stale else 0.0)
            if not stale:
                log.info("another instance shares the store: %s", name)
        elif peer.beat != document["beat"]:
            peer.beat, peer.silent_s = document["beat"], 0.0
        elif peer.silent_s < self._dead_s:
            peer.silent_s += passed_s
            if peer.silent_s >= self._dead_s:
                log.warning("the instance %s does not beat any longer; what it was to tell is told here", name)


def _version(at: datetime) -> int:
    return max(0, int(at.timestamp() * 1e9))


def _at(document: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(document["at"])
