"""Who changed what about silences and acknowledgements, and when."""

from __future__ import annotations

import itertools
import logging
from datetime import datetime, timedelta
from typing import Any

from alerting.manager.clock import Clock
from alerting.manager.state import SILENCE_AUDIT, Changes, StateWriter

log = logging.getLogger(__name__)

ANONYMOUS = "anonymous"
KEPT_FOR = timedelta(days=90)
MOST_SHOWN = 10_000


class Audit:
    """Entries are written together with the change they are about: none without the other."""

    def __init__(self, writer: StateWriter, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._numbers = itertools.count()

    def entry(self, action: str, what: str, who: str, **details: Any) -> Changes:
        """What to write for a change: `who` did `action` (created, updated, expired, deleted, acknowledged) to `what`.

        `who` is the name of the token that was used, or "anonymous".
        """
        now = self._clock.now()
        log.info("%s %s by %s", what, action, who)
        # the time first: keys in order are entries in order
        key = f"{int(now.timestamp() * 1000):016d}-{next(self._numbers):08d}-{what}"
        return {(SILENCE_AUDIT, key): {"at": now.isoformat(), "who": who, "action": action, "what": what, **details}}

    async def read(self, limit: int = 1000, about: str = "") -> list[dict[str, Any]]:
        """The newest entries, the newest first; with `about`, those whose `what` holds it. Raises StoreError."""
        entries = sorted((await self._writer.read(SILENCE_AUDIT)).items(), reverse=True)
        return [dict(entry) for _, entry in entries if about in entry["what"]][:limit]

    async def forget(self, now: datetime) -> None:
        """Drops entries past their time. Raises StoreError."""
        oldest = f"{int((now - KEPT_FOR).timestamp() * 1000):016d}"
        gone = [key for key in await self._writer.read(SILENCE_AUDIT) if key < oldest]
        if gone:
            await self._writer.write(SILENCE_AUDIT, dict.fromkeys(gone))
