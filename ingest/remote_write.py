"""Prometheus remote write 1.0: a snappy body → one MetricBatch.

A steady sender repeats its label sets byte for byte, and often whole requests but for values and times: such a layout
is known again by comparing all other bytes at once. Otherwise a loop over the body hops from series to series, looks
the label bytes up, and notes where the samples lie; values and timestamps of all of them are then read by NumPy. A
series not met before, or written in an unusual way, goes through the protobuf library.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError as ProtobufError

from app.config import Limits
from app.errors import DecodeError
from app.histogram import Histogram
from app.store.metrics import Metadata
from ingest import prompb
from ingest.batch import HistogramRows, MetricBatch
from ingest.exemplars import Exemplars
from ingest.layouts import SAMPLE_TAG, USUAL, ZERO, Layouts, Places, with_unusual
from ingest.native import from_remote_write
from ingest.series import RefCache, SeriesRegistry
from ingest.write_request import Rejected, WriteRequest, checked_labels, shown, varint

_SERIES_TAG = _LABEL_TAG = 0x0A
_EXEMPLAR_TAG = _METADATA_TAG = 0x1A


class WriteCache(RefCache[bytes]):
    """What a receiver remembers: label bytes → refs, and the layouts of whole requests."""

    def __init__(self, registry: SeriesRegistry, limit: int = 1_000_000) -> None:
        super().__init__(registry, limit)
        self.layouts = Layouts()


def decode_write_request(body: bytes, cache: WriteCache, limits: Limits) -> WriteRequest:
    """The samples of an uncompressed WriteRequest.

    Bad series are left out and told in `rejected`; raises DecodeError when the body is no WriteRequest at all.
    Not to be called twice at once with one cache.
    """
    known = cache.layouts.find(body, cache.current_index())
    if known is not None:
        read = known.places.read(body)
        if read is not None:
            return WriteRequest(MetricBatch(cache.index, known.places.refs, *read), Rejected())
    try:
        # the second way is for samples in an unusual form behind known label bytes: all through the library, then
        for refs in (cache.current(), None):
            decoded = _read(body, cache, limits, refs)
            if decoded is not None:
                return decoded
    except (IndexError, ProtobufError) as error:
        raise DecodeError(f"not a WriteRequest: {error}") from None
    raise DecodeError("not a WriteRequest")


def _read(body: bytes, cache: WriteCache, limits: Limits, known: dict[bytes, int] | None) -> WriteRequest | None:
    """The request, by the refs known for label bytes; None when samples in an unusual form are in the way of that."""
    get = (known or {}).get
    reader = _Reader(body, cache, limits, known is not None)
    add_ref, add_start, add_end = reader.refs.append, reader.starts.append, reader.ends.append
    size, pos, tail = len(body), 0, USUAL.size
    while pos < size:
        tag, length = body[pos], body[pos + 1]
        pos += 2
        if length > 0x7F:
            length, pos = varint(body, pos - 1)
        end = pos + length
        if end > size:
            raise DecodeError(f"not a WriteRequest: a message at byte {pos} goes past the end of the body")
        if tag != _SERIES_TAG:
            reader.other(tag, pos, end)
            pos = end
            continue
        ref = get(body[pos : end - tail])
        if ref is None or end - tail < pos:
            tail = reader.series(pos, end) or tail
        else:
            add_ref(ref)
            add_start(end - tail)
            add_end(end)
        pos = end
    return reader.finish()


class _Reader:
    """What has been read of one body."""

    def __init__(self, body: bytes, cache: WriteCache, limits: Limits, fast: bool) -> None:
        self.body = body
        self.refs: list[int] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self._zero_refs: list[int] = []
        self._zeros: list[int] = []
        self._cache = cache
        self._limits = limits
        self._fast = fast
        self._label_count = 0
        self._rejected = Rejected()
        self._metadata: list[Metadata] = []
        self._unusual: list[tuple[int, int, float]] = []
        self._histograms: list[tuple[int, int, Histogram]] = []
        self._exemplars = Exemplars()

    def series(self, start: int, end: int) -> int:
        """Takes a series whose samples are not where the last one's were.

        Gives the length of its samples when the next may have its there too, else 0.
        """
        samples = self._end_of_labels(start, end)
        ref = self._cache.refs.get(self.body[start:samples]) if self._fast else None
        if ref is None:
            ref = self._whole(start, end)
            if ref is not None and self._fast:
                self._cache.refs[self.body[start:samples]] = ref
            return 0
        return self._samples(ref, start, samples, end)

    def _whole(self, start: int, end: int) -> int | None:
        """Takes a series through the library; gives its ref when its labels are all before its samples."""
        message = prompb.TimeSeries.FromString(self.body[start:end])
        try:
            ref = self._cache.index.ref(
                checked_labels(((label.name, label.value) for label in message.labels), self._limits)
            )
        except ValueError as error:
            self._rejected.add(str(error))
            return None
        self._unusual += [(ref, s.timestamp, s.value) for s in message.samples]
        self._take_histograms(ref, message.histograms)
        self._exemplars.add_messages(ref, message.exemplars)
        return ref if len(message.labels) == self._label_count else None

    def _take_histograms(self, ref: int, messages: Iterable[Any]) -> None:
        for message in messages:
            try:
                self._histograms.append((ref, message.timestamp, from_remote_write(message)))
            except ValueError as error:
                labels = shown(dict(self._cache.index.labels[ref]))
                self._rejected.add(f"a native histogram of {labels}: {error}")

    def _end_of_labels(self, start: int, end: int) -> int:
        body, pos, self._label_count = self.body, start, 0
        while pos < end and body[pos] == _LABEL_TAG:
            length, pos = varint(body, pos + 1)
            pos += length
            self._label_count += 1
        return min(pos, end)

    def _samples(self, ref: int, start: int, pos: int, end: int) -> int:
        body, begin, usual, zeros, exemplars = self.body, pos, [], [], []
        while pos < end and body[pos] == SAMPLE_TAG:
            if body[pos + 1] == USUAL.length:
                usual.append(pos)
                pos += USUAL.size
            elif body[pos + 1] == ZERO.length:
                zeros.append(pos)
                pos += ZERO.size
            else:
                break
        while pos < end and body[pos] == _EXEMPLAR_TAG:
            length, at = varint(body, pos + 1)
            pos = at + length
            exemplars.append(body[at:pos])
        if pos != end:
            self._whole(start, end)
            return 0
        if exemplars:
            self._exemplars.add_messages(ref, map(prompb.Exemplar.FromString, exemplars))
        self.refs += [ref] * len(usual)
        self.starts += usual
        self.ends += [at + USUAL.size for at in usual]
        self._zero_refs += [ref] * len(zeros)
        self._zeros += zeros
        return 0 if zeros or exemplars else end - begin

    def other(self, tag: int, start: int, end: int) -> None:
        """Takes a field that is no series. Raises DecodeError when it cannot be one of a WriteRequest."""
        wire_type = tag & 7
        if tag == _METADATA_TAG:
            m = prompb.MetricMetadata.FromString(self.body[start:end])
            kind = prompb.METADATA_TYPES[m.type] if m.type < len(prompb.METADATA_TYPES) else "unknown"
            self._metadata.append(Metadata(m.metric_family_name, kind, m.unit, m.help))
        elif wire_type != 2:
            raise DecodeError(f"not a WriteRequest: wire type {wire_type} at byte {start}")

    def finish(self) -> WriteRequest | None:
        """Reads values and timestamps of all series; None when some are not where they usually are."""
        places = self._places()
        read = places.read(self.body)
        if read is None:
            return None
        beside = self._histograms or self._exemplars or self._metadata or self._rejected.series
        if not (self._unusual or beside):
            self._cache.layouts.remember(self.body, places)
        columns = with_unusual(places.refs, *read, self._unusual)
        histograms, exemplars = HistogramRows.of(self._histograms), self._exemplars.rows()
        batch = MetricBatch(self._cache.index, *columns, self._metadata, histograms, exemplars)
        return WriteRequest(batch, self._rejected)

    def _places(self) -> Places:
        starts, ends = np.array(self.starts, np.int64), np.array(self.ends, np.int64)
        counts = (ends - starts) // USUAL.size
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        refs = np.concatenate([np.repeat(np.array(self.refs, np.int32), counts), np.array(self._zero_refs, np.int32)])
        usual = np.repeat(starts, counts) + within * USUAL.size
        return Places(refs, ((USUAL, usual), (ZERO, np.array(self._zeros, np.int64))))
