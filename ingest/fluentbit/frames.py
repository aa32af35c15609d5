"""Messages of the Fluent forward protocol: where one ends, and what lines it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgpack

from app.compression import decompress
from app.config import Limits
from app.errors import DecodeError
from ingest.fluentbit.events import Decoded, add_entries, ext_hook
from ingest.fluentbit.records import StreamCache, text_of

_MALFORMED = (msgpack.exceptions.UnpackException, ValueError, TypeError, RecursionError)
_LOGS = 0
# an entry takes ten bytes and more on the wire, and a list takes eight at once for each it was promised
_MAX_ARRAY = 4_000_000
_MAX_MAP = 1_000_000


@dataclass(slots=True)
class Frame:
    """What a message holds, and the `chunk` its sender wants acknowledged, None when it wants nothing."""

    decoded: Decoded
    chunk: Any


def unpacker(limit: int, **options: Any) -> msgpack.Unpacker:
    """A msgpack decoder as everything here uses it: for at most `limit` bytes, strings read whatever they hold."""
    settings: dict[str, Any] = {"raw": False, "unicode_errors": "replace", "strict_map_key": False, **options}
    return msgpack.Unpacker(
        ext_hook=ext_hook,
        max_buffer_size=limit,
        max_array_len=min(_MAX_ARRAY, limit),
        max_map_len=min(_MAX_MAP, limit),
        **settings,
    )


class FrameSplitter:
    """Cuts a stream of bytes into msgpack objects without building them, whatever pieces they come in."""

    def __init__(self, max_frame_bytes: int) -> None:
        self._limit = max_frame_bytes
        self._scanner = unpacker(2 * max_frame_bytes + 2**20)
        self._held = bytearray()
        self._offset = 0  # of `_held` in the stream

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The objects that are complete now. Raises DecodeError when the stream is no msgpack or one is too long."""
        self._held += data
        self._scanner.feed(data)
        while self._held:
            try:
                self._scanner.skip()
            except msgpack.OutOfData:
                if len(self._held) > self._limit:
                    raise DecodeError(f"a message is longer than limits.max_body_bytes = {self._limit}") from None
                return
            except _MALFORMED as error:
                raise DecodeError(f"not msgpack: {error or type(error).__name__}") from None
            end = self._scanner.tell() - self._offset
            frame = bytes(self._held[:end])
            del self._held[:end]
            self._offset += end
            yield frame

    @property
    def waiting_bytes(self) -> int:
        """Bytes of an object that has begun and is not complete."""
        return len(self._held)


def decode_frame(frame: bytes, cache: StreamCache, limits: Limits) -> Frame:
    """The lines of one message of any mode: Message, Forward, PackedForward, CompressedPackedForward.

    Raises DecodeError for what is no message; entries that are bad are counted in the answer instead.
    """
    try:
        return _decode(frame, cache, limits)
    except _MALFORMED as error:
        raise DecodeError(f"not a forward message: {error or type(error).__name__}") from None


def _decode(frame: bytes, cache: StreamCache, limits: Limits) -> Frame:
    body = unpacker(len(frame) + 1)
    body.feed(frame)
    size = body.read_array_header()
    if not 2 <= size <= 4:
        raise DecodeError(f"a message of {size} parts")
    tag = body.unpack()
    if not isinstance(tag, str):
        raise DecodeError(f"the tag is a {type(tag).__name__}")
    kind = _kind(frame[body.tell()])
    option = _option(frame, size - 1 - (2 if kind == "message" else 1), 3 if kind == "message" else 2)
    decoded = Decoded(cache.new_batch())
    chunk = option.get("chunk")
    if option.get("fluent_signal", _LOGS) != _LOGS:
        decoded.drop("not_logs", f"metrics or traces (fluent_signal {option['fluent_signal']}) are not taken here")
    elif kind == "message":
        add_entries(decoded, cache, tag, [[body.unpack(), body.unpack()]])
    elif kind == "forward":
        add_entries(decoded, cache, tag, islice(body, body.read_array_header()))
    else:
        _add_packed(decoded, cache, tag, _packed(frame, option, limits))
    return Frame(decoded, chunk)


def _kind(first: int) -> str:
    if 0x90 <= first <= 0x9F or first in (0xDC, 0xDD):
        return "forward"
    if 0xA0 <= first <= 0xBF or first in (0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB):
        return "packed"
    return "message"


def _option(frame: bytes, there: int, before: int) -> dict[str, Any]:
    """The last part of a message, where it has one; it says how to read the parts before."""
    if there < 0:
        raise DecodeError("a message without a record")
    if there == 0:
        return {}
    # a chunk is sent back as it came, text or not
    option = _part(frame, before, unicode_errors="surrogateescape")
    if option is None:
        return {}
    if not isinstance(option, dict):
        raise DecodeError(f"the option is a {type(option).__name__}")
    return option


def _part(frame: bytes, before: int, **options: Any) -> Any:
    reader = unpacker(len(frame) + 1, **options)
    reader.feed(frame)
    reader.read_array_header()
    for _ in range(before):
        reader.skip()
    return reader.unpack()


def _packed(frame: bytes, option: dict[str, Any], limits: Limits) -> bytes:
    # old senders say it is a string, which it is not
    raw: bytes = _part(frame, 1, raw=True)
    if option.get("compressed") == "gzip":
        return decompress(raw, "gzip", limits.max_decoded_bytes)
    if option.get("compressed") not in (None, "text"):
        raise DecodeError(f"compression {text_of(option['compressed'])!r} is not known")
    return raw


def _add_packed(decoded: Decoded, cache: StreamCache, tag: str, raw: bytes) -> None:
    add_packed(decoded, cache, tag, raw)
    if decoded.dropped["broken_entries"] and not len(decoded.batch):
        raise DecodeError(decoded.first_bad)
    # else the message itself was whole: what could be read is kept, and its sender is not asked to repeat it


def add_packed(decoded: Decoded, cache: StreamCache, tag: str, raw: bytes) -> None:
    """Adds the lines of entries one after the other, up to where they can be read; the break is counted."""
    reader = unpacker(len(raw) + 1)
    reader.feed(raw)
    try:
        add_entries(decoded, cache, tag, _whole(reader, len(raw)))
    except _MALFORMED as error:
        decoded.drop("broken_entries", f"after {len(decoded.batch)} records: {error or type(error).__name__}")


def _whole(reader: msgpack.Unpacker, size: int) -> Iterator[Any]:
    """Every object of a reader. Raises ValueError at the end when the last one is cut off."""
    end = 0
    for found in reader:
        yield found
        end = reader.tell()
    if end < size:
        raise ValueError("the last one is cut off")
