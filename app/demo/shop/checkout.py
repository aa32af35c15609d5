"""Takes orders and has them paid."""

from __future__ import annotations

import asyncio
import itertools
import random

import aiohttp
from aiohttp import web

from app.demo.shop.forward import ForwardSender
from app.demo.shop.settings import ShopSettings
from app.demo.shop.web import ShopServer

POD = "checkout-7d9c5b6f4d-x2v8k"
TAG = f"kube.var.log.containers.{POD}_shop_checkout-4f1d.log"
KUBERNETES = {
    "namespace_name": "shop",
    "pod_name": POD,
    "container_name": "checkout",
    "host": "demo-node-1",
    "labels": {"app": "checkout"},
}


class Checkout:
    """Its lines look as Fluent Bit's kubernetes filter hands them on: `log`, `stream`, and what pod it was."""

    def __init__(self, settings: ShopSettings) -> None:
        self._payments_url = settings.next_url
        self._orders = itertools.count(1001)
        self._log = ForwardSender(settings.forward_port, TAG)
        self._server = ShopServer(settings.listen_fd, {("POST", "/orders"): self._order}, ("200", "502"))

    async def start(self) -> None:
        """Opens."""
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=4))
        await self._log.start()
        await self._server.start()

    async def stop(self) -> None:
        """Closes; the last lines are sent."""
        await self._server.stop()
        await self._http.close()
        await self._log.stop()

    async def _order(self, request: web.Request) -> web.StreamResponse:
        order = f"A-{next(self._orders)}"
        trace_id = request.headers.get("x-trace-id", "")
        amount = random.choice((12, 39, 51, 78, 90))
        await asyncio.sleep(random.expovariate(1 / 0.003))
        why = ""
        try:
            headers = {"x-trace-id": trace_id}
            body = {"order": order, "amount": amount}
            async with self._http.post(f"{self._payments_url}/charge", json=body, headers=headers) as answer:
                why = "" if answer.status == 200 else f"payments answered {answer.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            why = f"payments did not answer: {type(error).__name__}"
        if why:
            self._line("stderr", f"ERROR order {order} failed: {why}", trace_id)
            return web.json_response({"order": order, "error": why}, status=502)
        self._line("stdout", f"INFO order {order} placed, {amount} EUR", trace_id)
        return web.json_response({"order": order})

    def _line(self, stream: str, text: str, trace_id: str) -> None:
        self._log.add({"log": f"{text}\n", "stream": stream, "trace_id": trace_id, "kubernetes": KUBERNETES})
