"""HTTP servers of the service."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from app.config import TlsFiles
from app.errors import ConfigError, Problem
from app.sockets import CannotListen


class _Server(uvicorn.Server):
    """A uvicorn server among others in one loop: signals belong to the service."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals alone."""
        yield


class HttpServer:
    """One HTTP listener. `start` returns when it accepts; `stop` ends open requests within `grace_s` seconds."""

    def __init__(self, app: ASGIApp, sock: socket.socket, tls: TlsFiles | None = None, grace_s: int = 5) -> None:
        """Raises ConfigError when the certificate or key cannot be used."""
        self._socket = sock
        if tls:
            _check(tls)
        self._server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                http="httptools",
                ws="websockets-sansio",
                timeout_keep_alive=75,
                timeout_graceful_shutdown=grace_s,
                ssl_certfile=str(tls.cert_file) if tls else None,
                ssl_keyfile=str(tls.key_file) if tls else None,
                server_header=False,
                proxy_headers=False,
            )
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self._socket.getsockname()[1])

    async def start(self) -> None:
        """Begins to accept connections."""
        self._task = asyncio.create_task(self._server.serve([self._socket]), name=f"http {self.port}")
        while not self._server.started:
            # uvicorn has no event for it; startup takes a few turns of the loop
            await asyncio.sleep(0.005)
            if self._task.done():
                await self._task
                raise CannotListen(f"the HTTP server on port {self.port} did not start")

    async def stop(self) -> None:
        """Stops accepting, lets requests end, and closes. Safe to call twice."""
        self._server.should_exit = True
        if self._task:
            await self._task


def _check(tls: TlsFiles) -> None:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        message = f"{tls.cert_file}, {tls.key_file} cannot be used: {error}"
        raise ConfigError([Problem("", None, "http.tls", message)]) from None
