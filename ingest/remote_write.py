"""Prometheus remote write 1.0: a snappy body → one MetricBatch.

A steady sender repeats its label sets byte for byte, and often whole requests but for values and times: such a layout
is known again by comparing all other bytes at once. Otherwise a loop over the body hops from series to series, looks
the label bytes up, and notes where the samples lie; values and timestamps of all of them are then read by NumPy. A
series not met before, or written in an unusual way, goes through the protobuf library.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cramjam
import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError as ProtobufError

from app.config import Limits
from app.errors import DecodeError
from app.histogram import Histogram
from app.labels import METRIC_NAME, Labels, labels_from
from app.store.metrics import Metadata
from ingest import prompb
from ingest.batch import HistogramRows, MetricBatch
from ingest.exemplars import Exemplars
from ingest.native import from_remote_write
from ingest.series import RefCache, SeriesIndex, SeriesRegistry

# A sample as every sender writes it: field 2, 16 bytes: a double, and a timestamp of six varint bytes (1971 to 2109).
# A value of zero is left out, as the format has it, and leaves 7 bytes.
_SAMPLE_BYTES, _ZERO_BYTES = 18, 9
_SAMPLE_MARKS, _ZERO_MARKS = ((0, 0x12), (1, 0x10), (2, 0x09), (11, 0x10)), ((0, 0x12), (1, 0x07), (2, 0x10))
_VALUE, _TIME, _ZERO_TIME = slice(3, 11), slice(12, 18), slice(3, 9)
_SAMPLE_TAG, _SAMPLE_LENGTH, _ZERO_LENGTH = 0x12, 0x10, 0x07
_TIME_WEIGHTS = np.array([1 << (7 * i) for i in range(6)], np.int64)
_SERIES_TAG = _LABEL_TAG = 0x0A
_EXEMPLAR_TAG = 0x1A
_GLANCE_WORDS = 64
_MAX_LAYOUTS = 64
_SELDOM = 128
_MAX_LAYOUT_BYTES = 4 * 2**20
_MAX_ALL_BYTES = 32 * 2**20
_METADATA_TAG = 0x1A


@dataclass(slots=True)
class Rejected:
    """Series of a request that were not taken: the first one's fault, and how many."""

    first: str = ""
    series: int = 0

    def add(self, reason: str) -> None:
        """Counts one more."""
        self.first = self.first or reason
        self.series += 1


@dataclass(slots=True)
class WriteRequest:
    """A decoded request: what is good, and what was wrong with the rest."""

    batch: MetricBatch
    rejected: Rejected


