"""Remote write bodies: the fast ways and the protobuf library read the same."""

from __future__ import annotations

import contextlib
import struct

import cramjam
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config import Limits
from app.errors import DecodeError
from app.labels import labels_from
from app.store.metrics import STALE_NAN_BITS
from app.store.native import varint
from ingest import prompb
from ingest.remote_write import WriteCache, decode_write_request
from ingest.series import SeriesRegistry
from ingest.write_request import decompress

LIMITS = Limits()
Series = list[tuple[dict[str, str], list[tuple[int, float]]]]


def body_of(series: Series) -> bytes:
    """A WriteRequest as the protobuf library writes it."""
    request = prompb.WriteRequest()
    for labels, samples in series:
        entry = request.timeseries.add()
        for name, value in labels.items():
            entry.labels.add(name=name.encode(), value=value.encode())
        for ts, number in samples:
            entry.samples.add(timestamp=ts, value=number)
    return bytes(request.SerializeToString())


def read(cache: WriteCache, body: bytes) -> list[tuple[object, int, bytes]]:
    """(labels, timestamp, value bits) of every sample, sorted."""
    batch = decode_write_request(body, cache, LIMITS).batch
    return sorted(
        (batch.index.labels[ref], ts, struct.pack("<d", value))
        for ref, ts, value in zip(batch.refs.tolist(), batch.ts_ms.tolist(), batch.values.tolist(), strict=True)
    )


def wanted(series: Series) -> list[tuple[object, int, bytes]]:
    """What `read` should give."""
    return sorted((labels_from(labels), ts, struct.pack("<d", v)) for labels, samples in series for ts, v in samples)


names = st.text("abcé", min_size=1, max_size=4)
times = st.one_of(st.integers(1_600_000_000_000, 1_800_000_000_000), st.integers(-5, 2**45))
floats = st.floats(allow_nan=False)
one_series = st.tuples(
    st.dictionaries(names, st.text(max_size=300), max_size=3).map(lambda d: {"__name__": "m", **d}),
    st.lists(st.tuples(times, floats), max_size=4),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(one_series, max_size=4), max_size=4))
def test_every_way_of_reading_gives_the_same_samples(requests: list[Series]) -> None:
    """Whatever a sender writes, in whatever order of requests, comes out as the protobuf library wrote it."""
    cache = WriteCache(SeriesRegistry())
    for request in [*requests, *requests]:
        assert read(cache, body_of(request)) == wanted(request)


def test_a_repeated_layout_with_new_values_is_read_anew() -> None:
    """The remembered layout of a request never gives the values of the request it was met in."""
    cache = WriteCache(SeriesRegistry())
    for n in range(5):
        request: Series = [({"__name__": "m", "i": str(i)}, [(1_700_000_000_000 + n, i + n / 8)]) for i in range(50)]
        assert read(cache, body_of(request)) == wanted(request)


def test_a_repeated_layout_with_another_label_is_another_series() -> None:
    """One changed byte of a label makes another series, though all else is the same."""
    cache = WriteCache(SeriesRegistry())
    for value in ("aa", "ab", "aa"):
        request: Series = [({"__name__": "m", "i": value}, [(1_700_000_000_000, 1.0)])]
        assert read(cache, body_of(request)) == wanted(request)


def test_samples_written_in_another_order_of_fields_are_read() -> None:
    """A sample of the usual length with its timestamp before its value, and labels behind samples, are read right."""
    cache = WriteCache(SeriesRegistry())
    label = prompb.TimeSeries()
    label.labels.add(name=b"__name__", value=b"m")
    other = prompb.TimeSeries()
    other.labels.add(name=b"a", value=b"b")
    reversed_sample = b"\x12\x10\x10" + varint(1_700_000_000_000) + b"\x09" + struct.pack("<d", 7.0)
    usual = body_of([({"__name__": "m"}, [(1_700_000_000_000, 1.0)])])
    read(cache, usual)
    for tail, labels in ((b"", {"__name__": "m"}), (other.SerializeToString(), {"__name__": "m", "a": "b"})):
        message = label.SerializeToString() + reversed_sample + tail
        body = b"\x0a" + varint(len(message)) + message
        assert read(cache, usual + body) == sorted(
            wanted([({"__name__": "m"}, [(1_700_000_000_000, 1.0)]), (labels, [(1_700_000_000_000, 7.0)])])
        )


