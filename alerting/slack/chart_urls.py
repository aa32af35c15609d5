"""URLs of charts that Slack's servers fetch without a token: signed, and good for some days."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode, urlsplit

PATH = "/slack/chart"
GOOD_FOR = timedelta(days=7)
_LONGEST_MS = int(timedelta(days=31).total_seconds() * 1000)


class SignedCharts:
    """Makes and checks URLs under `external_url`. `secret` signs them: another one makes every URL made before void."""

    def __init__(self, external_url: str, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        self._home = external_url.rstrip("/")
        # not the secret itself: what is signed for Slack's requests and for URLs stays apart
        self._key = hashlib.blake2b(b"watchhouse slack charts", key=secret[:64], digest_size=32).digest()
        self._clock = clock

    def url(self, slo: str, length_ms: int, now: datetime) -> str:
        """As `ChartUrls.url`. The picture is drawn when it is fetched."""
        # to the minute: the same message asks for the same picture
        expires_s = int((now + GOOD_FOR).timestamp()) // 60 * 60
        asked = {"length": str(length_ms), "exp": str(expires_s)}
        signature = self._signature(slo, asked["length"], asked["exp"])
        return f"{self._home}{PATH}/{quote(slo, safe='')}.png?{urlencode({**asked, 'sig': signature})}"

    def check(self, slo: str, length: str, expires: str, signature: str) -> int | None:
        """The length in milliseconds that a URL asks for; None when it is not one of ours, or past its time."""
        # bytes: a signature that is not ASCII is wrong, and no error
        given = signature.encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(self._signature(slo, length, expires).encode(), given):
            return None
        length_ms = int(length)
        return length_ms if int(expires) > self._clock() and 0 < length_ms <= _LONGEST_MS else None

    def _signature(self, slo: str, length: str, expires: str) -> str:
        signed = "\0".join((slo, length, expires)).encode("utf-8", "surrogatepass")
        return hmac.new(self._key, signed, hashlib.sha256).hexdigest()[:40]


def reachable_by_slack(external_url: str) -> bool:
    """Whether a URL may lead here from the internet: a picture that Slack cannot fetch costs the whole message."""
    host = urlsplit(external_url).hostname or ""
    if not host or "." not in host or host.endswith((".localhost", ".local", ".internal", ".example", ".test")):
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return True
