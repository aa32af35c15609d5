"""Bodies of Fluent Bit's HTTP output → lines: JSON, JSON lines, msgpack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson

from app.errors import DecodeError
from ingest.fluentbit.events import Decoded, time_ns
from ingest.fluentbit.frames import add_packed
from ingest.fluentbit.records import StreamCache, add_record
from ingest.times import time_ns_of

JSON = ("application/json", "text/json")
JSON_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/stream+json")
MSGPACK = ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack")

_DATE_KEY = "date"
"""Where Fluent Bit's json_date_key puts the record's time, unless told otherwise."""
_TIME_KEYS = ("time", "@timestamp", "timestamp")


def decode_body(content_type: str, body: bytes, tag: str, cache: StreamCache, now_ns: int) -> Decoded:
    """The lines of a body. Bad records are left out and counted. Raises DecodeError when all of it is bad."""
    decoded = Decoded(cache.new_batch())
    if content_type in MSGPACK:
        add_packed(decoded, cache, tag, body)
    elif content_type in JSON_LINES:
        _add_json(decoded, cache, tag, _lines(decoded, body), now_ns)
    else:
        _add_json(decoded, cache, tag, _document(decoded, body), now_ns)
    if decoded.dropped and not len(decoded.batch):
        raise DecodeError(decoded.first_bad)
    return decoded


def _add_json(decoded: Decoded, cache: StreamCache, tag: str, records: Iterator[tuple[int, Any]], now_ns: int) -> None:
    for number, record in records:
        try:
            ts_ns, rest = _taken_time(record, now_ns) if type(record) is dict else (now_ns, record)
            add_record(decoded.batch, cache, tag, ts_ns, rest)
        except DecodeError as error:
            decoded.drop("bad_record", f"record {number}: {error}")


def _taken_time(record: dict[str, Any], now_ns: int) -> tuple[int, dict[str, Any]]:
    """The time of a record, and the record without the key that was added for it. A time of its own stays."""
    found = _read_time(record.get(_DATE_KEY))
    if found is not None:
        return found, {key: value for key, value in record.items() if key != _DATE_KEY}
    for key in _TIME_KEYS:
        found = _read_time(record.get(key))
        if found is not None:
            return found, record
    return now_ns, record


def _read_time(value: Any) -> int | None:
    return time_ns(value) if type(value) is float else time_ns_of(value)


def _document(decoded: Decoded, body: bytes) -> Iterator[tuple[int, Any]]:
    try:
        document = _json(body)
    except ValueError as error:
        # some senders say JSON and send lines of it
        if b"\n" not in body.strip():
            raise DecodeError(f"not JSON: {error}") from None
        return _lines(decoded, body)
    return enumerate(document if isinstance(document, list) else [document], 1)


def _lines(decoded: Decoded, body: bytes) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(filter(bytes.strip, body.split(b"\n")), 1):
        try:
            yield number, _json(line)
        except ValueError as error:
            decoded.drop("bad_record", f"record {number}: not JSON: {error}")


def _json(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        # what Fluent Bit escapes and no UTF-8 can hold, and bytes that are none, become replacement characters
        mended = json.dumps(json.loads(text.decode("utf-8", "replace")), ensure_ascii=False)
        return orjson.loads(mended.encode("utf-8", "replace"))
