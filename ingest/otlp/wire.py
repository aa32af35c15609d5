"""OTLP bodies: compressed or not, protobuf or JSON → messages."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Literal, TypeVar

import orjson
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError as ProtobufError
from google.protobuf.message import Message

from app.errors import DecodeError

Encoding = Literal["proto", "json"]
M = TypeVar("M", bound=Message)

_ID_FIELDS = frozenset({"traceId", "spanId", "trace_id", "span_id"})


def parse(message_type: type[M], body: bytes, encoding: Encoding) -> M:
    """The message of a body. Fields it does not know are passed over. Raises DecodeError."""
    message = message_type()
    if encoding == "proto":
        try:
            message.ParseFromString(body)
        except ProtobufError as error:
            raise DecodeError(f"body is not an OTLP message in protobuf: {error}") from None
        return message
    try:
        document = orjson.loads(body)
        if not isinstance(document, dict):
            raise DecodeError("body is not an OTLP message in JSON: an object is wanted")
        _decode_ids(document)
        ParseDict(document, message, ignore_unknown_fields=True)
    except (ParseError, ValueError, RecursionError) as error:
        raise DecodeError(f"body is not an OTLP message in JSON: {error}") from None
    return message


def _decode_ids(node: Any) -> None:
    """Rewrites hex trace and span ids as the base64 that protobuf's JSON has for bytes. Raises ValueError.

    No attribute is touched: in OTLP an attribute's name is a value, never a key of an object.
    """
    if isinstance(node, list):
        for item in node:
            _decode_ids(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in _ID_FIELDS and isinstance(value, str):
                node[key] = base64.b64encode(binascii.unhexlify(value)).decode()
            elif isinstance(value, dict | list):
                _decode_ids(value)
