"""What remote write 2.0 says of metrics: type, help and unit, which every series carries with it.

They are told again with every sample and hardly ever change. So what was told last of a series is kept as one number,
its mark, and whole requests are compared with that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from app.labels import METRIC_NAME, Labels
from app.store.metrics import Metadata
from ingest.prompb import METADATA_TYPES
from ingest.symbols import NO_NUMBER, SymbolTable

_METADATA_TAG = 0x2A
_TYPE_TAG, _HELP_TAG, _UNIT_TAG = 0x08, 0x18, 0x20
_NUMBER_BITS = 28
_NUMBER_MASK = (1 << _NUMBER_BITS) - 1
_WORD_BYTES = 8
_MAX_VALUE_BYTES = 3
_GROWTH = 4096
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(_WORD_BYTES + 1)], np.uint64)
_SUFFIXES = {
    "histogram": ("_bucket", "_sum", "_count"),
    "gaugehistogram": ("_bucket", "_gsum", "_gcount"),
    "summary": ("_sum", "_count"),
}


def family_of(labels: Labels, kind: str, native: bool) -> str:
    """The metric family a series is of, from its name and type (Prometheus: scrape, isSeriesPartOfFamily).

    Counters and infos are called by their full name, as in the text format. `native` is for native histograms and
    their like, which have no suffix.
    """
    found = dict(labels)
    name = found[METRIC_NAME]
    if native or (kind == "summary" and "quantile" in found):
        return name
    return next((name.removesuffix(suffix) for suffix in _SUFFIXES.get(kind, ()) if name.endswith(suffix)), name)


def kind_of(number: int) -> str:
    """The metric type of this number."""
    return METADATA_TYPES[number] if 0 <= number < len(METADATA_TYPES) else METADATA_TYPES[0]


def mark_of(kind: int, help_number: int, unit_number: int) -> int:
    """The mark of a type and the numbers of the symbols for help and unit; 0 for no metadata."""
    return kind << 2 * _NUMBER_BITS | help_number << _NUMBER_BITS | unit_number


def metadata_of(labels: Labels, mark: int, texts: Sequence[bytes]) -> Metadata:
    """What a mark says of a series; `texts` are those of the numbers. The series has samples that are floats."""
    kind = kind_of(mark >> 2 * _NUMBER_BITS)
    help_text, unit = (
        texts[number].decode(errors="replace") for number in (mark >> _NUMBER_BITS & _NUMBER_MASK, mark & _NUMBER_MASK)
    )
    return Metadata(family_of(labels, kind, native=False), kind, unit, help_text)


@dataclass(slots=True)
class Marks:
    """The mark told last of each series, by its ref."""

    by_ref: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(_GROWTH, np.uint64))

    def clear(self) -> None:
        """Nothing was told."""
        self.by_ref[:] = 0

    def add(self, ref: int) -> None:
        """Makes room for a ref."""
        if ref >= len(self.by_ref):
            self.by_ref = np.concatenate([self.by_ref, np.zeros(max(ref, len(self.by_ref)), np.uint64)])

    def news(self, refs: npt.NDArray[np.int32], marks: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Which of these marks say something that was not told last of their series."""
        return np.flatnonzero((marks != self.by_ref[refs]) & (marks != 0))


def read_marks(
    buffer: npt.NDArray[np.uint8], begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], table: SymbolTable
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """(marks, whether there is anything else) of the bytes in which series end, behind their samples.

    They are read when they hold metadata as every sender writes it, or nothing; `buffer` goes on behind the last.
    """
    sizes = ends - begins - 2
    alone = (buffer[begins] == _METADATA_TAG) & (buffer[begins + 1] == sizes) & (sizes <= _WORD_BYTES)
    left = np.where(alone, sizes, 0)
    # the eight bytes at every place, as one number
    at_every_byte: _Words = np.ndarray((len(buffer) - _WORD_BYTES,), "<u8", buffer, strides=(1,))
    words = at_every_byte[begins + 2] & _MASKS[left]
    kind, words, left = _field(words, left, _TYPE_TAG)
    help_place, words, left = _field(words, left, _HELP_TAG)
    unit_place, words, left = _field(words, left, _UNIT_TAG)
    help_number, unit_number = (
        np.where(place == 0, np.uint32(0), table.numbers_at(place.astype(np.uint32))).astype(np.uint64)
        for place in (help_place, unit_place)
    )
    whole = (left == 0) & (kind < 0x80) & (help_number != NO_NUMBER) & (unit_number != NO_NUMBER)
    bits = np.uint64(_NUMBER_BITS)
    marks = np.where(whole, kind << bits << bits | help_number << bits | unit_number, np.uint64(0))
    return marks, ~(whole & alone) & (ends != begins)


_Words = npt.NDArray[np.uint64]


def _field(words: _Words, left: npt.NDArray[np.int64], tag: int) -> tuple[_Words, _Words, npt.NDArray[np.int64]]:
    """(value, words behind it, bytes behind it) of a varint field that may come next; -1 bytes when it is too long."""
    given = ((words & np.uint64(0xFF)) == tag) & (left > 1)
    if not given.any():
        return np.zeros_like(words), words, left
    value, size, live = np.zeros_like(words), given.astype(np.int64), given
    for i in range(_MAX_VALUE_BYTES):
        digit = words >> np.uint64(8 + 8 * i)
        value |= np.where(live, (digit & np.uint64(0x7F)) << np.uint64(7 * i), np.uint64(0))
        size += live
        live = live & (digit & np.uint64(0x80) != 0)
        if not live.any():
            break
    return value, words >> (8 * size).astype(np.uint64), np.where(live, -1, left - size)
