"""Symbols of remote write 2.0: the texts of a request in one table, which its series name by their places in it.

Tables differ from request to request, so a symbol is given a number that is the same in all of them; the numbers of
its label symbols are the key to a series' ref. A steady sender repeats whole tables: under one that is met again,
the bytes of a series' places are the key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.errors import DecodeError
from ingest.fields import runs, slices

SYMBOL_TAG = 0x22
MAX_SYMBOLS = 2**20
"""What a request may have; more would take memory for nothing."""

NO_NUMBER = 2**32 - 1
"""Of a symbol that is too long for one, and of places that are not in the table."""

_MAX_TEXT_BYTES = 128 * 2**20
_MAX_TABLES = 64
_MAX_TABLE_BYTES = 2**20
_MAX_ALL_BYTES = 8 * 2**20
_MAX_PLACE_BYTES = 4


class Numbers:
    """Numbers for symbols of at most `longest` bytes: 0 for the empty one, and so on as they are met."""

    def __init__(self, longest: int, limit: int) -> None:
        self._longest = longest
        self._limit = limit
        self._bytes = 0
        self._numbers = {b"": 0}
        self.texts = [b""]

    @property
    def full(self) -> bool:
        """Whether it is time to start anew."""
        return len(self.texts) > self._limit or self._bytes > _MAX_TEXT_BYTES

    def of(self, symbols: Sequence[bytes]) -> list[int]:
        """The number of each symbol, or NO_NUMBER."""
        known = list(map(self._numbers.get, symbols))
        if None not in known:
            return known  # type: ignore[return-value]
        return [self._add(symbol) if n is None else n for n, symbol in zip(known, symbols, strict=True)]

    def _add(self, symbol: bytes) -> int:
        if len(symbol) > self._longest:
            return NO_NUMBER
        number = self._numbers.setdefault(symbol, len(self.texts))
        if number == len(self.texts):
            self.texts.append(symbol)
            self._bytes += len(symbol)
        return number


@dataclass(slots=True)
class SymbolTable:
    """The symbols of a request, and their numbers with NO_NUMBER behind the last.

    `raw` is the table's bytes when it is remembered; `refs` has series by the bytes of their label places, when it
    was met more than once.
    """

    symbols: Sequence[bytes]
    numbers: npt.NDArray[np.uint32]
    raw: bytes = b""
    refs: dict[bytes, int] | None = None

    @classmethod
    def of(cls, symbols: Sequence[bytes], numbers: Numbers) -> SymbolTable:
        """The table of these symbols."""
        return cls(symbols, np.array([*numbers.of(symbols), NO_NUMBER], np.uint32))

    def number(self, place: int) -> int:
        """The number of the symbol at a place."""
        return int(self.numbers[min(place, len(self.symbols))])

    def numbers_at(self, places: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        """The numbers of the symbols at these places."""
        return self.numbers[np.minimum(places, len(self.symbols))]

    def pairs(self, places: Sequence[int]) -> list[tuple[bytes, bytes]]:
        """The labels at these places, a name and a value in turn. Raises ValueError when they are none."""
        if len(places) % 2:
            raise ValueError(f"{_some(places)} are {len(places)}, a name without a value")
        if places and max(places) >= len(self.symbols):
            raise ValueError(f"{_some(places)} have {max(places)}, and there are {len(self.symbols)} symbols")
        texts = [self.symbols[place] for place in places]
        return list(zip(texts[::2], texts[1::2], strict=True))


def _some(places: Sequence[int]) -> str:
    text = ", ".join(map(str, places[:16]))
    return f"the labels_refs [{text}{', …' if len(places) > 16 else ''}]"


class Tables:
    """The tables met lately, bounded; the one not met for longest goes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tables: list[SymbolTable] = []

    def __len__(self) -> int:
        return len(self._tables)

    def __iter__(self) -> Iterator[SymbolTable]:
        return iter(self._tables)

    def read(self, body: bytes, buffer: npt.NDArray[np.uint8], size: int, numbers: Numbers) -> tuple[SymbolTable, int]:
        """The table a request of `size` bytes begins with, and where it ends. `body` has something behind its end.

        Raises DecodeError when it goes past the end, or has too many symbols.
        """
        for i in reversed(range(len(self._tables))):
            table = self._tables[i]
            if body.startswith(table.raw) and body[len(table.raw)] != SYMBOL_TAG:
                self._tables.append(self._tables.pop(i))
                table.refs = {} if table.refs is None else table.refs
                return table, len(table.raw)
        symbols: list[bytes] = []
        end = 0
        for begins, ends in runs(buffer, 0, size, SYMBOL_TAG):
            symbols += slices(body, begins.tolist(), ends.tolist())
            end = int(ends[-1])
            if end > size:
                raise DecodeError(f"not a Request: the symbol at byte {begins[-1]} goes past the end of the body")
            check_count(len(symbols))
        table = SymbolTable.of(symbols, numbers)
        if symbols and end <= _MAX_TABLE_BYTES:
            table.raw = body[:end]
            self._tables.append(table)
            self.trim()
        return table, end

    def trim(self) -> None:
        """Forgets what is over the bounds. To be called after series were added to a table."""
        kept = series = size = 0
        for table in reversed(self._tables):
            series += len(table.refs or ())
            size += len(table.raw)
            if kept == _MAX_TABLES or series > self._limit or size > _MAX_ALL_BYTES:
                break
            kept += 1
        del self._tables[: len(self._tables) - kept]


def check_count(symbols: int) -> None:
    """Raises DecodeError for more symbols than a request may have."""
    if symbols > MAX_SYMBOLS:
        raise DecodeError(f"a Request of more than {MAX_SYMBOLS} symbols")


def read_places(
    buffer: npt.NDArray[np.uint8], begins: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """(places, bounds) of packed varints: those of part i are places[bounds[i]:bounds[i + 1]].

    A part is `sizes` bytes at `begins`, at least one, and ends with a varint. One that is longer than any place needs
    is a place no table has.
    """
    stops = np.cumsum(sizes)
    taken = buffer[np.repeat(begins - stops + sizes, sizes) + np.arange(stops[-1])]
    ends = np.flatnonzero(taken < 0x80)
    found = taken[ends].astype(np.uint32)
    widths = np.diff(ends, prepend=-1)
    widest = int(widths.max())
    for width in range(2, min(widest, _MAX_PLACE_BYTES) + 1):
        found = np.where(widths >= width, found << 7 | taken[ends - (width - 1)] & 0x7F, found)
    if widest > _MAX_PLACE_BYTES:
        found[widths > _MAX_PLACE_BYTES] = NO_NUMBER
    bounds = np.zeros(len(sizes) + 1, np.int64)
    bounds[1:] = np.searchsorted(ends, stops - 1) + 1
    return found, bounds
