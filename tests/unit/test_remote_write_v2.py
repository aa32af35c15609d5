"""Remote write 2.0 bodies: the fast ways and the protobuf library read the same."""

from __future__ import annotations

import itertools
import random
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config import Limits
from app.errors import DecodeError
from app.labels import labels_from
from app.store.metrics import STALE_NAN_BITS, Metadata
from app.store.native import varint
from ingest import prompb_v2
from ingest.families import family_of
from ingest.remote_write_v2 import WriteCache
from ingest.series import SeriesRegistry
from tests.unit.write_v2_world import (
    NOW_MS,
    Given,
    check_metadata,
    everything,
    new_cache,
    read,
    requests,
    some_series,
    wanted,
)
from tests.write_v2 import Series, Symbols, body_of, message_of


@settings(max_examples=300, deadline=None)
@given(st.lists(requests, max_size=4), st.randoms(use_true_random=False))
def test_every_way_of_reading_gives_the_same(given_requests: list[list[Series]], order: random.Random) -> None:
    """Whatever a sender writes, in whatever order of requests and symbols, comes out as it was written."""
    cache = new_cache()
    last: Given = {}
    for request in [*given_requests, *given_requests, *given_requests]:
        symbols = Symbols()
        symbols(*order.sample(["m", "b", "__name__", "Help.", *map(str, range(200))], order.choice([0, 0, 200])))
        for body in (body_of(request), body_of(request, symbols)):
            decoded = read(cache, body)
            assert everything(decoded.batch) == wanted(request)
            assert decoded.rejected.series == 0
            check_metadata(last, request, decoded.batch.metadata)


def scattered(request: Any, order: random.Random) -> bytes:
    """The same request with its fields in any order that means the same."""
    series = []
    for one in request.timeseries:
        refs = list(one.labels_refs)
        cut = order.randrange(len(refs) + 1)
        labels = [prompb_v2.TimeSeries(labels_refs=part) for part in (refs[:cut], refs[cut:])]
        unpacked = [b"\x08" + varint(ref) for ref in refs]
        parts: list[list[bytes]] = [unpacked if order.random() < 0.3 else [m.SerializeToString() for m in labels]]
        for field in ("samples", "histograms", "exemplars"):
            parts.append([prompb_v2.TimeSeries(**{field: [m]}).SerializeToString() for m in getattr(one, field)])
        parts.append([prompb_v2.TimeSeries(metadata=one.metadata).SerializeToString()])
        series.append(b"".join(_shuffled(parts, order)))
    symbols = [prompb_v2.Request(symbols=[symbol]).SerializeToString() for symbol in request.symbols]
    messages = [b"\x2a" + varint(len(raw)) + raw for raw in series]
    if order.random() < 0.5:
        return b"".join([*symbols, *messages])
    return b"".join(_shuffled([symbols, messages], order))


def _shuffled(parts: list[list[bytes]], order: random.Random) -> list[bytes]:
    """One list of several that keeps the order within each."""
    picks = [i for i, part in enumerate(parts) for _ in part]
    order.shuffle(picks)
    rest = [iter(part) for part in parts]
    return [next(rest[i]) for i in picks]


@settings(max_examples=300, deadline=None)
@given(requests, st.randoms(use_true_random=False))
def test_fields_in_any_order_are_read(request: list[Series], order: random.Random) -> None:
    """Labels in parts, samples before labels, symbols between series: all that protobuf allows means the same."""
    cache = new_cache()
    for _ in range(3):
        decoded = read(cache, scattered(message_of(request), order))
        assert everything(decoded.batch) == wanted(request)
        assert everything(read(cache, body_of(request)).batch) == wanted(request)


def test_fields_of_later_versions_are_passed_over() -> None:
    """What 2.x may add to a request is no reason to refuse it."""
    request = [Series({"__name__": "m"}, [(NOW_MS, 1.0, 0)], metadata=(1, "Help.", ""))]
    assert everything(read(new_cache(), body_of(request) + b"\x3a\x03new\x40\x01").batch) == wanted(request)


@pytest.mark.parametrize("start_ms", [0, NOW_MS - 1000])
def test_a_repeated_layout_with_new_values_is_read_anew(start_ms: int) -> None:
    """The remembered layout of a request never gives the values of the request it was met in."""
    cache = new_cache()
    for n in range(5):
        request = some_series(50, NOW_MS + n, start_ms and start_ms + n)
        assert everything(read(cache, body_of(request)).batch) == wanted(request)


