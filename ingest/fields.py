"""Fields of a protobuf message that lie one directly behind the other, found by NumPy all at once.

Where one begins follows from the length of the one before. Followed step by step that is most of the work of reading
a request; so the step is computed for every byte that may be a tag, and the way through them is doubled until it
reaches the end.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from app.errors import DecodeError
from ingest.write_request import varint

_WINDOW = 512 * 1024
_MAX_LENGTH_BYTES = 4
"""Of a length: no body has 256 MiB."""

_VARINT, _LENGTH = 0, 2
_FIXED = {1: 8, 5: 4}

Column = npt.NDArray[np.int64]


def runs(buffer: npt.NDArray[np.uint8], begin: int, size: int, tag: int) -> Iterator[tuple[Column, Column]]:
    """(where contents begin, where they end) of length-delimited fields of one tag that lie at `begin` and on.

    A part of them at a time, for the memory of it. The last one may end past `size`, where `buffer` goes on for some
    bytes.
    """
    while begin < size and buffer[begin] == tag:
        contents, ends = _chained(buffer, begin, min(begin + _WINDOW, size), tag)
        yield contents, ends
        begin = int(ends[-1])


def each(body: bytes, message: str) -> Iterator[tuple[int, int, int]]:
    """(tag, where its content begins, where it ends) of the length-delimited fields of a `message`, one by one.

    Others are passed over. Raises DecodeError, or IndexError where one is cut off, when it is none.
    """
    pos = 0
    while pos < len(body):
        tag, begin = varint(body, pos)
        wire_type = tag & 7
        if not 8 <= tag < 2**32 or wire_type not in (_VARINT, _LENGTH, *_FIXED):
            raise DecodeError(f"not a {message}: no field begins at byte {pos}")
        value, end = varint(body, begin) if wire_type in (_VARINT, _LENGTH) else (0, begin + _FIXED[wire_type])
        begin, end = (end, end + value) if wire_type == _LENGTH else (begin, end)
        if end > len(body):
            raise DecodeError(f"not a {message}: the field at byte {pos} goes past the end")
        if wire_type == _LENGTH:
            yield tag, begin, end
        pos = end


def _chained(buffer: npt.NDArray[np.uint8], begin: int, stop: int, tag: int) -> tuple[Column, Column]:
    """The contents and ends of the fields that begin before `stop`."""
    tags = np.flatnonzero(buffer[begin:stop] == tag)
    lengths, heads = _lengths(buffer, tags + begin + 1)
    contents = tags + heads + 1
    ends = contents + lengths
    none = len(tags)
    at = np.full(stop - begin + 1, none, np.int32)
    at[tags] = np.arange(none, dtype=np.int32)
    following = np.append(at[np.minimum(ends, stop - begin)], none)
    chain = np.zeros(1, np.int64)
    while chain[-1] != none:
        chain = np.concatenate([chain, following.take(chain)])
        following = following.take(following)
    chain = chain[: np.searchsorted(chain, none)]
    return contents[chain] + begin, ends[chain] + begin


def _lengths(buffer: npt.NDArray[np.uint8], at: Column) -> tuple[Column, Column]:
    """(value, bytes) of the varints at these places; one of more bytes than a length can have is a very large one."""
    values = buffer[at].astype(np.int64)
    sizes = np.ones(len(at), np.int64)
    wider = np.flatnonzero(values > 0x7F)
    for i in range(1, _MAX_LENGTH_BYTES):
        if not len(wider):
            return values, sizes
        digit = buffer[at[wider] + i].astype(np.int64)
        values[wider] += (digit - 1) << 7 * i
        sizes[wider] += 1
        wider = wider[digit > 0x7F]
    values[wider] = np.iinfo(np.int64).max // 2
    return values, sizes


def slices(body: bytes, begins: list[int], ends: list[int]) -> list[bytes]:
    """The bytes between these places."""
    return [body[begin:end] for begin, end in zip(begins, ends)]  # noqa: B905 checked pairs take a third longer
