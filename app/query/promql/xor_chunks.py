"""Samples as the XOR chunks of Prometheus's storage (tsdb/docs/format/chunks.md, tsdb/chunkenc/xor.go)."""

from __future__ import annotations

import numpy as np

from app.query.vector import Floats, Ints

CHUNK_SAMPLES = 120
_ONES = (1 << 64) - 1
_DELTA_BITS = ((14, 0b10, 2), (17, 0b110, 3), (20, 0b1110, 4))
"""(bits of a difference of time differences, what comes before it, the length of that)."""


def encode_chunk(ts_ms: Ints, values: Floats) -> bytes:
    """One chunk of 1 to 65,535 samples in the order of time."""
    bits = _Bits()
    times, patterns = ts_ms.tolist(), np.ascontiguousarray(values).view(np.uint64).tolist()
    window: tuple[int, int] | None = None
    step = 0
    for i, (at, pattern) in enumerate(zip(times, patterns, strict=True)):
        if i == 0:
            bits.varint((at << 1) ^ (at >> 63))
            bits.put(pattern, 64)
            continue
        delta = at - times[i - 1]
        if i == 1:
            bits.varint(delta)
        else:
            _put_change(bits, delta - step)
        step = delta
        window = _put_value(bits, pattern ^ patterns[i - 1], window)
    return len(times).to_bytes(2, "big") + bits.whole()


class _Bits:
    """Collects bits, the first one highest."""

    def __init__(self) -> None:
        self._value = 0
        self._length = 0

    def put(self, value: int, length: int) -> None:
        self._value = (self._value << length) | value
        self._length += length

    def varint(self, value: int) -> None:
        value &= _ONES
        while value >= 0x80:
            self.put(value & 0x7F | 0x80, 8)
            value >>= 7
        self.put(value, 8)

    def whole(self) -> bytes:
        rest = -self._length % 8
        return (self._value << rest).to_bytes((self._length + rest) // 8, "big")


def _put_change(bits: _Bits, change: int) -> None:
    if change == 0:
        bits.put(0, 1)
        return
    for size, prefix, length in _DELTA_BITS:
        if -((1 << (size - 1)) - 1) <= change <= 1 << (size - 1):
            bits.put(prefix, length)
            bits.put(change & ((1 << size) - 1), size)
            return
    bits.put(0b1111, 4)
    bits.put(change & _ONES, 64)


def _put_value(bits: _Bits, difference: int, window: tuple[int, int] | None) -> tuple[int, int] | None:
    """Writes the XOR with the value before; gives the (leading, trailing) zeros that hold from now on."""
    if difference == 0:
        bits.put(0, 1)
        return window
    # five bits are there for the number of leading zeros
    leading = min(31, 64 - difference.bit_length())
    trailing = (difference & -difference).bit_length() - 1
    if window is not None and leading >= window[0] and trailing >= window[1]:
        bits.put(0b10, 2)
        bits.put(difference >> window[1], 64 - window[0] - window[1])
        return window
    significant = 64 - leading - trailing
    bits.put(0b11, 2)
    bits.put(leading, 5)
    bits.put(significant & 63, 6)  # 64 is written as 0
    bits.put(difference >> trailing, significant)
    return leading, trailing
