"""One HTTP/1.1 connection to a target, with as little work a page as can be."""

from __future__ import annotations

import asyncio
import zlib
from typing import cast

import httptools

from ingest.scrape.headers import FetchError


async def inflate(body: bytes, limit: int) -> bytes:
    """A gzip body, inflated to `limit` bytes at most. Raises FetchError."""
    try:
        if len(body) > 100_000:
            return await asyncio.to_thread(_gunzip, body, limit)
        return _gunzip(body, limit)
    except zlib.error as error:
        raise FetchError(f"body is not gzip: {error}") from None


def _gunzip(body: bytes, limit: int) -> bytes:
    machine = zlib.decompressobj(31)
    out = machine.decompress(body, limit + 1)
    if len(out) > limit:
        raise FetchError(f"body is larger than {limit} bytes (body_size_limit)")
    if not machine.eof:
        raise FetchError("gzip body ends early")
    return out


class Closed(Exception):
    """The connection ended before an answer began."""


class Answer:
    """A response as httptools tells it."""

    def __init__(self) -> None:
        self.status = 0
        self.content_type = ""
        self.gzip = False
        self.chunks: list[bytes] = []
        self.size = 0


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._answer = Answer()
        self._waiting: asyncio.Future[Answer] | None = None

    @property
    def idle(self) -> bool:
        """Whether a request may be sent now."""
        return self._transport is not None and not self._transport.is_closing() and self._waiting is None

    async def ask(self, request: bytes) -> Answer:
        """The answer to a request. Raises Closed, or FetchError; cancelled, it ends the connection."""
        if self._transport is None or self._transport.is_closing():
            raise Closed("connection closed before an answer")
        self._answer = Answer()
        self._parser = httptools.HttpResponseParser(self)
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            self._transport.write(request)
            return await self._waiting
        except asyncio.CancelledError:
            self.abort()  # the rest of this answer must not become the next one
            raise
        finally:
            self._waiting = None

    def abort(self) -> None:
        """Ends the connection at once."""
        if self._transport:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            self.abort()  # nothing was asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            # what a callback raises comes wrapped
            cause = error.__cause__ or error.__context__
            self._fail(cause if isinstance(cause, FetchError) else FetchError(f"not an HTTP answer: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        answer, waiting = self._answer, self._waiting
        if waiting is None or waiting.done():
            return
        if not answer.status:
            waiting.set_exception(Closed("connection closed before an answer"))
        elif exc is None and not self._framed:
            waiting.set_result(answer)  # HTTP/1.0: the end of the connection ends the body
        else:
            waiting.set_exception(FetchError("connection closed in the middle of the page"))

    def _fail(self, error: Exception) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(error)
        self.abort()

    # what httptools calls

    _framed = False

    def on_message_begin(self) -> None:
        self._framed = False

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower == b"content-type":
            self._answer.content_type = value.decode("latin-1")
        elif lower == b"content-encoding":
            self._answer.gzip = value.lower() == b"gzip"
        elif lower in (b"content-length", b"transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self._answer.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        answer = self._answer
        answer.size += len(body)
        if answer.size > self._limit:
            raise FetchError(f"body is larger than {self._limit} bytes (body_size_limit)")
        answer.chunks.append(body)

    def on_message_complete(self) -> None:
        assert self._parser is not None
        if not self._parser.should_keep_alive() and self._transport:
            self._transport.close()
        self._parser = None
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(self._answer)
