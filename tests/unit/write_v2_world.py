"""Remote write 2.0 requests to draw from, and what a batch holds in a form that can be compared."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from app.config import Limits
from app.labels import Labels, labels_from
from app.store.metrics import Metadata
from ingest import prompb_v2
from ingest.batch import MetricBatch
from ingest.families import family_of, kind_of
from ingest.native import from_remote_write
from ingest.remote_write_v2 import WriteCache, decode_request
from ingest.series import SeriesRegistry
from ingest.write_request import WriteRequest
from tests.write_v2 import Series

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


def some_series(count: int, at_ms: int, start_ms: int = 0) -> list[Series]:
    return [Series({"__name__": "m", "i": str(i)}, [(at_ms, i + at_ms % 7 / 8, start_ms)]) for i in range(count)]


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