def decompress(body: bytes, limits: Limits) -> bytes:
    """The bytes of a snappy block. Raises DecodeError when it is none, or larger than `limits.max_decoded_bytes`."""
    size, shift = 0, 0
    for byte in body[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size > limits.max_decoded_bytes:
        raise DecodeError(f"body decodes to {size} bytes (limits.max_decoded_bytes = {limits.max_decoded_bytes})")
    try:
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise DecodeError(f"body is not snappy: {error}") from None


class WriteCache(RefCache[bytes]):
    """What a receiver remembers: label bytes → refs, and the layouts of whole requests."""

    def __init__(self, registry: SeriesRegistry, limit: int = 1_000_000) -> None:
        super().__init__(registry, limit)
        self._layouts: dict[int, list[_Layout]] = {}
        self._layouts_of: SeriesIndex | None = None
        self._since_hit = 0
        self._layout_bytes = 0

    def layout(self, body: bytes) -> _Layout | None:
        """The layout this body has in every byte that is no value and no time, if it was met before."""
        if self._layouts_of is not self.current_index():
            self._layouts, self._layouts_of = {}, self.index
            return None
        alike = self._layouts.get(len(body), ())
        words = _words(body) if alike else None
        found = next((layout for layout in alike if layout.fits(words)), None) if words is not None else None
        self._since_hit = self._since_hit + 1 if found is None else 0
        return found

    def remember(self, body: bytes, places: _Places) -> None:
        """Keeps the layout of a body whose samples are all of the usual forms."""
        if len(body) > _MAX_LAYOUT_BYTES:
            return
        # senders that never repeat themselves should not pay for it: one request in so many is tried from then on
        if self._since_hit > _MAX_LAYOUTS and self._since_hit % _SELDOM > 1:
            return
        self._layout_bytes += 3 * len(body)
        if sum(map(len, self._layouts.values())) >= _MAX_LAYOUTS or self._layout_bytes > _MAX_ALL_BYTES:
            self._layouts.clear()
            self._layout_bytes = 3 * len(body)
        self._layouts.setdefault(len(body), []).append(_Layout.of(body, places))


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the samples of a body begin, and of which series: those with a value first, then those of value zero."""

    refs: npt.NDArray[np.int32]
    usual: npt.NDArray[np.int64]
    zero: npt.NDArray[np.int64]

    def read(self, body: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]] | None:
        """(timestamps, values); None when one of the places holds no sample of its form."""
        rows = _rows(body, self.usual, _SAMPLE_BYTES, _SAMPLE_MARKS, _TIME)
        zeros = _rows(body, self.zero, _ZERO_BYTES, _ZERO_MARKS, _ZERO_TIME)
        if rows is None or zeros is None:
            return None
        values = np.zeros(len(self.refs))
        values[: len(rows)] = np.ascontiguousarray(rows[:, _VALUE]).view("<f8").ravel()
        return np.concatenate([_times(rows[:, _TIME]), _times(zeros[:, _ZERO_TIME])]), values


@dataclass(frozen=True, slots=True)
class _Layout:
    """A request's bytes with those of values and times set to zero, and where its samples are."""

    frame: npt.NDArray[np.uint64]
    mask: npt.NDArray[np.uint64]
    places: _Places

    @classmethod
    def of(cls, body: bytes, places: _Places) -> _Layout:
        mask = np.full(-(-len(body) // 8) * 8, 0xFF, np.uint8)
        for begins, part in ((places.usual, _VALUE), (places.usual, _TIME), (places.zero, _ZERO_TIME)):
            mask[(begins[:, None] + np.arange(part.start, part.stop)).ravel()] = 0
        words = mask.view(np.uint64)
        return cls(_words(body) & words, words, places)

    def fits(self, words: npt.NDArray[np.uint64]) -> bool:
        # most that differ do so early
        for part in (slice(_GLANCE_WORDS), slice(_GLANCE_WORDS, None)):
            if not np.array_equal(words[part] & self.mask[part], self.frame[part]):
                return False
        return True


def _words(body: bytes) -> npt.NDArray[np.uint64]:
    return np.frombuffer(body + bytes(-len(body) % 8), np.uint64)


def decode_write_request(body: bytes, cache: WriteCache, limits: Limits) -> WriteRequest:
    """The samples of an uncompressed WriteRequest.

    Bad series are left out and told in `rejected`; raises DecodeError when the body is no WriteRequest at all.
    Not to be called twice at once with one cache.
    """
    known = cache.layout(body)
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
    size, pos, tail = len(body), 0, _SAMPLE_BYTES
    while pos < size:
        tag, length = body[pos], body[pos + 1]
        pos += 2
        if length > 0x7F:
            length, pos = _varint(body, pos - 1)
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
            ref = self._cache.index.ref(_labels(message, self._limits))
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
                labels = _shown(dict(self._cache.index.labels[ref]))
                self._rejected.add(f"a native histogram of {labels}: {error}")

    def _end_of_labels(self, start: int, end: int) -> int:
        body, pos, self._label_count = self.body, start, 0
        while pos < end and body[pos] == _LABEL_TAG:
            length, pos = _varint(body, pos + 1)
            pos += length
            self._label_count += 1
        return min(pos, end)

    def _samples(self, ref: int, start: int, pos: int, end: int) -> int:
        body, begin, usual, zeros, exemplars = self.body, pos, [], [], []
        while pos < end and body[pos] == _SAMPLE_TAG:
            if body[pos + 1] == _SAMPLE_LENGTH:
                usual.append(pos)
                pos += _SAMPLE_BYTES
            elif body[pos + 1] == _ZERO_LENGTH:
                zeros.append(pos)
                pos += _ZERO_BYTES
            else:
                break
        while pos < end and body[pos] == _EXEMPLAR_TAG:
            length, at = _varint(body, pos + 1)
            pos = at + length
            exemplars.append(body[at:pos])
        if pos != end:
            self._whole(start, end)
            return 0
        if exemplars:
            self._exemplars.add_messages(ref, map(prompb.Exemplar.FromString, exemplars))
        self.refs += [ref] * len(usual)
        self.starts += usual
        self.ends += [at + _SAMPLE_BYTES for at in usual]
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
            self._cache.remember(self.body, places)
        refs, (ts_ms, values) = places.refs, read
        if self._unusual:
            more = list(zip(*self._unusual, strict=True))
            refs = np.concatenate([refs, np.array(more[0], np.int32)])
            ts_ms = np.concatenate([ts_ms, np.array(more[1], np.int64)])
            values = np.concatenate([values, np.array(more[2], np.float64)])
        histograms, exemplars = HistogramRows.of(self._histograms), self._exemplars.rows()
        batch = MetricBatch(self._cache.index, refs, ts_ms, values, self._metadata, histograms, exemplars)
        return WriteRequest(batch, self._rejected)

    def _places(self) -> _Places:
        starts, ends = np.array(self.starts, np.int64), np.array(self.ends, np.int64)
        counts = (ends - starts) // _SAMPLE_BYTES
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        refs = np.concatenate([np.repeat(np.array(self.refs, np.int32), counts), np.array(self._zero_refs, np.int32)])
        usual = np.repeat(starts, counts) + within * _SAMPLE_BYTES
        return _Places(refs, usual, np.array(self._zeros, np.int64))


def _rows(
    body: bytes, begins: npt.NDArray[np.int64], size: int, marks: tuple[tuple[int, int], ...], time: slice
) -> npt.NDArray[np.uint8] | None:
    """The bytes of samples of one form, a row each; None when one of them is of another form."""
    if not len(begins):
        return np.empty((0, size), np.uint8)
    rows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(body, np.uint8), size)[begins]
    if not all((rows[:, column] == mark).all() for column, mark in marks):
        return None
    usual_time = (rows[:, time.start : time.stop - 1] >= 0x80).all() and (rows[:, time.stop - 1] < 0x80).all()
    return rows if usual_time else None


def _times(varints: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Milliseconds of timestamps of six varint bytes."""
    return np.asarray((varints & 0x7F).astype(np.int64) @ _TIME_WEIGHTS)


def _labels(message: object, limits: Limits) -> Labels:
    """The canonical label set of a TimeSeries. Raises ValueError saying what is wrong with it."""
    found: dict[str, str] = {}
    for label in message.labels:  # type: ignore[attr-defined]
        try:
            name, value = label.name.decode(), label.value.decode()
        except UnicodeDecodeError:
            raise ValueError(f"label {label.name!r} is not UTF-8") from None
        if name in found:
            raise ValueError(f"label {name!r} is given twice in {_shown(found)}")
        if not name:
            raise ValueError(f"a label without a name in {_shown(found)}")
        if len(label.name) > limits.max_label_name_bytes:
            raise ValueError(
                f"label name {name[:50]!r}… is too long (limits.max_label_name_bytes = {limits.max_label_name_bytes})"
            )
        if len(label.value) > limits.max_label_value_bytes:
            bound = limits.max_label_value_bytes
            raise ValueError(f"the value of label {name!r} is too long (limits.max_label_value_bytes = {bound})")
        found[name] = value
    if not found.get(METRIC_NAME):
        raise ValueError(f"no metric name in {_shown(found)}")
    if len(found) > limits.max_labels_per_series:
        raise ValueError(
            f"{len(found)} labels in {_shown(found)} (limits.max_labels_per_series = {limits.max_labels_per_series})"
        )
    return labels_from(found)


def _shown(labels: dict[str, str]) -> str:
    text = "{" + ", ".join(f'{k}="{v}"' for k, v in labels.items()) + "}"
    return text if len(text) <= 300 else text[:300] + "…"


def _varint(body: bytes, pos: int) -> tuple[int, int]:
    """(value, position after it) of the varint at `pos`. Raises IndexError past the end."""
    value, shift = 0, 0
    while True:
        byte = body[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
        shift += 7
        if shift > 63:
            raise DecodeError(f"a varint at byte {pos} does not end")