def test_one_table_may_stand_for_other_series() -> None:
    """The same symbols, named in another order by other series, are other series."""
    cache = new_cache()
    for n in range(6):
        pairs = [("a", "b"), ("b", "a"), ("a", "a"), ("b", "b")][n % 3 :]
        symbols = Symbols()
        symbols("__name__", "m", "a", "b")
        request = [Series({"__name__": "m", name: value}, [(NOW_MS + n, 1.0 + n, 0)]) for name, value in pairs]
        assert everything(read(cache, body_of(request, symbols)).batch) == wanted(request)


def test_one_name_of_a_series_stands_for_another_under_another_table() -> None:
    """The same bytes of label places mean what the request's own table says."""
    cache = new_cache()
    for n in range(9):
        request = [Series({"__name__": "m", "i": "abc"[n % 3]}, [(NOW_MS + n, 1.0, 0)])]
        assert everything(read(cache, body_of(request)).batch) == wanted(request)


def test_tables_and_series_of_all_sizes_are_read() -> None:
    """Places of one, two and three bytes, and series and symbols of more than 127 bytes."""
    cache = new_cache()
    symbols = Symbols()
    symbols(*(f"s{i}" for i in range(20_000)))
    many = {f"label_{i}": f"value_{i}" for i in range(60)}
    request = [
        *some_series(300, NOW_MS),
        Series({"__name__": "m", **many}, [(NOW_MS, 2.0, 0)], metadata=(1, "Help.", "s")),
        Series({"__name__": "m", "long": "x" * 5000}, [(NOW_MS + n, float(n), 0) for n in range(2000)]),
    ]
    for body in (body_of(request), body_of(request, symbols)) * 3:
        assert everything(read(cache, body).batch) == wanted(request)


def test_requests_of_any_length_are_read() -> None:
    """More series than there is room for at first, in a body of more than one window."""
    cache = new_cache()
    for n in range(3):
        request = some_series(12_000 + n, NOW_MS + n)
        assert everything(read(cache, body_of(request)).batch) == wanted(request)


def test_more_tables_than_are_remembered() -> None:
    """The tables met last are remembered, and one that was forgotten is read anew."""
    cache = new_cache()
    for n in range(400):
        request = [Series({"__name__": "m", "i": str(n % 100)}, [(NOW_MS + n, n % 3 / 2, 0)])]
        assert everything(read(cache, body_of(request)).batch) == wanted(request)
    assert len(cache.tables) == 64


def test_series_without_end_under_one_table_do_not_fill_the_memory() -> None:
    """The bound on what is remembered holds for series told apart by the order of their labels alone."""
    cache = WriteCache(SeriesRegistry(), Limits(cached_series=100))
    names = [f"label_{i}" for i in range(8)]
    for orders in (list(itertools.permutations(names))[start : start + 50] for start in range(0, 1000, 50)):
        symbols = Symbols()
        symbols("__name__", "m", *names, "x")
        labels = [{"__name__": "m", **dict.fromkeys(order, "x")} for order in orders]
        request = [Series(one, [(NOW_MS, 1.0, 0)]) for one in labels]
        assert everything(read(cache, body_of(request, symbols)).batch) == wanted(request)
        assert sum(len(table.refs or ()) for table in cache.tables) <= 150
        assert len(cache.refs) <= 150


def test_a_series_shorter_than_its_labels_is_refused() -> None:
    """Label places met before do not hide that they go past the end of their series."""
    cache = new_cache()
    body = body_of([Series({"__name__": "m"}, [(NOW_MS, n, 0)]) for n in (1.0, 0.0)])
    for _ in range(3):
        read(cache, body)
    short = body.replace(b"\x2a\x0d\x0a\x02\x01\x02", b"\x2a\x03\x0a\x02\x01\x02")
    assert short != body
    with pytest.raises(DecodeError):
        read(cache, short)


