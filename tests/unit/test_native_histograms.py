"""Native histograms in remote write bodies: what is read, and what is refused."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest

from app.config import Limits
from app.histogram import Histogram
from app.labels import labels_from
from app.store.metrics import STALE_NAN_BITS
from ingest import prompb
from ingest.batch import STALE_NAN, MetricBatch
from ingest.native import from_remote_write
from ingest.remote_write import WriteCache, decode_write_request
from ingest.series import SeriesRegistry

NOW_MS = 1_700_000_000_000


def spans(*pairs: tuple[int, int]) -> list[Any]:
    """Spans of (offset, length)."""
    return [prompb.BucketSpan(offset=offset, length=length) for offset, length in pairs]


def integers(**fields: Any) -> Any:
    """A histogram of integer buckets: 3 in (0.5, 1], 5 in (1, 2], 1 in (8, 16], 2 in [-2, -1), 4 at zero."""
    return prompb.Histogram(
        **{
            "count_int": 15,
            "sum": 18.5,
            "zero_threshold": 0.001,
            "zero_count_int": 4,
            "positive_spans": spans((0, 2), (2, 1)),
            "positive_deltas": [3, 2, -4],
            "negative_spans": spans((1, 1)),
            "negative_deltas": [2],
            "timestamp": NOW_MS,
            **fields,
        }
    )


def custom(**fields: Any) -> Any:
    """A histogram with the bounds 1 and 5: two up to 1, one above 5."""
    return prompb.Histogram(
        **{
            "count_int": 3,
            "sum": 9.0,
            "schema": -53,
            "custom_values": [1.0, 5.0],
            "positive_spans": spans((0, 1), (1, 1)),
            "positive_deltas": [2, -1],
            "timestamp": NOW_MS,
            **fields,
        }
    )


def read(message: Any) -> Histogram:
    """The histogram, by way of its bytes."""
    return from_remote_write(prompb.Histogram.FromString(message.SerializeToString()))


def buckets(h: Histogram) -> tuple[dict[int, float], dict[int, float]]:
    """(positive, negative) buckets by number."""
    positive, negative = (
        dict(zip(side.index.tolist(), side.count.tolist(), strict=True)) for side in (h.positive, h.negative)
    )
    return positive, negative


def test_integer_buckets_are_deltas_in_spans() -> None:
    """Each count is told by its difference to the one before, each span by its distance."""
    h = read(integers(reset_hint=2))
    assert buckets(h) == ({0: 3.0, 1: 5.0, 4: 1.0}, {1: 2.0})
    assert (h.schema, h.count, h.sum, h.zero_threshold, h.zero_count, h.hint) == (0, 15, 18.5, 0.001, 4, "not_reset")


def test_float_buckets_are_counts() -> None:
    """A histogram is of floats when its count is, though it be zero."""
    floats = {
        "positive_counts": [0.5, 1.5],
        "positive_spans": spans((-3, 2)),
        "positive_deltas": [],
        "negative_spans": [],
    }
    h = read(integers(count_float=2.25, zero_count_float=0.25, negative_deltas=[], reset_hint=3, **floats))
    assert (h.count, h.zero_count, h.hint) == (2.25, 0.25, "gauge")
    assert buckets(h) == ({-3: 0.5, -2: 1.5}, {})
    assert read(prompb.Histogram(count_float=0.0, timestamp=1)).count == 0.0


def test_custom_bounds() -> None:
    """Buckets are numbered by their upper bound, the last has none."""
    h = read(custom())
    assert (h.schema, h.custom_values) == (-53, (1.0, 5.0))
    assert buckets(h) == ({0: 2.0, 2: 1.0}, {})


def test_a_finer_schema_is_taken_at_the_finest_there_is() -> None:
    """Two buckets of schema 9 are one of schema 8."""
    h = read(integers(schema=9, positive_spans=spans((1, 3)), positive_deltas=[3, 2, -4]))
    assert (h.schema, buckets(h)) == (8, ({1: 8.0, 2: 1.0}, {1: 2.0}))


def test_a_marker_is_a_histogram_without_observations() -> None:
    """The sum is the stale marker, to the bit."""
    h = read(prompb.Histogram(sum=STALE_NAN, timestamp=NOW_MS))
    assert struct.unpack("<Q", struct.pack("<d", h.sum))[0] == STALE_NAN_BITS


def test_observations_of_nan_are_in_the_count_alone() -> None:
    """A count above the buckets is right where the sum is NaN."""
    assert read(integers(count_int=16, sum=math.nan)).count == 16.0


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (integers(schema=-5), "its schema is -5"),
        (integers(schema=53), "its schema is 53"),
        (integers(schema=-54), "its schema is -54"),
        (integers(positive_deltas=[3, 2]), "its positive spans have 3 buckets, and there are 2 counts"),
        (integers(negative_spans=spans((1, 4_000_000_000))), "its negative spans have 4000000000 buckets"),
        (integers(positive_spans=spans((0, 2), (-2, 1))), "positive span 2 has the offset -2"),
        (integers(positive_spans=spans((2**31 - 1, 2), (2, 1))), "its positive buckets are numbered"),
        (integers(positive_deltas=[3, -4, 2]), "a positive bucket has a negative count"),
        (integers(count_int=14), "its count is 14, and its buckets have 15 observations"),
        (integers(count_int=16), "its count is 16, and its buckets have 15 observations"),
        (integers(count_int=14, sum=math.nan), "its count is 14"),
        (integers(custom_values=[1.0]), "it has custom bounds, which an exponential schema does not use"),
        (integers(zero_threshold=math.nan), "its zero threshold is nan"),
        (integers(count_float=-1.0, positive_spans=[], negative_spans=[]), "it has a negative count"),
        (custom(custom_values=[5.0, 1.0]), "its custom bounds do not ascend"),
        (custom(custom_values=[1.0, math.nan]), "one of its custom bounds is NaN"),
        (custom(custom_values=[1.0, math.inf]), "its last custom bound is +Inf"),
        (custom(custom_values=[1.0]), "it has 1 custom bounds, too few for bucket 2"),
        (custom(positive_spans=spans((-1, 2))), "positive span 1 has the offset -1"),
        (custom(zero_threshold=0.1), "it has custom bounds, and a zero bucket"),
        (custom(negative_spans=spans((0, 1)), negative_deltas=[0]), "it has custom bounds, and a zero bucket or neg"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(message: Any, reason: str) -> None:
    """The reason says which part is wrong."""
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        read(message)
    assert reason in str(refused.value)


def body(*series: tuple[dict[str, str], list[tuple[int, float]], list[Any]]) -> bytes:
    """A WriteRequest."""
    request = prompb.WriteRequest()
    for labels, samples, histograms in series:
        entry = request.timeseries.add()
        for name, value in labels.items():
            entry.labels.add(name=name.encode(), value=value.encode())
        for ts, number in samples:
            entry.samples.add(timestamp=ts, value=number)
        entry.histograms.extend(histograms)
    return bytes(request.SerializeToString())


def test_good_histograms_are_kept_beside_bad_ones_and_floats() -> None:
    """Each bad histogram is counted, and the first told with its series; requests that repeat are read anew."""
    cache = WriteCache(SeriesRegistry())
    for n in range(4):
        at = NOW_MS + n
        request = body(
            ({"__name__": "h", "a": "1"}, [], [integers(timestamp=at), integers(timestamp=at + 1000, schema=-9)]),
            ({"__name__": "f"}, [(at, float(n))], []),
            ({"__name__": "h", "a": "2"}, [(at, 1.0)], [custom(timestamp=at, sum=float(n))]),
        )
        decoded = decode_write_request(request, cache, Limits())
        batch = decoded.batch
        assert (decoded.rejected.series, len(batch)) == (1, 4)
        assert decoded.rejected.first == (
            'a native histogram of {__name__="h", a="1"}: its schema is -9, not -4 to 8 or -53'
        )
        found = [
            (dict(batch.index.labels[ref]).get("a"), ts, h.sum)
            for ref, ts, h in zip(
                batch.histograms.refs.tolist(), batch.histograms.ts_ms.tolist(), batch.histograms.items, strict=True
            )
        ]
        assert found == [("1", at, 18.5), ("2", at, float(n))]
        assert sorted(zip(batch.values.tolist(), batch.ts_ms.tolist(), strict=True)) == sorted(
            [(float(n), at), (1.0, at)]
        )
        assert batch.index.labels[batch.refs[0]] in (
            labels_from({"__name__": "f"}),
            labels_from({"__name__": "h", "a": "2"}),
        )


def test_histograms_out_of_bounds_are_left_out() -> None:
    """`within` looks at both kinds of samples."""
    request = body(({"__name__": "h"}, [(NOW_MS, 1.0)], [integers(timestamp=NOW_MS + n * 1000) for n in range(3)]))
    batch = decode_write_request(request, WriteCache(SeriesRegistry()), Limits()).batch
    assert batch.within(NOW_MS, NOW_MS + 2000) is batch
    inside = batch.within(NOW_MS + 1000, NOW_MS + 1000)
    assert (len(inside.refs), inside.histograms.ts_ms.tolist(), len(inside)) == (0, [NOW_MS + 1000], 1)
    assert np.array_equal(inside.histograms.refs, batch.histograms.refs[:1])


def test_batches_of_one_index_are_joined_with_their_histograms() -> None:
    """What small requests brought, floats and histograms, is in the one batch they become."""
    cache = WriteCache(SeriesRegistry())
    labels = {"__name__": "h"}
    bodies = (
        body((labels, [(NOW_MS, 1.0)], [])),
        body((labels, [], [integers(timestamp=NOW_MS + 1)])),
        body((labels, [(NOW_MS + 2, 2.0)], [custom(timestamp=NOW_MS + 3), custom(timestamp=NOW_MS + 4)])),
    )
    joined = MetricBatch.joined([decode_write_request(each, cache, Limits()).batch for each in bodies])
    assert (joined.ts_ms.tolist(), joined.values.tolist()) == ([NOW_MS, NOW_MS + 2], [1.0, 2.0])
    assert joined.histograms.ts_ms.tolist() == [NOW_MS + 1, NOW_MS + 3, NOW_MS + 4]
    assert [h.schema for h in joined.histograms.items] == [0, -53, -53]
    assert joined.histograms.refs.tolist() == [joined.refs[0]] * 3
    assert len(joined) == 5
    assert joined.size_bytes > 600
