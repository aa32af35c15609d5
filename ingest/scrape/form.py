"""The form of a target's pages: the bytes that stay from page to page, and where values move between them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

NO_TIME = np.iinfo(np.int64).min
"""A time in milliseconds: there is none."""


@dataclass(slots=True)
class Form:
    """What a page must look like to be read by its moving values alone.

    `prefixes` and `slots` go by line: the bytes before the value (None where the line is no sample) and the place in
    `values` and `ts_ms`, which hold every sample line of the last page. `keep` picks those that are stored; their
    exemplars are of the series in `exemplar_refs`, by slot, where that is not negative.
    `stretches` (with their lengths) are the bytes before each moving value, `rest` those after the last; `moving` are
    the lines of those values.
    """

    openmetrics: bool
    rest: bytes
    prefixes: list[bytes | None]
    slots: list[int]
    values: npt.NDArray[np.float64]
    ts_ms: npt.NDArray[np.int64] | None
    refs: npt.NDArray[np.int32]
    keep: npt.NDArray[np.intp] | None
    kept: int
    exemplar_refs: npt.NDArray[np.int32]
    stretches: list[tuple[bytes, int]] = field(default_factory=list)
    moving: list[int] = field(default_factory=list)
    moving_slots: npt.NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))

    def moving_values(self, body: bytes) -> list[bytes] | None:
        """What stands where values move, when all the rest of the page is as it was but for values that now move too.

        None when it is not; the form is spoilt then.
        """
        position = 0
        found: list[bytes] = []
        add, starts, find = found.append, body.startswith, body.find
        while True:
            # a stretch may be replaced by several while it is looked at: the iterator goes on with the second
            for stretch, length in itertools.islice(self.stretches, len(found), None):
                if not starts(stretch, position):
                    length = self._cut_stretch(len(found), stretch, body, position)
                    if not length:
                        return None
                position += length
                end = find(b"\n", position)
                add(body[position:end])
                position = end
            if body[position:] == self.rest:
                return found
            if not self._cut_rest(body, position):
                return None

    def _cut_stretch(self, k: int, stretch: bytes, body: bytes, position: int) -> int:
        """Cuts a stretch at values that are others in the page. The length of its first part, 0 when it cannot be."""
        before = stretch.split(b"\n")
        lines = body[position:].split(b"\n", len(before))
        if len(lines) < len(before) or not lines[len(before) - 1].startswith(before[-1]):
            return 0
        parts = self._cut(k, stretch, before[:-1], lines)
        if not parts:
            return 0
        self.stretches[k : k + 1] = [(part, len(part)) for part in parts]
        return len(parts[0])

    def _cut_rest(self, body: bytes, position: int) -> bool:
        before, lines = self.rest.split(b"\n"), body[position:].split(b"\n")
        parts = self._cut(len(self.stretches), self.rest, before, lines) if len(lines) == len(before) else []
        if not parts:
            return False
        self.rest = parts.pop()
        self.stretches += [(part, len(part)) for part in parts]
        return True

    def _cut(self, k: int, text: bytes, before: list[bytes], lines: list[bytes]) -> list[bytes]:
        """The parts of a text between values that move from now on; none when lines differ by more than values."""
        # a text starts behind the value before it, so that its first line is the end of that one's
        first = self.moving[k - 1] if k else 0
        parts, position = [], 0
        moved = [i for i, line in enumerate(before) if line != lines[i]]
        starts = [0, *itertools.accumulate(len(line) + 1 for line in before)]
        for i in moved:
            prefix = self.prefixes[first + i]
            if prefix is None or not lines[i].startswith(prefix):
                return []
            parts.append(text[position : starts[i] + len(prefix)])
            position = starts[i] + len(before[i])
        self.moving[k:k] = [first + i for i in moved]
        self.moving_slots = np.array([self.slots[i] for i in self.moving], np.intp)
        return [*parts, text[position:]] if moved else []
