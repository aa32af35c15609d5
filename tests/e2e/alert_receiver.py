"""A webhook over a real socket that keeps what it is told, and may be slow to answer."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

from aiohttp import web


@dataclass
class Delivery:
    """One message: the names of its firing and resolved alerts, when it came, and when it was answered."""

    firing: tuple[str, ...]
    resolved: tuple[str, ...]
    came_at: float
    answered_at: float | None = None


class Receiver:
    """Answers a message after `hold_s` seconds; None: never."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.hold_s: float | None = 0.0
        self._news = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> Receiver:
        """Listens on a free port."""
        app = web.Application()
        app.router.add_post("/", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        return self

    async def stop(self) -> None:
        """Closes the port."""
        if self._runner:
            await self._runner.cleanup()

    def times(self, name: str) -> int:
        """How often it was told that an alert fires."""
        return Counter(n for d in self.deliveries for n in d.firing)[name]

    async def wait_for(self, name: str, times: int = 1, timeout_s: float = 30.0) -> None:
        """Returns when it was told so often that an alert fires."""
        async with asyncio.timeout(timeout_s), self._news:
            await self._news.wait_for(lambda: self.times(name) >= times)

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.json()
        names: dict[str, list[str]] = {"firing": [], "resolved": []}
        for alert in body["alerts"]:
            names[alert["status"]].append(alert["labels"]["alertname"])
        delivery = Delivery(tuple(names["firing"]), tuple(names["resolved"]), time.monotonic())
        async with self._news:
            self.deliveries.append(delivery)
            self._news.notify_all()
        if self.hold_s is None:
            await asyncio.sleep(3600)
        elif self.hold_s:
            await asyncio.sleep(self.hold_s)  # a receiver that takes its time
        delivery.answered_at = time.monotonic()
        return web.Response()
