"""Fluent events: what stands for a time, and entries → lines."""

from __future__ import annotations

import logging
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgpack

from app.errors import DecodeError
from ingest.batch import LogBatch
from ingest.fluentbit.records import Record, StreamCache, add_record

log = logging.getLogger(__name__)

_GROUP_START = -1
_GROUP_END = -2
_UNSIGNED_GROUPS = {0xFFFFFFFF: _GROUP_START, 0xFFFFFFFE: _GROUP_END}
_NS = 1_000_000_000
_TIME = struct.Struct(">II")


class EventTime(int):
    """Nanoseconds since the epoch, as the forward protocol's own extension type 0 sends them.

    Fluent Bit's group markers, which are seconds below zero, are held as -1 and -2.
    """


def ext_hook(code: int, data: bytes) -> Any:
    """What msgpack's extension types stand for: EventTime for type 0, the plain value for any other."""
    if code == 0 and len(data) == 8:
        seconds, nanoseconds = _TIME.unpack(data)
        if not nanoseconds and seconds in _UNSIGNED_GROUPS:
            return EventTime(_UNSIGNED_GROUPS[seconds])
        return EventTime(seconds * _NS + nanoseconds)
    return msgpack.ExtType(code, data)


def time_ns(value: Any) -> int:
    """Nanoseconds since the epoch of an event's time: EventTime, seconds as a number, or msgpack's timestamp.

    Raises DecodeError.
    """
    if type(value) is EventTime:
        return value
    if isinstance(value, bool):
        raise DecodeError("a time is true or false")
    if isinstance(value, int):
        return value * _NS
    if isinstance(value, float):
        try:
            # a double holds the seconds of our days to a quarter of a microsecond
            return round(value * 1e6) * 1000
        except (ValueError, OverflowError):
            raise DecodeError(f"a time is {value}") from None
    if isinstance(value, msgpack.Timestamp):
        return int(value.to_unix_nano())
    raise DecodeError(f"a time is a {type(value).__name__}")


@dataclass(slots=True)
class Decoded:
    """The lines of one frame or request, and what was wrong with the rest, by reason.

    `first_bad` says which entry was the first bad one, counted from 1, and why.
    """

    batch: LogBatch
    dropped: Counter[str] = field(default_factory=Counter)
    first_bad: str = ""

    def drop(self, reason: str, message: str, rows: int = 1) -> None:
        """Counts what is not kept."""
        self.dropped[reason] += rows
        self.first_bad = self.first_bad or message


def add_entries(decoded: Decoded, cache: StreamCache, tag: str, entries: Iterable[Any]) -> None:
    """Adds the lines of `[time, record]` and `[[time, metadata], record]` entries.

    An entry that no line can be made of is counted and left out. Fluent Bit's group headers are no lines: what they
    say goes to the metadata of the lines in the group. Raises what the iterator raises; the lines before stay.
    """
    batch = decoded.batch
    group: Record = {}
    for number, entry in enumerate(entries, 1):
        try:
            header, record = entry
            if type(header) is list:
                at, metadata = header
                if type(metadata) is not dict:
                    raise DecodeError("the metadata is no map")
            else:
                at, metadata = header, None
            if type(at) is EventTime and at >= 0:
                add_record(batch, cache, tag, at, record, _merged(group, metadata))
            elif at in (_GROUP_START, _GROUP_END):
                group = _group(record) if at == _GROUP_START else {}
            else:
                add_record(batch, cache, tag, time_ns(at), record, _merged(group, metadata))
        except DecodeError as error:
            decoded.drop("bad_record", f"entry {number}: {error}")
        except (TypeError, ValueError):
            decoded.drop("bad_record", f"entry {number} is not [time, record]")


def _merged(group: Record, metadata: Record | None) -> Record | None:
    return {**group, **metadata} if group and metadata else metadata or group


def _group(body: Any) -> Record:
    return body if type(body) is dict else {}
