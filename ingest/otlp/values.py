"""OTLP attribute values as text."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from ingest.otlp.naming import label_name


def text_of(value: AnyValue) -> str:
    """A value as a label or a line: strings as they are, lists and maps as JSON, bytes as base64, nothing as ""."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind is None:
        return ""
    plain = _plain(value)
    if isinstance(plain, str):
        return plain
    if isinstance(plain, float):
        return _number_text(plain)
    return orjson.dumps(plain, option=orjson.OPT_NON_STR_KEYS).decode()


def pairs(attributes: Iterable[KeyValue]) -> list[tuple[str, str]]:
    """Attribute names and values as text, in their order."""
    return [(a.key, text_of(a.value)) for a in attributes]


def flat_pairs(attributes: Iterable[KeyValue], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Attributes under names that a label may have; a map becomes one attribute a member, `a.b` as `a_b`.

    An attribute whose name has no usable character is left out: a log line is not worth losing over it.
    """
    for attribute in attributes:
        key = f"{prefix}_{attribute.key}" if prefix else attribute.key
        if attribute.value.WhichOneof("value") == "kvlist_value":
            yield from flat_pairs(attribute.value.kvlist_value.values, key)
            continue
        try:
            yield label_name(key), text_of(attribute.value)
        except ValueError:
            continue


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(v) for v in value.array_value.values]
    if kind == "kvlist_value":
        return {kv.key: _plain(kv.value) for kv in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return None if kind is None else getattr(value, kind)


def _number_text(number: float) -> str:
    """A float as JSON writes it, and Prometheus's names for what JSON cannot write."""
    if math.isfinite(number):
        return repr(int(number)) if number.is_integer() and abs(number) < 1e21 else repr(number)
    return "NaN" if number != number else ("+Inf" if number > 0 else "-Inf")
