"""What a process of the shop is told by whoever starts it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

HEALTHY, BROKEN = 0.002, 0.4
"""The share of payments that fail, in good times and in bad ones."""


@dataclass(frozen=True, slots=True)
class ShopSettings:
    """Everything one process of the shop needs. Travels as JSON on the command line."""

    listen_fd: int = -1
    """An inherited, bound socket; -1 for a process that does not listen."""
    next_url: str = ""
    """Whom it calls."""
    forward_port: int = 0
    otlp_grpc_port: int = 0
    otlp_http_port: int = 0
    requests_per_second: float = 30.0

    def to_json(self) -> str:
        """The settings as text."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> ShopSettings:
        """The settings from `to_json`."""
        return ShopSettings(**json.loads(text))
