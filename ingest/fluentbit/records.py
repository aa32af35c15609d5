"""A Fluent Bit record → a log line: which keys name the stream, which is the text, what becomes of the rest.

A record of the kubernetes filter belongs to the stream {namespace, pod, container, stream}; any other to {tag}. The
line is `log`, `message` or `msg`, or the record itself as JSON. Everything else is an attribute, nested keys joined by
`_` as Loki's json parser joins them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from app.config import Limits
from app.errors import DecodeError
from app.labels import Labels, labels_from
from app.telemetry import TRUNCATED
from ingest.batch import LogBatch
from ingest.fluentbit.names import LABEL_NAMES, NAME_PARTS
from ingest.fluentbit.severity import severity_of
from ingest.series import RefCache, SeriesRegistry
from ingest.times import latest_ns

Record = Mapping[Any, Any]
StreamKey = tuple[str, str, str, str, str]
"""Namespace, pod, container, stream, and the tag where there is no kubernetes metadata."""

BODY_KEYS = ("log", "message", "msg")
_MAX_DEPTH = 32
_POD_KEYS = {"namespace_name", "pod_name", "container_name", "host", "labels", "annotations"}
_STREAM_LABELS = frozenset(("namespace", "pod", "container", "stream", "tag"))
_CACHED_TAGS = 10_000


@dataclass(frozen=True, slots=True)
class Pod:
    """What the kubernetes filter said of a tag's records: the stream they belong to and their attributes."""

    source: Record
    key: tuple[str, str, str]
    attributes: dict[str, str]


class StreamCache(RefCache[StreamKey]):
    """A source's memory of the streams and pods it has met. For one thread at a time.

    Make every batch with `new_batch`: the refs in a batch belong to the index the batch was made with.
    """

    def __init__(self, registry: SeriesRegistry, limits: Limits) -> None:
        super().__init__(registry, limits.cached_series)
        self.limits = limits
        self.pods: dict[str, Pod] = {}

    def new_batch(self, source: str = "") -> LogBatch:
        """An empty batch for the index in force."""
        self.current()
        if len(self.pods) > _CACHED_TAGS:
            self.pods = {}
        return LogBatch(self.index, source)


def add_record(
    batch: LogBatch,
    cache: StreamCache,
    tag: str,
    ts_ns: int,
    record: Any,
    metadata: Record | None = None,
    seq: int | None = None,
) -> None:
    """Adds the line a record stands for. `metadata` is what Fluent Bit sends beside the time, or None.

    Raises DecodeError, and adds nothing, for a record that is no map or that no line can be made of.
    """
    if not isinstance(record, dict):
        raise DecodeError(f"a record is a {type(record).__name__}, not a map")
    if not 0 <= ts_ns <= latest_ns():
        raise DecodeError(f"the time of a record is out of range: {ts_ns} ns, before 1970 or over 10 minutes ahead")
    kubernetes = record.get("kubernetes")
    pod = _pod(cache, tag, kubernetes) if type(kubernetes) is dict else None
    if pod is None:
        key = ("", "", "", "", tag)
        attributes: dict[str, str] = {}
    else:
        stream = record.get("stream")
        key = (*pod.key, stream if type(stream) is str else text_of(stream), "")
        attributes = pod.attributes.copy()
    body_key = next((k for k in BODY_KEYS if record.get(k) is not None), None)
    processed = record.get("log_processed")
    if body_key is not None:
        _add_attributes(attributes, record, body_key, pod is not None)
        value = record[body_key]
        body = value if type(value) is str else text_of(value)
        if body.endswith("\n"):
            body = body[:-1]
    else:
        body = json_text({k: v for k, v in record.items() if k != "kubernetes"} if pod else record)
    if type(processed) is dict and body_key is not None:
        _add_beside(attributes, processed, "log_processed_")
    if metadata:
        _add_beside(attributes, metadata, "metadata_")
    # a character is at most four bytes: most lines need no encoding to know that they are short enough
    limit = cache.limits.max_log_line_bytes
    if len(body) * 4 > limit:
        body = _cut(body, limit, attributes)
    batch.add(
        _ref(batch, cache, key),
        ts_ns,
        body,
        attributes,
        severity_of(record, processed),
        _hex_id(attributes.get("trace_id"), 32),
        _hex_id(attributes.get("span_id"), 16),
        seq,
    )


