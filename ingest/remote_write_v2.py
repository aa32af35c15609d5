"""Prometheus remote write 2.0: an uncompressed `io.prometheus.write.v2.Request` → one MetricBatch.

As with 1.0, a request that repeats one before but for values and times is known by its other bytes. Of any other,
NumPy finds where its series begin, looks up the refs by what names them (the bytes of their label places under a table
of symbols met before, else the numbers of their symbols), and finds their samples and metadata, for all of them at
once. What is left in a series behind its samples (histograms, exemplars), and requests that are written in an unusual
way, go through the protobuf library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError as ProtobufError

from app.config import Limits
from app.errors import DecodeError
from app.histogram import Histogram
from app.labels import labels_from
from app.store.metrics import Metadata
from ingest import prompb_v2
from ingest.batch import HistogramRows, MetricBatch
from ingest.exemplars import MAX_LABEL_CHARACTERS, Exemplars, fits
from ingest.families import Marks, family_of, kind_of, mark_of, metadata_of, read_marks
from ingest.fields import each, runs, slices
from ingest.layouts import SAMPLE_TAG, STARTED, USUAL, ZERO, ZERO_STARTED, Layouts, Places, with_unusual
from ingest.native import from_remote_write
from ingest.series import RefCache, SeriesRegistry
from ingest.symbols import NO_NUMBER, SYMBOL_TAG, Numbers, SymbolTable, Tables, check_count, read_places
from ingest.write_request import Rejected, WriteRequest, checked_labels, shown

_SERIES_TAG = 0x2A
_LABELS_TAG = 0x0A
_RESERVED_TAGS = (0x0A, 0x12, 0x1A)
_FORMS = (USUAL, ZERO, STARTED, ZERO_STARTED)
_FORM_OF_LENGTH = np.full(256, -1, np.int8)
_FORM_OF_LENGTH[[form.length for form in _FORMS]] = range(len(_FORMS))
_SIZES = np.array([form.size for form in _FORMS], np.int64)
_FEW, _ROUNDS = 16, 8
# behind the end of a body, so that what is looked at ahead is there: a length, label places and a form
_AHEAD = bytes(300)


class WriteCache(RefCache[bytes]):
    """What a receiver remembers: symbols, refs by the numbers of labels, the layouts of requests, metadata told."""

    def __init__(self, registry: SeriesRegistry, limits: Limits) -> None:
        super().__init__(registry, limits.cached_series)
        self._longest = max(limits.max_label_name_bytes, limits.max_label_value_bytes)
        self.layouts = Layouts()
        self._forgets = False
        self._renew()

    def _renew(self) -> None:
        self.numbers = Numbers(self._longest, self._limit)
        self.tables = Tables(self._limit)
        self.told = Marks()
        self._numbered: dict[bytes, int] = {}
        self.refs = self._numbered

    def current(self) -> dict[bytes, int]:
        """The refs by the numbers of label symbols that are valid now."""
        refs = super().current()
        if refs is not self._numbered or self.numbers.full:
            self._renew()
        if self._forgets:
            self._forgets = False
            self.told.clear()
            self.layouts.clear()
        return self.refs

    def forget_metadata(self) -> None:
        """What was told of metrics was not kept: it is told again. May be called from any thread."""
        self._forgets = True


def decode_request(body: bytes, cache: WriteCache, limits: Limits) -> WriteRequest:
    """The samples of an uncompressed Request, and its metadata where they are news.

    Bad series, histograms and exemplars are left out and told in `rejected`; raises DecodeError when the body is no
    Request at all. Not to be called twice at once with one cache.
    """
    known = cache.layouts.find(body, cache.current_index())
    if known is not None:
        read = known.places.read(body)
        if read is not None:
            return WriteRequest(MetricBatch(cache.index, known.places.refs, *read), Rejected())
    try:
        return _read(body, cache, limits) or _read_one_by_one(body, cache, limits)
    except (IndexError, ProtobufError) as error:
        raise DecodeError(f"not a Request: {error}") from None


def _read(body: bytes, cache: WriteCache, limits: Limits) -> WriteRequest | None:
    """The request; None when it has other fields between its series, or samples in an unusual form."""
    size, padded = len(body), body + _AHEAD
    buffer = np.frombuffer(padded, np.uint8)
    table, at = cache.tables.read(padded, buffer, size, cache.numbers)
    reader = _Reader(body, padded, table, cache, limits)
    for begins, ends in runs(buffer, at, size, _SERIES_TAG):
        at = int(ends[-1])
        if at > size:
            raise DecodeError(f"not a Request: the series at byte {begins[-1]} goes past the end of the body")
        reader.all(begins, ends)
    return reader.finish() if at == size else None


def _read_one_by_one(body: bytes, cache: WriteCache, limits: Limits) -> WriteRequest:
    symbols = []
    for tag, begin, end in each(body, "Request"):
        if tag in _RESERVED_TAGS:
            raise DecodeError(f"not a Request: it has field {tag >> 3}, as a WriteRequest of remote write 1.0")
        if tag == SYMBOL_TAG:
            symbols.append(body[begin:end])
            check_count(len(symbols))
    reader = _Reader(body, body, SymbolTable.of(symbols, cache.numbers), cache, limits)
    for tag, begin, end in each(body, "Request"):
        if tag == _SERIES_TAG:
            reader.message(begin, prompb_v2.TimeSeries.FromString(body[begin:end]))
    decoded = reader.finish()
    assert decoded is not None  # only places can be wrong, and there are none
    return decoded


class _Reader:
    """What has been read of one body; `padded` is the body with bytes behind its end."""

    def __init__(self, body: bytes, padded: bytes, table: SymbolTable, cache: WriteCache, limits: Limits) -> None:
        self._body = body
        self._padded = padded
        self._buffer = np.frombuffer(padded, np.uint8)
        self._table = table
        self._cache = cache
        self._limits = limits
        self._samples: list[list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]]] = [[] for _ in _FORMS]
        self._unusual: list[tuple[int, int, float]] = []
        self._histograms: list[tuple[int, int, Histogram]] = []
        self._exemplars = Exemplars()
        self._rejected = Rejected()
        self._first_bad = len(body)
        self._metadata: dict[str, Metadata] = {}
        self._told: list[tuple[int, int]] = []

    # --- many series at once

    def all(self, begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> None:
        """Takes the series that begin and end at these places."""
        if self._table.refs:
            # label places of less than 128 bytes, as nearly all are
            stops = (begins + 2 + self._buffer[begins + 1]).tolist()
            get = self._table.refs.get
            refs = np.array([get(key, -1) for key in slices(self._padded, begins.tolist(), stops)], np.int32)
            known = refs >= 0
            self._known(refs[known], begins[known], ends[known])
            begins, ends = begins[~known], ends[~known]
        if len(begins):
            self._new(begins, ends)

    def _new(self, begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> None:
        """Takes series whose label places say nothing yet."""
        sizes = self._buffer[begins + 1].astype(np.int64)
        stops = begins + 2 + sizes
        plain = (self._buffer[begins] == _LABELS_TAG) & (sizes > 0) & (sizes < 0x80) & (stops <= ends)
        plain &= self._buffer[stops - 1] < 0x80
        self._whole(begins[~plain], ends[~plain])
        begins, ends, sizes = begins[plain], ends[plain], sizes[plain]
        if not len(begins):
            return
        found, bounds = read_places(self._buffer, begins + 2, sizes)
        numbers = self._table.numbers_at(found)
        good = np.diff(bounds) % 2 == 0
        if numbers.max() == NO_NUMBER:
            good &= np.logical_and.reduceat(numbers != NO_NUMBER, bounds[:-1])
        self._whole(begins[~good], ends[~good])
        refs = self._resolve(numbers, bounds, begins, good)
        self._note(begins, sizes, refs)
        taken = refs >= 0
        self._known(refs[taken], begins[taken], ends[taken])

    def _resolve(
        self,
        numbers: npt.NDArray[np.uint32],
        bounds: npt.NDArray[np.int64],
        begins: npt.NDArray[np.int64],
        good: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.int32]:
        """The ref of each series by the numbers of its symbols; -1 for one that is not taken, or not `good`."""
        raw, known = numbers.tobytes(), self._cache.refs
        marks = (4 * bounds).tolist()
        keys = slices(raw, marks, marks[1:])
        refs = list(map(known.get, keys))
        if not good.all():
            refs = [ref if fine else -1 for ref, fine in zip(refs, good.tolist(), strict=True)]
        if None in refs:
            for i in [i for i, ref in enumerate(refs) if ref is None]:
                ref = self._new_ref(int(begins[i]), numbers[bounds[i] : bounds[i + 1]].tolist())
                refs[i] = ref
                if ref != -1:
                    known[keys[i]] = ref
        return np.array(refs, np.int32)

    def _new_ref(self, begin: int, numbers: Sequence[int]) -> int:
        texts = [self._cache.numbers.texts[number] for number in numbers]
        return self._ref(begin, lambda: list(zip(texts[::2], texts[1::2], strict=True)))

    def _note(self, begins: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], refs: npt.NDArray[np.int32]) -> None:
        """Series of a table that was met before are known by their label places from now on."""
        known = self._table.refs
        if known is None:
            return
        for begin, stop, ref in zip(begins.tolist(), (begins + 2 + sizes).tolist(), refs.tolist(), strict=True):
            if ref >= 0:
                known[self._padded[begin:stop]] = ref
        self._cache.tables.trim()

    def _known(self, refs: npt.NDArray[np.int32], begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> None:
        """Takes series whose label places are first in them and have less than 128 bytes."""
        if not len(refs):
            return
        at = begins + 2 + self._buffer[begins + 1]
        beyond = at > ends
        if beyond.any():
            self._whole(begins[beyond], ends[beyond])
            refs, begins, ends, at = refs[~beyond], begins[~beyond], ends[~beyond], at[~beyond]
        samples = _samples(self._buffer, at, ends)
        marks, more = read_marks(self._buffer, at, ends, self._table)
        for i in np.flatnonzero(more).tolist():
            rest = prompb_v2.TimeSeries.FromString(self._body[at[i] : ends[i]])
            if rest.labels_refs:
                # labels in two parts: neither the ref nor the samples found are its own
                samples = [(members[members != i], starts[members != i]) for members, starts in samples]
                self._whole(begins[i : i + 1], ends[i : i + 1])
            else:
                self._beside(int(begins[i]), int(refs[i]), rest)
        for kept, (members, starts) in zip(self._samples, samples, strict=True):
            if len(members):
                kept.append((refs[members], starts))
        self._tell(refs, marks)

    def _tell(self, refs: npt.NDArray[np.int32], marks: npt.NDArray[np.uint64]) -> None:
        news = self._cache.told.news(refs, marks)
        for ref, mark in zip(refs[news].tolist(), marks[news].tolist(), strict=True):
            self._add_metadata(metadata_of(self._cache.index.labels[ref], mark, self._cache.numbers.texts))
            self._told.append((ref, mark))

    # --- one series, through the library

    def _whole(self, begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> None:
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            self.message(begin, prompb_v2.TimeSeries.FromString(self._body[begin:end]))

    def message(self, begin: int, message: Any) -> None:
        """Takes a TimeSeries message; `begin` is the lower the earlier it is in the body."""
        ref = self._ref(begin, lambda: self._table.pairs(message.labels_refs))
        if ref >= 0:
            self._beside(begin, ref, message)

    def _ref(self, begin: int, pairs: Callable[[], Iterable[tuple[bytes, bytes]]]) -> int:
        """The ref of a label set, -1 when it is bad."""
        try:
            ref = self._cache.index.ref(checked_labels(pairs(), self._limits))
        except ValueError as error:
            self._reject(begin, str(error))
            return -1
        self._cache.told.add(ref)
        return ref

    def _beside(self, begin: int, ref: int, message: Any) -> None:
        """Takes what a TimeSeries message has but labels."""
        self._unusual += [(ref, sample.timestamp, sample.value) for sample in message.samples]
        for histogram in message.histograms:
            try:
                self._histograms.append((ref, histogram.timestamp, from_remote_write(histogram)))
            except ValueError as error:
                self._reject(begin, f"a native histogram of {self._shown(ref)}: {error}")
        for exemplar in message.exemplars:
            self._exemplar(begin, ref, exemplar)
        self._take_metadata(begin, ref, message)

    def _exemplar(self, begin: int, ref: int, message: Any) -> None:
        try:
            pairs = [(name.decode(), value.decode()) for name, value in self._table.pairs(message.labels_refs)]
        except ValueError as error:
            self._exemplars.drop("malformed")
            self._reject(begin, f"an exemplar of {self._shown(ref)}: {error}")
            return
        if not fits(labels_from(pairs)):
            bound = f"its labels have more than {MAX_LABEL_CHARACTERS} characters"
            self._reject(begin, f"an exemplar of {self._shown(ref)}: {bound}")
        self._exemplars.add(ref, message.timestamp, message.value, pairs)

    def _take_metadata(self, begin: int, ref: int, message: Any) -> None:
        found, table = message.metadata, self._table
        refs = (found.help_ref, found.unit_ref)
        if max(refs) >= max(len(table.symbols), 1):
            number = max(refs)
            self._reject(begin, f"metadata of {self._shown(ref)}: symbol {number} of {len(table.symbols)}")
            return
        # without a symbol there is none: the first is the empty one, whatever a sender has put there
        help_text, unit = (table.symbols[place].decode(errors="replace") if place else "" for place in refs)
        if not (found.type or help_text or unit):
            return
        numbers = [table.number(place) if place else 0 for place in refs]
        mark = mark_of(found.type, *numbers) if 0 <= found.type < 0x80 and NO_NUMBER not in numbers else 0
        if mark and self._cache.told.by_ref[ref] == mark:
            return
        kind = kind_of(found.type)
        family = family_of(self._cache.index.labels[ref], kind, native=bool(message.histograms))
        self._add_metadata(Metadata(family, kind, unit, help_text))
        if mark:
            self._told.append((ref, mark))

    def _add_metadata(self, found: Metadata) -> None:
        self._metadata[found.family] = found

    def _reject(self, begin: int, reason: str) -> None:
        if begin <= self._first_bad:
            self._first_bad, self._rejected.first = begin - 1, reason
        self._rejected.series += 1

    def _shown(self, ref: int) -> str:
        return shown(dict(self._cache.index.labels[ref]))

    # --- all of it

    def finish(self) -> WriteRequest | None:
        """Reads values and timestamps of all series; None when some are not where they usually are."""
        found = self._places()
        read = found.read(self._body)
        if read is None:
            return None
        self._note_told()
        if not (self._unusual or self._histograms or self._exemplars or self._rejected.series):
            self._cache.layouts.remember(self._body, found)
        columns = with_unusual(found.refs, *read, self._unusual)
        beside = HistogramRows.of(self._histograms), self._exemplars.rows()
        batch = MetricBatch(self._cache.index, *columns, list(self._metadata.values()), *beside)
        return WriteRequest(batch, self._rejected)

    def _places(self) -> Places:
        """Where the samples are of which the form is known."""
        refs = [refs for kept in self._samples for refs, _ in kept]
        forms = tuple(
            (form, np.concatenate([begins for _, begins in kept]))
            for form, kept in zip(_FORMS, self._samples, strict=True)
            if kept
        )
        none = np.empty(0, np.int64)
        return Places(np.concatenate([none.astype(np.int32), *refs]), forms or ((USUAL, none),))

    def _note_told(self) -> None:
        told = self._cache.told.by_ref
        for ref, mark in self._told:
            if told[ref] not in (0, mark):
                # a layout met before may be of the time before this changed
                self._cache.layouts.clear()
            told[ref] = mark


_Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def _samples(buffer: npt.NDArray[np.uint8], at: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> list[_Found]:
    """(of which series, where) of the samples of each form, of series that have samples at `at`; moves it behind them.

    Those of which the form is none of ours are left where they are.
    """
    none = np.empty(0, np.int64)
    found: list[list[_Found]] = [[(none, none)] for _ in _FORMS]
    live, rounds = np.arange(len(at)), 0
    # a round for a few series takes longer than the library for the rest of them
    while len(live) >= _FEW or rounds < _ROUNDS:
        begins = at[live]
        here = buffer[begins] == SAMPLE_TAG
        if not here.any():
            break
        form = _FORM_OF_LENGTH[buffer[begins + 1]]
        behind = begins + _SIZES[form]
        here &= (form >= 0) & (behind <= ends[live])
        if not here.all():
            live, begins, form, behind = live[here], begins[here], form[here], behind[here]
        at[live] = behind
        for number, kept in enumerate(found):
            of_form = form == number
            if of_form.all():
                kept.append((live, begins))
            elif of_form.any():
                kept.append((live[of_form], begins[of_form]))
        rounds += 1
    return [(np.concatenate([m for m, _ in kept]), np.concatenate([b for _, b in kept])) for kept in found]
