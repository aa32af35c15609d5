"""The alert: what evaluators hand to the alert manager, in Alertmanager's terms."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from app.labels import Labels


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as an evaluator sees it now.

    `starts_at` and `ends_at` are aware datetimes; `ends_at` None means firing until told otherwise,
    a time in the past means resolved then. Labels identify it; annotations may change.
    """

    labels: Labels
    starts_at: datetime
    ends_at: datetime | None = None
    annotations: Labels = ()
    generator_url: str = ""
    facts: dict[str, object] = field(default_factory=dict, compare=False)
    """Numbers for a richer message (burn rates, budget), never part of the identity."""
    ends_by_timeout: bool = field(default=False, compare=False)
    """Whether `ends_at` is only when its sender would have fallen silent: any other end goes before it."""

    @property
    def name(self) -> str:
        """The alertname label, or ""."""
        return dict(self.labels).get("alertname", "")

    @property
    def fingerprint(self) -> str:
        """16 hex digits that identify the label set: those Prometheus and Alertmanager give it."""
        return _fingerprint(self.labels)

    def resolved_at(self, now: datetime) -> bool:
        """Whether the alert is resolved at `now`."""
        return self.ends_at is not None and self.ends_at <= now


_FNV_OFFSET, _FNV_PRIME, _64_BITS = 0xCBF29CE484222325, 0x100000001B3, 0xFFFFFFFFFFFFFFFF


@functools.lru_cache(maxsize=200_000)
def _fingerprint(labels: Labels) -> str:
    """FNV-1a of 64 bits over names and values, each followed by 0xff (prometheus/common, model/signature.go)."""
    digest = _FNV_OFFSET
    for pair in labels:
        for part in pair:
            for byte in part.encode("utf-8", "surrogatepass"):
                digest = (digest ^ byte) * _FNV_PRIME & _64_BITS
            digest = (digest ^ 0xFF) * _FNV_PRIME & _64_BITS
    return f"{digest:016x}"


class AlertSink(Protocol):
    """Takes alerts from evaluators. Safe to call again with the same alerts: the newest state of each wins."""

    async def put_alerts(self, alerts: list[Alert]) -> None:
        """Hand over the present state of some alerts. Returns when the state is kept."""
