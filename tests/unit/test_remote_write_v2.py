"""Remote write 2.0 bodies: the fast ways and the protobuf library read the same."""

from __future__ import annotations

import contextlib
import itertools
import random
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError as ProtobufError
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config import Limits
from app.errors import DecodeError
from app.labels import Labels, labels_from
from app.store.metrics import Metadata
from ingest import prompb_v2, remote_write_v2
from ingest.batch import STALE_NAN_BITS, MetricBatch
from ingest.families import family_of, kind_of
from ingest.native import from_remote_write
from ingest.remote_write_v2 import WriteCache, decode_request
from ingest.series import SeriesRegistry
from ingest.write_request import WriteRequest
from tests.write_v2 import Series, Symbols, body_of, message_of

LIMITS = Limits()
NOW_MS = 1_700_000_000_000
Row = tuple[Labels, int, Any]


def new_cache(limit: int = 2_000_000) -> WriteCache:
    """A cache that has met nothing."""
    return WriteCache(SeriesRegistry(limit), LIMITS)


def samples_of(batch: MetricBatch) -> list[Row]:
    """(labels, timestamp, value bits) of every sample, sorted."""
    columns = (batch.refs.tolist(), batch.ts_ms.tolist(), batch.values.tolist())
    return sorted((batch.index.labels[ref], ts, struct.pack("<d", v)) for ref, ts, v in zip(*columns, strict=True))


def histograms_of(batch: MetricBatch) -> list[Row]:
    """(labels, timestamp, histogram as text) of every histogram, sorted."""
    rows = batch.histograms
    columns = (rows.refs.tolist(), rows.ts_ms.tolist(), rows.items)
    return sorted((batch.index.labels[ref], ts, repr(h)) for ref, ts, h in zip(*columns, strict=True))


def exemplars_of(batch: MetricBatch) -> list[Row]:
    """(labels, timestamp, (value bits, own labels)) of every exemplar, sorted."""
    rows = batch.exemplars
    columns = (rows.refs.tolist(), rows.ts_ms.tolist(), rows.values.tolist(), rows.labels)
    found = zip(*columns, strict=True)
    return sorted((batch.index.labels[ref], ts, (struct.pack("<d", v), own)) for ref, ts, v, own in found)


def everything(batch: MetricBatch) -> tuple[list[Row], list[Row], list[Row]]:
    """All that is in a batch but metadata."""
    return samples_of(batch), histograms_of(batch), exemplars_of(batch)


def wanted(series: Iterable[Series]) -> tuple[list[Row], list[Row], list[Row]]:
    """What `everything` should give."""
    rows: tuple[list[Row], list[Row], list[Row]] = ([], [], [])
    for one in series:
        labels = labels_from(one.labels)
        rows[0].extend((labels, ts, struct.pack("<d", value)) for ts, value, _ in one.samples)
        rows[1].extend((labels, h.timestamp, repr(from_remote_write(h))) for h in one.histograms)
        rows[2].extend((labels, ts, (struct.pack("<d", v), labels_from(own))) for ts, v, own in one.exemplars)
    return sorted(rows[0]), sorted(rows[1]), sorted(rows[2])


def read(cache: WriteCache, body: bytes) -> WriteRequest:
    """The decoded body."""
    return decode_request(body, cache, LIMITS)


def histogram(ts_ms: int, total: float = 4.5, **fields: Any) -> Any:
    """A histogram of integers with three observations."""
    spans = [prompb_v2.BucketSpan(offset=0, length=2)]
    given = {"count_int": 3, "sum": total, "positive_spans": spans, "positive_deltas": [1, 1], **fields}
    return prompb_v2.Histogram(timestamp=ts_ms, **given)


def custom(ts_ms: int) -> Any:
    """A histogram of floats with bounds of its own."""
    spans = [prompb_v2.BucketSpan(offset=1, length=2)]
    return prompb_v2.Histogram(
        timestamp=ts_ms,
        schema=-53,
        count_float=2.5,
        sum=9.0,
        positive_spans=spans,
        positive_counts=[0.5, 2.0],
        custom_values=[1.0, 2.5, 5.0],
    )


