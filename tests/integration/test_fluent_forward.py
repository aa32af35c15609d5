"""The forward receiver against recorded senders, real clients and bad ones."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from app.config import Address, FluentForward, Limits
from app.errors import ConfigError, Overloaded, StoreError, StoreUnavailable
from app.store.client import Pool
from app.telemetry import DROPPED
from ingest.batch import LogBatch
from ingest.fluentbit.forward import ForwardReceiver
from ingest.writer import Writer

RECORDED = Path(__file__).parent.parent / "data" / "fluent-bit"
ANY_PORT = FluentForward(listen=Address(host="127.0.0.1", port=0))
T = 1_700_000_000


@pytest.fixture
async def receiver(writer: Writer) -> AsyncIterator[ForwardReceiver]:
    """A started receiver on a free port."""
    receiver = ForwardReceiver(writer, ANY_PORT, Limits(max_body_bytes=2**20, max_decoded_bytes=2**20))
    await receiver.start()
    yield receiver
    await receiver.stop()


async def send(port: int, data: bytes, piece: int = 2**20) -> bytes:
    """Sends bytes, closes the sending side, and gives everything the receiver answers until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for start in range(0, len(data), piece):
            writer.write(data[start : start + piece])
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def bodies(pool: Pool) -> list[str]:
    """Every kept line, oldest first."""
    return pool.query("SELECT body FROM logs ORDER BY ts, seq").column("body").to_pylist()  # type: ignore[no-any-return]


def dropped(reason: str) -> float:
    """What the receiver counted so far."""
    return DROPPED.labels("fluent_forward", reason)._value.get()  # type: ignore[no-any-return]


def acks(answer: bytes) -> list[Any]:
    """The chunks acknowledged, in order."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(answer)
    return [message["ack"] for message in unpacker]


def recorded_lines() -> list[str]:
    """The lines of the recorded records, read independently of the receiver."""
    found = []
    for path in sorted(RECORDED.glob("forward-plain.*.bin")):
        _, entries = msgpack.unpackb(path.read_bytes(), strict_map_key=False)
        found += [(header[0].data, record["log"]) for header, record in entries]
    return [text.removesuffix("\n") for _, text in sorted(found, key=lambda pair: pair[0])]


@pytest.mark.parametrize("kind", ["plain", "ack", "gzip"])
async def test_recorded_fluent_bit(receiver: ForwardReceiver, embedded_pool: Pool, kind: str) -> None:
    """Fluent Bit 5.1.1's own bytes are 308 lines, text untouched, and every chunk is acknowledged."""
    wanted = []
    for path in sorted(RECORDED.glob(f"forward-{kind}.*.bin")):
        message = msgpack.unpackb(path.read_bytes(), strict_map_key=False)
        if len(message) == 3 and "chunk" in message[2]:
            wanted.append([message[2]["chunk"]])
        else:
            wanted.append([])
    answers = [acks(await send(receiver.port, p.read_bytes())) for p in sorted(RECORDED.glob(f"forward-{kind}.*.bin"))]
    assert answers == wanted
    lines = bodies(embedded_pool)
    assert len(lines) == 308
    assert sorted(lines) == sorted(recorded_lines())
    assert any("\x1b[" in line for line in lines)
    assert any("\uac00" <= c <= "\ud7a3" for line in lines for c in line)


@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_any_cut_of_the_stream(receiver: ForwardReceiver, embedded_pool: Pool, piece: int) -> None:
    """A sender that sends a few bytes at a time is understood as any other."""
    frames = [
        ["app", T, {"log": "message"}, {"chunk": "a"}],
        ["app", [[T + 1, {"log": "forward"}]], {"chunk": "b"}],
        ["app", b"".join(msgpack.packb([T + 2 + i, {"log": f"packed {i}"}]) for i in range(3)), {"chunk": "c"}],
    ]
    answer = await send(receiver.port, b"".join(map(msgpack.packb, frames)), piece)
    assert acks(answer) == ["a", "b", "c"]
    assert bodies(embedded_pool) == ["message", "forward", "packed 0", "packed 1", "packed 2"]


async def test_a_bad_record_is_left_out(receiver: ForwardReceiver, embedded_pool: Pool) -> None:
    """Of a good frame the good records are kept and the bad ones counted."""
    before = dropped("bad_record")
    entries = [[T, {"log": "one"}], [T, "no map"], [T, None], ["yesterday", {"log": "x"}], 7, [T + 1, {"log": "two"}]]
    answer = await send(receiver.port, msgpack.packb(["t", entries, {"chunk": "c"}]))
    assert acks(answer) == ["c"]
    assert bodies(embedded_pool) == ["one", "two"]
    assert dropped("bad_record") - before == 4


