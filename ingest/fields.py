"""Fields of a protobuf message that lie one directly behind the other, found by NumPy all at once.

Where one begins follows from the length of the one before. Followed step by step that is most of the work of reading
a request; so the step is computed for every byte that may be a tag, and the way through them is doubled until it
reaches the end.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_WINDOW = 512 * 1024
_MAX_LENGTH_BYTES = 4
"""Of a length: no body has 256 MiB."""

Column = npt.NDArray[np.int64]


def run(buffer: npt.NDArray[np.uint8], begin: int, size: int, tag: int) -> tuple[Column, Column, int]:
    """(where the contents begin, where they end, where the run ends) of length-delimited fields of one tag at `begin`.

    The run ends past `size` when its last field does. `buffer` has some bytes behind `size`.
    """
    contents, ends = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    while begin < size and buffer[begin] == tag:
        # a window at a time, for the memory of it
        some, their_ends = _chained(buffer, begin, min(begin + _WINDOW, size), tag)
        contents.append(some)
        ends.append(their_ends)
        begin = int(their_ends[-1])
    return np.concatenate(contents), np.concatenate(ends), begin


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
