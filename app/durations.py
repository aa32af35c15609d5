"""Prometheus durations: `1h30m`, `15s`, `100ms`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

_UNITS_MS = {"y": 31_536_000_000, "w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_FORM = re.compile(
    r"^(?:([0-9]+)y)?(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?$"
)


def parse_duration_ms(text: str) -> int:
    """Milliseconds of a Prometheus duration, as model.ParseDuration of prometheus/common reads it; `0` is allowed.

    Raises ValueError on anything else.
    """
    if text == "0":
        return 0
    match = _FORM.match(text) if text else None
    if match is None:
        raise ValueError(f"not a duration: {text!r} (write it like 30s, 5m, 1h30m)")
    return sum(int(n) * ms for n, ms in zip(match.groups(), _UNITS_MS.values(), strict=True) if n)


def format_duration_ms(ms: int) -> str:
    """The shortest Prometheus duration of a number of milliseconds; days and above only where they divide evenly."""
    if ms == 0:
        return "0s"
    out, rest = "-" if ms < 0 else "", abs(ms)
    for unit, size in _UNITS_MS.items():
        exact_only = unit in ("y", "w", "d")
        if rest >= size and not (exact_only and rest % size):
            out += f"{rest // size}{unit}"
            rest %= size
    return out


def _read(value: object) -> object:
    if isinstance(value, str):
        return parse_duration_ms(value)
    if isinstance(value, bool) or not isinstance(value, int) or value != 0:
        raise ValueError(f"not a duration: {value!r} (write it with a unit, like 30s, 5m, 1h30m)")
    return value


DurationMs = Annotated[int, BeforeValidator(_read), PlainSerializer(format_duration_ms, when_used="json")]
"""A model field written as a Prometheus duration and held as milliseconds."""
