"""The stand-in over HTTP, on a port of loopback."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from aiohttp import web

from alerting.standin.rules import Refusal, check_payload

KEPT_MESSAGES = 10_000
Misbehaviour = Literal["rate_limited", "server_error", "rejected", "no_answer"]


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message that was taken, and when."""

    at: datetime
    path: str
    payload: dict[str, Any]


class SlackStandin:
    """Takes messages as Slack's incoming webhook does. `on_message` is called with each that was taken."""

    def __init__(self, on_message: Callable[[ReceivedMessage], None] | None = None) -> None:
        self.messages: deque[ReceivedMessage] = deque(maxlen=KEPT_MESSAGES)
        self.refusals: deque[str] = deque(maxlen=KEPT_MESSAGES)
        """Why messages were refused, with the place in them."""
        self.requests = 0
        self._on_message = on_message
        self._next: deque[tuple[Misbehaviour, float]] = deque()
        self._changed = asyncio.Condition()
        self._released = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listens, on a free port unless one is given; gives the webhook's URL. Raises OSError when it is taken."""
        app = web.Application(client_max_size=4 * 2**20)
        app.router.add_post("/{path:.*}", self._receive)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return f"http://{host}:{self._port}/services/T000/B000/standin"

    async def stop(self) -> None:
        """Ends. Safe to call twice."""
        self._released.set()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def misbehave(self, how: Misbehaviour, *, retry_after_s: float = 0.0) -> None:
        """Makes the next answer that is not arranged yet a bad one: 429 with Retry-After, 500, 403, or none at all."""
        self._next.append((how, retry_after_s))

    async def wait_for(self, count: int, timeout_s: float = 10.0) -> list[ReceivedMessage]:
        """The messages, once there are `count` of them. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: len(self.messages) >= count)
        return list(self.messages)

    async def wait_for_requests(self, count: int, timeout_s: float = 10.0) -> None:
        """Returns once `count` requests came, answered or not. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: self.requests >= count)

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        async with self._changed:
            self.requests += 1
            self._changed.notify_all()
        if self._next:
            how, retry_after_s = self._next.popleft()
            if how == "rate_limited":
                return web.Response(status=429, text="rate_limited", headers={"Retry-After": f"{retry_after_s:.0f}"})
            if how == "server_error":
                return web.Response(status=500, text="internal_error")
            if how == "rejected":
                return web.Response(status=403, text="invalid_token")
            await self._released.wait()
            return web.Response(status=503)
        try:
            payload = _payload(request, body)
            check_payload(payload)
        except Refusal as refusal:
            self.refusals.append(str(refusal))
            return web.Response(status=400, text=refusal.code)
        await self._keep(ReceivedMessage(datetime.now(UTC), request.path, payload))
        return web.Response(text="ok")

    async def _keep(self, message: ReceivedMessage) -> None:
        if self._on_message is not None:
            self._on_message(message)
        async with self._changed:
            self.messages.append(message)
            self._changed.notify_all()


def _payload(request: web.Request, body: bytes) -> Any:
    if request.content_type != "application/json":
        raise Refusal("invalid_payload", f"the content type is {request.content_type}, not application/json")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal("invalid_payload", f"not JSON: {error}") from None
