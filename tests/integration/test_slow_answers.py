"""A receiver that answers a little at a time, or without end, holds up nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from alerting.notify.base import NotifyError
from alerting.notify.http import MOST_BYTES, HttpSender


@asynccontextmanager
async def server(piece: bytes, pause_s: float) -> AsyncIterator[str]:
    """A server that sends a piece of its answer again and again; gives its URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            try:
                await writer.drain()
            except ConnectionError:
                break
            await asyncio.sleep(pause_s)
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
    listener.close()


async def test_an_answer_that_drips_is_late() -> None:
    """Each byte comes in time and the whole does not: the attempt ends, and the message may have arrived."""
    async with server(b"x", 0.1) as url:
        sender = HttpSender(None, timeout_ms=300)
        with pytest.raises(NotifyError, match="no answer in time") as caught:
            await sender.post_json(url, b"{}")
        await sender.close()
    assert (caught.value.reason, caught.value.retry, caught.value.maybe_taken) == ("timeout", True, True)


async def test_an_answer_without_end_is_read_no_further_than_it_matters() -> None:
    """What was taken is taken, however much the receiver says about it."""
    async with server(b"x" * 1_000_000, 0) as url:
        sender = HttpSender(None, timeout_ms=10_000)
        answer = await sender.post_json(url, b"{}")
        await sender.close()
    assert len(answer.content) == MOST_BYTES
