"""`python -m app.demo.shop NAME SETTINGS`: one process of the shop, until SIGTERM or until its starter is gone."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from typing import Protocol

from app.demo.shop.settings import ShopSettings


class Part(Protocol):
    """One process's work."""

    async def start(self) -> None:
        """Begins."""

    async def stop(self) -> None:
        """Ends."""


def part(name: str, settings: ShopSettings) -> Part:
    """The part of the shop with a name. Raises ValueError."""
    # imported one by one: OpenTelemetry and gRPC need half a second that only payments has to wait
    match name:
        case "frontend":
            from app.demo.shop.frontend import Frontend

            return Frontend(settings)
        case "checkout":
            from app.demo.shop.checkout import Checkout

            return Checkout(settings)
        case "payments":
            from app.demo.shop.payments import Payments

            return Payments(settings)
        case "load":
            from app.demo.shop.load import Load

            return Load(settings)
    raise ValueError(f"the shop has no {name!r}")


async def run(name: str, settings: ShopSettings) -> None:
    """Runs a part until it is told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # the starter holds the other end: when it is gone, however it went, this reads the end of the file
    loop.add_reader(sys.stdin.fileno(), stop.set)
    running = part(name, settings)
    await running.start()
    await stop.wait()
    loop.remove_reader(sys.stdin.fileno())
    await running.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(run(sys.argv[1], ShopSettings.from_json(sys.argv[2])))