@pytest.mark.parametrize(
    "data",
    [
        b"\xc1",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        msgpack.packb({"no": "array"}),
        msgpack.packb(["tag"]),
        msgpack.packb([1, [[T, {}]]]),
        msgpack.packb(["tag", T]),
        msgpack.packb(["tag", [], "option"]),
        msgpack.packb(["tag", b"\x00\x01", {"compressed": "gzip"}]),
        msgpack.packb(["tag", gzip.compress(b"x" * 100, mtime=0)[:-9], {"compressed": "gzip"}]),
        msgpack.packb(["tag", b"", {"compressed": "zstd"}]),
        b"\x91" * 5000,
    ],
    ids=str,
)
async def test_what_is_no_message_closes_the_connection(receiver: ForwardReceiver, data: bytes) -> None:
    """A frame that cannot be read ends its connection, is counted, and the next connection is served."""
    before = dropped("malformed")
    reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
    writer.write(data)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    assert dropped("malformed") - before == 1
    assert acks(await send(receiver.port, msgpack.packb(["t", T, {"log": "x"}, {"chunk": "next"}]))) == ["next"]


async def test_a_gzip_bomb_is_not_unpacked(receiver: ForwardReceiver) -> None:
    """A small frame that grows past max_decoded_bytes ends the connection."""
    before = dropped("malformed")
    bomb = gzip.compress(b"\x00" * 50_000_000)
    assert await send(receiver.port, msgpack.packb(["t", bomb, {"compressed": "gzip", "chunk": "c"}])) == b""
    assert dropped("malformed") - before == 1


async def test_a_frame_without_end_is_not_held(receiver: ForwardReceiver) -> None:
    """A frame longer than max_body_bytes ends the connection before it is whole."""
    before = dropped("malformed")
    header = b"\x93\xa1t\xc6" + (2**31).to_bytes(4, "big")
    assert await send(receiver.port, header + bytes(3 * 2**20)) == b""
    assert dropped("malformed") - before == 1


async def test_a_sender_that_goes_away(receiver: ForwardReceiver, embedded_pool: Pool) -> None:
    """Whole frames before the break are kept; the broken one is counted and leaves nothing."""
    before = dropped("cut_off")
    whole = msgpack.packb(["t", T, {"log": "whole"}])
    await send(receiver.port, whole + msgpack.packb(["t", T, {"log": "never ended"}])[:-5])
    assert bodies(embedded_pool) == ["whole"]
    assert dropped("cut_off") - before == 1


async def test_gzip_of_several_members(receiver: ForwardReceiver, embedded_pool: Pool) -> None:
    """A compressed chunk made of several gzip members is read to its end."""
    members = b"".join(gzip.compress(msgpack.packb([T + i, {"log": str(i)}])) for i in range(5))
    await send(receiver.port, msgpack.packb(["t", members, {"compressed": "gzip"}]))
    assert bodies(embedded_pool) == list("01234")


async def test_groups_are_no_lines(receiver: ForwardReceiver, embedded_pool: Pool) -> None:
    """Fluent Bit's group headers become attributes of the lines between them."""
    start, end = msgpack.ExtType(0, b"\xff\xff\xff\xff" + bytes(4)), msgpack.ExtType(0, b"\xff\xff\xff\xfe" + bytes(4))
    entries = [
        [[start, {"schema": "otlp"}], {"resource": {"attributes": {"service.name": "shop"}}}],
        [[T, {"otlp": {"severity_number": 9}}], {"log": "in"}],
        [[end, {}], {}],
        [[-1, {}], {"a": "b"}],
        [[-2, {}], {}],
        [[T + 1, {}], {"log": "out"}],
    ]
    await send(receiver.port, msgpack.packb(["t", entries]))
    rows = embedded_pool.query("SELECT body, attributes FROM logs ORDER BY ts").to_pylist()
    assert [(r["body"], sorted(r["attributes"])) for r in rows] == [
        ("in", [("otlp_severity_number", "9"), ("resource_attributes_service_name", "shop")]),
        ("out", []),
    ]


class SlowWriter(Writer):
    """A writer that fails as told before it takes anything, and tells when it was asked."""

    def __init__(self, pool: Pool, failures: list[Exception]) -> None:
        super().__init__(pool, Limits())
        self.failures = failures

    async def write_logs(self, batch: LogBatch, urgent: bool = True) -> None:
        """Fails while there are failures left."""
        if self.failures:
            raise self.failures.pop(0)
        await super().write_logs(batch, urgent)


@pytest.mark.parametrize(
    "failure", [lambda: Overloaded("full", 0.01), lambda: StoreUnavailable("away")], ids=["full", "away"]
)
async def test_nothing_is_lost_when_the_store_is_busy(embedded_pool: Pool, failure: Callable[[], Exception]) -> None:
    """While the queue is full or the store away no chunk is acknowledged; later each is, once and in order."""
    writer = SlowWriter(embedded_pool, [failure() for _ in range(3)])
    await writer.start()
    receiver = ForwardReceiver(writer, ANY_PORT, Limits())
    await receiver.start()
    frames = [msgpack.packb(["t", T + i, {"log": str(i)}, {"chunk": f"c{i}"}]) for i in range(20)]
    assert acks(await send(receiver.port, b"".join(frames))) == [f"c{i}" for i in range(20)]
    assert bodies(embedded_pool) == [str(i) for i in range(20)]
    await receiver.stop()
    await writer.stop()


