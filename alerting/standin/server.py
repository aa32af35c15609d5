"""The stand-in over HTTP, on a port of loopback: incoming webhook, Web API, uploads and response URLs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from alerting.standin.rules import Refusal, check_payload
from alerting.standin.workspace import ApiError, Workspace

KEPT_MESSAGES = 10_000
Misbehaviour = Literal["rate_limited", "server_error", "rejected", "no_answer", "lost_answer", "error"]


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message that was taken, and when."""

    at: datetime
    path: str
    payload: dict[str, Any]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class _Bad:
    how: Misbehaviour
    retry_after_s: float
    code: str
    only: str


class SlackStandin:
    """Plays Slack's part. `on_message` is called with each new message that was taken; edits are in `workspace`."""

    def __init__(
        self,
        on_message: Callable[[ReceivedMessage], None] | None = None,
        *,
        workspace: Workspace | None = None,
        signing_secret: str = "standin-signing-secret",
    ) -> None:
        self.messages: deque[ReceivedMessage] = deque(maxlen=KEPT_MESSAGES)
        self.refusals: deque[str] = deque(maxlen=KEPT_MESSAGES)
        """Why messages were refused, with the place in them."""
        self.calls: deque[str] = deque(maxlen=KEPT_MESSAGES)
        """The methods that were called, in order."""
        self.responses: deque[dict[str, Any]] = deque(maxlen=KEPT_MESSAGES)
        """What came to response URLs."""
        self.requests = 0
        self.workspace = workspace or Workspace()
        self.signing_secret = signing_secret
        self.url = ""
        self._on_message = on_message
        self._next: deque[_Bad] = deque()
        self._changed = asyncio.Condition()
        self._released = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._response_uses: dict[str, int] = {}

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listens, on a free port unless one is given; gives the webhook's URL. Raises OSError when it is taken."""
        app = web.Application(client_max_size=4 * 2**20)
        app.router.add_post("/api/{method}", self._api)
        app.router.add_post("/upload/{file}", self._upload)
        app.router.add_post("/response/{id}", self._response)
        app.router.add_post("/{path:.*}", self._webhook)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.url = f"http://{host}:{self._runner.addresses[0][1]}"
        self.workspace.upload_base = self.url
        return f"{self.url}/services/T000/B000/standin"

    @property
    def api_url(self) -> str:
        """The URL of chat.postMessage."""
        return f"{self.url}/api/chat.postMessage"

    async def stop(self) -> None:
        """Ends. Safe to call twice."""
        self._released.set()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def misbehave(self, how: Misbehaviour, *, retry_after_s: float = 0.0, code: str = "", only: str = "") -> None:
        """Makes the next answer that is not arranged yet a bad one.

        429 with Retry-After, 500, 403, none at all, or (`lost_answer`) none although the message is taken. `error` is
        an answer of the Web API with a code of Slack's; `only` keeps it for calls of one method.
        """
        self._next.append(_Bad(how, retry_after_s, code, only))

    def response_url(self) -> str:
        """A new URL for up to five answers to one interaction."""
        name = f"R{len(self._response_uses) + 1}"
        self._response_uses[name] = 0
        return f"{self.url}/response/{name}"

    async def wait_for(self, count: int, timeout_s: float = 10.0) -> list[ReceivedMessage]:
        """The messages, once there are `count` of them. Raises TimeoutError."""
        await self.wait_until(lambda: len(self.messages) >= count, timeout_s)
        return list(self.messages)

    async def wait_for_requests(self, count: int, timeout_s: float = 10.0) -> None:
        """Returns once `count` requests came, answered or not. Raises TimeoutError."""
        await self.wait_until(lambda: self.requests >= count, timeout_s)

    async def wait_until(self, holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Returns once something holds, looked at after each request. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(holds)

    async def _api(self, request: web.Request) -> web.Response:
        method, body = request.match_info["method"], await request.read()
        self.calls.append(method)
        bad, early = await self._arrive(method)
        if early is not None:
            return early
        try:
            answer = self.workspace.call(method, _bearer(request), _arguments(request, body))
        except ApiError as error:
            self.refusals.append(f"{method}: {error}")
            await self._tell()
            return _refused(error.code, error.retry_after_s)
        except Refusal as refusal:
            self.refusals.append(f"{method}: {refusal}")
            await self._tell()
            return _refused(refusal.code)
        if method == "chat.postMessage":
            await self._keep(ReceivedMessage(datetime.now(UTC), request.path, _arguments(request, body)))
        await self._tell()
        if bad is not None:
            await self._released.wait()
        return web.json_response(answer)

    async def _upload(self, request: web.Request) -> web.Response:
        body = await request.read()
        _, early = await self._arrive("upload")
        if early is not None:
            return early
        try:
            self.workspace.put_file(request.match_info["file"], body)
        except ApiError as error:
            return web.Response(status=400, text=error.code)
        return web.Response(text=f"OK - {len(body)}")

    async def _response(self, request: web.Request) -> web.Response:
        name, body = request.match_info["id"], await request.read()
        self.requests += 1
        uses = self._response_uses.get(name)
        if uses is None or uses >= 5:
            return web.Response(status=404, text="used_url")
        self._response_uses[name] = uses + 1
        try:
            payload = _payload(request, body)
            check_payload(payload)
        except Refusal as refusal:
            self.refusals.append(str(refusal))
            return web.Response(status=400, text=refusal.code)
        self.responses.append(payload)
        await self._tell()
        return web.Response(text="ok")

    async def _webhook(self, request: web.Request) -> web.Response:
        body = await request.read()
        bad, early = await self._arrive("webhook")
        if early is not None:
            return early
        try:
            payload = _payload(request, body)
            check_payload(payload)
        except Refusal as refusal:
            self.refusals.append(str(refusal))
            await self._tell()
            return web.Response(status=400, text=refusal.code)
        await self._keep(ReceivedMessage(datetime.now(UTC), request.path, payload, body))
        if bad is not None:
            await self._released.wait()
        return web.Response(text="ok")

    async def _arrive(self, method: str) -> tuple[_Bad | None, web.Response | None]:
        """Counts a request; gives what is arranged for it, and the answer where that takes no message."""
        async with self._changed:
            self.requests += 1
            self._changed.notify_all()
        bad = next((one for one in self._next if one.only in ("", method)), None)
        if bad is None:
            return None, None
        self._next.remove(bad)
        if bad.how == "rate_limited":
            headers = {"Retry-After": f"{bad.retry_after_s:.0f}"}
            return bad, web.Response(status=429, text="rate_limited", headers=headers)
        if bad.how == "server_error":
            return bad, web.Response(status=500, text="internal_error")
        if bad.how == "rejected":
            return bad, web.Response(status=403, text=bad.code or "invalid_token")
        if bad.how == "error":
            return bad, _refused(bad.code)
        if bad.how == "no_answer":
            await self._released.wait()
            return bad, web.Response(status=503)
        return bad, None

    async def _keep(self, message: ReceivedMessage) -> None:
        if self._on_message is not None:
            self._on_message(message)
        async with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _refused(code: str, retry_after_s: int = 0) -> web.Response:
    if code == "ratelimited":
        return web.json_response(
            {"ok": False, "error": code}, status=429, headers={"Retry-After": str(retry_after_s or 1)}
        )
    return web.json_response({"ok": False, "error": code})


def _bearer(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ").strip()


def _arguments(request: web.Request, body: bytes) -> dict[str, Any]:
    if request.content_type == "application/x-www-form-urlencoded":
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    payload = _payload(request, body)
    if not isinstance(payload, dict):
        raise ApiError("json_not_object")
    return payload


def _payload(request: web.Request, body: bytes) -> Any:
    if request.content_type != "application/json":
        raise Refusal("invalid_payload", f"the content type is {request.content_type}, not application/json")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal("invalid_payload", f"not JSON: {error}") from None
