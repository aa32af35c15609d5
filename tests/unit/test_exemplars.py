"""Exemplars on their way in: which are taken, and of which series they are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config import Limits
from app.labels import Labels, labels_from
from app.telemetry import DROPPED_EXEMPLARS
from ingest import prompb
from ingest.batch import MetricBatch
from ingest.exemplars import Exemplars
from ingest.remote_write import WriteCache, decode_write_request
from ingest.series import SeriesRegistry

NOW_MS = 1_700_000_000_000
TRACE = {"trace_id": "0af7651916cd43dd8448eb211c80319c"}
One = tuple[int, float, dict[str, str]]
Series = tuple[dict[str, str], list[tuple[int, float]], list[One]]


def dropped(reason: str) -> float:
    """How many exemplars this process has dropped for a reason."""
    return DROPPED_EXEMPLARS.labels(reason)._value.get()  # type: ignore[no-any-return]


def found(batch: MetricBatch) -> list[tuple[Labels, int, float, Labels]]:
    """(series, milliseconds, value, labels) of every exemplar, sorted."""
    rows = batch.exemplars
    columns = (rows.refs.tolist(), rows.ts_ms.tolist(), rows.values.tolist(), rows.labels)
    return sorted((batch.index.labels[ref], ts_ms, value, own) for ref, ts_ms, value, own in zip(*columns, strict=True))


def body_of(series: list[Series]) -> bytes:
    """A WriteRequest as the protobuf library writes it."""
    request = prompb.WriteRequest()
    for labels, samples, exemplars in series:
        entry = request.timeseries.add()
        for name, value in labels.items():
            entry.labels.add(name=name.encode(), value=value.encode())
        for ts_ms, number in samples:
            entry.samples.add(timestamp=ts_ms, value=number)
        for ts_ms, number, own in exemplars:
            pairs = [{"name": name.encode(), "value": value.encode()} for name, value in own.items()]
            entry.exemplars.add(timestamp=ts_ms, value=number, labels=pairs)
    return bytes(request.SerializeToString())


def test_exemplar_labels_are_bounded() -> None:
    """128 characters of names and values are taken, one more is counted; empty values do not count."""
    before = dropped("too_long")
    exemplars = Exemplars()
    exemplars.add(0, 1, 1.0, [("trace_id", "é" * 120), ("empty", "")])
    exemplars.add(0, 1, 1.0, [("trace_id", "é" * 121)])
    assert list(exemplars.rows().labels) == [(("trace_id", "é" * 120),)]
    assert dropped("too_long") == before + 1


numbers = st.floats(allow_nan=False)
times = st.integers(1_600_000_000_000, 1_800_000_000_000)
one_series = st.tuples(
    st.sampled_from([{"__name__": "m"}, {"__name__": "n", "a": "b"}, {"__name__": "n", "a": "x" * 200}]),
    st.lists(st.tuples(times, numbers), max_size=3),
    st.lists(
        st.tuples(times, numbers, st.dictionaries(st.text("abé", min_size=1, max_size=3), st.text("xyz"))), max_size=3
    ),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(one_series, max_size=4), max_size=3))
def test_remote_write_exemplars_are_read_beside_samples(requests: list[list[Series]]) -> None:
    """Series with samples, exemplars, both or neither, met before or not: all of them come out, and no other."""
    cache = WriteCache(SeriesRegistry())
    for request in [*requests, *requests]:
        batch = decode_write_request(body_of(request), cache, Limits()).batch
        samples = zip(batch.refs.tolist(), batch.ts_ms.tolist(), batch.values.tolist(), strict=True)
        assert sorted((batch.index.labels[ref], ts_ms, value) for ref, ts_ms, value in samples) == sorted(
            (labels_from(labels), ts_ms, value) for labels, samples, _ in request for ts_ms, value in samples
        )
        assert found(batch) == sorted(
            (labels_from(labels), ts_ms, value, labels_from(own))
            for labels, _, exemplars in request
            for ts_ms, value, own in exemplars
            if sum(len(k) + len(v) for k, v in own.items() if v) <= 128
        )


def test_a_repeated_request_with_exemplars_is_read_whole() -> None:
    """A sender that repeats a request but for values has its exemplars read each time."""
    cache = WriteCache(SeriesRegistry())
    for n in range(4):
        request: list[Series] = [
            ({"__name__": "m", "i": str(i)}, [(NOW_MS + n, 1.0)], [(NOW_MS, 0.5, TRACE)] if i == 7 else [])
            for i in range(20)
        ]
        batch = decode_write_request(body_of(request), cache, Limits()).batch
        assert len(batch.refs) == 20
        assert found(batch) == [(labels_from({"__name__": "m", "i": "7"}), NOW_MS, 0.5, labels_from(TRACE))]


@pytest.mark.parametrize("known", [False, True])
def test_an_exemplar_that_cannot_be_read_costs_no_sample(known: bool) -> None:
    """Labels that are not UTF-8 drop the exemplar, counted, and neither its series nor its request."""
    cache = WriteCache(SeriesRegistry())
    if known:
        decode_write_request(body_of([({"__name__": "m"}, [(NOW_MS, 1.0)], [])]), cache, Limits())
    before = dropped("malformed")
    request = prompb.WriteRequest.FromString(body_of([({"__name__": "m"}, [(NOW_MS, 1.0)], [(NOW_MS, 2.0, TRACE)])]))
    request.timeseries[0].exemplars.add(value=3.0, timestamp=NOW_MS, labels=[{"name": b"a", "value": b"\xff"}])
    decoded = decode_write_request(bytes(request.SerializeToString()), cache, Limits())
    assert (len(decoded.batch.refs), decoded.rejected.series) == (1, 0)
    assert found(decoded.batch) == [((("__name__", "m"),), NOW_MS, 2.0, labels_from(TRACE))]
    assert dropped("malformed") == before + 1
