"""Notes of messages that are being sent, written before: they keep two instances from sending at once.

After a kill they tell of which messages nobody knows whether they arrived.

Each instance writes notes of its own only, and looks for those of others after it wrote its own: of two that begin at
once at least one sees the other (Dekker). Who sees one that goes before it takes its note back and waits.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta

from alerting.manager.clock import Clock
from alerting.manager.peers import Peers
from alerting.manager.state import SENDING, Changes, Document, StateWriter
from app.errors import StoreError
from app.telemetry import ALERT_STATE_FAILURES

log = logging.getLogger(__name__)

_LOOK_AGAIN = timedelta(seconds=0.5)


class Claims:
    """Notes by instance and key of the notification log."""

    def __init__(self, writer: StateWriter, peers: Peers, clock: Clock) -> None:
        self._writer = writer
        self._peers = peers
        self._clock = clock
        self._notes: dict[str, dict[str, Document]] = {}

    async def load(self) -> None:
        """Reads what is kept. Raises StoreError."""
        for name, document in (await self._writer.read(SENDING)).items():
            self.take_over(name, document)

    def take_over(self, name: str, document: Document | None) -> None:
        """Holds a note as another instance wrote it."""
        owner, key = name.split("|", 1)
        if document is not None:
            self._notes.setdefault(key, {})[owner] = document
        elif key in self._notes:
            self._notes[key].pop(owner, None)

    def unsure(self, key: str) -> bool:
        """Whether a message of this key was begun and nobody knows whether it arrived."""
        return any(self._is_unsure(owner, note) for owner, note in self._notes.get(key, {}).items())

    async def take(self, key: str, deadline: datetime) -> None:
        """Returns when this instance alone may send under a key; another one that sends is waited for.

        A store that does not answer keeps nobody from sending: told twice is better than never.
        """
        unsure = self._peers.id in self._notes.get(key, {})
        mine = {"at": self._clock.now().isoformat(), "sending": True, "unsure": unsure}
        noted = False
        while True:
            try:
                if not noted:
                    # held before it is written: what fails or takes long may be written later, and is taken back then
                    self._notes.setdefault(key, {})[self._peers.id] = mine
                    await self._writer.write(SENDING, {self._name(key): mine})
                    noted = True
                before, after = await self._senders(key)
                if not before and not after:
                    return
                if before:
                    await self._writer.write(SENDING, {self._name(key): None})
                    noted = False
            except StoreError as error:
                ALERT_STATE_FAILURES.inc()
                log.error("it could not be noted that %s is about to be sent: %s", key, error)
                if not self._peers.position():
                    return
            now = self._clock.now()
            if now + _LOOK_AGAIN >= deadline:
                log.error("%s is sent though another instance may send it: it is noted as sending for too long", key)
                return
            await self._clock.wait(now + _LOOK_AGAIN, asyncio.Event())

    def lost_sight(self, key: str) -> None:
        """No answer was seen to an attempt: the next one may be the second of its message."""
        note = self._notes.get(key, {}).get(self._peers.id)
        if note is not None:
            self._notes[key][self._peers.id] = {**note, "unsure": True}

    async def give_up(self, key: str) -> None:
        """Nothing is sent under a key for now. What nobody knows of stays noted."""
        note = self._notes.get(key, {}).get(self._peers.id)
        if note is None:
            return
        left = {**note, "sending": False} if note["unsure"] else None
        if left is None:
            del self._notes[key][self._peers.id]
        else:
            self._notes[key][self._peers.id] = left
        try:
            await self._writer.write(SENDING, {self._name(key): left})
        except StoreError as error:
            ALERT_STATE_FAILURES.inc()
            log.error("the note of %s could not be written: %s", key, error)

    def done(self, key: str) -> Changes:
        """What to write when a message arrived: nothing about its key is unsure any longer."""
        notes = self._notes.pop(key, {})
        busy = {owner: note for owner, note in notes.items() if owner != self._peers.id and note["sending"]}
        busy = {owner: note for owner, note in busy.items() if self._peers.alive(owner)}
        if busy:
            self._notes[key] = busy
        return {(SENDING, f"{owner}|{key}"): None for owner in notes if owner not in busy}

    async def _senders(self, key: str) -> tuple[list[str], list[str]]:
        """The other live instances that send under a key now: those that go before this one, and those after."""
        others = self._peers.others()
        if not others:
            return [], []
        found = await self._writer.read_keys(SENDING, [f"{owner}|{key}" for owner in others])
        busy = [name.split("|", 1)[0] for name, note in found.items() if note["sending"]]
        return [o for o in busy if o < self._peers.id], [o for o in busy if o > self._peers.id]

    def _is_unsure(self, owner: str, note: Document) -> bool:
        return bool(note["unsure"]) or not self._peers.alive(owner)

    def _name(self, key: str) -> str:
        return f"{self._peers.id}|{key}"
