"""An instrumented HTTP server, as anybody would write one: requests counted, timed, and at /metrics."""

from __future__ import annotations

import socket
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class ShopServer:
    """Serves `routes`, (method, path) → handler, and /metrics over an inherited socket."""

    def __init__(self, listen_fd: int, routes: dict[tuple[str, str], Handler], codes: tuple[str, ...]) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "http_requests", "HTTP requests by outcome.", ["code", "method", "route"], registry=self.registry
        )
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Time to answer an HTTP request.",
            ["method", "route"],
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self._in_progress = Gauge(
            "http_requests_in_progress", "HTTP requests being answered.", ["route"], registry=self.registry
        )
        self._socket = socket.socket(fileno=listen_fd)
        self._app = web.Application()
        self._app.router.add_get("/metrics", self._metrics)
        for (method, path), handler in routes.items():
            # a counter that begins at zero has a rate from its first increment on
            for code in codes:
                self._requests.labels(code, method, path)
            self._app.router.add_route(method, path, self._measured(method, path, handler))
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=1.0)

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Adds a route that is not measured. Before `start`."""
        self._app.router.add_route(method, path, handler)

    async def start(self) -> None:
        """Begins to answer."""
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket).start()

    async def stop(self) -> None:
        """Ends."""
        await self._runner.cleanup()

    def _measured(self, method: str, path: str, handler: Handler) -> Handler:
        async def measured(request: web.Request) -> web.StreamResponse:
            began = time.perf_counter()
            code = "500"
            with self._in_progress.labels(path).track_inprogress():
                try:
                    answer = await handler(request)
                    code = str(answer.status)
                    return answer
                finally:
                    self._requests.labels(code, method, path).inc()
                    self._seconds.labels(method, path).observe(time.perf_counter() - began)

        return measured

    async def _metrics(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
