"""When a JSON record says it happened, and how far ahead of our clock that may be."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

AHEAD_MS = 600_000
"""Samples and lines of a later time than this from now are not taken: ten minutes, as in Prometheus and Loki."""
TIME_KEYS = ("@timestamp", "date", "timestamp")
"""The keys Fluent Bit's outputs put a record's time under, in the order they are looked for."""

_ISO = re.compile(r"^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?\s*(Z|[+-]\d\d:?\d\d)?$", re.IGNORECASE)
# a whole number this large is no longer seconds: 1973 in milliseconds, 5138 in seconds
_MILLISECONDS_FROM = 100_000_000_000
_NANOSECONDS_FROM = 100_000_000_000_000_000


def latest_ns() -> int:
    """The latest time that is taken now, in nanoseconds since the epoch."""
    return time.time_ns() + AHEAD_MS * 1_000_000


def take_time(record: dict[str, Any]) -> int | None:
    """Nanoseconds since the epoch of a record's own time, whose key is taken out of it; None when it has none.

    A key whose value is no time stays where it is: it means something else to who wrote it.
    """
    for key in TIME_KEYS:
        if key in record:
            ts_ns = time_ns_of(record[key])
            if ts_ns is not None:
                del record[key]
                return ts_ns
    return None


def time_ns_of(value: object) -> int | None:
    """Nanoseconds since the epoch of seconds, milliseconds, nanoseconds or an ISO 8601 text; None when it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return _iso_ns(value)
    if isinstance(value, int) and 0 < value < 2**63:
        if value >= _NANOSECONDS_FROM:
            return value
        return value * 1_000_000 if value >= _MILLISECONDS_FROM else value * 1_000_000_000
    if isinstance(value, float) and 0 < value < _MILLISECONDS_FROM:
        # apart, so that the fraction does not lose to the size of the whole
        whole = int(value)
        return min(whole * 1_000_000_000 + round((value - whole) * 1e9), 2**63 - 1)
    return None


def _iso_ns(text: str) -> int | None:
    match = _ISO.match(text.strip())
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{(zone or 'Z').upper()}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    ts_ns = int(moment.timestamp()) * 1_000_000_000 + int((fraction or "").ljust(9, "0"))
    return ts_ns if 0 < ts_ns < 2**63 else None
