"""Where forward messages end, and what is read of them."""

from __future__ import annotations

import gzip
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.compression import decompress
from app.config import Limits
from app.errors import DecodeError
from ingest.fluentbit.events import EventTime, ext_hook, time_ns
from ingest.fluentbit.frames import Frame, FrameSplitter, decode_frame
from ingest.fluentbit.records import StreamCache
from ingest.series import SeriesRegistry

S = 10**9


def decoded(message: Any) -> Frame:
    """What is read of one message."""
    return decode_frame(msgpack.packb(message), StreamCache(SeriesRegistry(), Limits()), Limits())


@given(st.lists(st.recursive(st.none() | st.integers(0, 2**63) | st.binary() | st.text(), st.lists)), st.data())
def test_messages_are_found_in_any_pieces(messages: list[Any], data: st.DataObject) -> None:
    """However a stream is cut, the same objects come out of it, each as its own bytes."""
    packed = [msgpack.packb(m) for m in messages]
    stream = b"".join(packed)
    splitter, found, at = FrameSplitter(1 << 20), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream)))
        found += list(splitter.feed(stream[at : at + size]))
        at += size
    assert found == packed
    assert splitter.waiting_bytes == 0


@pytest.mark.parametrize(
    ("value", "ns"),
    [
        (1_700_000_000, 1_700_000_000 * S),
        (1_700_000_000.17, 1_700_000_000_170_000_000),
        (msgpack.Timestamp(5, 7), 5 * S + 7),
        (EventTime(12), 12),
    ],
)
def test_times(value: Any, ns: int) -> None:
    """Whole and broken seconds, msgpack's timestamps and the protocol's EventTime are nanoseconds."""
    assert time_ns(value) == ns


def test_event_time() -> None:
    """Eight bytes: seconds and nanoseconds, unsigned; the last two values of seconds mark groups."""
    assert ext_hook(0, bytes.fromhex("6554c300 00000007")) == int("6554c300", 16) * S + 7
    assert ext_hook(0, bytes.fromhex("fffffffd 00000000")) == 0xFFFFFFFD * S
    assert ext_hook(0, bytes.fromhex("ffffffff 00000000")) == -1
    assert ext_hook(0, b"short") == msgpack.ExtType(0, b"short")


@pytest.mark.parametrize("value", ["now", None, True, float("nan"), float("inf"), [], msgpack.ExtType(5, b"")])
def test_what_is_no_time(value: Any) -> None:
    """Anything else is refused."""
    with pytest.raises(DecodeError):
        time_ns(value)


@pytest.mark.parametrize("as_text", [False, True])
def test_packed_entries_may_be_called_a_string(as_text: bool) -> None:
    """Old senders put the entries into a string, which holds any bytes."""
    entries = msgpack.packb([1, {"log": "x", "\xff": b"\xff\xfe"}])
    message = b"\x92\xa1t" + (
        b"\xda" + len(entries).to_bytes(2, "big") + entries if as_text else msgpack.packb(entries)
    )
    found = decode_frame(message, StreamCache(SeriesRegistry(), Limits()), Limits())
    assert found.decoded.batch.bodies == ["x"]
    assert found.chunk is None


def test_what_is_read_of_broken_entries_is_kept() -> None:
    """A whole message whose entries break off keeps those before, and says so; with none it is no message."""
    good = msgpack.packb([1, {"log": "x"}])
    found = decoded(["t", good * 3 + good[:-2], {"chunk": "c"}])
    assert (len(found.decoded.batch), found.decoded.dropped, found.chunk) == (3, {"broken_entries": 1}, "c")
    found = decoded(["t", good + b"\xc1" + good])
    assert (len(found.decoded.batch), found.decoded.dropped) == (1, {"broken_entries": 1})
    with pytest.raises(DecodeError):
        decoded(["t", b"\xc1"])


def test_metrics_and_traces_are_not_lines() -> None:
    """A message that Fluent Bit marks as metrics is acknowledged and counted, not kept."""
    found = decoded(["t", [[1, {"a": 1}]], {"chunk": "c", "fluent_signal": 1}])
    assert (len(found.decoded.batch), found.decoded.dropped, found.chunk) == (0, {"not_logs": 1}, "c")


def test_an_empty_message_and_an_absent_option() -> None:
    """No entries are no lines, and nil for an option is none."""
    assert len(decoded(["t", []]).decoded.batch) == 0
    assert decoded(["t", [[1, {"log": "x"}]], None]).decoded.batch.bodies == ["x"]
    assert decoded(["t", 1, {"log": "x"}, None]).decoded.batch.bodies == ["x"]


@given(st.binary(max_size=60))
def test_garbage_is_refused_and_nothing_worse(garbage: bytes) -> None:
    """Any bytes are a message or a DecodeError, and spoil no message after them."""
    cache = StreamCache(SeriesRegistry(), Limits())
    for data in (garbage, b"\x93\xa1t" + garbage, msgpack.packb(["t", garbage, {"compressed": "gzip"}])):
        try:
            for frame in FrameSplitter(1000).feed(data):
                decode_frame(frame, cache, Limits())
        except DecodeError:
            pass
    good = msgpack.packb(["t", [[1, {"log": "x"}]], None])
    assert decode_frame(good, cache, Limits()).decoded.batch.bodies == ["x"]


def test_gunzip_bounds() -> None:
    """Exactly max_bytes are unpacked, one more is refused; several members count together."""
    assert decompress(gzip.compress(b"x" * 100), "gzip", 100) == b"x" * 100
    assert decompress(gzip.compress(b"x" * 50) * 2, "gzip", 100) == b"x" * 100
    for data in (gzip.compress(b"x" * 101), gzip.compress(b"x" * 51) * 2):
        with pytest.raises(DecodeError, match=r"limits\.max_decoded_bytes = 100"):
            decompress(data, "gzip", 100)
    for data in (b"no gzip", gzip.compress(b"x")[:-1], gzip.compress(b"x") + b"tail"):
        with pytest.raises(DecodeError, match="gzip"):
            decompress(data, "gzip", 100)
