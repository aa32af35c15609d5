"""Where the samples of a remote write request lie, and requests that repeat one before in every other byte.

The samples of both versions of remote write have the same bytes: field 2 of their series, a double and a timestamp.
Once it is known where they begin, values and timestamps of all of them are read by NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.series import SeriesIndex

SAMPLE_TAG = 0x12
_TIME_WEIGHTS = np.array([1 << (7 * i) for i in range(6)], np.int64)
_GLANCE_WORDS = 64
_MAX_LAYOUTS = 64
_SELDOM = 128
_MAX_LAYOUT_BYTES = 4 * 2**20
_MAX_ALL_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Form:
    """A way in which senders write a sample: how many bytes, which are always the same, where value and times are.

    Timestamps have six varint bytes (1971 to 2109), the sample's own first. A value of zero is left out, as the format
    has it.
    """

    size: int
    marks: tuple[tuple[int, int], ...]
    value: slice | None
    times: tuple[slice, ...]

    @property
    def length(self) -> int:
        """The length the sample says it has, behind its tag."""
        return self.size - 2

    def rows(self, body: bytes, begins: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8] | None:
        """The bytes of samples of this form, a row each; None when one of them is of another form."""
        if not len(begins):
            return np.empty((0, self.size), np.uint8)
        rows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(body, np.uint8), self.size)[begins]
        if not all((rows[:, column] == mark).all() for column, mark in self.marks):
            return None
        usual = all(
            (rows[:, time.start : time.stop - 1] >= 0x80).all() and (rows[:, time.stop - 1] < 0x80).all()
            for time in self.times
        )
        return rows if usual else None


USUAL = Form(18, ((0, SAMPLE_TAG), (1, 16), (2, 0x09), (11, 0x10)), slice(3, 11), (slice(12, 18),))
ZERO = Form(9, ((0, SAMPLE_TAG), (1, 7), (2, 0x10)), None, (slice(3, 9),))
# remote write 2.0 has a start timestamp behind them, which is passed over
STARTED = Form(
    25, (*USUAL.marks[:1], (1, 23), *USUAL.marks[2:], (18, 0x18)), USUAL.value, (*USUAL.times, slice(19, 25))
)
ZERO_STARTED = Form(16, ((0, SAMPLE_TAG), (1, 14), (2, 0x10), (9, 0x18)), None, (*ZERO.times, slice(10, 16)))


@dataclass(frozen=True, slots=True)
class Places:
    """Where the samples of a body begin, by form, and of which series they are, in the same order."""

    refs: npt.NDArray[np.int32]
    forms: tuple[tuple[Form, npt.NDArray[np.int64]], ...]

    def read(self, body: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]] | None:
        """(timestamps, values); None when one of the places holds no sample of its form."""
        values, times, at = np.zeros(len(self.refs)), [], 0
        for form, begins in self.forms:
            rows = form.rows(body, begins)
            if rows is None:
                return None
            if form.value is not None:
                values[at : at + len(rows)] = np.ascontiguousarray(rows[:, form.value]).view("<f8").ravel()
            times.append(_times(rows[:, form.times[0]]))
            at += len(rows)
        return np.concatenate(times), values


def with_unusual(
    refs: npt.NDArray[np.int32],
    ts_ms: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    unusual: Sequence[tuple[int, int, float]],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The columns of samples with those behind them that were read one by one: (ref, timestamp, value)."""
    if not unusual:
        return refs, ts_ms, values
    more = list(zip(*unusual, strict=True))
    return (
        np.concatenate([refs, np.array(more[0], np.int32)]),
        np.concatenate([ts_ms, np.array(more[1], np.int64)]),
        np.concatenate([values, np.array(more[2], np.float64)]),
    )


@dataclass(frozen=True, slots=True)
class Layout:
    """A request's bytes with those of values and times set to zero, and where its samples are."""

    frame: npt.NDArray[np.uint64]
    mask: npt.NDArray[np.uint64]
    places: Places

    @classmethod
    def of(cls, body: bytes, places: Places) -> Layout:
        """The layout of a body."""
        mask = np.full(-(-len(body) // 8) * 8, 0xFF, np.uint8)
        for form, begins in places.forms:
            for part in (*form.times, *([form.value] if form.value else [])):
                mask[(begins[:, None] + np.arange(part.start, part.stop)).ravel()] = 0
        words = mask.view(np.uint64)
        return cls(_words(body) & words, words, places)

    def fits(self, words: npt.NDArray[np.uint64]) -> bool:
        """Whether a body of this length has this layout."""
        # most that differ do so early
        for part in (slice(_GLANCE_WORDS), slice(_GLANCE_WORDS, None)):
            if not np.array_equal(words[part] & self.mask[part], self.frame[part]):
                return False
        return True


class Layouts:
    """The layouts of requests met before, bounded; their refs are those of one index."""

    def __init__(self) -> None:
        self._by_size: dict[int, list[Layout]] = {}
        self._index: SeriesIndex | None = None
        self._since_hit = 0
        self._bytes = 0

    def clear(self) -> None:
        """Forgets them all."""
        self._by_size, self._bytes = {}, 0

    def find(self, body: bytes, index: SeriesIndex) -> Layout | None:
        """The layout this body has in every byte that is no value and no time, if it was met before."""
        if self._index is not index:
            self.clear()
            self._index = index
            return None
        alike = self._by_size.get(len(body), ())
        words = _words(body) if alike else None
        found = next((layout for layout in alike if layout.fits(words)), None) if words is not None else None
        self._since_hit = self._since_hit + 1 if found is None else 0
        return found

    def remember(self, body: bytes, places: Places) -> None:
        """Keeps the layout of a body whose samples are all of the usual forms."""
        if len(body) > _MAX_LAYOUT_BYTES:
            return
        # senders that never repeat themselves should not pay for it: one request in so many is tried from then on
        if self._since_hit > _MAX_LAYOUTS and self._since_hit % _SELDOM > 1:
            return
        self._bytes += 3 * len(body)
        if sum(map(len, self._by_size.values())) >= _MAX_LAYOUTS or self._bytes > _MAX_ALL_BYTES:
            self._by_size.clear()
            self._bytes = 3 * len(body)
        self._by_size.setdefault(len(body), []).append(Layout.of(body, places))


def _words(body: bytes) -> npt.NDArray[np.uint64]:
    return np.frombuffer(body + bytes(-len(body) % 8), np.uint64)


def _times(varints: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Milliseconds of timestamps of six varint bytes."""
    return np.asarray((varints & 0x7F).astype(np.int64) @ _TIME_WEIGHTS)
