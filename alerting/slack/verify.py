"""Whether a request comes from Slack, now, and for the first time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

from slack_sdk.signature import Clock, SignatureVerifier

from app.config import read_secret

MOST_AGE_S = 300
"""https://docs.slack.dev/authentication/verifying-requests-from-slack: older ones may be replays."""
_MOST_SEEN = 50_000


class NotFromSlack(Exception):
    """A request that is not taken; the text says why, for the log."""


class CameBefore(NotFromSlack):
    """It is genuine, and was taken already."""


class _At(Clock):
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock()


class Verifier:
    """Checks signatures against the app's signing secret, which is read from its file each time."""

    def __init__(self, secret_file: Path, clock: Callable[[], float] = time.time) -> None:
        self._secret_file = secret_file
        self._clock = clock
        self._started_s = int(clock())
        self._seen: OrderedDict[str, float] = OrderedDict()

    def check(self, headers: Mapping[str, str], body: bytes) -> None:
        """Raises NotFromSlack for a wrong signature, an old request, or one that came before.

        What was signed before this process began is refused, too: what the one before it took is not known.
        """
        sent_at, signature = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
        if not sent_at.isascii() or not sent_at.isdigit() or len(sent_at) > 12:
            raise NotFromSlack("no timestamp")
        now = self._clock()
        if abs(now - int(sent_at)) > MOST_AGE_S:
            raise NotFromSlack(f"the timestamp is {now - int(sent_at):.0f} s old")
        verifier = SignatureVerifier(read_secret(self._secret_file).get_secret_value(), _At(self._clock))
        try:
            genuine = verifier.is_valid(body, sent_at, signature)
        except (UnicodeDecodeError, TypeError):
            genuine = False
        if not genuine:
            raise NotFromSlack("the signature is wrong")
        if int(sent_at) < self._started_s:
            raise NotFromSlack("it was signed before this process began")
        if signature in self._seen:
            raise CameBefore("it came before")
        self._remember(signature, now)

    def _remember(self, signature: str, now: float) -> None:
        self._seen[signature] = now
        # older than that they are refused for their age; past the bound the oldest are the least likely to come again
        while self._seen and (len(self._seen) > _MOST_SEEN or next(iter(self._seen.values())) < now - 2 * MOST_AGE_S):
            self._seen.popitem(last=False)