def test_a_stale_marker_keeps_its_bits() -> None:
    """The payload of Prometheus's stale NaN survives, also as the sum of a histogram."""
    stale = struct.unpack("<d", struct.pack("<Q", STALE_NAN_BITS))[0]
    ended = prompb_v2.Histogram(sum=stale, timestamp=NOW_MS)
    request = [Series({"__name__": "m"}, [(NOW_MS, stale, 0)]), Series({"__name__": "h"}, histograms=[ended])]
    batch = read(new_cache(), body_of(request)).batch
    assert batch.values.view(np.uint64).tolist() == [STALE_NAN_BITS]
    assert struct.pack("<d", batch.histograms.items[0].sum) == struct.pack("<Q", STALE_NAN_BITS)


def test_a_new_index_is_not_given_refs_of_the_old_one() -> None:
    """When the series index is replaced, all that was remembered of symbols and layouts is forgotten with it."""
    cache = new_cache(limit=3)
    for n in range(12):
        request = [Series({"__name__": "m", "i": str(n % 5)}, [(NOW_MS + n, 1.0, 0)])]
        assert everything(read(cache, body_of(request)).batch) == wanted(request)


def test_symbols_over_the_bound_start_anew() -> None:
    """Symbols without end cost time, and no series is taken for another."""
    cache = WriteCache(SeriesRegistry(), Limits(cached_series=10))
    for n in range(30):
        request = [Series({"__name__": "m", "i": str(i)}, [(NOW_MS + n, 1.0, 0)]) for i in range(n, n + 5)]
        assert everything(read(cache, body_of(request)).batch) == wanted(request)
        assert len(cache.numbers.texts) < 30


def test_metadata_is_told_once_and_again_when_it_changes() -> None:
    """A family is told the first time, when its metadata changes, and when it changes back."""
    cache = new_cache()
    told = []
    for n, text in enumerate(["Old.", "Old.", "Old.", "New.", "New.", "Old.", "Old."]):
        request = [
            Series({"__name__": "m", "i": str(i)}, [(NOW_MS + n, 1.0, 0)], metadata=(1, text, "s")) for i in "ab"
        ]
        told.append(list(read(cache, body_of(request)).batch.metadata))
    old, new = ([Metadata("m", "counter", "s", text)] for text in ("Old.", "New."))
    assert told == [old, [], [], new, [], old, []]


def test_metadata_that_was_not_kept_is_told_again() -> None:
    """After `forget_metadata` the next request tells what it has, though its layout is known."""
    cache = new_cache()
    request = [Series({"__name__": "m"}, [(NOW_MS, 1.0, 0)], metadata=(2, "Help.", ""))]
    gauge = [Metadata("m", "gauge", "", "Help.")]
    assert [list(read(cache, body_of(request)).batch.metadata) for _ in range(2)] == [gauge, []]
    cache.forget_metadata()
    assert [list(read(cache, body_of(request)).batch.metadata) for _ in range(2)] == [gauge, []]


def test_a_help_text_too_long_to_be_remembered_is_told_with_every_request_that_is_read_anew() -> None:
    """It is metadata all the same, and its samples are as any others."""
    cache = new_cache()
    for count in (1, 2, 3):
        series = [Series(one.labels, one.samples, metadata=(2, "x" * 9000, "")) for one in some_series(count, NOW_MS)]
        decoded = read(cache, body_of(series))
        assert [m.help for m in decoded.batch.metadata] == ["x" * 9000]
        assert everything(decoded.batch) == wanted(series)


@pytest.mark.parametrize(
    ("labels", "kind", "native", "family"),
    [
        ({"__name__": "a_total"}, "counter", False, "a_total"),
        ({"__name__": "a_bucket", "le": "1"}, "histogram", False, "a"),
        ({"__name__": "a_sum"}, "histogram", False, "a"),
        ({"__name__": "a_count"}, "summary", False, "a"),
        ({"__name__": "a_count", "quantile": "0.5"}, "summary", False, "a_count"),
        ({"__name__": "a_gcount"}, "gaugehistogram", False, "a"),
        ({"__name__": "a_count"}, "histogram", True, "a_count"),
        ({"__name__": "a_count"}, "gauge", False, "a_count"),
        ({"__name__": "a_info"}, "info", False, "a_info"),
    ],
)
def test_families_are_named_as_in_the_text_format(labels: dict[str, str], kind: str, native: bool, family: str) -> None:
    """The suffix of a series of a histogram or summary is not part of its family's name."""
    assert family_of(labels_from(labels), kind, native) == family
