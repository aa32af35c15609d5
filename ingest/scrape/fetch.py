"""Getting a page over HTTP.

Plain HTTP goes through a connection of one's own on httptools: a request through aiohttp costs several times the CPU
of reading the page. TLS, proxies and redirects go through aiohttp.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp

from ingest.scrape.config import ScrapeJob
from ingest.scrape.headers import FetchError, has_files, request_headers, tls_context
from ingest.scrape.plainhttp import Answer, Closed, Connection, inflate

DEFAULT_BODY_LIMIT = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Response:
    """A page as it came, decompressed."""

    body: bytes
    content_type: str

    @property
    def openmetrics(self) -> bool:
        """Whether the page says it is OpenMetrics text."""
        return self.content_type.lower().startswith("application/openmetrics-text")


class Client(Protocol):
    """Asks one target."""

    async def fetch(self) -> Response:
        """The page. Raises FetchError; the caller bounds the time."""

    async def close(self) -> None:
        """Ends its connections. Safe to call twice."""


def client_for(job: ScrapeJob, url: str, timeout_ms: int, session: aiohttp.ClientSession) -> Client:
    """The cheapest client that can ask this URL. Raises FetchError when TLS files cannot be used."""
    if url.startswith("http://") and job.proxy_url is None:
        return PlainClient(job, url, timeout_ms, session)
    return SessionClient(job, url, timeout_ms, session)


class SessionClient:
    """Asks through aiohttp: TLS, proxies, redirects."""

    def __init__(self, job: ScrapeJob, url: str, timeout_ms: int, session: aiohttp.ClientSession) -> None:
        self._job, self._url, self._timeout_ms, self._session = job, url, timeout_ms, session
        self._limit = job.body_size_limit or DEFAULT_BODY_LIMIT
        self._tls: ssl.SSLContext | None = None

    async def fetch(self) -> Response:
        """The page. Raises FetchError."""
        job = self._job
        if self._tls is None:
            self._tls = await asyncio.to_thread(tls_context, job.tls_config)
        headers = await asyncio.to_thread(request_headers, job, self._url, self._timeout_ms)
        try:
            async with self._session.get(
                self._url,
                headers=headers,
                ssl=self._tls,
                server_hostname=job.tls_config.server_name or None,
                proxy=job.proxy_url,
                allow_redirects=job.follow_redirects,
                max_redirects=10,
            ) as response:
                if response.status != 200:
                    raise FetchError(f"server returned HTTP status {response.status} {response.reason or ''}".strip())
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > self._limit:
                        raise FetchError(f"body is larger than {self._limit} bytes (body_size_limit)")
                return Response(bytes(body), response.headers.get("Content-Type", ""))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchError(f"{type(error).__name__}: {error}") from None

    async def close(self) -> None:
        """The session is its owner's to close."""


class PlainClient:
    """Asks one target over plain HTTP on one connection that is kept."""

    def __init__(self, job: ScrapeJob, url: str, timeout_ms: int, session: aiohttp.ClientSession) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._job, self._url, self._timeout_ms, self._session = job, url, timeout_ms, session
        self._limit = job.body_size_limit or DEFAULT_BODY_LIMIT
        self._request: bytes | None = None
        self._connection: Connection | None = None
        self._redirected: SessionClient | None = None

    async def fetch(self) -> Response:
        """The page. Raises FetchError."""
        if self._redirected is not None:
            return await self._redirected.fetch()
        request = self._request
        if request is None:
            request = await asyncio.to_thread(self._head)
            if not has_files(self._job):
                self._request = request
        answer = await self._ask(request)
        if answer.status in (301, 302, 303, 307, 308) and self._job.follow_redirects:
            self._redirected = SessionClient(self._job, self._url, self._timeout_ms, self._session)
            return await self._redirected.fetch()
        if answer.status != 200:
            raise FetchError(f"server returned HTTP status {answer.status}")
        body = answer.chunks[0] if len(answer.chunks) == 1 else b"".join(answer.chunks)
        if answer.gzip:
            body = await inflate(body, self._limit)
        return Response(body, answer.content_type)

    async def close(self) -> None:
        """Ends the connection."""
        if self._connection:
            self._connection.abort()
            self._connection = None

    async def _ask(self, request: bytes) -> Answer:
        kept = self._connection
        if kept is not None and kept.idle:
            try:
                return await kept.ask(request)
            except Closed:
                pass  # a kept connection may end between two requests: once more on a new one
        self._connection = connection = await self._connect()
        try:
            return await connection.ask(request)
        except Closed as error:
            raise FetchError(str(error)) from None

    async def _connect(self) -> Connection:
        if self._connection:
            self._connection.abort()
        try:
            _, protocol = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self._limit), self._host, self._port
            )
        except OSError as error:
            raise FetchError(f"cannot connect to {self._host}:{self._port}: {error.strerror or error}") from None
        return protocol

    def _head(self) -> bytes:
        parts = urlsplit(self._url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        headers = [("Host", parts.netloc), *request_headers(self._job, self._url, self._timeout_ms)]
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
        return "\r\n".join(lines).encode()
