"""Remote write 2.0 bodies that are wrong, in part or whole."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest
from google.protobuf.message import DecodeError as ProtobufError
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import DecodeError
from app.store.metrics import Metadata
from ingest import prompb_v2, remote_write_v2
from ingest.remote_write_v2 import decode_request
from tests.unit.write_v2_world import (
    LIMITS,
    NOW_MS,
    everything,
    histogram,
    new_cache,
    read,
    requests,
    samples_of,
    some_series,
    wanted,
)
from tests.write_v2 import Series, body_of, message_of


def with_a_bad_series(**fields: Any) -> Any:
    """A request of a good series, the one of `fields`, one that is good and one without a name."""
    request = message_of([Series({"__name__": "good"}, [(NOW_MS, 2.0, 0)])])
    request.symbols.extend([b"a", b"\xff", b"x" * 9000, b"b"])
    request.timeseries.add(samples=[{"timestamp": NOW_MS, "value": 1}], **fields)
    request.timeseries.add(labels_refs=[1, 6], samples=[{"timestamp": NOW_MS, "value": 1}])
    request.timeseries.add(labels_refs=[3, 6], samples=[{"timestamp": NOW_MS, "value": 1}])
    return request


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("refs", "reason"),
    [
        ([3, 6], 'no metric name in {a="b"}'),
        ([], "no metric name in {}"),
        ([1, 2, 3], "the labels_refs [1, 2, 3] are 3, a name without a value"),
        ([1, 2, 3, 99], "the labels_refs [1, 2, 3, 99] have 99, and there are 7 symbols"),
        ([1, 2, 2**31, 3], "and there are 7 symbols"),
        ([1, 2, 3, 6, 3, 6], "label 'a' is given twice"),
        ([1, 2, 0, 6], "a label without a name"),
        ([1, 2, 3, 4], "is not UTF-8"),
        ([1, 2, 3, 5], "max_label_value_bytes"),
        ([1, 2, 5, 3], "max_label_name_bytes"),
    ],
)
def test_a_bad_series_costs_no_other(refs: list[int], reason: str, known: bool) -> None:
    """The good series of a request are read; the first bad one is named with its reason, and all are counted."""
    cache = new_cache()
    body = bytes(with_a_bad_series(labels_refs=refs).SerializeToString())
    for _ in range(3 if known else 1):
        decoded = read(cache, body)
        assert [labels for labels, *_ in samples_of(decoded.batch)] == [(("__name__", "b"),), (("__name__", "good"),)]
        assert decoded.rejected.series == 2
        assert reason in decoded.rejected.first


def test_too_many_labels_are_a_bad_series() -> None:
    """limits.max_labels_per_series is for 2.0 as well."""
    labels = {"__name__": "m", **{f"label_{i}": "x" for i in range(64)}}
    decoded = read(new_cache(), body_of([Series(labels, [(NOW_MS, 1.0, 0)])]))
    assert (len(decoded.batch), decoded.rejected.series) == (0, 1)
    assert "max_labels_per_series = 64" in decoded.rejected.first


def test_bad_histograms_exemplars_and_metadata_cost_no_sample() -> None:
    """Each is counted and the first named; what is good in the same series is kept."""
    cache = new_cache()
    for n in range(3):
        at = NOW_MS + n
        request = message_of(
            [
                Series(
                    {"__name__": "f"},
                    [(at, 1.0, 0)],
                    exemplars=[(at, 1.0, {"t": "x" * 127}), (at, 2.0, {"t": "é" * 128})],
                ),
                Series({"__name__": "h"}, histograms=[histogram(at), histogram(at, schema=-9)]),
                Series({"__name__": "g"}, [(at, 3.0, 0)]),
            ]
        )
        request.timeseries[0].exemplars.add(labels_refs=[1, 50], timestamp=at)
        request.timeseries[2].metadata.help_ref = 50
        decoded = read(cache, bytes(request.SerializeToString()))
        batch = decoded.batch
        assert (len(batch.refs), len(batch.histograms), len(batch.exemplars)) == (2, 1, 1)
        assert decoded.rejected.series == 4
        assert decoded.rejected.first == ('an exemplar of {__name__="f"}: its labels have more than 128 characters')


def test_the_first_bad_series_is_the_first_in_the_request() -> None:
    """Which way a series was found bad makes no difference to which is named."""
    request = message_of([])
    request.symbols.extend([b"__name__", b"h", b"a"])
    request.timeseries.add(labels_refs=[1, 2], histograms=[histogram(NOW_MS, schema=-9)])
    request.timeseries.add(labels_refs=[3, 3])
    request.timeseries.add(labels_refs=[3])
    for body in (request.SerializeToString(), request.SerializeToString() + b"\x38\x01"):
        decoded = read(new_cache(), bytes(body))
        assert decoded.rejected.series == 3
        assert decoded.rejected.first.startswith('a native histogram of {__name__="h"}: its schema is -9')


def test_a_series_without_samples_is_no_fault() -> None:
    """Senders write exemplars, and may write metadata, as series of their own."""
    request = [
        Series({"__name__": "m"}, metadata=(1, "Help.", "")),
        Series({"__name__": "m"}, exemplars=[(NOW_MS, 1.0, {"trace_id": "abc"})]),
        Series({"__name__": "m"}),
    ]
    decoded = read(new_cache(), body_of(request))
    assert (len(decoded.batch), decoded.rejected.series) == (1, 0)
    assert list(decoded.batch.metadata) == [Metadata("m", "counter", "", "Help.")]


def test_the_first_symbol_is_no_metadata() -> None:
    """A table that does not begin with the empty symbol has none for those refs that are not given."""
    request = message_of([])
    request.symbols[:] = [b"__name__", b"m"]
    request.timeseries.add(labels_refs=[0, 1], samples=[{"timestamp": NOW_MS, "value": 1}]).metadata.type = 1
    batch = read(new_cache(), bytes(request.SerializeToString())).batch
    assert samples_of(batch) == [((("__name__", "m"),), NOW_MS, struct.pack("<d", 1.0))]
    assert list(batch.metadata) == [Metadata("m", "counter", "", "")]


def test_symbols_without_end_are_refused() -> None:
    """A small block may hold more symbols than there is memory for."""
    for body in (b"\x22\x00" * (2**20 + 1), b"\x3a\x00" + b"\x22\x00" * (2**20 + 1)):
        with pytest.raises(DecodeError, match="more than 1048576 symbols"):
            read(new_cache(), body)


def test_fields_of_every_wire_type_are_passed_over() -> None:
    """What is unknown is skipped by its wire type, also between the fields that are known."""
    request = [Series({"__name__": "m"}, [(NOW_MS, 1.0, 0)])]
    unknown = b"\x38\x80\x01" + b"\x39" + bytes(8) + b"\x3d" + bytes(4) + b"\x3a\x02ab"
    assert everything(read(new_cache(), unknown + body_of(request) + unknown).batch) == wanted(request)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"\x2a",
        b"\x00\x00",
        b"\x3b\x3c",
        b"\x39abc",
        b"\x3a\x05abc",
        b"\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x22",
        b"\x22\x05abc",
        b"\x2a\x05abc",
        b"\x2a\x02\x12\x10",
        b"\x2a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x2a\x02\x0a\x7f",
        b"hello, world",
        body_of([Series({"__name__": "m"}, [(NOW_MS, 1.0, 0)])])[:-1],
    ],
)
def test_what_is_no_request_is_refused_whole(body: bytes) -> None:
    """A body that is no Request raises DecodeError and nothing else."""
    with pytest.raises(DecodeError):
        read(new_cache(), body)


def test_a_request_of_version_1_is_told_from_one_of_version_2() -> None:
    """Sent under the wrong content type it would else be a request of nothing."""
    with pytest.raises(DecodeError, match=r"remote write 1\.0"):
        read(new_cache(), b"\x0a\x04\x0a\x02\x0a\x00")


def test_an_empty_request_is_one() -> None:
    """Nothing is nothing wrong."""
    assert len(read(new_cache(), b"").batch) == 0
    assert len(read(new_cache(), body_of([])).batch) == 0


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 250))
def test_damaged_bodies_never_raise_anything_else(noise: bytes, at: int) -> None:
    """A body damaged anywhere is read or refused, never an internal error, and spoils none after it."""
    request = [
        *some_series(5, NOW_MS),
        Series({"__name__": "h"}, histograms=[histogram(NOW_MS)], metadata=(3, "Help.", "s")),
        Series({"__name__": "m"}, [(NOW_MS, 0.0, 5)], exemplars=[(NOW_MS, 1.0, {"a": "b"})], metadata=(1, "Help.", "")),
    ]
    whole = body_of(request)
    cache = new_cache()
    read(cache, whole)
    read(cache, whole)
    with contextlib.suppress(DecodeError):
        read(cache, whole[:at] + noise + whole[at + len(noise) :])
    assert everything(read(cache, whole).batch) == wanted(request)


@settings(max_examples=200, deadline=None)
@given(requests, st.integers(0, 400), st.integers(0, 255))
def test_a_changed_byte_means_the_same_to_every_way(request: list[Series], at: int, byte: int) -> None:
    """A body with one byte changed is read the same by every way, or refused where the protobuf library refuses it."""
    body = bytearray(body_of(request))
    if at < len(body):
        body[at] = byte
    cache, other = new_cache(), new_cache()
    ways = [(decode_request, cache), (decode_request, cache), (remote_write_v2._read_one_by_one, other)]
    results: list[Any] = []
    for way, memory in ways:
        try:
            memory.current()
            decoded = way(bytes(body), memory, LIMITS)
            results.append((everything(decoded.batch), decoded.rejected.series))
        except (DecodeError, ProtobufError, IndexError):
            results.append("refused")
    assert results[0] == results[1] == results[2]
    try:
        prompb_v2.Request.FromString(bytes(body))
    except ProtobufError:
        assert results[0] == "refused"
