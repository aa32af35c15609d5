"""What the versions of remote write share: the body's block, what a decoded request is, which label sets are taken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cramjam

from app.config import Limits
from app.errors import DecodeError
from app.labels import METRIC_NAME, Labels, labels_from
from ingest.batch import MetricBatch


@dataclass(slots=True)
class Rejected:
    """Series of a request that were not taken: the first one's fault, and how many."""

    first: str = ""
    series: int = 0

    def add(self, reason: str) -> None:
        """Counts one more."""
        self.first = self.first or reason
        self.series += 1


@dataclass(slots=True)
class WriteRequest:
    """A decoded request: what is good, and what was wrong with the rest."""

    batch: MetricBatch
    rejected: Rejected


def decompress(body: bytes, limits: Limits) -> bytes:
    """The bytes of a snappy block. Raises DecodeError when it is none, or larger than `limits.max_decoded_bytes`."""
    size, shift = 0, 0
    for byte in body[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size > limits.max_decoded_bytes:
        raise DecodeError(f"body decodes to {size} bytes (limits.max_decoded_bytes = {limits.max_decoded_bytes})")
    try:
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise DecodeError(f"body is not snappy: {error}") from None


def checked_labels(pairs: Iterable[tuple[bytes, bytes]], limits: Limits) -> Labels:
    """The canonical label set of a series. Raises ValueError saying what is wrong with it."""
    found: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        try:
            name, value = raw_name.decode(), raw_value.decode()
        except UnicodeDecodeError:
            raise ValueError(f"label {raw_name!r} is not UTF-8") from None
        if name in found:
            raise ValueError(f"label {name!r} is given twice in {shown(found)}")
        if not name:
            raise ValueError(f"a label without a name in {shown(found)}")
        if len(raw_name) > limits.max_label_name_bytes:
            raise ValueError(
                f"label name {name[:50]!r}… is too long (limits.max_label_name_bytes = {limits.max_label_name_bytes})"
            )
        if len(raw_value) > limits.max_label_value_bytes:
            bound = limits.max_label_value_bytes
            raise ValueError(f"the value of label {name!r} is too long (limits.max_label_value_bytes = {bound})")
        found[name] = value
    if not found.get(METRIC_NAME):
        raise ValueError(f"no metric name in {shown(found)}")
    if len(found) > limits.max_labels_per_series:
        raise ValueError(
            f"{len(found)} labels in {shown(found)} (limits.max_labels_per_series = {limits.max_labels_per_series})"
        )
    return labels_from(found)


def shown(labels: dict[str, str]) -> str:
    """A label set in a message, cut where it is long."""
    text = "{" + ", ".join(f'{k}="{v}"' for k, v in labels.items()) + "}"
    return text if len(text) <= 300 else text[:300] + "…"


def varint(body: bytes, pos: int) -> tuple[int, int]:
    """(value, position after it) of the varint at `pos`. Raises IndexError past the end."""
    value, shift = 0, 0
    while True:
        byte = body[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
        shift += 7
        if shift > 63:
            raise DecodeError(f"a varint at byte {pos} does not end")