async def test_stop_acknowledges_what_was_read(writer: Writer, embedded_pool: Pool) -> None:
    """stop keeps and acknowledges the frames that were read, closes the connections and refuses new ones."""
    receiver = ForwardReceiver(writer, ANY_PORT, Limits())
    await receiver.start()
    port = receiver.port
    reader, client = await asyncio.open_connection("127.0.0.1", port)
    client.write(msgpack.packb(["t", T, {"log": "x"}, {"chunk": "c"}]))
    assert acks(await reader.readexactly(len(msgpack.packb({"ack": "c"})))) == ["c"]
    async with asyncio.timeout(5):
        await receiver.stop()
        assert await reader.read() == b""
    client.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await receiver.stop()
    assert bodies(embedded_pool) == ["x"]


async def test_stop_does_not_wait_for_an_absent_store(embedded_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store is away stop ends within its grace, and what was not kept is not acknowledged."""
    monkeypatch.setattr("ingest.fluentbit.forward._STOP_S", 0.3)
    asked = asyncio.Event()

    class Away(Writer):
        async def write_logs(self, batch: LogBatch, urgent: bool = True) -> None:
            asked.set()
            raise StoreUnavailable("away")

    receiver = ForwardReceiver(Away(embedded_pool, Limits()), ANY_PORT, Limits())
    await receiver.start()
    reader, client = await asyncio.open_connection("127.0.0.1", receiver.port)
    client.write(msgpack.packb(["t", T, {"log": "x"}, {"chunk": "c"}]))
    await asked.wait()
    async with asyncio.timeout(4):
        await receiver.stop()
        assert await reader.read() == b""
    client.close()


async def test_a_taken_port_is_told_by_its_setting(receiver: ForwardReceiver, writer: Writer) -> None:
    """A port in use ends the start with the setting to change."""
    taken = FluentForward(listen=Address(host="127.0.0.1", port=receiver.port))
    with pytest.raises(ConfigError, match=r"receivers\.fluent_forward\.listen.*taken"):
        await ForwardReceiver(writer, taken, Limits()).start()


async def test_a_chunk_the_store_refuses_ends_the_connection(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a refused chunk nothing can be acknowledged any more: the sender is told by the end of the connection."""
    refused: list[int] = []

    async def refuse(batch: LogBatch, urgent: bool = True) -> None:
        refused.append(len(batch))
        raise StoreError("refused", 27)

    receiver = ForwardReceiver(writer, ANY_PORT, Limits())
    await receiver.start()
    monkeypatch.setattr(writer, "write_logs", refuse)
    stream, sender = await asyncio.open_connection("127.0.0.1", receiver.port)
    sender.write(msgpack.packb(["app", [[T, {"log": "x"}]], {"chunk": "one"}]))
    async with asyncio.timeout(15):
        # not closed by us: the receiver ends it, without an acknowledgement
        assert await stream.read() == b""
    assert refused == [1, 1, 1]
    sender.close()
    await receiver.stop()


async def test_chunks_around_a_refused_one(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks before the refused one are acknowledged, none after it; the end waits for nothing that is in flight."""
    away, refused = asyncio.Event(), 0

    async def answer(batch: LogBatch, urgent: bool = True) -> None:
        nonlocal refused
        line = batch.bodies[0]
        if line == "refused":
            await away.wait()  # the one after it is in flight by then
            refused += 1
            raise StoreError("refused", 27)
        if line == "late":
            away.set()
            raise StoreUnavailable("away")

    monkeypatch.setattr("ingest.fluentbit.delivery._FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("ingest.fluentbit.forward._STOP_S", 0.1)
    monkeypatch.setattr(writer, "write_logs", answer)
    receiver = ForwardReceiver(writer, ANY_PORT, Limits())
    await receiver.start()
    stream, sender = await asyncio.open_connection("127.0.0.1", receiver.port)
    for line in ("kept", "refused", "late"):
        sender.write(msgpack.packb(["app", [[T, {"log": line}]], {"chunk": line}]))
    async with asyncio.timeout(5):
        assert acks(await stream.read()) == ["kept"]
    assert refused == 3
    sender.close()
    await receiver.stop()


async def test_a_refused_message_without_a_chunk_ends_nothing(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody repeats is dropped and counted; chunks after it are acknowledged still."""

    async def answer(batch: LogBatch, urgent: bool = True) -> None:
        if batch.bodies[0] == "refused":
            raise StoreError("refused", 27)

    monkeypatch.setattr("ingest.fluentbit.delivery._FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(writer, "write_logs", answer)
    receiver = ForwardReceiver(writer, ANY_PORT, Limits())
    await receiver.start()
    stream, sender = await asyncio.open_connection("127.0.0.1", receiver.port)
    sender.write(msgpack.packb(["app", [[T, {"log": "refused"}]]]))
    sender.write(msgpack.packb(["app", [[T, {"log": "x"}]], {"chunk": "one"}]))
    async with asyncio.timeout(5):
        assert acks(await stream.readexactly(len(msgpack.packb({"ack": "one"})))) == ["one"]
    sender.close()
    await receiver.stop()