times = st.one_of(st.integers(1_600_000_000_000, 1_800_000_000_000), st.integers(-5, 2**45))
starts = st.one_of(st.just(0), st.integers(1_600_000_000_000, 1_700_000_000_000), st.integers(-5, 2**45))
floats = st.one_of(st.floats(allow_nan=False), st.just(0.0))
names = st.sampled_from(["m", "h_bucket", "s_sum", "é"])
label_sets = st.builds(
    lambda name, rest: {"__name__": name, **rest},
    names,
    st.dictionaries(st.text("abcé", min_size=1, max_size=4), st.text(min_size=1, max_size=300), max_size=3),
)
metadata_of_names = st.fixed_dictionaries(
    {
        name: st.one_of(
            st.none(),
            st.tuples(st.integers(0, 9), st.sampled_from(["", "Help.", "x" * 200]), st.sampled_from(["", "s"])),
        )
        for name in ("m", "h_bucket", "s_sum", "é")
    }
)
exemplars = st.tuples(
    times,
    st.floats(allow_nan=False),
    st.dictionaries(st.text("ab", min_size=1), st.text("xyz", min_size=1), max_size=2),
).filter(lambda exemplar: sum(len(k) + len(v) for k, v in exemplar[2].items()) <= 128)
one_series = st.builds(
    Series,
    label_sets,
    st.lists(st.tuples(times, floats, starts), max_size=12),
    st.one_of(st.just([]), st.lists(st.one_of(times.map(histogram), times.map(custom)), max_size=2)),
    st.one_of(st.just([]), st.lists(exemplars, max_size=2)),
)


def with_metadata(series: Iterable[Series], given: dict[str, tuple[int, str, str] | None]) -> list[Series]:
    """The series, each with the metadata of its metric's name."""
    return [Series(s.labels, s.samples, s.histograms, s.exemplars, given[s.labels["__name__"]]) for s in series]


requests = st.builds(with_metadata, st.lists(one_series, max_size=5), metadata_of_names)


Given = dict[Labels, tuple[int, str, str]]


def check_metadata(last: Given, series: Iterable[Series], told: Iterable[Metadata]) -> None:
    """What a request told is what its series say and did not say the last time; `last` is that, and is updated."""
    news = set()
    for one in series:
        labels, (kind, text, unit) = labels_from(one.labels), one.metadata or (0, "", "")
        if (kind or text or unit) and last.get(labels) != one.metadata:
            family = family_of(labels, kind_of(kind), native=bool(one.histograms))
            news.add(Metadata(family, kind_of(kind), unit, text))
    last.update((labels_from(one.labels), one.metadata) for one in series if one.metadata and any(one.metadata))
    assert set(told) == news


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
        unpacked = [b"\x08" + _varint(ref) for ref in refs]
        parts: list[list[bytes]] = [unpacked if order.random() < 0.3 else [m.SerializeToString() for m in labels]]
        for field in ("samples", "histograms", "exemplars"):
            parts.append([prompb_v2.TimeSeries(**{field: [m]}).SerializeToString() for m in getattr(one, field)])
        parts.append([prompb_v2.TimeSeries(metadata=one.metadata).SerializeToString()])
        series.append(b"".join(_shuffled(parts, order)))
    symbols = [prompb_v2.Request(symbols=[symbol]).SerializeToString() for symbol in request.symbols]
    messages = [b"\x2a" + _varint(len(raw)) + raw for raw in series]
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


def _series(count: int, at_ms: int, start_ms: int = 0) -> list[Series]:
    return [Series({"__name__": "m", "i": str(i)}, [(at_ms, i + at_ms % 7 / 8, start_ms)]) for i in range(count)]


@pytest.mark.parametrize("start_ms", [0, NOW_MS - 1000])
def test_a_repeated_layout_with_new_values_is_read_anew(start_ms: int) -> None:
    """The remembered layout of a request never gives the values of the request it was met in."""
    cache = new_cache()
    for n in range(5):
        request = _series(50, NOW_MS + n, start_ms and start_ms + n)
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
        *_series(300, NOW_MS),
        Series({"__name__": "m", **many}, [(NOW_MS, 2.0, 0)], metadata=(1, "Help.", "s")),
        Series({"__name__": "m", "long": "x" * 5000}, [(NOW_MS + n, float(n), 0) for n in range(2000)]),
    ]
    for body in (body_of(request), body_of(request, symbols)) * 3:
        assert everything(read(cache, body).batch) == wanted(request)


def test_requests_of_any_length_are_read() -> None:
    """More series than there is room for at first, in a body of more than one window."""
    cache = new_cache()
    for n in range(3):
        request = _series(12_000 + n, NOW_MS + n)
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
        series = [Series(one.labels, one.samples, metadata=(2, "x" * 9000, "")) for one in _series(count, NOW_MS)]
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
        *_series(5, NOW_MS),
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


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])
