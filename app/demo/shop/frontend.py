"""The shop's front door: lists products, and hands orders to checkout."""

from __future__ import annotations

import asyncio
import random
import secrets

import aiohttp
from aiohttp import web

from app.demo.shop.forward import ForwardSender
from app.demo.shop.settings import ShopSettings
from app.demo.shop.web import ShopServer

TAG = "shop.frontend"


class Frontend:
    """Logs a plain record a request: `message` and fields, told apart from others by its tag alone."""

    def __init__(self, settings: ShopSettings) -> None:
        self._checkout_url = settings.next_url
        self._log = ForwardSender(settings.forward_port, TAG)
        self._server = ShopServer(
            settings.listen_fd,
            {("GET", "/products"): self._products, ("POST", "/checkout"): self._order},
            ("200", "502"),
        )

    async def start(self) -> None:
        """Opens."""
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
        await self._log.start()
        await self._server.start()

    async def stop(self) -> None:
        """Closes; the last lines are sent."""
        await self._server.stop()
        await self._http.close()
        await self._log.stop()

    async def _products(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(random.expovariate(1 / 0.004))
        self._log.add({"message": "GET /products 200", "level": "info", "client": str(request.query.get("client", ""))})
        return web.json_response([{"sku": "lamp", "price": 39}, {"sku": "rope", "price": 12}])

    async def _order(self, request: web.Request) -> web.StreamResponse:
        trace_id = secrets.token_hex(16)
        headers = {"x-trace-id": trace_id}
        try:
            async with self._http.post(f"{self._checkout_url}/orders", headers=headers) as answer:
                status = 200 if answer.status == 200 else 502
                order = str((await answer.json()).get("order", ""))
        except (aiohttp.ClientError, TimeoutError):
            status, order = 502, ""
        level = "info" if status == 200 else "error"
        self._log.add(
            {"message": f"POST /checkout {status}", "level": level, "order": order, "trace_id": trace_id},
        )
        return web.json_response({"order": order}, status=status)
