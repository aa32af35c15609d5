"""XOR chunks, read back by a decoder of the test's own, written after the format's description."""

from __future__ import annotations

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.api.prometheus_read import frame
from app.query.promql.xor_chunks import encode_chunk


def decode(chunk: bytes) -> tuple[list[int], list[bytes]]:
    """(times, values as their eight bytes) of a chunk."""
    bits = "".join(f"{byte:08b}" for byte in chunk[2:])
    at = 0

    def take(n: int) -> int:
        nonlocal at
        at += n
        return int(bits[at - n : at] or "0", 2)

    def varint() -> int:
        value = shift = 0
        while True:
            byte = take(8)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    times: list[int] = []
    values: list[int] = []
    leading = trailing = delta = 0
    for i in range(int.from_bytes(chunk[:2], "big")):
        if i == 0:
            raw = varint()
            times.append((raw >> 1) ^ -(raw & 1))
            values.append(take(64))
            continue
        if i == 1:
            delta = varint()
        else:
            ones = 0
            while ones < 4 and take(1):
                ones += 1
            size = (0, 14, 17, 20, 64)[ones]
            change = take(size) if size else 0
            if (size == 64 and change >= 1 << 63) or (0 < size < 64 and change > 1 << (size - 1)):
                change -= 1 << size
            delta += change
        times.append(times[-1] + delta)
        if not take(1):
            values.append(values[-1])
            continue
        if take(1):
            leading, significant = take(5), take(6) or 64
            trailing = 64 - leading - significant
        values.append(values[-1] ^ (take(64 - leading - trailing) << trailing))
    return times, [v.to_bytes(8, "big") for v in values]


_values = st.one_of(st.floats(width=64), st.integers(0, 5).map(float), st.just(float("nan")))
_steps = st.one_of(st.just(15_000), st.integers(1, 40_000), st.integers(1, 2**40))


@given(st.integers(-(2**45), 2**45), st.lists(st.tuples(_steps, _values), min_size=1, max_size=130))
def test_a_chunk_holds_its_samples(start: int, points: list[tuple[int, float]]) -> None:
    """Every time and every bit of every value comes back."""
    times = (start + np.cumsum([step for step, _ in points])).astype(np.int64)
    values = np.array([value for _, value in points])
    assert decode(encode_chunk(times, values)) == (times.tolist(), [struct.pack(">d", v) for v in values.tolist()])


def test_regular_samples_are_small() -> None:
    """A value that stays, at a time that keeps its distance, is two bits."""
    chunk = encode_chunk(np.arange(0, 120 * 15_000, 15_000), np.ones(120))
    assert len(chunk) == 2 + 1 + 8 + 2 + -(-(1 + 118 * 2) // 8)


def test_frames_carry_length_and_checksum() -> None:
    """The check value of CRC-32C is that of its definition."""
    assert frame(b"123456789") == b"\x09\xe3\x06\x92\x83123456789"
    assert frame(bytes(300))[:2] == b"\xac\x02"