def test_a_stale_marker_keeps_its_bits() -> None:
    """The payload of Prometheus's stale NaN survives."""
    stale = struct.unpack("<d", struct.pack("<Q", STALE_NAN_BITS))[0]
    body = body_of([({"__name__": "m"}, [(1_700_000_000_000, stale)])])
    batch = decode_write_request(body, WriteCache(SeriesRegistry()), LIMITS).batch
    assert batch.values.view(np.uint64).tolist() == [STALE_NAN_BITS]


def test_a_new_index_is_not_given_refs_of_the_old_one() -> None:
    """When the series index is replaced, remembered label bytes and layouts are forgotten with it."""
    cache = WriteCache(SeriesRegistry(limit=3))
    for n in range(12):
        request: Series = [({"__name__": "m", "i": str(n % 5)}, [(1_700_000_000_000 + n, 1.0)])]
        assert read(cache, body_of(request)) == wanted(request)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([("a", "b")], "no metric name"),
        ([("__name__", "m"), ("a", "1"), ("a", "2")], "given twice"),
        ([("__name__", "m"), ("", "1")], "without a name"),
        ([("__name__", "m"), ("a", "x" * 9000)], "max_label_value_bytes"),
    ],
)
def test_a_bad_series_costs_no_other(labels: list[tuple[str, str]], reason: str) -> None:
    """The good series of a request are read; the first bad one is named with its reason."""
    bad = prompb.TimeSeries()
    for name, value in labels:
        bad.labels.add(name=name.encode(), value=value.encode())
    bad.samples.add(timestamp=1_700_000_000_000, value=1)
    good: Series = [({"__name__": "good"}, [(1_700_000_000_000, 2.0)])]
    raw = bad.SerializeToString()
    body = body_of(good) + b"\x0a" + varint(len(raw)) + raw + body_of(good)
    decoded = decode_write_request(body, WriteCache(SeriesRegistry()), LIMITS)
    assert len(decoded.batch) == 2
    assert decoded.rejected.series == 1
    assert reason in decoded.rejected.first


@pytest.mark.parametrize(
    "body", [b"\xff", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x0a\x05abc", b"hello, world"]
)
def test_what_is_no_write_request_is_refused_whole(body: bytes) -> None:
    """A body that is no WriteRequest raises DecodeError and nothing else."""
    with pytest.raises(DecodeError):
        decode_write_request(body, WriteCache(SeriesRegistry()), LIMITS)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 200))
def test_damaged_bodies_never_raise_anything_else(noise: bytes, at: int) -> None:
    """A body damaged anywhere is read or refused, never an internal error, and spoils none after it."""
    request: Series = [({"__name__": "m", "i": str(i)}, [(1_700_000_000_000, 1.0)]) for i in range(5)]
    whole = body_of(request)
    cache = WriteCache(SeriesRegistry())
    decode_write_request(whole, cache, LIMITS)
    with contextlib.suppress(DecodeError):
        decode_write_request(whole[:at] + noise + whole[at + len(noise) :], cache, LIMITS)
    assert read(cache, whole) == wanted(request)


def test_a_snappy_bomb_is_refused_before_it_is_decoded() -> None:
    """The decoded size is checked against the limit by the length the body declares."""
    bomb = bytes(cramjam.snappy.compress_raw(bytes(1_000_000)))
    with pytest.raises(DecodeError, match="max_decoded_bytes"):
        decompress(bomb, Limits.model_validate({"max_decoded_bytes": "100KiB"}))
    with pytest.raises(DecodeError, match="not snappy"):
        decompress(b"\x05hello", LIMITS)
