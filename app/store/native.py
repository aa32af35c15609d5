"""ClickHouse's Native format for columns of numbers: the bytes of the arrays, with a few bytes before each.

An insert of 2,000 rows spends as long in an Arrow reader as in everything else; Native is what the engine holds anyway.
Format: https://clickhouse.com/docs/interfaces/formats/Native and, for LowCardinality,
src/DataTypes/Serializations/SerializationLowCardinality.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_LC_VERSION = (1).to_bytes(8, "little")
_HAS_KEYS_AND_UPDATE = 0x200 | 0x400
_NUMBERS: dict[str, type[np.number[Any]]] = {
    "Float64": np.float64,
    "Int64": np.int64,
    "UInt32": np.uint32,
    "UInt64": np.uint64,
}
_INDEX_TYPES: tuple[type[np.unsignedinteger], ...] = (np.uint8, np.uint16, np.uint32)


def varint(value: int) -> bytes:
    """An unsigned LEB128 number."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(value: str) -> bytes:
    """A length and UTF-8 bytes."""
    encoded = value.encode()
    return varint(len(encoded)) + encoded


def block(rows: int, columns: Sequence[tuple[str, str, bytes]]) -> bytes:
    """A block of `rows` rows from (name, ClickHouse type, encoded values) columns."""
    parts = [varint(len(columns)), varint(rows)]
    for name, kind, data in columns:
        parts += [text(name), text(kind), data]
    return b"".join(parts)


def low_cardinality(names: Sequence[str], codes: npt.NDArray[np.int32]) -> bytes:
    """The values of a LowCardinality(String) column: `codes` index `names`. Only names in use are sent."""
    used, position = np.unique(codes, return_inverse=True)
    # key 0 is the default value, as the engine's own dictionaries have it
    keys = ["", *(names[i] for i in used.tolist())]
    width = next(i for i, t in enumerate(_INDEX_TYPES) if len(keys) <= np.iinfo(t).max)
    return b"".join(
        [
            _LC_VERSION,
            (width | _HAS_KEYS_AND_UPDATE).to_bytes(8, "little"),
            len(keys).to_bytes(8, "little"),
            *map(text, keys),
            len(position).to_bytes(8, "little"),
            (position + 1).astype(_INDEX_TYPES[width]).tobytes(),
        ]
    )


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a block: `items`, and of an Array column where each row's items begin and the last ones end."""

    items: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64] | None = None


def blocks(body: bytes) -> Iterator[list[Column]]:
    """The blocks of an answer in Native, as arrays over its bytes: columns of numbers and of arrays of numbers.

    Raises ValueError for a column of another type.
    """
    at = 0
    while at < len(body):
        width, at = _read_varint(body, at)
        rows, at = _read_varint(body, at)
        columns = []
        for _ in range(width):
            _, at = _read_text(body, at)
            kind, at = _read_text(body, at)
            offsets, items = None, rows
            if kind.startswith("Array("):
                ends = np.frombuffer(body, np.uint64, rows, at)
                at += ends.nbytes
                offsets = np.zeros(rows + 1, np.int64)
                offsets[1:] = ends
                items, kind = int(offsets[-1]), kind[6:-1]
            if kind not in _NUMBERS:
                raise ValueError(f"a column of type {kind}")
            data = np.frombuffer(body, _NUMBERS[kind], items, at)
            at += data.nbytes
            columns.append(Column(data, offsets))
        yield columns


def _read_varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _read_text(body: bytes, at: int) -> tuple[str, int]:
    length, at = _read_varint(body, at)
    return body[at : at + length].decode(), at + length
