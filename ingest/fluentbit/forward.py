"""The Fluent forward receiver: connections in, acknowledgements out once the lines are kept."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import msgpack
from pydantic import SecretStr

from app.config import FluentForward, Limits, TlsFiles, read_secret
from app.errors import ConfigError, DecodeError, Problem
from app.telemetry import DROPPED, RECEIVED
from ingest.fluentbit.delivery import Delivery, deliver
from ingest.fluentbit.frames import Frame, FrameSplitter, decode_frame
from ingest.fluentbit.handshake import Handshake
from ingest.fluentbit.records import StreamCache
from ingest.writer import Writer

log = logging.getLogger(__name__)

RECEIVER = "fluent_forward"
_READ_BYTES = 256 * 1024
# a larger frame would hold the event loop for more than about a millisecond
_INLINE_BYTES = 16 * 1024
_FRAMES_IN_FLIGHT = 8
_HANDSHAKE_S = 10.0
_STOP_S = 5.0


class ForwardReceiver:
    """Listens for Fluent Bit's and Fluentd's `forward` output. Bound to the event loop it is started on.

    A chunk is acknowledged when its lines are in the store. While the write queue is full or the store is away a
    connection is not read; nothing that was read is dropped.
    """

    def __init__(
        self, writer: Writer, config: FluentForward, limits: Limits, sock: socket.socket | None = None
    ) -> None:
        """`sock`, where given, is bound already and listened on instead of `config.listen`; it is closed by `stop`."""
        self.limits = limits
        self.delivery = Delivery(writer, RECEIVER)
        self.shared_key: SecretStr | None = read_secret(config.shared_key_file) if config.shared_key_file else None
        self._config = config
        self._socket = sock
        self._small = StreamCache(writer.streams, limits)
        self._large = StreamCache(writer.streams, limits)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fluent-forward")
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.stopping = asyncio.Event()

    @property
    def port(self) -> int:
        """The port in use, once started."""
        if self._server is None:
            raise RuntimeError("the forward receiver is not started")
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Begins to accept. Raises ConfigError for an address or a certificate that cannot be used."""
        context = tls_context(self._config.tls) if self._config.tls else None
        address = self._config.listen
        if self._socket is not None:
            self._server = await asyncio.start_server(self._accept, sock=self._socket, ssl=context, limit=_READ_BYTES)
            return
        try:
            self._server = await asyncio.start_server(
                self._accept, address.host, address.port, ssl=context, limit=_READ_BYTES
            )
        except OSError as error:
            reason = "is taken by another process" if error.errno == errno.EADDRINUSE else os.strerror(error.errno or 0)
            raise ConfigError([Problem("", None, "receivers.fluent_forward.listen", f"{address} {reason}")]) from None

    async def stop(self) -> None:
        """Stops reading, waits a few seconds for what was read to be kept and acknowledged, closes. Safe twice."""
        self.stopping.set()
        if self._server:
            self._server.close()
        if self._connections:
            _, late = await asyncio.wait(self._connections, timeout=_STOP_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._thread.shutdown(wait=False)

    async def decode(self, frame: bytes) -> Frame:
        """The lines of a frame, large ones in a thread. Raises DecodeError."""
        if len(frame) <= _INLINE_BYTES:
            return decode_frame(frame, self._small, self.limits)
        run = asyncio.get_running_loop().run_in_executor
        return await run(self._thread, decode_frame, frame, self._large, self.limits)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or self.stopping.is_set():
            writer.close()
            return
        self._connections.add(task)
        try:
            await _Connection(self, reader, writer).run()
        finally:
            self._connections.discard(task)


@dataclass(slots=True)
class _Connection:
    """One sender. Frames are decoded in order, kept side by side, and acknowledged in order."""

    receiver: ForwardReceiver
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    in_flight: asyncio.Queue[tuple[asyncio.Task[bool], Any] | None] = field(init=False)
    splitter: FrameSplitter = field(init=False)
    refused: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the store refused a chunk for good: nothing after it can be acknowledged, so nothing more is read."""

    def __post_init__(self) -> None:
        self.in_flight = asyncio.Queue(_FRAMES_IN_FLIGHT)
        self.splitter = FrameSplitter(self.receiver.limits.max_body_bytes)

    async def run(self) -> None:
        """Until the sender closes, sends what is no forward message, or the receiver stops."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._answer())
                await self._receive(tasks)
                await self.in_flight.put(None)
        finally:
            self.writer.close()
            with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self.writer.wait_closed()

    async def _receive(self, tasks: asyncio.TaskGroup) -> None:
        peer = self.writer.get_extra_info("peername")
        try:
            if self.receiver.shared_key is None or await self._agree(self.receiver.shared_key):
                await self._frames(tasks)
        except DecodeError as error:
            DROPPED.labels(RECEIVER, "malformed").inc()
            log.warning("forward connection from %s closed: %s", peer, error)
        except (OSError, TimeoutError) as error:
            log.info("forward connection from %s lost: %s", peer, error)

    async def _agree(self, shared_key: SecretStr) -> bool:
        handshake = Handshake(shared_key)
        self.writer.write(handshake.helo())
        async with asyncio.timeout(_HANDSHAKE_S):
            frame = None
            while frame is None:
                data = await self._read()
                if not data:
                    return False
                frame = next(iter(self.splitter.feed(data)), None)
        known, pong = handshake.answer(frame)
        self.writer.write(pong)
        await self.writer.drain()
        if not known:
            raise DecodeError("the sender's shared key is another")
        return True

    async def _frames(self, tasks: asyncio.TaskGroup) -> None:
        data = b""  # what came with the handshake waits in the splitter
        while not self.refused.is_set():
            for frame in self.splitter.feed(data):
                await self._take(frame, tasks)
                if self.refused.is_set():
                    return
            await self.receiver.delivery.room.wait()
            data = await self._read()
            if not data:
                break
        if self.splitter.waiting_bytes and not (self.receiver.stopping.is_set() or self.refused.is_set()):
            DROPPED.labels(RECEIVER, "cut_off").inc()
            log.info("a forward sender went away in the middle of a message")

    async def _take(self, frame: bytes, tasks: asyncio.TaskGroup) -> None:
        found = await self.receiver.decode(frame)
        RECEIVED.labels(RECEIVER).inc(len(found.decoded.batch))
        for reason, rows in found.decoded.dropped.items():
            DROPPED.labels(RECEIVER, reason).inc(rows)
            log.warning("forward: %d entries dropped (%s), the first: %s", rows, reason, found.decoded.first_bad)
        keeping = tasks.create_task(deliver(self.receiver.delivery, found.decoded.batch, found.chunk is not None))
        await self.in_flight.put((keeping, found.chunk))

    async def _answer(self) -> None:
        """Acknowledges chunks in the order they came, each when it is kept; the first that is not ends the connection.

        What was sent without a chunk is not repeated, so its loss says nothing of the chunks after it.
        """
        broken = False
        while (item := await self.in_flight.get()) is not None:
            keeping, chunk = item
            kept = await keeping
            if broken or chunk is None:
                continue
            if not kept:
                broken = True
                self.refused.set()
                # at once: later chunks may wait long for the store, and none of them will be acknowledged
                self.writer.close()
                continue
            try:
                self.writer.write(msgpack.packb({"ack": chunk}, unicode_errors="surrogateescape"))
                await self.writer.drain()
            except OSError:
                broken = True

    async def _read(self) -> bytes:
        """The next bytes, b"" at the end of the stream, when the receiver stops, and after a chunk was refused."""
        if self.receiver.stopping.is_set() or self.refused.is_set():
            return b""
        reading = asyncio.ensure_future(self.reader.read(_READ_BYTES))
        ends = [asyncio.ensure_future(event.wait()) for event in (self.receiver.stopping, self.refused)]
        try:
            await asyncio.wait((reading, *ends), return_when=asyncio.FIRST_COMPLETED)
            return reading.result() if reading.done() and not self.refused.is_set() else b""
        finally:
            reading.cancel()
            for end in ends:
                end.cancel()


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """A server's TLS context. Raises ConfigError naming the files when they cannot be used."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(files.cert_file, files.key_file)
    except (OSError, ssl.SSLError) as error:
        where = "receivers.fluent_forward.tls"
        raise ConfigError(
            [Problem("", None, where, f"{files.cert_file}, {files.key_file} cannot be used: {error}")]
        ) from None
    return context
