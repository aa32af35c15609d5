"""The customers: an open loop, so that a slow shop does not mean fewer of them."""

from __future__ import annotations

import asyncio
import random

import aiohttp

from app.demo.shop.settings import ShopSettings

_AT_ONCE = 200
_ORDERS = 0.5


class Load:
    """Asks the frontend about `requests_per_second` times a second; about half of it are orders."""

    def __init__(self, settings: ShopSettings) -> None:
        self._url = settings.next_url
        self._rate = settings.requests_per_second
        self._running: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Opens the doors."""
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=6))
        self._loop = asyncio.create_task(self._run(), name="load")

    async def stop(self) -> None:
        """Sends everybody home."""
        tasks = [task for task in (self._loop, *self._running) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.close()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + random.expovariate(self._rate), loop.time() - 1)
            await asyncio.sleep(max(0.0, due - loop.time()))
            if len(self._running) < _AT_ONCE:
                task = asyncio.create_task(self._visit())
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def _visit(self) -> None:
        order = random.random() < _ORDERS
        method, path = ("POST", "/checkout") if order else ("GET", f"/products?client=c{random.randrange(500)}")
        try:
            async with self._http.request(method, self._url + path) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            # the shop is not open yet, or closed; the customer comes again
            pass
