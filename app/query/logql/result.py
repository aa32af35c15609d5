"""Lines as a log query gives them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from app.labels import Labels


class Line(NamedTuple):
    """One line: its stream's labels, nanoseconds since the epoch, the text, and what is known of it beside.

    `attributes` came with it (Loki's structured metadata), `parsed` the stages of the query found or made.
    """

    stream: Labels
    ts_ns: int
    text: str
    attributes: dict[str, str]
    parsed: dict[str, str]


@dataclass(frozen=True, slots=True)
class LogResult:
    """Lines in the order asked for, over all streams."""

    lines: list[Line]

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def size_bytes(self) -> int:
        """Bytes of the texts."""
        return sum(len(line.text) for line in self.lines)

    def by_stream(self) -> Iterator[tuple[Labels, list[Line]]]:
        """The lines of each stream in their order; streams sorted by their labels."""
        return self._grouped([line.stream for line in self.lines])

    def by_all_labels(self) -> Iterator[tuple[Labels, list[Line]]]:
        """As `by_stream`, with attributes and what was parsed for labels, as clients without categories expect."""
        return self._grouped(
            [tuple(sorted({**dict(line.stream), **line.attributes, **line.parsed}.items())) for line in self.lines]
        )

    def _grouped(self, keys: list[Labels]) -> Iterator[tuple[Labels, list[Line]]]:
        groups: dict[Labels, list[Line]] = {}
        for key, line in zip(keys, self.lines, strict=True):
            groups.setdefault(key, []).append(line)
        for key in sorted(groups):
            yield key, groups[key]
