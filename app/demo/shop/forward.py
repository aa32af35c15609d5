"""A small sender of the Fluent forward protocol: batches with a `chunk`, kept until the receiver acknowledged them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import time
from collections import deque
from typing import Any

import msgpack

_BATCH = 500
_PAUSE_S = 0.25
_ANSWER_S = 20.0


class ForwardSender:
    """Sends records of one tag. `add` never blocks; beyond `limit` waiting records the oldest are lost and counted."""

    def __init__(self, port: int, tag: str, limit: int = 10_000) -> None:
        self.lost = 0
        self._port = port
        self._tag = tag
        self._waiting: deque[list[Any]] = deque(maxlen=limit)
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    def add(self, record: dict[str, Any]) -> None:
        """Takes a record, with now as its time."""
        if len(self._waiting) == self._waiting.maxlen:
            self.lost += 1
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        stamp = msgpack.ExtType(0, seconds.to_bytes(4, "big") + nanoseconds.to_bytes(4, "big"))
        self._waiting.append([stamp, record])

    async def start(self) -> None:
        """Begins to send."""
        self._task = asyncio.create_task(self._run(), name="forward sender")

    async def stop(self, timeout_s: float = 2.0) -> None:
        """Sends what waits, for at most so many seconds."""
        self._stopping.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._task, timeout_s)

    async def _run(self) -> None:
        batch: list[list[Any]] = []
        while not (self._stopping.is_set() and not batch and not self._waiting):
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                await asyncio.sleep(_PAUSE_S)
                continue
            try:
                # a batch that was not acknowledged goes again over the next connection
                while batch or await self._some():
                    batch = batch or [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                    await self._send(reader, writer, batch)
                    batch = []
            except (OSError, EOFError, TimeoutError, ValueError):
                await asyncio.sleep(_PAUSE_S)
            finally:
                writer.close()

    async def _some(self) -> bool:
        """Waits until there is something to send; false when it is over."""
        while not self._waiting and not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _PAUSE_S)
        return bool(self._waiting)

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, batch: list[list[Any]]) -> None:
        chunk = base64.b64encode(os.urandom(16)).decode()
        writer.write(msgpack.packb([self._tag, batch, {"chunk": chunk, "size": len(batch)}]))
        await writer.drain()
        unpacker = msgpack.Unpacker(raw=False)
        async with asyncio.timeout(_ANSWER_S):
            while True:
                data = await reader.read(4096)
                if not data:
                    raise EOFError
                unpacker.feed(data)
                for answer in unpacker:
                    if answer.get("ack") != chunk:
                        raise ValueError(f"another chunk was acknowledged: {answer!r}")
                    return