def text_of(value: Any) -> str:
    """A value as text: strings as they are, bytes as UTF-8 with what is invalid replaced, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else json_text(value)


def json_text(value: Any) -> str:
    """Compact JSON of anything msgpack or JSON can hold; never raises."""
    try:
        return orjson.dumps(value, _not_json, orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError):
        return orjson.dumps(_plain(value, 0)).decode()


def _not_json(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "replace")
    return str(value)


def _plain(value: Any, depth: int) -> Any:
    """A copy that orjson takes, for what it refuses: keys that are bytes or maps, integers above 64 bits."""
    if depth > _MAX_DEPTH:
        return str(value)
    if isinstance(value, dict):
        return {text_of(k): _plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, depth + 1) for v in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return str(value)
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return value if value is None or isinstance(value, bool | int | float) else _not_json(value)


def _add_attributes(attributes: dict[str, str], record: Record, body_key: str, of_pod: bool) -> None:
    for key, value in record.items():
        if key == body_key or key == "log_processed" or (of_pod and (key == "kubernetes" or key == "stream")):
            continue
        if type(value) is str:
            attributes[LABEL_NAMES[key]] = value
        elif type(value) is dict:
            _flatten(attributes, LABEL_NAMES[key] + "_", value, 1)
        elif value is not None:
            attributes[LABEL_NAMES[key]] = text_of(value)


def _add_beside(attributes: dict[str, str], more: Record, prefix: str) -> None:
    """The keys of the parsed line or of the metadata: as they are, or after `prefix` where the name is taken."""
    found: dict[str, str] = {}
    _flatten(found, "", more, 1)
    for name, value in found.items():
        taken = name in attributes or name in _STREAM_LABELS
        attributes[prefix + name if taken else name] = value


def _flatten(into: dict[str, str], prefix: str, value: Record, depth: int) -> None:
    for key, item in value.items():
        name = prefix + NAME_PARTS[key] if prefix else LABEL_NAMES[key]
        if type(item) is str:
            into[name] = item
        elif type(item) is dict and depth < _MAX_DEPTH:
            _flatten(into, name + "_", item, depth + 1)
        elif item is not None:
            into[name] = text_of(item)


def _pod(cache: StreamCache, tag: str, kubernetes: Record) -> Pod | None:
    known = cache.pods.get(tag)
    # records of one tag nearly always say the same of their pod, and comparing is cheaper than flattening
    if known is not None and known.source == kubernetes:
        return known
    names = [text_of(kubernetes.get(k)) for k in ("namespace_name", "pod_name", "container_name")]
    if not any(names):
        return None
    attributes = {"tag": tag}
    if kubernetes.get("host") is not None:
        attributes["node"] = text_of(kubernetes["host"])
    for key, prefix in (("labels", "pod_label_"), ("annotations", "pod_annotation_")):
        if isinstance(kubernetes.get(key), dict):
            _flatten(attributes, prefix, kubernetes[key], 1)
    _flatten(attributes, "", {k: v for k, v in kubernetes.items() if k not in _POD_KEYS}, 1)
    pod = cache.pods[tag] = Pod(kubernetes, (names[0], names[1], names[2]), attributes)
    return pod


def _ref(batch: LogBatch, cache: StreamCache, key: StreamKey) -> int:
    if cache.index is not batch.index:
        return batch.index.ref(_labels(key, cache.limits))
    ref = cache.refs.get(key)
    if ref is None:
        ref = cache.refs[key] = cache.index.ref(_labels(key, cache.limits))
    return ref


def _labels(key: StreamKey, limits: Limits) -> Labels:
    labels = labels_from(zip(("namespace", "pod", "container", "stream", "tag"), key, strict=True))
    for name, value in labels:
        if len(value.encode()) > limits.max_label_value_bytes:
            raise DecodeError(f"the label {name} is longer than limits.max_label_value_bytes")
    return labels or (("tag", "unknown"),)


def _cut(body: str, limit: int, attributes: dict[str, str]) -> str:
    encoded = body.encode()
    if len(encoded) <= limit:
        return body
    TRUNCATED.inc()
    attributes["truncated_bytes"] = str(len(encoded) - limit)
    return encoded[:limit].decode("utf-8", "ignore")


def _hex_id(value: str | None, length: int) -> str:
    if value is None or len(value) != length:
        return ""
    lower = value.lower()
    return lower if all(c in "0123456789abcdef" for c in lower) else ""
